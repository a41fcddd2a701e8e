#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"
#include "host/vm.h"

// netlab.main, sleep, spawn, every, timeout.

namespace netlab::lua {

namespace {

constexpr const char* task_metatable = "netlab.task";

task_ptr task_at(call& c, int index) {
  auto* held = static_cast<task_ptr*>(lua_touserdata(c.L, index));
  if (!held || !lua_getmetatable(c.L, index)) c.refuse("call it with a colon on what netlab.spawn returns");
  luaL_getmetatable(c.L, task_metatable);
  bool same = lua_rawequal(c.L, -1, -2) != 0;
  lua_pop(c.L, 2);
  if (!same) c.refuse("call it with a colon on what netlab.spawn returns");
  return *held;
}

int push_outcome(lua_State* L, const task& t) {
  const auto& outcome = t.outcome();
  if (!outcome.ok) return push_failure(L, outcome.failure);
  t.push_values(L, outcome.count);
  return outcome.count;
}

int task_wait(call& c) {
  auto t = task_at(c, 1);
  std::optional<duration> limit;
  if (c.given(2)) limit = c.duration(2, "the deadline");
  auto& all = c.owner.tasks();
  if (t == all.current()) c.refuse("a task cannot wait for itself");
  return c.wait("task:wait " + t->name(), limit, [&](waker w) -> std::shared_ptr<void> {
    all.when_finished(t, [w, t] { w([t](lua_State* L) { return push_outcome(L, *t); }); });
    return nullptr;
  });
}

int task_cancel(call& c) {
  c.owner.tasks().cancel(task_at(c, 1));
  return 0;
}

int task_done(call& c) { return c.give(task_at(c, 1)->finished()); }

int task_collect(lua_State* L) {
  static_cast<task_ptr*>(lua_touserdata(L, 1))->~task_ptr();
  return 0;
}

const kind_info& task_kind() {
  static const kind_info k{
      "task",
      "A running task, as netlab.spawn and netlab.every return it.",
      {
          {"wait",
           task_wait,
           "Waits for its end and returns what its function returned; nil, err when it raised, was "
           "cancelled, or the "
           "deadline passed.",
           {{"deadline?", "string", "such as \"10s\""}},
           {{"...", "any", ""}},
           true,
           {}},
          {"cancel",
           task_cancel,
           "Ends it: the wait it is in raises, and its own tasks are cancelled with it.",
           {},
           {},
           false,
           {}},
          {"done", task_done, "Whether it has ended.", {}, {{"", "boolean", ""}}, false, {}},
      },
      {}};
  return k;
}

void push_task(lua_State* L, const task_ptr& t) {
  new (lua_newuserdata(L, sizeof(task_ptr))) task_ptr(t);
  if (luaL_newmetatable(L, task_metatable)) {
    lua_newtable(L);
    for (const auto& f : task_kind().methods) {
      // The wrapping of waits works on the main state's stack.
      lua_State* M = vm::of(L).main();
      push_binding(M, f);
      if (M != L) lua_xmove(M, L, 1);
      lua_setfield(L, -2, f.name.c_str());
    }
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, task_collect);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "task");
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
}

int set_main(call& c) {
  c.need_function(1, "the argument");
  if (c.owner.now() != phase::declare) c.refuse("belongs at the recipe's top level");
  lua_pushvalue(c.L, 1);
  auto set = c.owner.set_main(std::make_shared<const reference>(c.L), where(c.L));
  if (!set) throw script_error(set.error().message);
  return 0;
}

int stop(call& c) {
  c.need_running();
  c.owner.stop();
  return 0;
}

int sleep(call& c) {
  auto d = c.duration(1, "the time");
  return c.wait("sleep", std::nullopt, [&](waker w) -> std::shared_ptr<void> {
    if (d == duration::max()) return nullptr; // until it is cancelled
    return std::make_shared<timer>(c.owner.world().scheduler.after(d, [w] { w(); }));
  });
}

int spawn(call& c) {
  c.need_function(1, "the argument");
  c.need_running();
  int arguments = c.count() - 1;
  auto at = where(c.L);
  auto parent = c.owner.tasks().current();
  auto t = c.owner.tasks().spawn(c.L, arguments, {"task of " + at.to_string(), at, parent, false, {}});
  push_task(c.L, t);
  return 1;
}

// One job: each round is a task of its own, so that a failing round is logged and the next one comes. A round
// that is still running when the next is due skips it.
class job : public std::enable_shared_from_this<job> {
public:
  job(host& h, shared_reference fn, duration period, position at)
      : host_(h), fn_(std::move(fn)), period_(period), at_(std::move(at)) {}

  // Waits for cancellation; the rounds are its children.
  void begin(const task_ptr& parent) {
    parent_ = parent;
    timer_ = host_.world().scheduler.every(period_, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->round();
    });
  }

private:
  void round() {
    if (round_ && !round_->finished()) return;
    auto parent = parent_.lock();
    if (!parent || parent->finished()) return timer_.cancel();
    lua_State* L = host_.machine().main();
    stack_guard guard(L);
    fn_->push(L);
    round_ = host_.tasks().spawn(L, 0, {"netlab.every of " + at_.to_string(), at_, parent, false, {}});
  }

