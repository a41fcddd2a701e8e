#pragma once
#include <string>
#include <vector>

#include "graph.h"
#include "netlab/runtime.h"

namespace netlab::lua {

// What services of the graph want to bind and another program holds, one line each with the recipe's line and
// the holder where the system tells it. Binds each endpoint for a moment, without sharing it: two owners that
// share a port would both start and split the clients between them. Control loop only, before start().
std::vector<std::string> held_endpoints(const graph& g, runtime& world);

} // namespace netlab::lua
