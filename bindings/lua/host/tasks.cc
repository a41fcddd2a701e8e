#include "host/tasks.h"

#include <algorithm>
#include <utility>

#include "host/vm.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {
constexpr std::size_t pool_limit = 64;
} // namespace

void waker::operator()(push_fn push) const { owner_->wake(task_, number_, push); }

void waker::fail(const error& e) const {
  owner_->wake(task_, number_, [e](lua_State* L) { return push_failure(L, e); });
}

int task::push_values(lua_State* L, int count) const {
  need_stack(L, count + 1);
  outcome_.values->push(L);
  int first = lua_gettop(L);
  for (int i = 1; i <= count; ++i) lua_rawgeti(L, first, i);
  lua_remove(L, first);
  return first;
}

tasks::tasks(vm& machine, netlab::scheduler& scheduler) : vm_(machine), scheduler_(scheduler) {}

tasks::~tasks() {
  // What the tasks wait for may hold objects of the loop: it goes before the loop does.
  for (auto& t : live_) {
    t->pending_.reset();
    t->deadline_.cancel();
    t->on_finish_.clear();
    t->children_.clear();
  }
}

tasks::coroutine tasks::acquire() {
  if (!free_.empty()) {
    auto out = free_.back();
    free_.pop_back();
    return out;
  }
  lua_State* L = vm_.main();
  coroutine out{lua_newthread(L), LUA_NOREF};
  out.ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return out;
}

void tasks::release(const task_ptr& t, bool reusable) {
  if (!t->co_) return;
  if (reusable && free_.size() < pool_limit) {
    lua_settop(t->co_, 0);
    free_.push_back({t->co_, t->co_ref_});
  } else {
    luaL_unref(vm_.main(), LUA_REGISTRYINDEX, t->co_ref_); // a dead coroutine cannot be used again
  }
  t->co_ = nullptr;
}

task_ptr tasks::make(lua_State* from, int arguments, task_options options) {
  auto t = std::make_shared<task>();
  t->name_ = std::move(options.name);
  t->where_ = std::move(options.where);
  t->quiet_ = options.quiet;
  t->logged_ = options.logged;
  t->slice_limit_ = options.slice_limit > duration{} ? options.slice_limit : vm_.options().slice;
  t->parent_ = options.parent;
  if (options.parent) options.parent->children_.push_back(t);
  auto c = acquire();
  t->co_ = c.co;
  t->co_ref_ = c.ref;
  t->arguments_ = arguments;
  if (!lua_checkstack(c.co, arguments + 1)) throw script_error("too many arguments");
  lua_xmove(from, c.co, arguments + 1);
  live_.push_back(t);
  return t;
}

task_ptr tasks::spawn(lua_State* from, int arguments, task_options options) {
  auto t = make(from, arguments, std::move(options));
  scheduler_.post([this, t, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired() || t->state_ != task::state::ready || t->cancelled_) return;
    run(t, t->arguments_);
  });
  return t;
}

task_ptr tasks::start(lua_State* from, int arguments, task_options options) {
  auto t = make(from, arguments, std::move(options));
  run(t, arguments);
  return t;
}

result<void> tasks::ask(const reference& fn, const std::string& name,
                        const std::function<int(lua_State*)>& push,
                        const std::function<void(lua_State*, int, int)>& read) {
  auto c = acquire();
  fn.push(c.co);
  int arguments = push ? push(c.co) : 0;
  auto t = std::make_shared<task>();
  t->name_ = name;
  t->answers_at_once_ = true;
  t->state_ = task::state::running;
  t->co_ = c.co;
  t->co_ref_ = c.ref;
  auto outer = std::exchange(current_, t);
  int status = vm_.resume(c.co, arguments, t->name_, vm_.options().slice);
  current_ = outer;
  t->state_ = task::state::finished;
  result<void> out;
  if (status == 0) {
    if (read) read(c.co, 1, lua_gettop(c.co));
  } else {
    auto why =
        status == LUA_YIELD ? std::string("coroutine.yield outside of a coroutine") : error_text(c.co, -1);
    auto frames = trace(c.co);
    out = fail(errc::invalid, why + (frames.empty() ? "" : " (at " + frames + ")"), name);
  }
  release(t, status == 0);
  return out;
}

// By value: the last owner may be dropped while it runs.
void tasks::run(task_ptr t, int arguments) {
  auto outer = std::exchange(current_, t);
  t->state_ = task::state::running;
  int status = vm_.resume(t->co_, arguments, t->name_, t->slice_limit_);
  current_ = outer;
  lua_State* co = t->co_;
  if (status == LUA_YIELD) {
    bool ours = lua_gettop(co) >= 1 && lua_touserdata(co, 1) == vm::wait_mark() && t->wait_number_ % 2 == 1;
    if (ours) {
      lua_settop(co, 0);
      t->state_ = task::state::waiting;
      return;
    }
    t->outcome_.failure = {errc::invalid, "coroutine.yield outside of a coroutine", "task"};
    t->outcome_.frames = trace(co);
    release(t, false);
  } else if (status == 0) {
    int count = lua_gettop(co);
    lua_createtable(co, count, 0);
    lua_insert(co, 1);
    for (int i = count; i >= 1; --i) lua_rawseti(co, 1, i);
    t->outcome_.ok = true;
    t->outcome_.count = count;
    t->outcome_.values = std::make_shared<reference>(co);
    release(t, true);
  } else {
    auto code = errc::invalid;
    if (lua_type(co, -1) == LUA_TTABLE) {
      lua_pushliteral(co, "code");
      lua_rawget(co, -2);
      if (text_at(co, -1) == to_string(errc::cancelled)) code = errc::cancelled;
      lua_pop(co, 1);
    }
    t->outcome_.failure = {code, error_text(co, -1), "task"};
    t->outcome_.frames = trace(co);
    release(t, false);
  }
  finish(t);
}