  host& host_;
  shared_reference fn_;
  duration period_;
  position at_;
  std::weak_ptr<task> parent_;
  task_ptr round_;
  timer timer_;
};

// The job's own task: sleeps until somebody cancels it.
int job_body(call& c) {
  auto* held = static_cast<std::shared_ptr<job>*>(lua_touserdata(c.L, 1));
  auto self = *held;
  auto& all = c.owner.tasks();
  return c.wait("netlab.every", std::nullopt, [&](waker) -> std::shared_ptr<void> {
    self->begin(all.current());
    return self; // dropped with the wait, and the timer with it
  });
}

const function_info& job_info() {
  static const function_info f{"every", job_body, "", {}, {}, true, {}};
  return f;
}

task_ptr start_job(host& h, shared_reference fn, duration period, const position& at,
                   const task_ptr& parent) {
  lua_State* L = h.machine().main();
  stack_guard guard(L);
  push_binding(L, job_info());
  new (lua_newuserdata(L, sizeof(std::shared_ptr<job>)))
      std::shared_ptr<job>(std::make_shared<job>(h, std::move(fn), period, at));
  lua_newtable(L);
  lua_pushcfunction(L, [](lua_State* S) -> int {
    using held = std::shared_ptr<job>;
    static_cast<held*>(lua_touserdata(S, 1))->~held();
    return 0;
  });
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return h.tasks().spawn(L, 1, {"netlab.every of " + at.to_string(), at, parent, false, {}});
}

int every(call& c) {
  auto period = c.duration(1, "the period");
  c.need_function(2, "the second argument");
  if (period <= duration{} || period == duration::max()) c.refuse("the period must be more than nothing");
  lua_pushvalue(c.L, 2);
  auto fn = std::make_shared<const reference>(c.L);
  auto at = where(c.L);
  if (c.owner.now() == phase::declare) {
    c.owner.add_job([&h = c.owner, fn, period, at] { start_job(h, fn, period, at, nullptr); });
    return 0;
  }
  push_task(c.L, start_job(c.owner, fn, period, at, c.owner.tasks().current()));
  return 1;
}

int with_timeout(call& c) {
  auto limit = c.duration(1, "the deadline");
  c.need_function(2, "the second argument");
  c.need_running();
  auto& all = c.owner.tasks();
  auto at = where(c.L);
  if (!all.current()) c.refuse("call it inside netlab.main(function() … end)");
  lua_remove(c.L, 1);
  auto t =
      all.spawn(c.L, c.count() - 1, {"netlab.timeout of " + at.to_string(), at, all.current(), true, {}});
  auto& scheduler = c.owner.world().scheduler;
  return c.wait("timeout", std::nullopt, [&](waker w) -> std::shared_ptr<void> {
    all.when_finished(t, [w, t] { w([t](lua_State* L) { return push_outcome(L, *t); }); });
    if (limit == duration::max()) return nullptr;
    return std::make_shared<timer>(scheduler.after(limit, [w, t, limit, &all] {
      all.cancel(t);
      w.fail({errc::timeout, "not done within " + format_duration(limit), "timeout"});
    }));
  });
}

} // namespace

void bind_tasks(api& a) {
  described deadline{"deadline", "string", "such as \"5s\""};
  a.kind(task_kind());
  a.function(
      {"main",
       set_main,
       "Gives the recipe's work: runs as a task once every service is bound. A number it returns is the exit "
       "code; nil, err or false is 1. Without services, netlab ends when it does.",
       {{"fn", "fun(): integer?", ""}},
       {},
       false,
       {}});
  a.function({"stop",
              stop,
              "Ends netlab as SIGTERM does: no new work, what is under way finishes, state is stored.",
              {},
              {},
              false,
              {}});
  a.function({"sleep",
              sleep,
              "Waits; everything else goes on.",
              {{"time", "string", "such as \"250ms\""}},
              {},
              true,
              {}});
  a.function(
      {"spawn",
       spawn,
       "Runs a function as a task beside this one. When this task ends, those it spawned are cancelled.",
       {{"fn", "function", ""}, {"...", "any", "its arguments"}},
       {{"task", "netlab.task", ""}},
       false,
       {}});
  a.function({"every",
              every,
              "Runs a function at each period, as long as netlab (at the top level) or the task that asks "
              "for it lives. "
              "A round that is still running when the next is due makes that one be left out.",
              {{"period", "string", "such as \"5m\""}, {"fn", "function", ""}},
              {{"task?", "netlab.task", "nil at the top level"}},
              false,
              {}});
  a.function(
      {"timeout",
       with_timeout,
       "Runs a function with a deadline: its results, or nil, err with code \"timeout\" after cancelling it.",
       {deadline, {"fn", "function", ""}, {"...", "any", "its arguments"}},
       {{"...", "any", ""}},
       true,
       {}});
}

} // namespace netlab::lua
