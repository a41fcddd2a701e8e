#include "netlab/http_server.h"

#include <optional>

#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/borrowed_call.h"
#include "host/handle.h"
#include "host/host.h"
#include "http/entries.h"
#include "http/route.h"
#include "http/sources.h"
#include "http/worker.h"

namespace netlab::lua {

namespace {

class http_service final : public service {
public:
  http_settings settings;

  std::string default_name() const override {
    return settings.listen.empty() ? "http" : "http-" + std::to_string(settings.listen[0].endpoint.port);
  }

  std::vector<claimed_endpoint> endpoints() const override {
    std::vector<claimed_endpoint> out;
    if (workers_.empty())
      for (const auto& l : settings.listen) out.push_back({"tcp", l.endpoint});
    else
      for (const auto& e : workers_[0]->bound()) out.push_back({"tcp", e});
    return out;
  }

  result<void> start(host& h) override {
    settings.name = name();
    // Simulated runs have one thread.
    if (&h.bytes().scheduler == &h.world().scheduler) settings.workers = 1;
    std::vector<endpoint> at;
    for (const auto& l : settings.listen) at.push_back(l.endpoint);
    for (std::size_t i = 0; i < settings.workers; ++i) {
      workers_.push_back(std::make_unique<http_worker>(h, settings, at, i));
      if (auto begun = workers_.back()->start(); !begun) return begun;
      if (i == 0) at = workers_[0]->bound(); // the others share the ports that the first one got
      for (const auto& e : at)
        if (e.port == 0 && settings.workers > 1)
          return fail(errc::invalid, "workers share a port: give one instead of 0, because " +
                                         e.address.to_string() + " is not on this machine yet");
    }
    if (settings.listen[0].endpoint.port == 0) tell_sources(at[0].port);
    return {};
  }

  void drain(std::function<void()> done) override {
    auto left = std::make_shared<std::size_t>(workers_.size());
    for (auto& w : workers_)
      w->drain([left, done] {
        if (--*left == 0) done();
      });
  }

  json status() const override {
    if (workers_.empty()) return json::object();
    return {{"connections", connections()}};
  }
  std::vector<reading> readings() const override {
    if (workers_.empty()) return {};
    return {{"netlab_http_connections", {}, static_cast<double>(connections())}};
  }

  // Where boot services send their machines: by plain HTTP, at the first address.
  void tell_sources(std::uint16_t port) {
    if (settings.tls) return;
    for (const auto& e : settings.entries)
      if (auto* s = dynamic_cast<served_source*>(e.get())) s->served_by_http(port);
  }

private:
  std::size_t connections() const {
    std::size_t all = 0;
    for (const auto& w : workers_) all += w->connections();
    return all;
  }

