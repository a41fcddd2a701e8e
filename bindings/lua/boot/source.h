#pragma once
#include "host/source_function.h"
#include "netlab/boot_source.h"

namespace netlab::lua {

class host;

// A source that is a Lua function, as netlab.boot.source describes it. A raised error, nil with a reason, and
// an answer that takes longer than its limit (thirty seconds when it has none) end the request with 404.
boot::source make_lua_source(host& h, source_function asked);

} // namespace netlab::lua
