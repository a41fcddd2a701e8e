#include "netlab/log.h"

#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"

namespace netlab::lua {

namespace {

int write(call& c, log_level level) {
  auto text = c.text(1, "the text");
  log_fields fields;
  std::vector<std::string> names; // the fields' names are views
  json data = json::object();
  if (c.given(2)) {
    c.need_table(2, "the fields");
    auto got = to_json(c.L, 2);
    if (!got || !got->is_object()) c.refuse("the fields must be a table of names to plain values");
    data = std::move(*got);
  }
  names.reserve(data.size());
  for (const auto& [key, value] : data.items()) {
    names.push_back(key);
    fields.emplace_back(names.back(), value.is_string() ? value.get<std::string>() : value.dump());
  }
  c.owner.world().log.write(level, text, fields);
  return 0;
}

int debug(call& c) { return write(c, log_level::debug); }
int info(call& c) { return write(c, log_level::info); }
int warn(call& c) { return write(c, log_level::warn); }
int error_line(call& c) { return write(c, log_level::error); }

} // namespace

void bind_log(api& a) {
  std::vector<described> parameters = {
      {"text", "string", "what happened"},
      {"fields?", "table<string, any>", "what belongs to it: { node = name }"}};
  a.function(
      {"log.debug", debug, "Logs a line that is shown with --log-level debug.", parameters, {}, false, {}});
  a.function({"log.info", info, "Logs a line.", parameters, {}, false, {}});
  a.function(
      {"log.warn", warn, "Logs a line about something that may need attention.", parameters, {}, false, {}});
  a.function(
      {"log.error", error_line, "Logs a line about something that went wrong.", parameters, {}, false, {}});
}

} // namespace netlab::lua
