#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/schema.h"

namespace netlab::lua {

// How each kind of type is called in schemas and in messages.
struct named_kind {
  type_kind kind;
  std::string_view name;
  std::string_view expected;
};
std::span<const named_kind> named_kinds();

// The kinds of handle that a handle type takes.
std::vector<std::string> handle_kinds(const option_type& t);

} // namespace netlab::lua
