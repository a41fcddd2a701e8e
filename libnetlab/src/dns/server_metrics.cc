#include "server_metrics.h"

#include <array>

namespace netlab::dns {

namespace {

struct published {
  std::string_view name;
  std::uint64_t engine_counts::*member;
  std::string_view type; // of the question, as a label; empty: none
};

constexpr std::array<published, 29> all_published{{
    {"queries", &engine_counts::queries, {}},
    {"malformed", &engine_counts::malformed, {}},
    {"refused", &engine_counts::refused, {}},
    {"limited", &engine_counts::limited, {}},
    {"local", &engine_counts::local, {}},
    {"blocked", &engine_counts::blocked, {}},
    {"cache_hits", &engine_counts::hits, {}},
    {"stale", &engine_counts::stale, {}},
    {"forwarded", &engine_counts::forwarded, {}},
    {"merged", &engine_counts::merged, {}},
    {"prefetched", &engine_counts::prefetched, {}},
    {"failures", &engine_counts::failures, {}},
    {"upstream_queries", &engine_counts::upstream_queries, {}},
    {"upstream_bad_replies", &engine_counts::upstream_bad, {}},
    {"upstream_timeouts", &engine_counts::upstream_timeouts, {}},
    {"truncated", &engine_counts::truncated, {}},
    {"rebinds", &engine_counts::rebinds, {}},
    {"upstream_late_replies", &engine_counts::upstream_late, {}},
    {"dnssec_secure", &engine_counts::secure, {}},
    {"dnssec_insecure", &engine_counts::insecure, {}},
    {"dnssec_bogus", &engine_counts::bogus, {}},
    {"dnssec_lookups", &engine_counts::lookups, {}},
    {"stream_queries", &engine_counts::streams, {}},
    {"questions", &engine_counts::type_a, "A"},
    {"questions", &engine_counts::type_aaaa, "AAAA"},
    {"questions", &engine_counts::type_https, "HTTPS"},
    {"questions", &engine_counts::type_ptr, "PTR"},
    {"questions", &engine_counts::type_srv, "SRV"},
    {"questions", &engine_counts::type_other, "other"},
}};

} // namespace

server_metrics::server_metrics(metrics& registry, const std::string& server, const std::string& worker) {
  for (const auto& p : all_published) {
    metric_labels labels{{"server", server}, {"worker", worker}};
    if (!p.type.empty()) labels.emplace("type", p.type);
    counters_.push_back(&registry.get("netlab_dns_" + std::string(p.name) + "_total", labels));
  }
}

void server_metrics::publish(const engine_counts& now) {
  for (std::size_t i = 0; i < all_published.size(); ++i) {
    auto member = all_published[i].member;
    if (now.*member != before_.*member) counters_[i]->add(now.*member - before_.*member);
  }
  before_ = now;
}

} // namespace netlab::dns
