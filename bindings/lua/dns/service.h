#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "dns/filter.h"
#include "dns/hook.h"
#include "dns/log.h"
#include "dns/operated.h"
#include "dns/own_names.h"
#include "host/borrowed_call.h"
#include "host/host.h"
#include "host/side_loop.h"
#include "netlab/dns_server.h"
#include "network/network.h"

namespace netlab::lua {

// What dns.server makes: workers that answer, each on a loop of its own, and on the control loop what they
// are given as snapshots: names, lists, changes of the operator. The workers and the HTTP server's loop reach
// it only by what is atomic or posted.
class dns_service final : public service, public http_answerer, public dns_operated {
public:
  listen_list listen;
  dns::server_config settings;
  dns_own_names names;
  std::shared_ptr<const dns::route_table> routes;
  std::size_t workers = 1;
  dns_filter_settings filtering;
  bool save_cache = false;
  dns_log_settings logging;
  shared_reference on_query;

  ~dns_service() override;

  // --- its life (service.cc)
  std::string default_name() const override;
  result<void> check(host& h) override;
  std::vector<claimed_endpoint> endpoints() const override;
  result<void> start(host& h) override;
  void drain(std::function<void()> done) override;

  // --- what it is asked (service_status.cc)
  json status() const override;
  std::vector<reading> readings() const override;
  bool fits(std::string_view kind) const override { return kind == "http.entry"; }
  std::string http_prefix() const override;
  std::string http_objection(bool tls) const override;
  void answer_http(std::shared_ptr<borrowed_call> asked) override;
  bool is_running() const override { return !workers_.empty() && workers_[0]->server != nullptr; }
  dns_overlays* overlays() override { return overlays_.get(); }
  dns::query_log* log() override { return log_.get(); }
  std::string log_folder() const override;
  std::string log_privacy() const override;
  void settle() override;
  std::optional<endpoint> own_endpoint() const override;
  json why(const dns::name& qname, std::uint16_t type, const std::optional<ip_address>& client) override;
  void flush();

private:
  struct worker {
    std::unique_ptr<side_loop> loop; // none in simulated runs
    runtime* world = nullptr;
    std::unique_ptr<dns::server> server; // lives on the loop; goes before it
    ~worker() {
      if (loop) loop->stop();
      server.reset();
    }
  };

  template<class F>
  static auto call(const worker& w, F fn) -> std::invoke_result_t<F> {
    return w.loop ? w.loop->call(std::move(fn)) : fn();
  }
  template<class F>
  static auto on(const worker& w, F fn) -> std::invoke_result_t<F, dns::server&> {
    return call(w, [&] { return fn(*w.server); });
  }

  std::string cache_path(std::size_t index) const {
    return host_->state_path(name() + ".answers-" + std::to_string(index));
  }
  // A file that is not there, damaged or of other upstreams is as good as an empty cache.
  void load_cache(const worker& w, std::size_t index);
  void store_caches();
  void leases_changed();
  void renew_names();
  std::shared_ptr<const dns::snapshot> make_snapshot();
  void give_out();
  void watch_files();
  void read_files_again();

  host* host_ = nullptr;
  std::shared_ptr<const dns::snapshot> valid_; // what was given out last
  std::unique_ptr<dns_overlays> overlays_;
  std::unique_ptr<dns_filter> filter_;
  // What the workers write to and ask, which goes after them.
  std::unique_ptr<dns::query_log> log_;
  std::unique_ptr<dns_lua_hook> hook_;
  std::uint64_t generation_ = 0;
  timer gather_;
  duration last_build_{};
  std::vector<std::shared_ptr<void>> watches_;
  timer reread_;
  std::shared_ptr<std::atomic<bool>> alive_ = std::make_shared<std::atomic<bool>>(true);
  std::vector<std::unique_ptr<worker>> workers_;
  // For the HTTP server's loop: whether workers_ is whole, and whose turn it is.
  std::atomic<bool> serving_{false};
  std::atomic<std::size_t> turn_{0};
};

} // namespace netlab::lua
