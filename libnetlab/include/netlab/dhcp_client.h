#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netlab/clock.h"
#include "netlab/dhcp_options.h"
#include "netlab/dhcp_packet.h"
#include "netlab/runtime.h"

namespace netlab::dhcp {

// Which software the virtual client imitates; it decides which options are sent.
enum class client_kind {
  plain,     // an operating system
  pxe,       // PXE firmware (option 60 "PXEClient:Arch:…")
  http_boot, // UEFI HTTP boot (option 60 "HTTPClient:Arch:…")
  ipxe,      // iPXE: options 77 and 175 beside those of PXE
};

struct client_options {
  client_kind kind = client_kind::pxe;
  std::uint16_t architecture = 7; // option 93
  mac_address mac;
  std::optional<netlab::uuid> uuid; // option 97; made from the MAC when absent
  std::string hostname;             // option 12
  byte_vector client_id;            // option 61 with its type byte
  byte_vector ipxe_features;        // option 175; empty: a usual set
  std::string user_class;           // option 77 instead of "iPXE", for loops broken by class
  std::optional<ip_address> requested;
  bool broadcast = false; // ask for broadcast replies
  bool release = false;   // give the address back at the end
  bool look = false;      // collect offers only: no REQUEST is sent, and silence is no failure
  duration collect = std::chrono::milliseconds(700); // wait for more offers after the first
  duration retry = std::chrono::seconds(1);          // doubles with every try
  duration deadline = std::chrono::seconds(10);      // of the whole exchange
};

struct received_offer {
  ip_address server;  // option 54
  ip_address address; // 0.0.0.0: a proxyDHCP offer
  ip_address next_server;
  std::string file; // option 67, else the file field
  std::string vendor_class;
  duration after{}; // since the start
  packet message;
  bool proxy() const { return address.is_unspecified(); }
};

struct client_step {
  duration at{}; // since the start
  bool sent = false;
  std::string what;   // "DISCOVER", "OFFER" …
  std::string detail; // addresses, file
};

struct client_lease {
  ip_address address, server, next_server;
  cidr network; // address with the prefix of option 1
  std::vector<ip_address> routers, dns;
  std::string hostname, domain;
  duration term{};        // duration::max(): never ends
  std::string boot_file;  // what the firmware would load: proxy's answer before the server's
  ip_address boot_server; // from where
  bool boot_from_proxy = false;
  packet ack;
};

struct client_report {
  std::optional<client_lease> lease;
  std::optional<error> failure; // set when there is no lease, or a boot client got no file
  std::vector<received_offer> offers;
  std::vector<client_step> steps;
};

struct client_output {
  byte_vector message;
  endpoint to; // 255.255.255.255:67, or a proxy's port 4011
};

// A DHCP/PXE client without sockets: messages and time in, messages out. It asks, collects offers (proxies
// included), takes the best one as firmware does, follows up at a proxy's port 4011, and ends.
class client_engine {
public:
  client_engine(client_options options, std::uint32_t xid);
  ~client_engine();
  void start(boot_time now, std::vector<client_output>& out);
  void receive(byte_view message, boot_time now, std::vector<client_output>& out);
  void advance(boot_time now, std::vector<client_output>& out);
  boot_time next_deadline() const; // boot_time::max() when it is done
  bool done() const;
  const client_report& report() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

struct client_transport {
  // On this interface, which needs no address: frames through packet sockets (CAP_NET_RAW).
  std::string interface;
  // Or by unicast to this server, from a local UDP port: loopback and tests.
  std::optional<endpoint> server;
};

// A client_engine on a socket. Used on the runtime's loop; dropping it ends the exchange silently.
class client {
public:
  // `done` runs once, later. A zero MAC in `options` is replaced by the interface's.
  static result<std::unique_ptr<client>> start(const runtime& rt, const client_transport& transport,
                                               client_options options,
                                               std::function<void(client_report)> done);
  ~client();

private:
  struct impl;
  explicit client(std::shared_ptr<impl> i) : impl_(std::move(i)) {}
  std::shared_ptr<impl> impl_;
};

} // namespace netlab::dhcp
