#pragma once
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "netlab/clock.h"
#include "netlab/lease_journal.h"
#include "netlab/log.h"

namespace store_test {

using namespace netlab;
using namespace std::chrono_literals;

// A clock that tests move and other threads may read.
class test_clock final : public netlab::clock {
public:
  boot_time now() const override { return boot_time{duration{now_.load()}}; }
  wall_time wall() const override { return wall_time{duration{wall_.load()}}; }
  void advance(duration by) {
    now_ += by.count();
    wall_ += by.count();
  }
  void step_wall(duration by) { wall_ += by.count(); }
  void set_wall(wall_time t) { wall_ = t.time_since_epoch().count(); }

private:
  std::atomic<std::int64_t> now_{1'000'000'000};
  std::atomic<std::int64_t> wall_{
      wall_time{std::chrono::sys_days{std::chrono::year{2026} / 6 / 1}}.time_since_epoch().count()};
};

// The calling thread as a scheduler: runs what other threads post while it waits for a condition.
class test_loop final : public scheduler {
public:
  timer after(duration, std::function<void()>) override { return {}; }
  timer every(duration, std::function<void()>) override { return {}; }
  void post(std::function<void()> fn) override {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(fn));
    wake_.notify_one();
  }
  // False when it did not come true in half a minute: a hang, never a slow machine.
  bool run_until(const std::function<bool()>& done) {
    while (!done()) {
      std::unique_lock lock(mutex_);
      if (!wake_.wait_for(lock, 30s, [&] { return !posted_.empty(); })) return false;
      auto fn = std::move(posted_.front());
      posted_.pop_front();
      lock.unlock();
      fn();
    }
    return true;
  }
  // Runs what was posted, and what that posts; waits for nothing.
  void drain() {
    std::unique_lock lock(mutex_);
    while (!posted_.empty()) {
      auto fn = std::move(posted_.front());
      posted_.pop_front();
      lock.unlock();
      fn();
      fn = nullptr;
      lock.lock();
    }
  }

private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> posted_;
};

// Remembers the ids of what was logged.
class test_sink final : public log_sink {
public:
  bool enabled(log_level) const override { return true; }
  void write(const log_record& r) override {
    std::lock_guard lock(mutex_);
    lines_.push_back(std::string(r.id) + " " + std::string(r.text));
  }
  std::size_t count(std::string_view id) const {
    std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(lines_.begin(), lines_.end(), [&](const auto& l) { return l.starts_with(id); }));
  }

private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

// A disk that keeps only what was synced, and loses power when told.
struct test_disk {
  struct file {
    byte_vector cached, durable;
  };
  std::mutex mutex;
  std::shared_ptr<file> journal = std::make_shared<file>(), replacement;
  std::shared_ptr<file> durable_journal; // what the folder on the disk says; null: no such file
  std::size_t operations = 0, power_off_at = SIZE_MAX;
  std::size_t room = SIZE_MAX; // bytes a file may have
  bool sync_fails = false, truncate_fails = false, folder_sync_fails = false;
  std::function<void()> before_sync; // outside the lock

  // Every operation asks first. The one at which the power goes may still have happened in part.
  bool power() { return ++operations < power_off_at; }

