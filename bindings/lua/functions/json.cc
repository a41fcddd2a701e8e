#include "netlab/json.h"

#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"

namespace netlab::lua {

namespace {

int encode_json(call& c) {
  if (c.count() < 1) c.refuse("the value is missing");
  auto data = to_json(c.L, 1);
  if (!data) c.refuse(data.error().message);
  bool pretty = c.given(2) && lua_toboolean(c.L, 2);
  // Bytes that are not UTF-8 become U+FFFD: JSON cannot carry them.
  return c.give(data->dump(pretty ? 2 : -1, ' ', false, json::error_handler_t::replace));
}

int decode_json(call& c) {
  auto data = parse_json(c.text(1, "the text"));
  if (!data) return c.fail(data.error());
  return c.give(*data);
}

} // namespace

void bind_json(api& a) {
  a.function(
      {"json.encode",
       encode_json,
       "JSON text of plain data. Keys are sorted, so the same data gives the same text; netlab.null is null.",
       {{"value", "any", "nil, booleans, numbers, strings and tables of them"},
        {"pretty?", "boolean", "indented lines instead of one"}},
       {{"text", "string", ""}},
       false,
       {}});
  a.function({"json.decode",
              decode_json,
              "The value of JSON text; null becomes netlab.null.",
              {{"text", "string", ""}},
              {{"value", "any", "nil on failure"}, {"err?", "netlab.error", "says line and column"}},
              false,
              {}});
}

} // namespace netlab::lua
