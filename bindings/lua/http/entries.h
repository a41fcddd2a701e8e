#pragma once
#include <memory>
#include <string>

#include "host/api.h"
#include "host/object.h"

namespace netlab::lua {

// What the functions that make an entry of http.server's `serve` share.

// Argument 1: raises at the caller's line unless it begins with "/".
std::string path_prefix(call& c);
// Gives the entry to the graph and its handle to the recipe.
int give_entry(call& c, const std::shared_ptr<object>& entry, const char* kind);

} // namespace netlab::lua
