#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "netlab/ip.h"
#include "netlab/units.h"

namespace netlab {

// A host whose addresses are wanted. They come from the servers given here and from nothing else: neither the
// machine's resolver settings nor its hosts file nor the environment has a say.
struct host_question {
  std::string name;              // "dns.example.net"; never with a search domain behind it
  std::vector<endpoint> servers; // resolvers in the order in which they are asked
  bool by_tcp = false;           // instead of UDP, which falls back to TCP for what does not fit
  duration patience = std::chrono::milliseconds(1500); // with a server, before the next one is asked as well
  duration timeout = std::chrono::seconds(10);         // for everything
};

struct host_addresses {
  std::vector<ip_address> addresses; // of both families, never empty; the one this machine reaches best first
  duration ttl{};                    // of what led to them, the shortest
};

// A look-up under way (net::look_up). Dropping it ends it, and what was to be told is not told any more.
class host_lookup {
public:
  virtual ~host_lookup() = default;
};

} // namespace netlab
