#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "dns/service.h"
#include "dns/why.h"
#include "netlab/dns_over_https.h"
#include "netlab/text.h"

// What a DNS server tells and is asked while it runs: by its operator, the recipe, and DNS over HTTPS.

namespace netlab::lua {

namespace {

// An upstream that is in several groups, as one: as bad as where it is worst.
std::map<std::string, dns::upstream_health> by_upstream(const std::vector<dns::upstream_health>& all) {
  std::map<std::string, dns::upstream_health> out;
  for (const auto& u : all) {
    auto [at, is_new] = out.try_emplace(u.text, u);
    if (is_new) continue;
    auto& sum = at->second;
    sum.up = sum.up && u.up;
    sum.round_trip = std::max(sum.round_trip, u.round_trip);
    sum.sent += u.sent;
    sum.answered += u.answered;
    sum.timeouts += u.timeouts;
    sum.failures += u.failures;
  }
  return out;
}

} // namespace

json dns_service::status() const {
  if (!is_running()) return json::object();
  dns::engine_counts sum;
  std::size_t answers = 0, bytes = 0;
  json upstreams = json::array();
  std::string last_bogus;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    auto s = on(*workers_[i], [](dns::server& server) { return server.status(); });
    sum.queries += s.counts.queries;
    sum.hits += s.counts.hits;
    sum.blocked += s.counts.blocked;
    sum.failures += s.counts.failures;
    answers += s.cached_answers;
    bytes += s.cached_bytes;
    sum.secure += s.counts.secure;
    sum.insecure += s.counts.insecure;
    sum.bogus += s.counts.bogus;
    if (!s.last_bogus.empty()) last_bogus = s.last_bogus;
    if (i > 0) continue;
    for (const auto& u : s.upstreams) {
      json entry = {
          {"upstream", u.text}, {"up", u.up}, {"ms", static_cast<double>(u.round_trip.count()) / 1e6}};
      if (!u.up) entry["why"] = printable(u.last_trouble);
      upstreams.push_back(std::move(entry));
    }
  }
  json out = {{"queries", sum.queries}, {"cache_hits", sum.hits},
              {"blocked", sum.blocked}, {"failures", sum.failures},
              {"cached", answers},      {"cache_bytes", bytes},
              {"names", names.size()},  {"upstreams", std::move(upstreams)}};
  if (settings.engine.dnssec.validate) {
    out["dnssec"] = {{"secure", sum.secure}, {"insecure", sum.insecure}, {"bogus", sum.bogus}};
    if (!last_bogus.empty()) out["dnssec"]["last_bogus"] = printable(last_bogus);
  }
  if (filter_) out["filter"] = filter_->status();
  if (log_) {
    auto s = log_->status();
    out["log"] = {{"queries", s.rows}, {"on disk", format_size(s.bytes)}};
    if (s.dropped > 0) out["log"]["not logged"] = s.dropped;
    if (!s.trouble.empty()) out["log"]["trouble"] = printable(s.trouble);
  }
  if (auto changes = overlays_ ? overlays_->status() : json::array(); !changes.empty())
    out["changes"] = std::move(changes);
  return out;
}

std::vector<reading> dns_service::readings() const {
  if (!is_running()) return {};
  std::vector<reading> out;
  auto number = [](auto n) { return static_cast<double>(n); };
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    auto s = on(*workers_[i], [](dns::server& server) { return server.status(); });
    metric_labels worker{{"worker", std::to_string(i)}};
    out.push_back({"netlab_dns_cache_bytes", worker, number(s.cached_bytes)});
    out.push_back({"netlab_dns_cache_answers", worker, number(s.cached_answers)});
    out.push_back({"netlab_dns_waiting_questions", worker, number(s.waiting)});
    for (const auto& [text, u] : by_upstream(s.upstreams)) {
      auto labels = worker;
      labels.emplace("upstream", text);
      auto add = [&](const char* what, double value) {
        out.push_back({std::string("netlab_dns_upstream_") + what, labels, value});
      };
      add("up", u.up ? 1 : 0);
      add("round_trip_microseconds", std::chrono::duration<double, std::micro>(u.round_trip).count());
      add("sent_total", number(u.sent));
      add("answered_total", number(u.answered));
      add("unanswered_total", number(u.timeouts));
      add("failures_total", number(u.failures));
    }
  }
  return out;
}

