#include "netlab/event_loop.h"

#include <signal.h>
#include <sys/random.h>
#include <time.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

#include "sockets.h"

namespace netlab {

namespace io {

namespace {

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "netlab: %s\n", what);
  std::abort();
}

template<class T>
void close_and_delete(uv_handle_t* handle) {
  delete static_cast<T*>(handle->data);
}

class system_clock final : public clock {
public:
  boot_time now() const override { return boot_time(read(CLOCK_BOOTTIME)); }
  wall_time wall() const override { return wall_time(read(CLOCK_REALTIME)); }

private:
  static duration read(clockid_t id) {
    timespec ts{};
    clock_gettime(id, &ts);
    return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
  }
};

// Small draws come from a buffered block: an id and a port cost no system call.
class system_random final : public random_source {
public:
  void fill(byte_span out) override {
    while (!out.empty()) {
      if (used_ == sizeof buffer_) refill();
      auto n = std::min(out.size(), sizeof buffer_ - used_);
      std::memcpy(out.data(), buffer_ + used_, n);
      std::memset(buffer_ + used_, 0, n); // a value that was given out is not kept
      used_ += n;
      out = out.subspan(n);
    }
  }

private:
  void refill() {
    std::size_t have = 0;
    while (have < sizeof buffer_) {
      auto n = getrandom(buffer_ + have, sizeof buffer_ - have, 0);
      if (n < 0 && errno != EINTR) broken("the kernel gives no random bytes (getrandom failed)");
      if (n > 0) have += static_cast<std::size_t>(n);
    }
    used_ = 0;
  }
  std::uint8_t buffer_[256];
  std::size_t used_ = sizeof buffer_;
};

} // namespace

loop::loop() {
  if (uv_loop_init(&uv_) != 0) broken("cannot make an event loop (out of descriptors?)");
  prepare_.data = check_.data = this;
  uv_prepare_init(&uv_, &prepare_);
  uv_check_init(&uv_, &check_);
  uv_prepare_start(&prepare_, [](uv_prepare_t* h) { static_cast<loop*>(h->data)->run_end_of_turn(); });
  uv_check_start(&check_, [](uv_check_t* h) { static_cast<loop*>(h->data)->run_end_of_turn(); });
}

loop::~loop() {
  kept_.clear();
  for (auto& of_family : spare_udp) of_family.clear();
  uv_close(reinterpret_cast<uv_handle_t*>(&prepare_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&check_), nullptr);
  // Handles that were dropped are freed by their close callbacks, which need one more turn.
  while (uv_run(&uv_, UV_RUN_NOWAIT) != 0 && uv_loop_close(&uv_) == UV_EBUSY) {
    bool closing = false;
    uv_walk(
        &uv_, [](uv_handle_t* h, void* any) { *static_cast<bool*>(any) |= uv_is_closing(h) != 0; }, &closing);
    if (!closing) broken("an event loop was destroyed before what was made from it");
  }
  uv_loop_close(&uv_);
}

byte_span loop::receive_buffer() {
  // new[] without initialisation: the pages stay untouched until a datagram lands in them.
  if (!receive_) receive_.reset(new std::uint8_t[receive_slots * receive_slot_size]);
  return {receive_.get(), receive_slots * receive_slot_size};
}

void loop::run_end_of_turn() {
  // What runs may ask for another round; it belongs to the same turn.
  while (!end_of_turn_.empty()) {
    auto now = std::move(end_of_turn_);
    end_of_turn_.clear();
    for (auto& fn : now) fn();
  }
}

struct poller::handle {
  uv_poll_t poll{};
  fn callback;
  bool stopped = false; // by libuv
};

poller::poller(loop& owner, int descriptor, fn callback)
    : handle_(new handle{{}, std::move(callback), false}) {
  handle_->poll.data = handle_;
  if (uv_poll_init(owner.uv(), &handle_->poll, descriptor) != 0) broken("a descriptor is watched twice");
}

poller::~poller() {
  handle_->callback = nullptr;
  uv_poll_stop(&handle_->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->poll), close_and_delete<handle>);
}

void poller::want(bool read, bool write) {
  int events = (read ? UV_READABLE : 0) | (write ? UV_WRITABLE : 0);
  if (events == events_ && !handle_->stopped) return;
  events_ = events;
  handle_->stopped = false;
  if (events == 0) {
    uv_poll_stop(&handle_->poll);
    return;
  }
  uv_poll_start(&handle_->poll, events, [](uv_poll_t* p, int status, int got) {
    auto* h = static_cast<handle*>(p->data);
    bool trouble = status < 0; // an error or hang-up: reading or writing will tell which
    h->stopped = trouble;
    if (!h->callback) return;
    // The callback may drop the poller, and with it the function that runs: keep it alive here.
    auto keep = h->callback;
    keep(trouble || (got & UV_READABLE), trouble || (got & UV_WRITABLE));
  });
}

std::unique_ptr<clock> make_system_clock() { return std::make_unique<system_clock>(); }
std::unique_ptr<random_source> make_system_random() { return std::make_unique<system_random>(); }

