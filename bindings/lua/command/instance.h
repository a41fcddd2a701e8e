#pragma once
#include "command.h"
#include "netlab/json.h"

namespace netlab::lua::command {

// The answer of the running instance that the global options name, else of the first place that gives one.
// errc::unreachable when nobody answers.
result<json> ask_instance(const global_options& global, const json& request);

} // namespace netlab::lua::command
