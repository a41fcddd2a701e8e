#include "netlab/metrics.h"

namespace netlab {

counter& metrics::get(const std::string& name, const metric_labels& labels) {
  std::lock_guard lock(mutex_);
  auto& slot = counters_[{name, labels}];
  if (!slot) slot = std::make_unique<counter>();
  return *slot;
}

std::vector<metrics::sample> metrics::samples() const {
  std::lock_guard lock(mutex_);
  std::vector<sample> out;
  out.reserve(counters_.size());
  for (const auto& [key, value] : counters_) out.push_back({key.first, key.second, value->value()});
  return out;
}

} // namespace netlab
