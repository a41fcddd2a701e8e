#include "server_metrics.h"

#include <algorithm>
#include <array>
#include <map>

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

server_metrics::server_metrics(metrics& registry, const std::string& server, const std::string& worker)
    : registry_(registry), server_(server), worker_(worker),
      cache_bytes_(registry.get("netlab_dns_cache_bytes", {{"server", server}, {"worker", worker}})),
      cache_answers_(registry.get("netlab_dns_cache_answers", {{"server", server}, {"worker", worker}})),
      waiting_(registry.get("netlab_dns_waiting_questions", {{"server", server}, {"worker", worker}})) {
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

server_metrics::upstream_levels& server_metrics::levels_of(const std::string& text) {
  auto found =
      std::find_if(upstreams_.begin(), upstreams_.end(), [&](const auto& u) { return u.text == text; });
  if (found != upstreams_.end()) return *found;
  auto get = [&](const char* what) {
    return level(registry_.get(std::string("netlab_dns_upstream_") + what,
                               {{"server", server_}, {"worker", worker_}, {"upstream", text}}));
  };
  upstreams_.push_back({text, get("up"), get("round_trip_microseconds"), get("sent_total"),
                        get("answered_total"), get("unanswered_total"), get("failures_total")});
  return upstreams_.back();
}

void server_metrics::publish(const std::vector<upstream_health>& upstreams, std::size_t cached_bytes,
                             std::size_t cached_answers, std::size_t waiting) {
  cache_bytes_.set(cached_bytes);
  cache_answers_.set(cached_answers);
  waiting_.set(waiting);
  std::map<std::string, upstream_health> by_text; // one may be in several groups
  for (const auto& u : upstreams) {
    auto [at, is_new] = by_text.try_emplace(u.text, u);
    if (is_new) continue;
    auto& sum = at->second;
    sum.up = sum.up && u.up;
    sum.round_trip = std::max(sum.round_trip, u.round_trip);
    sum.sent += u.sent;
    sum.answered += u.answered;
    sum.timeouts += u.timeouts;
    sum.failures += u.failures;
  }
  for (const auto& [text, u] : by_text) {
    auto& levels = levels_of(text);
    levels.up.set(u.up ? 1 : 0);
    levels.round_trip.set(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(u.round_trip).count()));
    levels.sent.set(u.sent);
    levels.answered.set(u.answered);
    levels.timeouts.set(u.timeouts);
    levels.failures.set(u.failures);
  }
}

} // namespace netlab::dns
