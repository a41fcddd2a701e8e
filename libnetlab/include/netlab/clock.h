#pragma once
#include <chrono>
#include <functional>
#include <memory>

#include "netlab/units.h"

namespace netlab {

// Time since the machine booted, suspend included. Everything that runs out (leases, timers, caches)
// counts on it, because a Raspberry Pi's wall clock jumps by years when NTP first answers.
struct boot_clock {
  using duration = netlab::duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<boot_clock>;
  static constexpr bool is_steady = true;
};
using boot_time = boot_clock::time_point;

// Civil time, for what is stored or shown.
using wall_time = std::chrono::sys_time<netlab::duration>;

// Both clocks, injected so that tests and simulations own time. now() and wall() may be called on any thread.
class clock {
public:
  virtual ~clock() = default;
  virtual boot_time now() const = 0;
  virtual wall_time wall() const = 0;
};

// One pending call. Destroying or resetting it cancels the call; after that the function never runs.
// Belongs to the thread of the loop that made it.
class timer {
public:
  struct impl {
    virtual ~impl() = default;
  };
  timer() = default;
  explicit timer(std::unique_ptr<impl> pending) : impl_(std::move(pending)) {}
  void cancel() { impl_.reset(); }
  explicit operator bool() const { return impl_ != nullptr; }

private:
  std::unique_ptr<impl> impl_;
};

// Runs functions later on its own thread. post() is the only member that other threads may call.
class scheduler {
public:
  virtual ~scheduler() = default;
  // Runs `fn` once after `delay` (rounded up to a millisecond), never inside this call.
  [[nodiscard]] virtual timer after(duration delay, std::function<void()> fn) = 0;
  // Runs `fn` every `period` until the timer is dropped; a late run does not cause a burst.
  [[nodiscard]] virtual timer every(duration period, std::function<void()> fn) = 0;
  // Runs `fn` on the scheduler's thread, in order of the calls.
  virtual void post(std::function<void()> fn) = 0;
};

// "2026-11-21T11:36:00.123Z" in UTC; `fraction` false leaves the milliseconds out.
std::string format_time(wall_time time, bool fraction = true);

} // namespace netlab
