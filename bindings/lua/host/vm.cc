#include "host/vm.h"

#include <algorithm>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <thread>

#include "host/bundle.h"
#include "host/host.h"
#include "host/messages.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

char owner_key;
// How many instructions pass between two looks at the clock: about a millisecond of interpreted code.
constexpr int hook_interval = 50000;

std::int64_t nanoseconds(clockid_t which) {
  timespec t{};
  clock_gettime(which, &t);
  return std::int64_t{t.tv_sec} * 1000000000 + t.tv_nsec;
}

// nearest(word, table): the key of `table` that `word` may have meant. Used by the prelude.
int nearest_key(lua_State* L) {
  std::vector<std::string> names;
  for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING) names.emplace_back(text_at(L, -2));
  std::sort(names.begin(), names.end());
  std::vector<std::string_view> views(names.begin(), names.end());
  auto near = nearest_name(text_at(L, 1), views);
  if (!near) return 0;
  push(L, *near);
  return 1;
}

int error_to_string(lua_State* L) {
  lua_pushliteral(L, "message");
  lua_rawget(L, 1);
  if (lua_type(L, -1) != LUA_TSTRING) lua_pushliteral(L, "error");
  return 1;
}

int traceback(lua_State* L) {
  // Values are kept: only the text of plain errors gains the frames, in front of which it stays whole.
  auto text = error_text(L, 1);
  auto frames = trace(L);
  push(L, std::string_view(text + (frames.empty() ? "" : "\n  at " + frames)));
  return 1;
}

} // namespace

// Looks once per second, and only exists when it was asked for: an idle netlab without --jit never wakes.
struct vm::stall_watch {
  std::mutex mutex;
  std::condition_variable changed;
  bool ending = false, running = false, reported = false;
  std::string name;
  std::int64_t began = 0, limit = 0;
  std::function<void(const std::string&, duration)> report;
  std::thread thread;

  void begin(const std::string& what, std::int64_t slice_limit) {
    std::lock_guard lock(mutex);
    running = true;
    reported = false;
    name = what;
    began = nanoseconds(CLOCK_MONOTONIC);
    limit = slice_limit;
  }
  void end() {
    std::lock_guard lock(mutex);
    running = false;
  }
  void watch() {
    std::unique_lock lock(mutex);
    while (!changed.wait_for(lock, std::chrono::seconds(1), [this] { return ending; })) {
      auto held = nanoseconds(CLOCK_MONOTONIC) - began;
      if (!running || reported || held < limit) continue;
      reported = true;
      auto what = name;
      lock.unlock();
      report(what, duration(held));
      lock.lock();
    }
  }
  ~stall_watch() {
    {
      std::lock_guard lock(mutex);
      ending = true;
    }
    changed.notify_all();
    if (thread.joinable()) thread.join();
  }
};

void vm::watch_stalls(std::function<void(const std::string&, duration)> report) {
  stalls_ = std::make_unique<stall_watch>();
  stalls_->report = std::move(report);
  stalls_->thread = std::thread([watch = stalls_.get()] { watch->watch(); });
}

void* vm::wait_mark() {
  static int mark;
  return &mark;
}

vm& vm::of(lua_State* L) {
  lua_pushlightuserdata(L, &owner_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  auto* found = static_cast<vm*>(lua_touserdata(L, -1));
  lua_pop(L, 1);
  return *found;
}

vm::vm(host& owner, vm_options options) : owner_(owner), options_(options) {
  state_ = std::shared_ptr<lua_State>(luaL_newstate(), lua_close);
  lua_State* L = main();
  lua_pushlightuserdata(L, &owner_key);
  lua_pushlightuserdata(L, this);
  lua_rawset(L, LUA_REGISTRYINDEX);
  open_libraries();
  set_metatables();
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | (options_.jit ? LUAJIT_MODE_ON : LUAJIT_MODE_OFF));
  // Count hooks do not fire in compiled code, so with the JIT on the watchdog can only report.
  if (!options_.jit) lua_sethook(L, &vm::hook, LUA_MASKCOUNT, hook_interval);
}

vm::~vm() {
  stalls_.reset();
  wrap_.reset();
  lua_sethook(main(), nullptr, 0, 0);
  // References count on the deleter: they see the state as gone while it closes.
  state_.reset();
}

