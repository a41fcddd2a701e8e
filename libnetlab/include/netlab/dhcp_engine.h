#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netlab/boot_event.h"
#include "netlab/clock.h"
#include "netlab/dhcp_config.h"
#include "netlab/dhcp_packet.h"
#include "netlab/lease.h"
#include "netlab/log.h"

namespace netlab::dhcp {

struct moment {
  boot_time now;
  wall_time wall;
};

// How a datagram reached us.
struct arrival {
  endpoint peer;
  ip_address local;            // the address it was sent to
  std::uint32_t interface = 0; // handed back in replies and probes
  int network = -1;            // index of the network on that interface, -1 when there is none
  bool can_probe = false;      // ARP works there
  bool proxy_port = false;     // it came to port 4011
};

// RFC 2131 §4.1: where a reply goes.
enum class destination {
  relay,     // to `to`, the relay agent
  unicast,   // to `to`, which has its address already
  link,      // to `to`, which does not answer ARP yet: by hardware address `mac`
  broadcast, // to everybody on the interface
};

struct reply {
  destination how = destination::broadcast;
  message_type type = message_type::none;
  endpoint to;
  mac_address mac;
  ip_address from; // our address on that network
  std::uint32_t interface = 0;
  bool proxy_port = false; // leaves from port 4011
  ip_address address;      // that it gives; unspecified: none
  bool keep_arp = false;   // see boot_reply
  bool nudge = false;
  std::size_t offset = 0, size = 0; // of the message in actions::bytes
};

struct commit {
  std::uint64_t token;
  lease next;
};

struct probe {
  ip_address address;
  std::uint32_t interface;
};

enum class end_reason { expired, released, declined, dropped, taken };
std::string_view to_string(end_reason reason);

// A lease that began, was renewed or ended, after the store had it.
struct lease_change {
  lease what;
  bool ended = false;
  bool renewed = false;
  end_reason reason = end_reason::expired;
};

struct note {
  const message* what;
  std::string text;
};

// What the engine wants done. The caller carries the lists out and calls clear(); buffers are kept.
struct actions {
  std::vector<reply> replies;
  byte_vector bytes;
  std::vector<commit> commits; // in order, each answered by engine::committed()
  std::vector<probe> probes;
  std::vector<boot_event> events;
  std::vector<lease_change> changes;
  std::vector<note> notes;

  byte_view payload(const reply& r) const { return byte_view(bytes).subspan(r.offset, r.size); }
  bool empty() const;
  void clear();
};

// Evidence of another DHCP server on our networks.
struct foreign_server {
  ip_address address;
  boot_time first{}, last{};
  std::uint64_t seen = 0;
  std::string how; // "offered 10.0.0.7 to …", "chosen by …"
  std::optional<mac_address> client;
};

// What was received and what became of it. Every packet is counted once as received and, when it led to
// nothing, once more under the reason.
enum class count : std::uint8_t {
  discover,
  offer,
  request,
  ack,
  nak,
  decline,
  release,
  inform,
  bootp,
  malformed,
  server_reply,
  no_network,
  unsupported_type,
  unknown_client,
  pool_exhausted,
  boot_refused,
  other_server,
  no_record,
  commit_failed,
  conflict,
  probe_conflict,
  not_holder,
  bootp_refused,
  coalesced,
  not_boot_client,
  probing,
  wrong_address,
  options_dropped,
  last_
};
std::string_view to_string(count what);
using counts = std::array<std::uint64_t, static_cast<std::size_t>(count::last_)>;

// The DHCP server's policy: messages and time in, actions out. It has no socket, clock or thread; it owns
// its view of the leases, the offers and what is in flight to the store. An ACK appears in the actions
// only after committed() said that the lease is stored. Single-threaded; ends when destroyed, which loses
// nothing that was acknowledged.
class engine {
public:
  engine(server_config config, engine_hooks hooks);
  ~engine();

  // What the store holds, once, before the first message.
  void load(std::vector<lease> stored, moment at);
  void handle(byte_view datagram, const arrival& from, moment at, actions& out);
  // The store's answer to a commit.
  void committed(std::uint64_t token, lease_store::outcome outcome, moment at, actions& out);
  // ARP works on `network` through `interface`: its next addresses are asked for ahead of demand. At start,
  // and again after reconfigure().
  void probe_ahead(int network, std::uint32_t interface, moment at, actions& out);
  // Somebody has `address`: an ARP message said so, asked for or not.
  void address_seen(const ip_address& address, const mac_address& holder, moment at, actions& out);
  // Lets time pass: probes that nobody answered, offers that lapsed, leases that ended.
  void advance(moment at, actions& out);
  // When advance() is next needed; boot_time::max() when it is not.
  boot_time next_deadline() const;

  // New configuration, same leases: offers and commits in flight go on, leases outside every network stay
  // until they end. What was probed ahead is forgotten.
  void reconfigure(server_config config, moment at);
  const server_config& config() const;
  // The network whose subnet holds `address`, -1 when there is none.
  int find_network(const ip_address& address) const;
  // Takes a lease away (an operator's request); errc::not_found when nobody holds it.
  result<void> drop(const ip_address& address, moment at, actions& out);

  std::vector<lease> leases(moment at) const; // active ones, by address
  std::optional<lease> find(const ip_address& address, moment at) const;
  const counts& counters() const;
  const std::vector<foreign_server>& foreign_servers() const;
  std::size_t in_flight() const; // commits without an answer yet

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace netlab::dhcp
