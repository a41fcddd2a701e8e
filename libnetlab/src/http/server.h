#pragma once
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "file_cache.h"
#include "messages.h"
#include "netlab/http_server.h"
#include "routes.h"

namespace netlab::http {

class connection;
class http2_session;

// The server behind http_server.h: routes, listeners, limits, the one coarse timer, and the connections.
class server final : public http_server {
public:
  server(const runtime& world, http_server_options options);
  ~server() override;

  result<void> serve(std::string prefix, asset_source& source) override;
  result<void> files(std::string prefix, std::string folder, http_files_options options) override;
  result<void> handle(std::string prefix, http_handler handler, http_ready_fn ready) override;
  void take_bodies(http_sink_fn sinks) override { sinks_ = std::move(sinks); }
  result<endpoint> listen(const listen_options& options) override;
  void accept(std::unique_ptr<stream> client) override;
  void drain(std::function<void()> done) override;
  std::size_t connections() const override { return connections_.size() + sessions_.size(); }

  // For its connections.
  const http_limits& limits() const { return options_.limits; }
  const route_table& routes() const { return routes_; }
  const http_sink_fn& sinks() const { return sinks_; }
  file_cache& cache() { return cache_; }
  // The time of the event that is being handled: reading the clock at every step of a request would be
  // its largest cost outside the kernel. look_at_clock() begins an event.
  boot_time now() const { return now_; }
  void look_at_clock() { now_ = clock_.now(); }
  std::string_view date(); // for the Date field
  bool draining() const { return draining_; }
  void remove(connection& gone);
  // A client whose TLS handshake chose HTTP/2, with the first bytes that it sent.
  void accept_http2(std::unique_ptr<stream> client, byte_view first);
  void remove(http2_session& gone);
  // Runs `fn` on the loop's next turn.
  void later(std::function<void()> fn) { scheduler_.post(std::move(fn)); }
  void finished(const http_access& access);
  // A catalogued line, at most a few of one kind in ten seconds: a hostile client must not fill the disk.
  void say(const message& m, std::string_view text, const log_fields& fields);

  struct counters {
    counters(metrics& registry, const std::string& name);
    counter &accepted, &closed, &body_bytes, &aborted;
    counter &bad_request, &header_limit, &header_timeout, &body_limit, &connection_limit, &client_limit,
        &reply_timeout, &stalled, &request_limit;
    std::array<counter*, 5> status; // 1xx is never final; 2xx … 5xx, then 0 for "none sent"
  };
  counters& count() { return counters_; }

private:
  void tick();
  void keep_ticking();
  void check_drained();

  const clock& clock_;
  scheduler& scheduler_;
  net& net_;
  netlab::log log_;
  http_server_options options_;
  counters counters_;
  route_table routes_;
  http_sink_fn sinks_;
  file_cache cache_;
  std::vector<std::unique_ptr<listener>> listeners_;
  std::unordered_map<connection*, std::shared_ptr<connection>> connections_;
  std::unordered_map<http2_session*, std::shared_ptr<http2_session>> sessions_;
  std::unordered_map<ip_address, std::size_t> per_client_;
  std::unordered_map<stream*, std::unique_ptr<stream>> leaving_; // told 503; gone at the next tick
  std::string date_;
  std::int64_t date_second_ = -1;
  boot_time now_{}, date_checked_{};
  struct throttle {
    boot_time window{};
    unsigned lines = 0;
    std::uint64_t left_out = 0;
  };
  std::unordered_map<const message*, throttle> said_;
  bool draining_ = false;
  std::function<void()> drained_;
  timer tick_;
};

} // namespace netlab::http