namespace {

struct uv_pending final : timer::impl {
  struct state {
    uv_timer_t timer{};
    std::function<void()> fn;
  };
  state* s;
  explicit uv_pending(state* what) : s(what) {}
  ~uv_pending() override {
    s->fn = nullptr;
    uv_timer_stop(&s->timer);
    uv_close(reinterpret_cast<uv_handle_t*>(&s->timer), close_and_delete<state>);
  }
};

// The whole milliseconds that libuv has to wait so that at least `d` passes. libuv counts from the whole
// millisecond that it is in: rounding the delay alone would end a wait up to a millisecond early.
std::uint64_t uv_delay(uv_loop_t* loop, duration d) {
  if (d <= duration{}) return 0;
  uv_update_time(loop); // a long turn must not shorten the delay
  auto capped = std::min(d, duration(std::chrono::hours(24 * 365 * 10)));
  auto due = std::chrono::nanoseconds(uv_hrtime()) + capped;
  return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(due).count()) - uv_now(loop);
}

class uv_scheduler final : public scheduler {
public:
  explicit uv_scheduler(loop& owner) : loop_(owner) {
    async_.data = this;
    uv_async_init(loop_.uv(), &async_,
                  [](uv_async_t* h) { static_cast<uv_scheduler*>(h->data)->run_posted(); });
  }
  ~uv_scheduler() override { uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr); }

  timer after(duration delay, std::function<void()> fn) override {
    return start(uv_delay(loop_.uv(), delay), 0, std::move(fn));
  }
  timer every(duration period, std::function<void()> fn) override {
    auto ms = std::max(std::chrono::ceil<std::chrono::milliseconds>(period), std::chrono::milliseconds(1));
    return start(uv_delay(loop_.uv(), ms), static_cast<std::uint64_t>(ms.count()), std::move(fn));
  }
  void post(std::function<void()> fn) override {
    {
      std::lock_guard lock(mutex_);
      posted_.push_back(std::move(fn));
    }
    uv_async_send(&async_);
  }

private:
  timer start(std::uint64_t delay, std::uint64_t period, std::function<void()> fn) {
    auto* s = new uv_pending::state;
    s->fn = std::move(fn);
    s->timer.data = s;
    uv_timer_init(loop_.uv(), &s->timer);
    uv_timer_start(
        &s->timer,
        [](uv_timer_t* t) {
          auto* state = static_cast<uv_pending::state*>(t->data);
          auto call = state->fn; // it may drop its own timer
          if (call) call();
        },
        delay, period);
    return timer(std::make_unique<uv_pending>(s));
  }

  void run_posted() {
    std::vector<std::function<void()>> now;
    {
      std::lock_guard lock(mutex_);
      now.swap(posted_);
    }
    for (auto& fn : now) fn();
  }

  loop& loop_;
  uv_async_t async_{};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
};

} // namespace
} // namespace io

struct event_loop::impl {
  io::loop loop;
  std::unique_ptr<netlab::clock> clock = io::make_system_clock();
  std::unique_ptr<random_source> random = io::make_system_random();
  io::uv_scheduler scheduler{loop};
  std::unique_ptr<netlab::net> net = io::make_net(loop, scheduler);
  std::unique_ptr<netlab::files> files = io::make_files(loop);
  std::unique_ptr<netlab::processes> processes = io::make_processes(loop);
  std::atomic<bool> stopping{false};
};

event_loop::event_loop() : impl_(std::make_unique<impl>()) {}
event_loop::~event_loop() = default;

clock& event_loop::clock() { return *impl_->clock; }
scheduler& event_loop::scheduler() { return impl_->scheduler; }
random_source& event_loop::random() { return *impl_->random; }
net& event_loop::net() { return *impl_->net; }
files& event_loop::files() { return *impl_->files; }
processes& event_loop::processes() { return *impl_->processes; }

void event_loop::run() {
  // sendfile(2) and OpenSSL raise SIGPIPE on a stream that the peer closed; blocked in this thread it
  // stays an error code, and the process's disposition remains the host's business.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  while (!impl_->stopping.exchange(false)) uv_run(impl_->loop.uv(), UV_RUN_ONCE);
}

void event_loop::stop() {
  impl_->stopping = true;
  impl_->scheduler.post([] {}); // wakes the loop
}

std::shared_ptr<void> event_loop::on_signal(int signal, std::function<void()> fn) {
  struct state {
    uv_signal_t handle{};
    std::function<void()> fn;
  };
  auto* s = new state;
  s->fn = std::move(fn);
  s->handle.data = s;
  uv_signal_init(impl_->loop.uv(), &s->handle);
  uv_signal_start(
      &s->handle,
      [](uv_signal_t* h, int) {
        auto call = static_cast<state*>(h->data)->fn;
        if (call) call();
      },
      signal);
  return {s, [](state* dropped) {
            dropped->fn = nullptr;
            uv_signal_stop(&dropped->handle);
            uv_close(reinterpret_cast<uv_handle_t*>(&dropped->handle), io::close_and_delete<state>);
          }};
}

std::shared_ptr<void> event_loop::watch(int descriptor, bool read, bool write,
                                        std::function<void(bool, bool)> fn) {
  auto p = std::make_shared<io::poller>(impl_->loop, descriptor, std::move(fn));
  p->want(read, write);
  return p;
}

} // namespace netlab
