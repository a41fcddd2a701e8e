#include "disk_worker.h"

#include <utility>

namespace netlab::registry {

disk_worker::~disk_worker() {
  alive_.reset();
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    waiting_.clear();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void disk_worker::run(job work, std::function<void(result<void>)> done) {
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(work), std::move(done)});
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  wake_.notify_one();
}

void disk_worker::finish() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return waiting_.empty() && !busy_; });
}

void disk_worker::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    busy_ = true;
    lock.unlock();
    auto outcome = next.work();
    next.work = nullptr;
    if (next.done)
      home_.post([alive = std::weak_ptr(alive_), done = std::move(next.done), outcome = std::move(outcome)] {
        if (!alive.expired()) done(outcome);
      });
    lock.lock();
    busy_ = false;
    if (waiting_.empty()) idle_.notify_all();
  }
}

} // namespace netlab::registry