  std::vector<std::unique_ptr<http_worker>> workers_;
};

schema server_schema() {
  schema s;
  s.name = "http.server";
  s.help = "An HTTP server for boot services, folders and handlers of the recipe.";
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      required("listen", type::listen(), "where: \"addr:port\", lan:at(port), or a list of them"),
      required("serve", type::list(type::handle("asset.source|http.entry")),
               "what: boot services, netlab.http.files, netlab.http.route, netlab.http.metrics, "
               "netlab.assets.handler, and DNS servers (DNS over HTTPS, at /dns-query)"),
      optional("tls",
               type::table({required("certificate", type::path(), "certificate chain, PEM"),
                            required("key", type::path(), "private key, PEM")}),
               "serve HTTPS with this certificate"),
      with_default("header_limit", type::size(), "16KiB", "request line and headers"),
      with_default("body_limit", type::size(), "1MiB", "of a request, for handlers"),
      with_default("header_time", type::duration(), "10s", "from a header's first byte to its end"),
      with_default("idle_time", type::duration(), "60s", "between two requests of a connection"),
      with_default("connections", type::integer(1, 1000000), 4096, "at a time, of each worker"),
      with_default("connections_per_client", type::integer(1, 1000000), 256,
                   "at a time, by address, of each worker"),
      with_default("workers", type::integer(1, 64), 1,
                   "threads that serve; the kernel deals new connections out"),
  };
  s.example = "netlab.http.server { listen = lan:at(8080), serve = { boot, netlab.http.files(\"/files\", "
              "\"/srv/files\") } }";
  return s;
}

result<object_ptr> create_server(host&, const options& o) {
  auto out = std::make_shared<http_service>();
  auto& s = out->settings;
  s.listen = o.get<listen_list>("listen");
  s.entries = o.list<object_ptr>("serve");
  s.workers = static_cast<std::size_t>(o.get<std::int64_t>("workers"));
  if (auto tls = o.maybe<options>("tls"))
    s.tls = tls_identity{tls->get<file_path>("certificate").path, tls->get<file_path>("key").path};
  s.limits.header_bytes = o.get<byte_size>("header_limit").bytes;
  s.limits.body_bytes = o.get<byte_size>("body_limit").bytes;
  s.limits.header_time = o.get<duration>("header_time");
  s.limits.idle_time = o.get<duration>("idle_time");
  s.limits.connections = static_cast<std::size_t>(o.get<std::int64_t>("connections"));
  s.limits.connections_per_client = static_cast<std::size_t>(o.get<std::int64_t>("connections_per_client"));
  for (const auto& e : s.entries)
    if (auto* self = dynamic_cast<http_answerer*>(e.get()))
      if (auto why = self->http_objection(s.tls.has_value()); !why.empty())
        return fail(errc::invalid, why, "serve");
  out->tell_sources(s.listen[0].endpoint.port);
  return out;
}

const schema& files_schema() {
  static const schema s = [] {
    schema out;
    out.name = "http.files";
    out.options = {
        with_default("listing", type::boolean(), false, "show what a folder holds"),
        with_default("follow_outside", type::boolean(), false, "serve what links lead to outside the folder"),
        optional("content_type", type::string(), "instead of the type guessed from the name")};
    return out;
  }();
  return s;
}

int files(call& c) {
  auto route = std::make_shared<http_route>();
  route->prefix = path_prefix(c);
  route->folder = join_path(c.owner.recipe_folder(), c.text(2, "the folder"));
  if (c.given(3)) {
    auto o = c.table(3, files_schema());
    route->settings.listing = o.get<bool>("listing");
    route->settings.follow_outside = o.get<bool>("follow_outside");
    route->settings.content_type = o.maybe<std::string>("content_type").value_or("");
  }
  return give_entry(c, route, "http.files");
}

int route(call& c) {
  auto out = std::make_shared<http_route>();
  out->prefix = path_prefix(c);
  c.need_function(2, "the handler");
  lua_pushvalue(c.L, 2);
  out->handler = std::make_shared<const reference>(c.L);
  return give_entry(c, out, "http.route");
}

} // namespace

std::string path_prefix(call& c) {
  auto prefix = c.text(1, "the path prefix");
  if (prefix.empty() || prefix.front() != '/')
    c.refuse("the path prefix must begin with \"/\", got \"" + prefix + "\"");
  return prefix;
}

int give_entry(call& c, const std::shared_ptr<object>& entry, const char* kind) {
  if (auto ok = c.owner.graph().add(entry, kind, where(c.L), "", json::object()); !ok)
    c.refuse(ok.error().message);
  push_handle(c.L, entry);
  return 1;
}

void bind_http_server(api& a) {
  a.constructor(server_schema(), "http.server", create_server);
  a.kind({"http.server", "An HTTP server.", {}, {}});
  a.kind({"http.files", "A folder under a path prefix, for http.server's `serve`.", {}, {}});
  a.kind({"http.route", "A recipe's handler under a path prefix, for http.server's `serve`.", {}, {}});
  a.function({"http.files",
              files,
              "A folder under a path prefix: an entry of http.server's `serve`.",
              {{"prefix", "string", "such as \"/files\""},
               {"folder", "string", "relative to the recipe"},
               {"options?", "table", ""}},
              {{"", "http.files", ""}},
              false,
              files_schema()});
  a.function({"http.route",
              route,
              "A handler under a path prefix: function(request) returns a text, status and text, or "
              "{ status, body | json, content_type, headers }. request is { method, path, query, headers, "
              "body, client, secure }.",
              {{"prefix", "string", "such as \"/hook\""}, {"handler", "function", ""}},
              {{"", "http.route", ""}},
              false,
              {}});
}

} // namespace netlab::lua
