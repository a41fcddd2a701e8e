#pragma once
#include <string>

#include "host/stack.h"
#include "netlab/clock.h"

namespace netlab::lua {

// A Lua function that a service asks for what it serves: fn([self,] request).
struct source_function {
  std::string name; // as the log calls it
  shared_reference fn;
  shared_reference self; // of a plugin's object; null for a function of the recipe
  position where;        // of its declaration
  duration limit{};      // for its answer; zero: what the service thinks right
};

// A handle for boot.service's `sources`: what netlab.boot.source makes, and plugins' constructors that have a
// `source` function.
class source_function_handle {
public:
  virtual ~source_function_handle() = default;
  // The handle outlives the services that list it.
  virtual source_function asked() const = 0;
};

} // namespace netlab::lua
