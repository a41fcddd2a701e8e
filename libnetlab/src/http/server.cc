#include "server.h"

#include <algorithm>
#include <utility>

#include "conditional.h"
#include "connection.h"
#include "http2.h"
#include "netlab/text.h"

namespace netlab {

std::string_view http_call::header(std::string_view lower_name) const {
  for (const auto& [name, value] : headers)
    if (name == lower_name) return value;
  return {};
}

result<std::shared_ptr<const http_content>> http_content::make(std::string content_type,
                                                               const http_headers& headers, std::string etag,
                                                               std::shared_ptr<const std::string> body) {
  if (!body || !http::is_sendable(200, content_type, headers) || !http::is_field_value(etag))
    return fail(errc::invalid, "a header field holds what cannot be sent", "http.content");
  std::shared_ptr<http_content> out(new http_content);
  for (const auto& [name, value] : headers)
    out->fields_.append(name).append(": ").append(value).append("\r\n");
  if (!etag.empty()) out->fields_.append("ETag: ").append(etag).append("\r\n");
  out->content_type_ = std::move(content_type);
  out->etag_ = std::move(etag);
  out->body_ = std::move(body);
  return out;
}

std::unique_ptr<http_server> make_http_server(const runtime& world, http_server_options options) {
  return std::make_unique<http::server>(world, std::move(options));
}

namespace http {

namespace {
constexpr duration tick_period = std::chrono::seconds(1);
constexpr duration quiet_window = std::chrono::seconds(10);
constexpr unsigned lines_per_window = 10;
constexpr std::size_t most_leaving = 64; // turned away and not gone yet
} // namespace

server::counters::counters(metrics& registry, const std::string& name)
    : accepted(registry.get("netlab_http_connections_total", {{"server", name}})),
      closed(registry.get("netlab_http_connections_closed_total", {{"server", name}})),
      body_bytes(registry.get("netlab_http_response_bytes_total", {{"server", name}})),
      aborted(registry.get("netlab_http_aborted_total", {{"server", name}})),
      bad_request(registry.get("netlab_http_refused_total", {{"server", name}, {"why", "bad_request"}})),
      header_limit(registry.get("netlab_http_refused_total", {{"server", name}, {"why", "header_limit"}})),
      header_timeout(
          registry.get("netlab_http_refused_total", {{"server", name}, {"why", "header_timeout"}})),
      body_limit(registry.get("netlab_http_refused_total", {{"server", name}, {"why", "body_limit"}})),
      connection_limit(
          registry.get("netlab_http_refused_total", {{"server", name}, {"why", "connection_limit"}})),
      client_limit(registry.get("netlab_http_refused_total", {{"server", name}, {"why", "client_limit"}})),
      reply_timeout(registry.get("netlab_http_refused_total", {{"server", name}, {"why", "reply_timeout"}})),
      stalled(registry.get("netlab_http_refused_total", {{"server", name}, {"why", "stalled"}})),
      request_limit(registry.get("netlab_http_refused_total", {{"server", name}, {"why", "request_limit"}})) {
  static constexpr const char* classes[] = {"none", "2xx", "3xx", "4xx", "5xx"};
  for (std::size_t i = 0; i < status.size(); ++i)
    status[i] = &registry.get("netlab_http_requests_total", {{"server", name}, {"status", classes[i]}});
}

server::server(const runtime& world, http_server_options options)
    : clock_(world.clock), scheduler_(world.scheduler), net_(world.net), log_(world.log),
      options_(std::move(options)), counters_(world.metrics, options_.name) {}

server::~server() {
  listeners_.clear();
  look_at_clock();
  // Transfers under way hear that they ended; the handlers' late replies find nobody.
  while (!connections_.empty()) {
    auto last = connections_.begin()->second;
    last->abort("the server stopped");
  }
  while (!sessions_.empty()) sessions_.begin()->second->abort();
}

result<void> server::serve(std::string prefix, asset_source& source) {
  return routes_.add({std::move(prefix), &source});
}

result<void> server::files(std::string prefix, std::string folder, http_files_options options) {
  if (folder.empty()) return fail(errc::invalid, "the folder to serve has no name", "http.files");
  if (!is_sendable(200, options.content_type, {}))
    return fail(errc::invalid, "the content type holds a control byte", "http.files");
  return routes_.add({std::move(prefix), files_route{std::move(folder), std::move(options)}});
}

result<void> server::handle(std::string prefix, http_handler handler, http_ready_fn ready) {
  if (!handler) return fail(errc::invalid, "the handler is empty", "http.handle");
  return routes_.add({std::move(prefix), handler_route{std::move(handler), std::move(ready)}});
}

result<endpoint> server::listen(const listen_options& options) {
  if (draining_) return fail(errc::closed, "the server is stopping", "http.listen");
  auto o = options;
  // Browsers ask for DNS over HTTP/2 only.
  if (o.tls && o.tls->protocols.empty()) o.tls->protocols = {"h2", "http/1.1"};
  auto made = net_.listen(o, [this](std::unique_ptr<stream> client) { accept(std::move(client)); });
  if (!made) return tl::unexpected(made.error());
  listeners_.push_back(std::move(*made));
  return listeners_.back()->local();
}

void server::accept(std::unique_ptr<stream> client) {
  look_at_clock();
  auto address = client->peer().address;
  auto turn_away = [&](counter& counted, const message& m, const std::string& text) {
    counted.add();
    say(m, text, {{"client", client->peer().to_string()}});
    // A TLS client would have to shake hands first, which is what costs: it sees the close.
    if (client->secure() || leaving_.size() >= most_leaving) return;
    client->write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
                  "Connection: close\r\n\r\n");
    client->finish();
    auto* key = client.get();
    client->on_end([this, key](const std::optional<error>&) { leaving_.erase(key); });
    leaving_.emplace(key, std::move(client));
    keep_ticking();
  };
  if (draining_) return;
  if (connections_.size() + sessions_.size() >= options_.limits.connections)
    return turn_away(counters_.connection_limit, messages::connection_limit,
                     address.to_string() + " was turned away: " +
                         std::to_string(connections_.size() + sessions_.size()) + " connections are open");
  auto& held = per_client_[address];
  if (held >= options_.limits.connections_per_client)
    return turn_away(counters_.client_limit, messages::client_limit,
                     address.to_string() + " was turned away: it holds " + std::to_string(held) +
                         " connections");
  ++held;
  counters_.accepted.add();
  auto made = std::make_shared<connection>(*this, std::move(client));
  auto& kept = *made;
  connections_.emplace(&kept, std::move(made));
  keep_ticking();
  kept.start();
}

void server::accept_http2(std::unique_ptr<stream> client, byte_view first) {
  ++per_client_[client->peer().address]; // it was counted as a connection until now
  auto made = std::make_shared<http2_session>(*this, std::move(client));
  sessions_.emplace(made.get(), made);
  made->start(first);
}

void server::remove(http2_session& gone) {
  auto it = sessions_.find(&gone);
  if (it == sessions_.end()) return;
  auto held = per_client_.find(gone.client());
  if (held != per_client_.end() && --held->second == 0) per_client_.erase(held);
  sessions_.erase(it);
  check_drained();
}

void server::remove(connection& gone) {
  auto it = connections_.find(&gone);
  if (it == connections_.end()) return;
  auto held = per_client_.find(gone.client());
  if (held != per_client_.end() && --held->second == 0) per_client_.erase(held);
  connections_.erase(it);
  counters_.closed.add();
  check_drained();
}

void server::finished(const http_access& access) {
  auto kind = static_cast<std::size_t>(access.status / 100);
  counters_.status[kind >= 2 && kind <= 5 ? kind - 1 : 0]->add();
  counters_.body_bytes.add(access.bytes);
  if (options_.on_access) options_.on_access(access);
}

std::string_view server::date() {
  // Wall time is looked at ten times a second, so that a step of that clock shows soon.
  if (date_second_ >= 0 && now_ - date_checked_ < std::chrono::milliseconds(100)) return date_;
  date_checked_ = now_;
  auto second = std::chrono::floor<std::chrono::seconds>(clock_.wall()).time_since_epoch().count();
  if (second != date_second_) {
    date_ = format_http_date(second);
    date_second_ = second;
  }
  return date_;
}

void server::say(const message& m, std::string_view text, const log_fields& fields) {
  auto& t = said_[&m];
  auto now = clock_.now();
  if (t.lines > 0 && now - t.window >= quiet_window) {
    if (t.left_out > 0) log_(m, std::to_string(t.left_out) + " more lines like this one were left out");
    t = {};
  }
  if (t.lines == 0) t.window = now;
  if (t.lines >= lines_per_window) {
    ++t.left_out;
    return;
  }
  ++t.lines;
  log_(m, text, fields);
}

// One timer for everything that runs out, and none while there is nothing that could: an idle server
// does not wake the machine.
void server::keep_ticking() {
  if (!tick_) tick_ = scheduler_.every(tick_period, [this] { tick(); });
}

void server::tick() {
  look_at_clock();
  auto now = now_;
  std::vector<std::shared_ptr<connection>> all;
  all.reserve(connections_.size());
  for (const auto& [key, held] : connections_) all.push_back(held);
  for (const auto& one : all)
    if (connections_.contains(one.get())) one->tick(now);
  std::vector<std::shared_ptr<http2_session>> sessions;
  for (const auto& [key, held] : sessions_) sessions.push_back(held);
  for (const auto& one : sessions)
    if (sessions_.contains(one.get())) one->tick(now);
  cache_.expire(now);
  leaving_.clear();
  if (connections_.empty() && sessions_.empty() && cache_.empty()) tick_.cancel();
}

void server::drain(std::function<void()> done) {
  look_at_clock();
  draining_ = true;
  drained_ = std::move(done);
  listeners_.clear();
  std::vector<std::shared_ptr<connection>> all;
  for (const auto& [key, held] : connections_) all.push_back(held);
  for (const auto& one : all)
    if (connections_.contains(one.get())) one->drain();
  std::vector<std::shared_ptr<http2_session>> sessions;
  for (const auto& [key, held] : sessions_) sessions.push_back(held);
  for (const auto& one : sessions)
    if (sessions_.contains(one.get())) one->drain();
  check_drained();
}

void server::check_drained() {
  if (!draining_ || !connections_.empty() || !sessions_.empty() || !drained_) return;
  scheduler_.post(std::exchange(drained_, nullptr));
}

} // namespace http
} // namespace netlab
