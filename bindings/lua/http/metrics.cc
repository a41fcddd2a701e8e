#include <map>

#include "host/api.h"
#include "host/bindings.h"
#include "host/borrowed_call.h"
#include "host/handle.h"
#include "host/host.h"
#include "host/story.h"
#include "http/entries.h"
#include "netlab/process_usage.h"
#include "netlab/prometheus.h"

// netlab.http.metrics: what netlab counts and how its services are, for Prometheus to fetch.

namespace netlab::lua {

namespace {

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

void add_process(std::vector<reading>& out) {
  auto used = read_process_usage();
  out.push_back({"netlab_build_info", {{"version", NETLAB_VERSION}}, 1});
  out.push_back({"process_cpu_seconds_total", {}, seconds(used.processor_time)});
  out.push_back({"process_resident_memory_bytes", {}, static_cast<double>(used.resident_bytes)});
  out.push_back({"process_open_fds", {}, static_cast<double>(used.open_files)});
  out.push_back({"process_max_fds", {}, static_cast<double>(used.open_files_limit)});
  out.push_back({"process_start_time_seconds", {}, seconds(used.started.time_since_epoch())});
}

void add_nodes(std::vector<reading>& out, host& h) {
  std::map<bool, double> nodes{{true, 0}, {false, 0}};
  for (const auto* n : h.nodes().all()) ++nodes[n->declared];
  for (auto [declared, count] : nodes)
    out.push_back({"netlab_nodes", {{"declared", declared ? "true" : "false"}}, count});
  std::map<std::string, double> boots;
  for (const auto& b : h.story().boots()) ++boots[std::string(to_string(b.furthest))];
  for (const auto& [stage, count] : boots) out.push_back({"netlab_boots", {{"furthest", stage}}, count});
}

std::string page(host& h) {
  std::vector<reading> out;
  add_process(out);
  add_nodes(out, h);
  for (const auto& s : h.graph().services()) {
    out.push_back(
        {"netlab_service_up", {{"kind", s->kind()}, {"server", s->name()}}, h.runs(*s) ? 1.0 : 0.0});
    if (!h.runs(*s)) continue;
    for (auto r : s->readings()) {
      r.labels.emplace("server", s->name());
      out.push_back(std::move(r));
    }
  }
  return to_prometheus(h.world().metrics.samples(), out);
}

// Owned by the graph. A page is put together on the control loop, where services are asked how they are.
class metrics_page final : public object, public http_answerer {
public:
  metrics_page(host& h, std::string prefix) : host_(h), prefix_(std::move(prefix)) {}

  std::string default_name() const override { return prefix_; }
  bool fits(std::string_view kind) const override { return kind == "http.entry"; }
  std::string http_prefix() const override { return prefix_; }
  std::string http_objection(bool) const override { return {}; }

  void answer_http(std::shared_ptr<borrowed_call> asked) override {
    const auto& c = *asked->call;
    http_reply refusal;
    refusal.body = std::string();
    if (c.path != prefix_) {
      refusal.status = 404;
      return asked->reply(std::move(refusal));
    }
    if (c.method != "GET" && c.method != "HEAD") {
      refusal.status = 405;
      refusal.headers = {{"Allow", "GET, HEAD"}};
      return asked->reply(std::move(refusal));
    }
    host_.world().scheduler.post([this, asked] {
      http_reply r;
      r.content_type = prometheus_content_type;
      r.headers = {{"Cache-Control", "no-store"}};
      r.body = page(host_);
      asked->reply(std::move(r));
    });
  }

private:
  host& host_;
  std::string prefix_;
};

int make_page(call& c) {
  auto prefix = c.given(1) ? path_prefix(c) : "/metrics";
  return give_entry(c, std::make_shared<metrics_page>(c.owner, prefix), "http.metrics");
}

} // namespace

void bind_http_metrics(api& a) {
  a.kind({"http.metrics",
          "What netlab counts, for Prometheus, under a path; for http.server's `serve`.",
          {},
          {}});
  a.function(
      {"http.metrics",
       make_page,
       "Counters of every service, its readings (leases, cache, connections …), the boots by the stage they "
       "reached and what the process uses, in Prometheus' text format: an entry of http.server's `serve`. "
       "docs/metrics.md lists the names.",
       {{"prefix?", "string", "\"/metrics\" when left out"}},
       {{"", "http.metrics", ""}},
       false,
       {}});
}

} // namespace netlab::lua