std::string dns_service::http_prefix() const { return std::string(dns::doh_path); }

std::string dns_service::http_objection(bool tls) const {
  return tls ? "" : "DNS over HTTPS needs a certificate: give the server tls = { certificate, key }";
}

void dns_service::answer_http(std::shared_ptr<borrowed_call> asked) {
  const auto& c = *asked->call;
  auto q = dns::read_doh(c.method, c.query, c.header("content-type"), c.body);
  if (q.refusal != 0) {
    http_reply r;
    r.status = q.refusal;
    if (q.refusal == 405) r.headers = {{"Allow", "GET, POST"}};
    return asked->reply(std::move(r));
  }
  auto next = turn_.fetch_add(1, std::memory_order_relaxed);
  if (!*alive_ || !serving_) return asked->reply({503, "text/plain; charset=utf-8", {}, std::string()});
  auto& w = *workers_[next % workers_.size()];
  w.world->scheduler.post([raw = &w, bytes = std::move(q.bytes), client = c.client, asked, alive = alive_] {
    if (!*alive) return;
    raw->server->ask(bytes, client, [asked](byte_view reply) {
      http_reply r;
      if (reply.empty()) { // the server is going
        r.status = 503;
        return asked->reply(std::move(r));
      }
      r.content_type = dns::doh_content_type;
      r.headers = {{"Cache-Control", "max-age=" + std::to_string(dns::doh_max_age(reply))}};
      r.body = std::string(as_text(reply));
      asked->reply(std::move(r));
    });
  });
}

std::string dns_service::log_folder() const {
  return log_ || (host_ && logging.on && !host_->state_folder().empty()) ? host_->state_path(name() + ".log")
                                                                         : "";
}

std::string dns_service::log_privacy() const {
  static constexpr const char* words[] = {"all", "hide_domains", "hide_clients", "anonymous"};
  return words[static_cast<std::size_t>(logging.privacy)];
}

void dns_service::settle() {
  if (!gather_) return;
  renew_names();
  for (auto& w : workers_) on(*w, [](dns::server&) { return true; });
}

std::optional<endpoint> dns_service::own_endpoint() const {
  for (const auto& e : endpoints()) {
    if (e.protocol != "udp" || e.local.port == 0) continue;
    auto out = e.local;
    if (out.address.is_unspecified())
      out.address = out.address.is_v4() ? ip_address::v4(127, 0, 0, 1) : *ip_address::parse("::1");
    return out;
  }
  return std::nullopt;
}

json dns_service::why(const dns::name& qname, std::uint16_t type, const std::optional<ip_address>& client) {
  dns_facts facts{*valid_,
                  settings.engine,
                  *overlays_,
                  filter_ ? filter_->current() : nullptr,
                  filter_ ? filter_->group_names() : std::vector<std::string>{"everybody"},
                  on_query != nullptr,
                  [this](const dns::name& n) { return names.origin_of(n, host_->nodes()); },
                  [this](const dns::name& n, std::uint16_t t, std::uint8_t group, dns::safe_search safe) {
                    for (auto& w : workers_)
                      if (auto got = on(*w, [&](dns::server& s) { return s.kept(n, t, group, safe); }))
                        return got;
                    return std::optional<dns::kept_answer>();
                  }};
  return explain_question(facts, qname, type, client);
}

void dns_service::flush() {
  for (auto& w : workers_)
    w->world->scheduler.post([raw = w.get(), alive = alive_] {
      if (*alive) raw->server->clear_cache();
    });
}

} // namespace netlab::lua
