// Claims per second and processor time per claim of the lease journal: on a real disk, and with a sync
// that takes 5 ms. Usage: netlab-bench-store [FOLDER [CLAIMS [WAITING]]]
//   WAITING: claims in flight at most, as a DHCP load generator would keep (0: no limit).
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <mutex>
#include <thread>

#include "netlab/lease_journal.h"

using namespace netlab;
using namespace std::chrono_literals;

namespace {

class real_clock final : public netlab::clock {
public:
  boot_time now() const override {
    timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return boot_time{std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec)};
  }
  wall_time wall() const override { return std::chrono::system_clock::now(); }
};

class queue_loop final : public scheduler {
public:
  timer after(duration, std::function<void()>) override { return {}; }
  timer every(duration, std::function<void()>) override { return {}; }
  void post(std::function<void()> fn) override {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(fn));
    wake_.notify_one();
  }
  bool run_one(bool wait) {
    std::unique_lock lock(mutex_);
    if (wait) wake_.wait(lock, [&] { return !posted_.empty(); });
    if (posted_.empty()) return false;
    auto fn = std::move(posted_.front());
    posted_.pop_front();
    lock.unlock();
    fn();
    return true;
  }

private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> posted_;
};

// The real file under a disk whose sync takes its time.
class slow_file final : public journal_file {
public:
  slow_file(std::unique_ptr<journal_file> file, duration delay) : file_(std::move(file)), delay_(delay) {}
  result<std::uint64_t> size() override { return file_->size(); }
  result<std::size_t> read(std::uint64_t offset, byte_span out) override { return file_->read(offset, out); }
  result<void> append(std::uint64_t offset, byte_view bytes) override { return file_->append(offset, bytes); }
  result<void> sync() override {
    std::this_thread::sleep_for(delay_);
    return file_->sync();
  }
  result<void> truncate(std::uint64_t size) override { return file_->truncate(size); }

private:
  std::unique_ptr<journal_file> file_;
  duration delay_;
};

class slow_storage final : public journal_storage {
public:
  slow_storage(std::unique_ptr<journal_storage> disk, duration delay)
      : disk_(std::move(disk)), delay_(delay) {}
  std::string name() const override { return disk_->name(); }
  result<std::unique_ptr<journal_file>> open() override { return slow(disk_->open()); }
  result<std::unique_ptr<journal_file>> make_replacement() override {
    return slow(disk_->make_replacement());
  }
  result<void> replace() override { return disk_->replace(); }
  result<void> sync_folder() override { return disk_->sync_folder(); }

private:
  result<std::unique_ptr<journal_file>> slow(result<std::unique_ptr<journal_file>> file) {
    if (!file) return file;
    return std::make_unique<slow_file>(std::move(*file), delay_);
  }
  std::unique_ptr<journal_storage> disk_;
  duration delay_;
};

double cpu_seconds() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  auto s = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return s(u.ru_utime) + s(u.ru_stime);
}

int measure(const std::string& folder, std::size_t claims, std::size_t limit, duration delay,
            const char* what) {
  real_clock clock;
  queue_loop loop;
  metrics counters;
  auto path = folder + "/bench.journal";
  std::filesystem::remove(path);
  auto journal = lease_journal::open(std::make_unique<slow_storage>(make_journal_storage(path), delay), clock,
                                     loop, {}, counters);
  if (!journal) {
    std::fprintf(stderr, "%s\n", journal.error().message.c_str());
    return 1;
  }
  (void)(*journal)->load();
  std::size_t answered = 0, failed = 0;
  auto began = std::chrono::steady_clock::now();
  auto cpu = cpu_seconds();
  for (std::size_t i = 0; i < claims; ++i) {
    lease l;
    l.address = ip_address::v4(0x0a000000u + static_cast<std::uint32_t>(i));
    l.client = {1,
                2,
                0,
                0,
                static_cast<std::uint8_t>(i >> 16),
                static_cast<std::uint8_t>(i >> 8),
                static_cast<std::uint8_t>(i)};
    l.hostname = "client";
    l.network = "lan";
    (*journal)->claim(std::move(l), [&](lease_store::outcome o) {
      ++answered;
      if (o.what != lease_store::outcome::kind::stored) ++failed;
    });
    while (limit > 0 && i + 1 - answered >= limit) loop.run_one(true);
    if (i % 64 == 0) loop.run_one(false);
  }
  while (answered < claims) loop.run_one(true);
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  auto f = (*journal)->measure();
  std::printf("%-28s %9.0f claims/s  %5.2f us CPU a claim  %6llu syncs  largest group %6llu  failed %zu\n",
              what, static_cast<double>(claims) / took.count(),
              (cpu_seconds() - cpu) * 1e6 / static_cast<double>(claims),
              static_cast<unsigned long long>(f.batches), static_cast<unsigned long long>(f.largest), failed);
  journal->reset();
  std::filesystem::remove(path);
  std::filesystem::remove(path + ".lock");
  return failed > 0;
}

} // namespace

int main(int argc, char** argv) {
  std::string folder = argc > 1 ? argv[1] : ".";
  std::size_t claims = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100'000;
  std::size_t limit = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1000;
  return measure(folder, claims, limit, 0ms, "real disk") |
         measure(folder, claims, limit, 5ms, "sync + 5 ms");
}
