#pragma once
#include "host/stack.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netlab/clock.h"

namespace netlab::lua {

class vm;
class tasks;

// A Lua function running in a coroutine of its own: the recipe's top level, netlab.main, a handler, or
// something spawned. Owned by `tasks` while it runs, and by whoever waits for its end.
class task {
public:
  enum class state { ready, running, waiting, finished };
  struct result_values {
    bool ok = false;
    error failure;           // when not ok
    std::string frames;      // where it failed
    int count = 0;           // of the values, when ok
    shared_reference values; // a table of them
  };

  const std::string& name() const { return name_; }
  const position& where() const { return where_; }
  state now() const { return state_; }
  bool finished() const { return state_ == state::finished; }
  bool cancelled() const { return cancelled_; }
  const result_values& outcome() const { return outcome_; }
  // Pushes the first `count` values of an outcome that is ok, nil for what was not returned; the index of the
  // first.
  int push_values(lua_State* L, int count) const;
  // What it waits for ("http.get https://…"), empty when it runs.
  const std::string& waits_for() const { return waits_for_; }

private:
  friend class tasks;
  friend class waker;
  std::string name_;
  position where_;
  state state_ = state::ready;
  bool cancelled_ = false;
  bool answers_at_once_ = false; // called synchronously: must not wait
  bool logged_ = false;          // a failure is logged whoever waits
  bool quiet_ = false;           // somebody looks at the outcome: a failure is not logged
  duration slice_limit_{};
  lua_State* co_ = nullptr;
  int co_ref_ = LUA_NOREF;
  int arguments_ = 0;
  std::uint64_t wait_number_ = 0;
  std::shared_ptr<void> pending_; // what would wake it; dropped on wake-up and cancellation
  timer deadline_;
  std::string waits_for_;
  std::weak_ptr<task> parent_;
  std::vector<std::shared_ptr<task>> children_;
  std::vector<std::function<void()>> on_finish_;
  result_values outcome_;
};
using task_ptr = std::shared_ptr<task>;

// Wakes one particular wait of one task: the generation-checked handle through which every coroutine is
// resumed. Copies are cheap; a second, late or stale use does nothing. Control loop only.
class waker {
public:
  using push_fn = std::function<int(lua_State*)>;
  waker(tasks& owner, const task_ptr& waiting)
      : owner_(&owner), task_(waiting), number_(waiting->wait_number_) {}
  // Goes on with the values that `push` leaves on the stack (their count is its result).
  void operator()(push_fn push = {}) const;
  void fail(const error& e) const; // nil, err

private:
  tasks* owner_;
  std::weak_ptr<task> task_;
  std::uint64_t number_;
};

struct task_options {
  std::string name;
  position where;
  task_ptr parent;
  bool quiet = false;
  duration slice_limit{}; // zero: the VM's
  // A failure is logged although somebody waits for the end: who waits answers a client, and only the log
  // tells the operator why.
  bool logged = false;
};

// Runs tasks on pooled coroutines. Owned by the host; control loop only; dies before the VM.
class tasks {
public:
  tasks(vm& machine, netlab::scheduler& scheduler);
  ~tasks();

  // Takes the function below `arguments` values off the top of `from`; it begins on the loop's next
  // turn, never inside this call.
  task_ptr spawn(lua_State* from, int arguments, task_options options);
  // Runs the function in a coroutine now, until its first wait.
  task_ptr start(lua_State* from, int arguments, task_options options);
  // Calls `fn` now and reads its results from the stack in `read(L, first index, count)`. A wait inside
  // raises there. For policies that an engine needs answered at once.
  result<void> ask(const reference& fn, const std::string& name, const std::function<int(lua_State*)>& push,
                   const std::function<void(lua_State*, int, int)>& read);
  // The wait it is in, and every later one, raises `cancelled`; its children follow when it ends.
  void cancel(const task_ptr& which);
  void cancel_all();
  // Suspends the running task; used through call::wait.
  int wait(lua_State* L, const std::string& what, std::optional<duration> limit,
           const std::function<std::shared_ptr<void>(waker)>& begin);
  // Runs `fn` when the task has ended; at the next turn when it has already.
  void when_finished(const task_ptr& which, std::function<void()> fn);

  task_ptr current() const { return current_; }
  std::size_t live() const { return live_.size(); }
  std::vector<task_ptr> all() const { return live_; }
  std::uint64_t stale_wakes() const { return stale_; }
  // Gets every failure of a task that nobody waits for.
  std::function<void(const task&)> on_failure;
  // Runs when the last task ended.
  std::function<void()> on_idle;

private:
  friend class waker;
  struct coroutine {
    lua_State* co;
    int ref;
  };
  coroutine acquire();
  void release(const task_ptr& t, bool reusable);
  task_ptr make(lua_State* from, int arguments, task_options options);
  void run(task_ptr t, int arguments);
  void finish(const task_ptr& t);
  void drop_later(std::shared_ptr<void> what);
  void wake(const std::weak_ptr<task>& which, std::uint64_t number, const waker::push_fn& push);

  vm& vm_;
  netlab::scheduler& scheduler_;
  std::vector<coroutine> free_;
  std::vector<task_ptr> live_;
  task_ptr current_;
  std::vector<std::shared_ptr<void>> dropped_; // goes on the loop's next turn
  std::uint64_t stale_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0); // posted functions look whether we still are
};

} // namespace netlab::lua
