#pragma once
#include <string>
#include <vector>

#include "netlab/dns_engine.h"
#include "netlab/metrics.h"

namespace netlab::dns {

// What one worker counts, in the registry. Used on the worker's thread.
class server_metrics {
public:
  server_metrics(metrics& registry, const std::string& server, const std::string& worker);

  // The engine's plain numbers; cheap enough for every batch of queries.
  void publish(const engine_counts& now);

private:
  std::vector<counter*> counters_;
  engine_counts before_;
};

} // namespace netlab::dns