void tasks::finish(const task_ptr& t) {
  t->state_ = task::state::finished;
  t->pending_.reset();
  t->deadline_.cancel();
  t->waits_for_.clear();
  live_.erase(std::remove(live_.begin(), live_.end(), t), live_.end());
  if (auto parent = t->parent_.lock()) {
    auto& siblings = parent->children_;
    siblings.erase(std::remove(siblings.begin(), siblings.end(), t), siblings.end());
  }
  auto children = std::move(t->children_);
  t->children_.clear();
  for (auto& child : children) cancel(child);
  bool cancelled = t->cancelled_ && t->outcome_.failure.code == errc::cancelled;
  bool unheard = t->logged_ || (!t->quiet_ && t->on_finish_.empty());
  if (!t->outcome_.ok && !cancelled && unheard && on_failure) on_failure(*t);
  auto waiting = std::move(t->on_finish_);
  t->on_finish_.clear();
  for (auto& fn : waiting) fn();
  if (live_.empty() && on_idle) on_idle();
}

void tasks::cancel(const task_ptr& which) {
  if (which->finished() || which->cancelled_) return;
  which->cancelled_ = true;
  if (which->state_ == task::state::running) return; // its next wait raises
  scheduler_.post([this, which, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired() || which->finished()) return;
    if (which->state_ == task::state::ready) {
      which->outcome_.failure = {errc::cancelled, "the task was cancelled", "task"};
      release(which, false);
      finish(which);
    } else if (which->state_ == task::state::waiting) {
      wake(which, which->wait_number_, [this](lua_State* L) {
        vm_.push_cancel_mark(L);
        return 1;
      });
    }
  });
}

void tasks::cancel_all() {
  auto everything = live_;
  for (auto& t : everything) cancel(t);
}

int tasks::wait(lua_State* L, const std::string& what, std::optional<duration> limit,
                const std::function<std::shared_ptr<void>(waker)>& begin) {
  auto t = current_;
  if (!t) throw script_error(what + " waits: call it inside netlab.main(function() … end)");
  if (t->answers_at_once_) throw script_error(what + " waits, but " + t->name_ + " must answer at once");
  if (!lua_isyieldable(L))
    throw script_error(what + " cannot wait inside require, table.sort or a string.gsub function");
  if (t->cancelled_) {
    vm_.push_cancel_mark(L);
    return 1;
  }
  t->wait_number_ += t->wait_number_ % 2 == 0 ? 1 : 2; // odd while waiting
  t->waits_for_ = what;
  waker wake_up(*this, t);
  t->pending_ = begin(wake_up);
  if (limit && *limit != duration::max()) {
    t->deadline_ = scheduler_.after(*limit, [wake_up, what, limit] {
      wake_up.fail({errc::timeout, what + ": no answer within " + format_duration(*limit), what});
    });
  }
  lua_pushlightuserdata(L, vm::wait_mark());
  return -1;
}

// Ours until then, not the scheduler's: what a task waited for must not outlive the host it was made with.
void tasks::drop_later(std::shared_ptr<void> what) {
  if (!what) return;
  if (dropped_.empty())
    scheduler_.post([this, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) auto now = std::exchange(dropped_, {});
    });
  dropped_.push_back(std::move(what));
}

void tasks::wake(const std::weak_ptr<task>& which, std::uint64_t number, const waker::push_fn& push) {
  auto t = which.lock();
  if (!t || t->finished() || t->wait_number_ != number) {
    ++stale_;
    return;
  }
  if (t->state_ == task::state::running) { // woken before it yielded: come back when it has
    scheduler_.post([this, which, number, push, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) wake(which, number, push);
    });
    return;
  }
  ++t->wait_number_; // even: this wait is over
  t->waits_for_.clear();
  // We may be inside the callback of what is dropped here: it goes on the loop's next turn.
  drop_later(std::exchange(t->pending_, nullptr));
  if (t->deadline_) drop_later(std::make_shared<timer>(std::exchange(t->deadline_, timer())));
  int count = 0;
  try {
    count = push ? push(t->co_) : 0;
  } catch (const script_error& e) {
    lua_settop(t->co_, 0);
    count = push_failure(t->co_, {errc::limit, e.what(), "task"});
  }
  // LuaJIT on arm64 gives a resumed coroutine all that lies on its stack, not the uppermost `count` values.
  while (lua_gettop(t->co_) > count) lua_remove(t->co_, 1);
  run(t, count);
}

void tasks::when_finished(const task_ptr& which, std::function<void()> fn) {
  if (which->finished())
    scheduler_.post(std::move(fn));
  else
    which->on_finish_.push_back(std::move(fn));
}

} // namespace netlab::lua
