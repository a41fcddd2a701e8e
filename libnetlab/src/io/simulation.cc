#include "netlab/simulation.h"

#include <deque>

namespace netlab {

namespace {
struct entry {
  std::function<void()> fn;
  duration period{}; // zero: once
};
using due_key = std::pair<boot_time, std::uint64_t>; // ties run in the order they were made
} // namespace

// Timers hold their entry, never the scheduler: either may be destroyed first.
struct manual_time::impl {
  boot_time now{};
  wall_time wall{};
  std::uint64_t sequence = 0;
  std::map<due_key, std::shared_ptr<entry>> timers;
  std::deque<std::function<void()>> posted;

  timer add(duration delay, duration period, std::function<void()> fn);
};

namespace {
struct pending final : timer::impl {
  std::shared_ptr<entry> what;
  ~pending() override { what->fn = nullptr; }
};
} // namespace

timer manual_time::impl::add(duration delay, duration period, std::function<void()> fn) {
  auto what = std::make_shared<entry>(entry{std::move(fn), period});
  timers.emplace(due_key{now + std::max(delay, duration{}), sequence++}, what);
  auto handle = std::make_unique<pending>();
  handle->what = std::move(what);
  return timer(std::move(handle));
}

manual_time::manual_time(wall_time start) : impl_(std::make_unique<impl>()) { impl_->wall = start; }
manual_time::~manual_time() = default;

boot_time manual_time::now() const { return impl_->now; }
wall_time manual_time::wall() const { return impl_->wall; }
timer manual_time::after(duration delay, std::function<void()> fn) {
  return impl_->add(delay, {}, std::move(fn));
}
timer manual_time::every(duration period, std::function<void()> fn) {
  return impl_->add(period, period, std::move(fn));
}
void manual_time::post(std::function<void()> fn) { impl_->posted.push_back(std::move(fn)); }

void manual_time::settle() {
  while (!impl_->posted.empty()) {
    auto fn = std::move(impl_->posted.front());
    impl_->posted.pop_front();
    fn();
  }
}

void manual_time::advance(duration by) {
  auto target = impl_->now + by;
  settle();
  while (!impl_->timers.empty() && impl_->timers.begin()->first.first <= target) {
    auto [key, what] = *impl_->timers.begin();
    impl_->timers.erase(impl_->timers.begin());
    if (!what->fn) continue; // cancelled
    impl_->wall += key.first - impl_->now;
    impl_->now = key.first;
    if (what->period > duration{})
      impl_->timers.emplace(due_key{key.first + what->period, impl_->sequence++}, what);
    auto fn = what->fn; // the call may drop its own timer
    fn();
    settle();
  }
  impl_->wall += target - impl_->now;
  impl_->now = target;
}

void manual_time::step_wall(duration by) { impl_->wall += by; }

duration manual_time::until_next() const {
  for (const auto& [key, what] : impl_->timers)
    if (what->fn) return key.first - impl_->now;
  return duration::max();
}

void seeded_random::fill(byte_span out) {
  for (auto& b : out) {
    // splitmix64: one byte a step keeps the sequence independent of how it is cut into calls.
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    b = static_cast<std::uint8_t>(z ^ (z >> 31));
  }
}

} // namespace netlab
