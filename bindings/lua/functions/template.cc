#include "functions/template.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "netlab/text.h"

namespace netlab::lua {

result<std::string>
expand_template(std::string_view text,
                const std::function<std::optional<std::string>(std::string_view)>& look_up) {
  std::string out;
  std::size_t at = 0;
  auto line = [&](std::size_t offset) {
    return "line " +
           std::to_string(1 + std::count(text.begin(), text.begin() + static_cast<long>(offset), '\n'));
  };
  for (;;) {
    auto open = text.find("{{", at);
    if (open == std::string_view::npos) return out += text.substr(at), out;
    out += text.substr(at, open - at);
    auto close = text.find("}}", open + 2);
    if (close == std::string_view::npos)
      return fail(errc::invalid, line(open) + ": \"{{\" without \"}}\"", "template");
    auto name = trim(text.substr(open + 2, close - open - 2));
    auto value = look_up(name);
    if (!value)
      return fail(errc::not_found, line(open) + ": no value for {{" + printable(name) + "}}", "template");
    out += *value;
    at = close + 2;
  }
}

namespace {

int expand(call& c) {
  auto text = c.text(1, "the text");
  c.need_table(2, "the values");
  auto data = to_json(c.L, 2);
  if (!data) c.refuse("the values: " + data.error().message);
  auto out = expand_template(text, [&](std::string_view name) -> std::optional<std::string> {
    const json* at = &*data;
    for (auto part : split(name, '.')) {
      if (!at->is_object()) return std::nullopt;
      auto found = at->find(std::string(part));
      if (found == at->end() || found->is_null()) return std::nullopt;
      at = &*found;
    }
    if (at->is_string()) return at->get<std::string>();
    if (at->is_structured()) return std::nullopt;
    return at->dump();
  });
  if (!out) c.refuse(out.error().message);
  return c.give(std::string_view(*out));
}

} // namespace

void bind_template(api& a) {
  a.function(
      {"template",
       expand,
       "Fills {{name}} and {{node.name}} in a text. A name without a value raises; ${…} is left alone.",
       {{"text", "string", ""}, {"values", "table", ""}},
       {{"text", "string", ""}},
       false,
       {}});
}

} // namespace netlab::lua
