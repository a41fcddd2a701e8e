#pragma once
#include <condition_variable>
#include <coroutine>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "netlab/clock.h"
#include "netlab/result.h"

namespace netlab::registry {

// A thread for what takes its time on a disk: syncs, and reading what is there already. Jobs run one after
// the other in the order in which they came. Owned and called on one loop's thread, where the answers are
// given; its destruction waits for the job that runs, and forgets the others and every answer.
class disk_worker {
public:
  using job = std::function<result<void>()>;
  explicit disk_worker(netlab::scheduler& home) : home_(home) {}
  ~disk_worker();
  disk_worker(const disk_worker&) = delete;
  disk_worker& operator=(const disk_worker&) = delete;

  void run(job work, std::function<void(result<void>)> done = {});
  // Runs every job that waits, here and now: the process is about to end.
  void finish();

private:
  struct item {
    job work;
    std::function<void(result<void>)> done;
  };
  void loop();

  netlab::scheduler& home_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<item> waiting_;
  bool stop_ = false, busy_ = false;
  std::thread thread_; // begun by the first job
};

// `on_disk writing(worker, job); auto done = co_await writing;` What the job touches, it owns: whoever waits
// may go before it.
class on_disk {
public:
  on_disk(disk_worker& worker, disk_worker::job work) : worker_(worker), work_(std::move(work)) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    worker_.run(std::move(work_), [this, late = std::weak_ptr(alive_), caller](result<void> got) {
      if (late.expired()) return;
      answer_.emplace(std::move(got));
      caller.resume();
    });
  }
  result<void> await_resume() { return std::move(*answer_); }

private:
  disk_worker& worker_;
  disk_worker::job work_;
  std::optional<result<void>> answer_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

} // namespace netlab::registry
