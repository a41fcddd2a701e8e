#pragma once
#include "host/stack.h"

#include <functional>
#include <string>

#include "netlab/units.h"

namespace netlab::lua {

class host;

struct vm_options {
  bool jit = false;                         // compile hot recipe code; the watchdog then only reports
  duration slice = std::chrono::seconds(1); // processor time that a handler may take without waiting
  duration declare_slice = std::chrono::seconds(10); // the same for the recipe's top level
};

// One Lua state with netlab's restrictions: no shell, no raw files, no ffi, no bytecode, strict globals.
// Owned by the host; used on the control loop's thread only. Closing it ends every coroutine.
class vm {
public:
  vm(host& owner, vm_options options);
  ~vm();
  vm(const vm&) = delete;
  vm& operator=(const vm&) = delete;

  // The VM a Lua state belongs to.
  static vm& of(lua_State* L);
  host& owner() { return owner_; }
  lua_State* main() const { return state_.get(); }
  std::weak_ptr<lua_State> state() const { return state_; }
  const vm_options& options() const { return options_; }

  // Compiles text (never bytecode) and pushes the function; fails with "file:line: message".
  // `chunk` is what Lua calls the chunk's name: "@path" for files.
  result<void> load(std::string_view text, const std::string& chunk);
  // Calls the function below `arguments` values on `L`; the one way from C++ into Lua outside of a
  // coroutine. On failure nothing is left of the call, and the error carries the frames it passed.
  result<void> call(lua_State* L, int arguments, int results);
  // Coroutines are resumed here and nowhere else: lua_resume under the watchdog. `slice_name` is what
  // the watchdog calls the code when it runs for too long.
  int resume(lua_State* co, int arguments, const std::string& slice_name, duration limit);

  // Pushes the function that netlab's prelude made of a waiting binding (see prelude.lua).
  void wrap_waiting();
  void push_cancel_mark(lua_State* L) const;
  static void* wait_mark();

  // Calls `report` (on a thread of its own) once for every slice that has held the loop for longer than
  // its time: compiled code and long library calls, which the count hook cannot end.
  void watch_stalls(std::function<void(const std::string& name, duration held)> report);

private:
  static void hook(lua_State* L, lua_Debug* frame);
  void open_libraries();
  void set_metatables();

  host& owner_;
  vm_options options_;
  std::shared_ptr<lua_State> state_;
  shared_reference wrap_;
  int depth_ = 0;
  std::int64_t slice_start_ = 0; // processor time of this thread
  std::int64_t slice_limit_ = 0;
  const std::string* slice_name_ = nullptr;
  bool overran_ = false;
  struct stall_watch;
  std::unique_ptr<stall_watch> stalls_;
};

} // namespace netlab::lua
