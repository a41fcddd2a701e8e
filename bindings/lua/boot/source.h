#pragma once
#include <string>

#include "host/stack.h"
#include "netlab/boot_source.h"

namespace netlab::lua {

class host;

// A handle for boot.service's `sources`: what netlab.boot.source makes, and plugins' constructors that have a
// `source` function.
class boot_source_handle {
public:
  virtual ~boot_source_handle() = default;
  // For the boot service that lists it; the handle outlives that service.
  virtual boot::source source_for_boot(host& h) = 0;
};

// A source that is a Lua function: fn([self,] request), as netlab.boot.source describes it. A raised error,
// nil with a reason, and an answer that takes longer than `limit` end the request with 404.
boot::source make_lua_source(host& h, std::string name, shared_reference fn, shared_reference self,
                             position where, duration limit);

} // namespace netlab::lua
