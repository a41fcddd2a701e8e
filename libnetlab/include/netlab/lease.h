#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/clock.h"
#include "netlab/ip.h"
#include "netlab/mac.h"
#include "netlab/result.h"
#include "netlab/uuid.h"

namespace netlab {

enum class lease_state : std::uint8_t {
  active,
  released, // given back by the client
  expired,
  declined, // the client found the address in use (RFC 2131 §3.1.5); held back until `expires`
};
std::string_view to_string(lease_state state);

// One address given to one client, as it is stored. The key is the address (of either family).
struct lease {
  ip_address address;
  // Who holds it: option 61 with its type byte when the client sent one, else hardware type + chaddr
  // (RFC 2131 §4.2). Compared as bytes.
  byte_vector client;
  mac_address mac;
  std::string hostname; // as the client asked, cleaned; may be empty
  std::string network;  // the recipe's name of the network it belongs to
  lease_state state = lease_state::active;
  wall_time starts{}, expires{}; // expires == wall_time::max(): never
  std::uint64_t version = 0;     // grows with every change of this address; 0: never stored
};

// Durable leases. claim() is asynchronous and may lose against another server on the same network, so
// that a shared database fits behind it: the DHCP engine commits first and acknowledges afterwards.
// Used on the loop's thread that owns it; callbacks run there, in batches, never inside the call.
class lease_store {
public:
  virtual ~lease_store() = default;
  // Everything stored, once, at start.
  virtual result<std::vector<lease>> load() = 0;
  struct outcome {
    enum class kind { stored, conflict, failed } what = kind::stored;
    lease current;      // stored: with its new version; conflict: what is there instead
    std::string reason; // failed: the disk's or database's complaint
  };
  using done_fn = std::function<void(outcome)>;
  // Stores `next` if the address's stored version is still `next.version`. `done` runs when the record
  // would survive power loss. Also used to release, expire and decline: the state says so.
  virtual void claim(lease next, done_fn done) = 0;
  // Runs `fn` when everything claimed so far is durable or has failed.
  virtual void drain(std::function<void()> fn) = 0;
};

} // namespace netlab
