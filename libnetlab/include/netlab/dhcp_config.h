#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "netlab/boot_event.h"
#include "netlab/boot_policy.h"
#include "netlab/dhcp_options.h"
#include "netlab/ip.h"
#include "netlab/mac.h"
#include "netlab/node.h"
#include "netlab/result.h"
#include "netlab/units.h"
#include "netlab/uuid.h"

namespace netlab::dhcp {

// An option by number, its value as it goes on the wire.
struct raw_option {
  std::uint8_t code = 0;
  byte_vector value;
  bool always = true; // false: only when option 55 asks for it
};

// What clients are told. A host's set wins over its classes', theirs over the network's, field by field;
// what is not set is inherited.
struct option_set {
  std::optional<std::vector<ip_address>> routers, dns, ntp;
  std::optional<std::string> domain;
  std::optional<std::vector<std::string>> search;
  std::optional<std::uint16_t> mtu;
  std::optional<std::vector<static_route>> routes;
  std::vector<raw_option> raw;
  std::optional<duration> lease; // duration::max(): never ends
};

// Clients that are alike. Every condition given must hold; patterns take * and ? and ignore case.
struct client_class {
  std::string name{};
  std::string vendor_class{}; // option 60
  std::string user_class{};   // option 77
  std::string mac{};          // "b8:27:eb:*"
  std::vector<std::uint16_t> architectures{};
  option_set options{};
};

// What a proxy's reply to PXE firmware carries in option 43. Firmware differs: some boots from the first
// reply only when PXE_DISCOVERY_CONTROL says so (PXE 2.1 §2.2.1.2), some takes any option 43 for a menu.
struct pxe_hints {
  enum class kind {
    automatic, // BIOS: `control`; UEFI: `omit`, so that it asks port 4011
    omit,      // none
    control,   // discovery control 8: boot the file that this reply names, ask nobody else
    bytes,     // `value` as it is
  } what = kind::automatic;
  byte_vector value{};
};

// A machine that the recipe knows: any of its identifiers names it.
struct fixed_host {
  std::string name{}; // its host name; wins over what the client asks for
  std::vector<mac_address> macs{};
  byte_vector client_id{}; // option 61 with its type byte
  std::optional<netlab::uuid> uuid{};
  std::string serial{};
  std::optional<ip_address> address{}; // inside or outside the ranges; nobody else gets it
  option_set options{};
  std::optional<pxe_hints> hints{}; // instead of its network's
};

enum class service {
  full,  // addresses and boot options
  proxy, // boot options only (PXE 2.1 proxyDHCP); another server gives the addresses
};

struct network_config {
  std::string name{};
  std::string interface; // serve this interface whatever its addresses; empty: where `subnet` is
  cidr subnet;           // 10.20.13.0/24
  ip_address server;     // our address there: server identifier, and next server by default
  std::vector<ip_range> ranges;
  std::vector<ip_range> exclude;
  service mode = service::full;
  pxe_hints hints{}; // of a proxy
  option_set options{};
  duration lease = std::chrono::hours(12);
  duration lease_min = std::chrono::minutes(2);
  duration lease_max = std::chrono::hours(24 * 7);
  // We are the only DHCP server: requests for addresses that we cannot confirm get a NAK at once, and
  // clients that another (or a forgotten) server gave a free address keep it.
  bool authoritative = true;
  bool known_clients_only = false; // addresses for fixed hosts only
  bool rapid_commit = false;       // RFC 4039
  bool bootp = false;              // answer BOOTP clients, with addresses that never expire
  bool probe = true;               // ARP for an address before it is first offered
};

struct server_config {
  std::string name = "dhcp";
  std::vector<network_config> networks;
  std::vector<fixed_host> hosts;
  std::vector<client_class> classes;
  duration offer_hold = std::chrono::seconds(60);   // an offered address waits this long for its REQUEST
  duration decline_hold = std::chrono::minutes(10); // a conflicting address is held back this long
  duration probe_timeout = std::chrono::milliseconds(250);
  // An address that nobody answered for may be offered this long without asking again: as long as an offer
  // may lie unanswered, which is how old the check of an acknowledged address could always be. Whoever starts
  // to use the address meanwhile announces it (RFC 5227 §2.3) or asks for its neighbours, which we hear, and
  // clients check their address themselves before they use it (RFC 2131 §2.2).
  duration probe_valid = std::chrono::seconds(60);
  bool echo_client_id = true; // RFC 6842
};

// Every mistake in `config`, not only the first; empty when there is none.
std::vector<error> check(const server_config& config);

// What the engine asks its surroundings. Called on the control loop during handle(); any may be empty.
struct engine_hooks {
  boot_policy_fn boot;
  // May this client be called `name`? False when a declared node of another machine holds it.
  std::function<bool(std::string_view name, const node_identity& who)> may_use_name;
  bool events = true; // make boot_events
  // Will anybody read this passing step (discover, offer) of this machine? Empty: yes. Most exchanges are
  // no boot, and making a step that nobody reads costs more than deciding it.
  std::function<bool(boot_stage stage, const mac_address& mac, std::string_view architecture)> wants_step;
};

} // namespace netlab::dhcp