  // The disk after the power came back. Of what was not synced, each 512-byte block may be there or not.
  std::shared_ptr<test_disk> after_power_cut(std::mt19937& random) {
    std::lock_guard lock(mutex);
    auto out = std::make_shared<test_disk>();
    auto chosen = random() % 2 ? journal : durable_journal;
    if (!chosen) chosen = durable_journal;
    if (!chosen) return out;
    auto low = std::min(chosen->durable.size(), chosen->cached.size());
    auto high = std::max(chosen->durable.size(), chosen->cached.size());
    byte_vector bytes(low + random() % (high - low + 1));
    for (std::size_t at = 0; at < bytes.size(); at += 512) {
      const auto& from = random() % 2 ? chosen->cached : chosen->durable;
      for (auto i = at; i < std::min(at + 512, bytes.size()); ++i) bytes[i] = i < from.size() ? from[i] : 0;
    }
    out->journal->cached = out->journal->durable = bytes;
    out->durable_journal = out->journal;
    return out;
  }
};

class test_file final : public journal_file {
public:
  test_file(std::shared_ptr<test_disk> disk, std::shared_ptr<test_disk::file> file)
      : disk_(std::move(disk)), file_(std::move(file)) {}
  result<std::uint64_t> size() override {
    std::lock_guard lock(disk_->mutex);
    return file_->cached.size();
  }
  result<std::size_t> read(std::uint64_t offset, byte_span out) override {
    std::lock_guard lock(disk_->mutex);
    const auto& bytes = file_->cached;
    auto n = offset < bytes.size() ? std::min<std::size_t>(out.size(), bytes.size() - offset) : 0;
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(offset, bytes.size())), n,
                out.begin());
    return n;
  }
  result<void> append(std::uint64_t offset, byte_view bytes) override {
    std::lock_guard lock(disk_->mutex);
    if (disk_->operations >= disk_->power_off_at) return gone();
    bool powered = disk_->power();
    auto fits = offset < disk_->room ? std::min<std::size_t>(bytes.size(), disk_->room - offset) : 0;
    if (file_->cached.size() < offset + fits) file_->cached.resize(offset + fits);
    std::copy_n(bytes.begin(), fits, file_->cached.begin() + static_cast<std::ptrdiff_t>(offset));
    if (!powered) return gone();
    if (fits < bytes.size()) return fail(errc::limit, "journal: No space left on device");
    return {};
  }
  result<void> sync() override {
    if (disk_->before_sync) disk_->before_sync();
    std::lock_guard lock(disk_->mutex);
    if (!disk_->power()) return gone();
    if (disk_->sync_fails) return fail(errc::io, "journal: Input/output error");
    file_->durable = file_->cached;
    return {};
  }
  result<void> truncate(std::uint64_t size) override {
    std::lock_guard lock(disk_->mutex);
    if (!disk_->power()) return gone();
    if (disk_->truncate_fails) return fail(errc::io, "journal: Input/output error");
    file_->cached.resize(size);
    return {};
  }

private:
  static tl::unexpected<error> gone() { return fail(errc::io, "power is off"); }
  std::shared_ptr<test_disk> disk_;
  std::shared_ptr<test_disk::file> file_;
};

class test_storage final : public journal_storage {
public:
  explicit test_storage(std::shared_ptr<test_disk> disk) : disk_(std::move(disk)) {}
  std::string name() const override { return "journal"; }
  result<std::unique_ptr<journal_file>> open() override {
    return std::make_unique<test_file>(disk_, disk_->journal);
  }
  result<std::unique_ptr<journal_file>> make_replacement() override {
    std::lock_guard lock(disk_->mutex);
    if (!disk_->power()) return fail(errc::io, "power is off");
    disk_->replacement = std::make_shared<test_disk::file>();
    return std::make_unique<test_file>(disk_, disk_->replacement);
  }
  result<void> replace() override {
    std::lock_guard lock(disk_->mutex);
    if (!disk_->power()) return fail(errc::io, "power is off");
    disk_->journal = disk_->replacement;
    return {};
  }
  result<void> sync_folder() override {
    std::lock_guard lock(disk_->mutex);
    if (!disk_->power()) return fail(errc::io, "power is off");
    if (disk_->folder_sync_fails) return fail(errc::io, "folder: Input/output error");
    disk_->durable_journal = disk_->journal;
    return {};
  }

private:
  std::shared_ptr<test_disk> disk_;
};

inline lease make_lease(unsigned host, std::string_view client, wall_time expires = wall_time::max()) {
  lease l;
  l.address = ip_address::v4(10, 0, static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host));
  auto bytes = as_bytes(client);
  l.client.assign(bytes.begin(), bytes.end());
  l.mac.octets = {2, 0, 0, 0, static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host)};
  l.hostname = "host-" + std::string(client);
  l.network = "lan";
  l.expires = expires;
  return l;
}

// Everything a journal needs, and short words for using one.
struct bench {
  test_clock clock;
  test_loop loop;
  test_sink sink;
  metrics counters;
  lease_journal_options options;

  result<std::unique_ptr<lease_journal>> open(std::unique_ptr<journal_storage> storage) {
    return lease_journal::open(std::move(storage), clock, loop, netlab::log(sink, clock), counters, options);
  }
  std::unique_ptr<lease_journal> open(const std::shared_ptr<test_disk>& disk) {
    auto journal = open(std::make_unique<test_storage>(disk));
    return journal ? std::move(*journal) : nullptr;
  }
  lease_store::outcome claim(lease_journal& journal, lease l) {
    std::optional<lease_store::outcome> out;
    journal.claim(std::move(l), [&](lease_store::outcome o) { out = std::move(o); });
    if (!loop.run_until([&] { return out.has_value(); }))
      return {lease_store::outcome::kind::failed, {}, "no answer"};
    return *out;
  }
};

} // namespace store_test
