#pragma once
#include "host/schema.h"
#include "host/stack.h"
#include "host/tasks.h"

#include <functional>
#include <string>

#include "netlab/asset.h"
#include "netlab/json.h"

namespace netlab::lua {

class call;
class host;

// Functions of recipes and plugins that answer requests for files: netlab.assets.handler, the sources of a
// boot service.

// What such a function returned: text, { text = … } or { file = … }.
struct made_asset {
  asset content;
  std::string stage, shown; // for the timeline, where the function may say so
};

// The request as the function sees it: { protocol, path, query, client, server, head, secure, user_agent }.
json asset_request_data(const asset_request& r);

// Runs `fn` as a task of its own with what `push` leaves on the stack; it may wait. `reply` runs once, later:
// errc::not_found when the function returned nil, errc::refused with its reason for nil and a reason,
// errc::timeout past `limit` (the task is cancelled), errc::closed when netlab stops, errc::io when it raised
// or returned what is no file. Only a `staged` function may say what the file is to a boot. A quiet task's
// reason is in that error, another's in the log.
void ask_for_asset(host& h, const shared_reference& fn, const std::function<int(lua_State*)>& push,
                   task_options how, duration limit, bool staged,
                   std::function<void(result<made_asset>)> reply);

// The options beside such a function: { name, timeout }. `constructor`: "boot.source".
schema asset_function_schema(const char* constructor);

// A constructor's arguments, (function, options?), by that schema.
struct asset_function_arguments {
  shared_reference fn;
  std::string name; // empty: none was given
  duration limit;
};
asset_function_arguments take_asset_function(call& c, const schema& s, const char* what);

} // namespace netlab::lua
