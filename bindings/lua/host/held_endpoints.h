#pragma once
#include <string>
#include <vector>

#include "host/graph.h"
#include "netlab/runtime.h"

namespace netlab::lua {

// What services of the graph want to bind and cannot have now.
struct unavailable_endpoints {
  // Held by another program: one line each with the recipe's line, and the holder where the system tells it.
  std::vector<std::string> held;
  // On an address that this machine does not have yet; the service waits for it.
  struct absent_address {
    std::string service;
    endpoint local;
  };
  std::vector<absent_address> absent;
};

// Binds each endpoint for a moment, without sharing it: two owners that share a port would both start and
// split the clients between them. Control loop only, before start().
unavailable_endpoints probe_endpoints(const graph& g, runtime& world);

} // namespace netlab::lua
