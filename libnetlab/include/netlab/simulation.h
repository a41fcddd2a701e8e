#pragma once
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "netlab/clock.h"
#include "netlab/random.h"

namespace netlab {

// Time that moves only when told: clock and scheduler of tests and simulated runs. Single-threaded.
class manual_time final : public clock, public scheduler {
public:
  explicit manual_time(wall_time start = wall_time{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}});
  ~manual_time() override;

  boot_time now() const override;
  wall_time wall() const override;
  timer after(duration delay, std::function<void()> fn) override;
  timer every(duration period, std::function<void()> fn) override;
  void post(std::function<void()> fn) override;

  // Moves both clocks forward, running what falls due on the way, in order.
  void advance(duration by);
  // Runs what was posted, and what that posts, without moving time.
  void settle();
  // Moves the wall clock alone, as NTP or an operator does.
  void step_wall(duration by);
  // How long until the next timer; duration::max() when there is none.
  duration until_next() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// Repeatable random bytes (xoshiro-like); prints nothing, keeps no secret.
class seeded_random final : public random_source {
public:
  explicit seeded_random(std::uint64_t seed) : state_(seed) {}
  void fill(byte_span out) override;

private:
  std::uint64_t state_;
};

} // namespace netlab
