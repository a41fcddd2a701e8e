#pragma once
#include <optional>
#include <string>

namespace netlab::lua {

class api;

// What `netlab doc` prints, all of it from the same descriptions that validate recipes.

// One constructor, function or kind for a terminal; nothing when there is none of that name.
std::optional<std::string> doc_text(const api& a, const std::string& name);
// Every name with its first sentence.
std::string doc_index(const api& a);
// docs/reference.md
std::string doc_markdown(const api& a);
// lua/netlab/stubs.lua, for editors (LuaCATS).
std::string doc_stubs(const api& a);
// docs/messages.md
std::string doc_messages();

} // namespace netlab::lua
