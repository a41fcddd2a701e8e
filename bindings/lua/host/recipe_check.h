#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "netlab/json.h"

namespace netlab::lua {

class host;

struct checked_recipe {
  std::vector<std::string> messages; // empty: the recipe is good
  json graph;
};

// Declares and links a recipe in a host of its own, in the world of `around`, as if it were the file
// `path`; nothing is bound.
checked_recipe check_recipe_text(host& around, std::string_view text, const std::string& path,
                                 std::vector<std::string> arguments);

} // namespace netlab::lua
