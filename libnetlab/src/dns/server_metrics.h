#pragma once
#include <span>
#include <string>
#include <vector>

#include "netlab/dns_engine.h"
#include "netlab/metrics.h"

namespace netlab::dns {

// What one worker tells the registry. Names that end in "_total" only grow; the others are levels, which go
// up and down. Used on the worker's thread.
class server_metrics {
public:
  server_metrics(metrics& registry, const std::string& server, const std::string& worker);

  // The engine's plain numbers; cheap enough for every batch of queries.
  void publish(const engine_counts& now);
  // What has to be walked through: once a second is enough.
  void publish(const std::vector<upstream_health>& upstreams, std::size_t cached_bytes,
               std::size_t cached_answers, std::size_t waiting);

private:
  // A registry's number that goes where it is set. Several of one name add up.
  class level {
  public:
    explicit level(counter& c) : counter_(&c) {}
    void set(std::uint64_t now) {
      if (now != before_) counter_->add(now - before_); // wraps around when it falls
      before_ = now;
    }

  private:
    counter* counter_;
    std::uint64_t before_ = 0;
  };
  // One upstream, in whichever groups it is.
  struct upstream_levels {
    std::string text;
    level up, round_trip, sent, answered, timeouts, failures;
  };
  upstream_levels& levels_of(const std::string& text);

  metrics& registry_;
  const std::string server_, worker_;
  std::vector<counter*> counters_;
  engine_counts before_;
  level cache_bytes_, cache_answers_, waiting_;
  std::vector<upstream_levels> upstreams_;
};

} // namespace netlab::dns