void vm::hook(lua_State* L, lua_Debug*) {
  auto& self = of(L);
  if (self.slice_start_ == 0) return;
  auto took = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - self.slice_start_;
  if (took < self.slice_limit_) return;
  // From now on every instruction raises: a pcall inside the endless loop does not save it.
  self.overran_ = true;
  lua_sethook(L, &vm::hook, LUA_MASKCOUNT, 1);
  auto at = where(L);
  // Lua's own buffers only: luaL_error leaves this frame without running destructors on some targets.
  lua_pushfstring(L, "%s:%d: %s ran for %d ms without waiting and was stopped [%s]", at.file.c_str(), at.line,
                  self.slice_name_ ? self.slice_name_->c_str() : "Lua code", static_cast<int>(took / 1000000),
                  messages::handler_stopped.id);
  at.file.clear();
  at.file.shrink_to_fit();
  lua_error(L);
}

void vm::open_libraries() {
  lua_State* L = main();
  luaL_openlibs(L);
  for (auto* name : {error_metatable, array_metatable}) luaL_newmetatable(L, name), lua_pop(L, 1);
  luaL_getmetatable(L, error_metatable);
  lua_pushcfunction(L, error_to_string);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
}

void vm::set_metatables() {
  lua_State* L = main();
  auto prelude = bundle::find("lua/netlab/prelude.lua");
  if (!prelude || !load(*prelude, std::string(internal_prefix) + "prelude.lua")) std::abort(); // built in
  lua_pushlightuserdata(L, wait_mark());
  push_cancel_mark(L);
  lua_pushcfunction(L, nearest_key);
  // Fails only when the embedded prelude is broken, which the build's tests would have met.
  if (auto done = call(L, 3, 1); !done) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    std::abort();
  }
  wrap_ = std::make_shared<reference>(L);
}

void vm::push_cancel_mark(lua_State* L) const {
  static int mark;
  lua_pushlightuserdata(L, &mark);
}

void vm::wrap_waiting() {
  lua_State* L = main();
  wrap_->push(L);
  lua_insert(L, -2);
  lua_call(L, 1, 1); // a closure constructor of the prelude: nothing in it can raise but want of memory
}

result<void> vm::load(std::string_view text, const std::string& chunk) {
  lua_State* L = main();
  if (luaL_loadbufferx(L, text.data(), text.size(), chunk.c_str(), "t") == 0) return {};
  auto why = error_text(L, -1);
  lua_pop(L, 1);
  return fail(errc::invalid, why, "load");
}

result<void> vm::call(lua_State* L, int arguments, int results) {
  int base = lua_gettop(L) - arguments;
  lua_pushcfunction(L, traceback);
  lua_insert(L, base);
  int status = lua_pcall(L, arguments, results, base);
  lua_remove(L, base);
  if (status == 0) return {};
  auto why = error_text(L, -1);
  lua_pop(L, 1);
  return fail(errc::invalid, why, "lua");
}

int vm::resume(lua_State* co, int arguments, const std::string& slice_name, duration limit) {
  // A nested resume (C++ asking Lua for an answer inside a handler) has a slice of its own inside the outer
  // one.
  auto outer_start = slice_start_, outer_limit = slice_limit_;
  const auto* outer_name = slice_name_;
  auto began = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  overran_ = false;
  slice_name_ = &slice_name;
  slice_start_ = began;
  slice_limit_ = limit.count();
  if (stalls_ && depth_ == 0) stalls_->begin(slice_name, slice_limit_);
  ++depth_;
  int status = lua_resume(co, arguments);
  --depth_;
  slice_start_ = outer_start;
  slice_limit_ = outer_limit;
  slice_name_ = outer_name;
  if (overran_) {
    if (!options_.jit) lua_sethook(main(), &vm::hook, LUA_MASKCOUNT, hook_interval);
    // Who asked is not to blame for the time that the stopped function took.
    if (depth_ > 0) slice_start_ += nanoseconds(CLOCK_THREAD_CPUTIME_ID) - began;
    overran_ = false;
  }
  if (stalls_ && depth_ == 0) stalls_->end();
  return status;
}

} // namespace netlab::lua
