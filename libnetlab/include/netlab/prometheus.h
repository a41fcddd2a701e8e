#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "netlab/metrics.h"

namespace netlab {

// A number that is read when somebody asks for it, unlike a counter, which is kept up.
struct reading {
  std::string name;
  metric_labels labels;
  double value = 0;
};

inline constexpr std::string_view prometheus_content_type = "text/plain; version=0.0.4; charset=utf-8";

// Prometheus' text exposition format, version 0.0.4: the lines of one metric together, metrics by name. A
// name that ends in "_total" is announced as a counter, every other as a gauge. What a metric's or a label's
// name may not hold becomes "_"; label values are escaped, so that no name from the network can add a line.
std::string to_prometheus(const std::vector<metrics::sample>& counters, const std::vector<reading>& readings);

} // namespace netlab
