#pragma once
#include <lua.hpp>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "netlab/json.h"
#include "netlab/result.h"

namespace netlab::lua {

// A mistake of the script (a wrong argument, a stale handle). Thrown by binding code, caught at the
// trampoline, and raised in Lua at the caller's line.
struct script_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A place in a recipe. `file` is the path as it was given, so that an editor opens "file:line".
struct position {
  std::string file;
  int line = 0;
  bool known() const { return line > 0; }
  std::string to_string() const { return known() ? file + ":" + std::to_string(line) : std::string("?"); }
  friend bool operator==(const position&, const position&) = default;
};

// Restores the stack's height on every way out of a scope.
class stack_guard {
public:
  explicit stack_guard(lua_State* L) : L_(L), top_(lua_gettop(L)) {}
  ~stack_guard() { lua_settop(L_, top_); }
  stack_guard(const stack_guard&) = delete;
  stack_guard& operator=(const stack_guard&) = delete;

private:
  lua_State* L_;
  int top_;
};

// A value kept alive in the registry. Holds no claim on the VM: after the VM is gone, it is empty.
class reference {
public:
  reference() = default;
  // Takes the value on top of `L` off the stack.
  explicit reference(lua_State* L);
  ~reference();
  reference(const reference&) = delete;
  reference& operator=(const reference&) = delete;
  // Pushes the value, or nil when the VM is gone.
  void push(lua_State* L) const;

private:
  std::weak_ptr<lua_State> state_;
  int ref_ = LUA_NOREF;
};
using shared_reference = std::shared_ptr<const reference>;

// Makes room for `n` more values or throws script_error.
void need_stack(lua_State* L, int n);

void push(lua_State* L, std::string_view text);
inline void push(lua_State* L, const std::string& text) { push(L, std::string_view(text)); }
inline void push(lua_State* L, const char* text) { push(L, std::string_view(text)); }
void push(lua_State* L, const json& value); // null becomes netlab.null
// { code, message, op }, printable with tostring().
void push_error(lua_State* L, const error& e);
// nil, err
int push_failure(lua_State* L, const error& e);

// The plain data at `index`: nil, booleans, numbers, strings and tables of them. Tables with only
// 1 … n are arrays, others objects with sorted keys. Fails with the path of what cannot be converted
// (functions, handles, cycles, deeper than 64).
result<json> to_json(lua_State* L, int index);
// An empty table becomes [] when it was made by decoding an empty array, else {}.
inline constexpr const char* array_metatable = "netlab.array";
inline constexpr const char* error_metatable = "netlab.error";
// The light userdata behind netlab.null.
void* null_mark();

// "number 3600", "string \"x\"", "table", "boolean true", as error messages show a value.
std::string describe_value(lua_State* L, int index);
// The text of a raised value: strings, error tables and whatever has __tostring.
std::string error_text(lua_State* L, int index);

std::string_view text_at(lua_State* L, int index); // of a string; empty otherwise

// True for code that is netlab's own and must not show up as the place of a mistake.
bool is_internal(const char* source);
inline constexpr const char* internal_prefix = "=netlab:";
// The line of the recipe that is running: the nearest Lua frame that is not netlab's own.
position where(lua_State* L);
// "bastion.lua:12 in on_lease, bastion.lua:40": the frames of `L`, innermost first.
std::string trace(lua_State* L);

} // namespace netlab::lua
