#include "host/recipe_check.h"

#include <nlohmann/json.hpp>

#include "host/host.h"

namespace netlab::lua {

checked_recipe check_recipe_text(host& around, std::string_view text, const std::string& path,
                                 std::vector<std::string> arguments) {
  host_options options;
  options.recipe = path;
  options.arguments = std::move(arguments);
  options.vm = around.options().vm;
  host inner(
      around.world(), [&around](std::size_t which) -> runtime& { return around.bytes(which); },
      around.described(), options);
  inner.load_text(text, "@" + path);
  inner.link();
  return {inner.mistakes().lines(), inner.graph().dump()};
}

} // namespace netlab::lua
