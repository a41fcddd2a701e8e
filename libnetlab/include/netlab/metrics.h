#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace netlab {

// A number that only grows; add() from any thread.
class counter {
public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::uint64_t> value_{0};
};

using metric_labels = std::map<std::string, std::string>;

// Names every counter once. References stay valid as long as the registry; counter() locks, so rooms
// look their counters up at construction, not per packet.
class metrics {
public:
  counter& get(const std::string& name, const metric_labels& labels = {});
  struct sample {
    std::string name;
    metric_labels labels;
    std::uint64_t value;
  };
  std::vector<sample> samples() const; // sorted by name, then labels

private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, metric_labels>, std::unique_ptr<counter>> counters_;
};

} // namespace netlab
