#pragma once
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "netlab/clock.h"
#include "netlab/http_client.h"

namespace netlab {

// A flow of several steps that reads from top to bottom: a coroutine that begins when it is awaited, or when
// a task_run takes it. Dropping it ends it where it waits, and with it the request or timer that it waits
// for. One loop's thread. Exceptions do not leave a task: they abort, like any other broken invariant.
//
// GCC 12 miscompiles co_await in conditional expressions and braced initialisers, and destroys temporaries of
// an awaited expression (a lambda's captures) twice: name what is awaited, and await into a variable.
template<class T>
class [[nodiscard]] task {
public:
  struct promise_type {
    std::coroutine_handle<> continuation;
    std::optional<T> value;
    task get_return_object() { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct final_awaiter {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept {
        auto next = done.promise().continuation;
        return next ? next : std::noop_coroutine();
      }
      void await_resume() noexcept {}
    };
    final_awaiter final_suspend() noexcept { return {}; }
    void return_value(T v) { value.emplace(std::move(v)); }
    void unhandled_exception() { std::terminate(); }
  };

  task(task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  task& operator=(task&&) = delete;
  ~task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
    handle_.promise().continuation = caller;
    return handle_;
  }
  T await_resume() { return std::move(*handle_.promise().value); }

private:
  explicit task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

// A task that runs by itself. Owns it; dropping it cancels. `done` gets the result once, and may drop the
// run.
template<class T>
class task_run {
public:
  task_run() = default;
  task_run(task<T> work, std::function<void(T)> done)
      : root_(std::make_unique<root>(drive(std::move(work), std::move(done)))) {}
  // Runs the task up to its first wait. Apart from construction, so that `done` finds the run in its place.
  void start() { root_->handle.resume(); }
  explicit operator bool() const { return root_ != nullptr; }

private:
  struct root {
    struct promise_type {
      root get_return_object() { return root(std::coroutine_handle<promise_type>::from_promise(*this)); }
      std::suspend_always initial_suspend() noexcept { return {}; }
      // The frame is suspended for good when `done` runs, so that `done` may destroy it.
      struct final_awaiter {
        bool await_ready() noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
          auto call = std::move(ended.promise().finish);
          if (call) call();
        }
        void await_resume() noexcept {}
      };
      final_awaiter final_suspend() noexcept { return {}; }
      void return_value(std::function<void()> last) { finish = std::move(last); }
      void unhandled_exception() { std::terminate(); }
      std::function<void()> finish;
    };
    explicit root(std::coroutine_handle<promise_type> h) : handle(h) {}
    root(root&& other) noexcept : handle(std::exchange(other.handle, {})) {}
    ~root() {
      if (handle) handle.destroy();
    }
    std::coroutine_handle<promise_type> handle;
  };
  static root drive(task<T> work, std::function<void(T)> done) {
    T got = co_await work;
    auto value = std::make_shared<T>(std::move(got));
    co_return std::function<void()>([value, done = std::move(done)] { done(std::move(*value)); });
  }
  std::unique_ptr<root> root_;
};

// Reaches the exchange that a flow waits for from outside of it: to slow it down.
struct exchange_control {
  http_exchange* current = nullptr;
  bool paused = false;
  void pause(bool on) {
    paused = on;
    if (current) current->pause(on);
  }
};

// `exchange asking(http, request); auto got = co_await asking;`
class exchange {
public:
  exchange(http_client& client, http_request request, std::shared_ptr<exchange_control> control = {})
      : client_(client), request_(std::move(request)), control_(std::move(control)) {}
  ~exchange() {
    if (control_) control_->current = nullptr;
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    pending_ = client_.send(std::move(request_), [this, caller](result<http_response> got) {
      answer_.emplace(std::move(got));
      caller.resume();
    });
    if (!control_) return;
    control_->current = pending_.get();
    if (control_->paused) pending_->pause(true);
  }
  result<http_response> await_resume() { return std::move(*answer_); }

private:
  http_client& client_;
  http_request request_;
  std::shared_ptr<exchange_control> control_;
  std::unique_ptr<http_exchange> pending_;
  std::optional<result<http_response>> answer_;
};

// `pause rest(scheduler, 2s); co_await rest;`
class pause {
public:
  pause(scheduler& on, duration time) : scheduler_(on), time_(time) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    timer_ = scheduler_.after(time_, [caller] { caller.resume(); });
  }
  void await_resume() const noexcept {}

private:
  scheduler& scheduler_;
  duration time_;
  timer timer_;
};

} // namespace netlab
