#pragma once
#include "host/schema.h"
#include "host/stack.h"
#include "host/tasks.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace netlab::lua {

class host;

// One call from Lua into a binding: its arguments, its results, and the host. Lives for the call.
class call {
public:
  call(lua_State* state, host& h, const char* function) : L(state), owner(h), name(function) {}
  lua_State* L;
  host& owner;
  const char* name; // "fs.read", for messages

  int count() const { return lua_gettop(L); }
  bool given(int index) const { return !lua_isnoneornil(L, index); }
  // Arguments; a wrong one raises at the caller's line with what the function expects.
  std::string text(int index, const char* what);
  std::string text_or(int index, const char* what, std::string fallback);
  double number(int index, const char* what);
  netlab::duration duration(int index, const char* what);
  void need_function(int index, const char* what);
  void need_table(int index, const char* what);
  // A table of options, closed like a constructor's; all its mistakes raise together.
  options table(int index, const schema& by);
  // `self` of a method.
  template<class T>
  T& self() {
    auto found = std::dynamic_pointer_cast<T>(self_object());
    if (!found) throw script_error(std::string(name) + ": call it with a colon on its own handle");
    keep_ = found;
    return *found;
  }
  [[noreturn]] void refuse(const std::string& why) const; // raises at the caller's line

  // Results.
  int nothing() { return 0; }
  int fail(const error& e) { return push_failure(L, e); }
  int give(std::string_view text) { return push(L, text), 1; }
  int give(const std::string& text) { return push(L, text), 1; }
  int give(const char* text) { return push(L, text), 1; }
  int give(bool b) { return lua_pushboolean(L, b), 1; }
  int give(const json& data) { return push(L, data), 1; }
  template<class T>
  int give(const result<T>& r) {
    if (!r) return fail(r.error());
    if constexpr (std::is_void_v<T>)
      return give(true);
    else
      return give(*r);
  }

  // Suspends the running task until the waker that `begin` gets is used. What `begin` returns is what is
  // waited for: dropped on wake-up, deadline and cancellation. `limit` bounds the wait: nil, err with
  // code "timeout". `return c.wait(…)` must be the binding's last act, and the function must be
  // declared with .waits().
  int wait(const std::string& what, std::optional<netlab::duration> limit,
           const std::function<std::shared_ptr<void>(waker)>& begin);
  // Raises when the recipe's top level, which only declares, runs this.
  void need_running() const;

private:
  object_ptr self_object();
  object_ptr keep_;
};

using binding = int (*)(call&);

// A parameter or result as documentation and stubs show it; `type` in the words of type_name, or a
// LuaCATS type.
struct described {
  std::string name, type, help;
};

struct function_info {
  std::string name; // "http.get", or a method's or field's own name
  binding fn = nullptr;
  std::string help;
  std::vector<described> parameters; // a name with "?" may be left out
  std::vector<described> results;
  bool waits = false;
  std::optional<schema> options; // the closed table that the function takes, for documentation
};

// What handles of one kind offer.
struct kind_info {
  std::string name;
  std::string help;
  std::vector<function_info> methods;
  std::vector<function_info> fields; // read-only values
};

struct constructor_info {
  netlab::lua::schema schema;
  std::string kind; // of the handle it returns
  // Makes the object from valid options: no sockets, no waiting. An error is recorded like a mistake in
  // the options; its `op` may name the option at fault.
  std::function<result<object_ptr>(host&, const options&)> create;
};

// Everything a recipe can name, described once. Rooms add to it at start; the VM, `netlab doc`, the
// reference and the stubs are made from it. Plain values: no Lua, no host.
class api {
public:
  void constructor(schema s, std::string kind,
                   std::function<result<object_ptr>(host&, const options&)> create);
  void function(function_info f);
  void kind(kind_info k);

  const std::map<std::string, constructor_info>& constructors() const { return constructors_; }
  const std::map<std::string, function_info>& functions() const { return functions_; }
  const std::map<std::string, kind_info>& kinds() const { return kinds_; }

private:
  std::map<std::string, constructor_info> constructors_;
  std::map<std::string, function_info> functions_;
  std::map<std::string, kind_info> kinds_;
};

// The closure for a binding: the trampoline that keeps C++ exceptions out of Lua. `f` must outlive the VM.
void push_binding(lua_State* L, const function_info& f);
// The constructor's closure; `c` must outlive the VM.
void push_constructor(lua_State* L, const constructor_info& c);
// Pushes the table that `require "netlab"` returns.
void push_module(lua_State* L, const api& described);

// Makes the table at the top of the stack answer unknown names with an error that suggests the nearest.
void close_names(lua_State* L, const std::string& name);

// Runs one constructor: validates the table at `index`, records mistakes, creates, and pushes the handle.
int construct(lua_State* L, host& owner, const constructor_info& c, int index);

} // namespace netlab::lua
