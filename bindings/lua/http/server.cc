#include "netlab/http_server.h"

#include <optional>

#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/borrowed_call.h"
#include "host/bytes_loop.h"
#include "host/handle.h"
#include "host/host.h"
#include "http/routes.h"
#include "http/sources.h"
#include "netlab/late_binding.h"

namespace netlab::lua {

namespace {

// What netlab.http.files and netlab.http.route return: one entry of a server's `serve` list.
class http_route final : public object {
public:
  std::string prefix;
  std::string folder;          // files
  http_files_options settings; // files
  shared_reference handler;    // route
  std::string default_name() const override { return prefix; }
  bool fits(std::string_view kind) const override { return kind == "http.entry"; }
};

http_reply read_reply(lua_State* L, int first) {
  http_reply out;
  auto refuse = [&](const std::string& why) {
    out.status = 500;
    out.body = "the recipe's handler " + why + "\n";
  };
  if (lua_type(L, first) == LUA_TSTRING) {
    out.body = std::string(text_at(L, first));
  } else if (lua_type(L, first) == LUA_TNUMBER) {
    out.status = static_cast<int>(lua_tointeger(L, first));
    out.body = std::string(lua_type(L, first + 1) == LUA_TSTRING ? text_at(L, first + 1) : "");
  } else if (lua_istable(L, first)) {
    auto data = to_json(L, first);
    if (!data || !data->is_object()) {
      refuse("returned what is no reply");
      return out;
    }
    if (data->contains("status") && (*data)["status"].is_number())
      out.status = static_cast<int>((*data)["status"].get<double>());
    if (data->contains("content_type") && (*data)["content_type"].is_string())
      out.content_type = (*data)["content_type"];
    if (data->contains("headers") && (*data)["headers"].is_object())
      for (const auto& [key, value] : (*data)["headers"].items())
        if (value.is_string()) out.headers.emplace_back(key, value.get<std::string>());
    if (data->contains("json")) {
      out.content_type = "application/json";
      out.body = (*data)["json"].dump();
    } else if (data->contains("body") && (*data)["body"].is_string()) {
      out.body = (*data)["body"].get<std::string>();
    } else {
      out.body = std::string();
    }
  } else {
    refuse("returned no reply");
  }
  if (out.status < 200 || out.status > 599) refuse("returned status " + std::to_string(out.status));
  return out;
}

void push_call(lua_State* L, const http_call& c) {
  json headers = json::object();
  for (const auto& [name, value] : c.headers) headers[name] = value;
  push(L, json{{"method", c.method},
               {"path", c.path},
               {"query", c.query},
               {"headers", std::move(headers)},
               {"client", c.client.address.to_string()},
               {"secure", c.secure}});
  push(L, std::string_view(c.body));
  lua_setfield(L, -2, "body");
}

void ask_recipe(host& h, const shared_reference& fn, const std::string& name,
                const std::shared_ptr<borrowed_call>& held) {
  lua_State* L = h.machine().main();
  stack_guard guard(L);
  fn->push(L);
  push_call(L, *held->call);
  auto t = h.tasks().spawn(L, 1, {name, {}, nullptr, false, {}, true});
  h.tasks().when_finished(t, [&h, t, held] {
    const auto& outcome = t->outcome();
    if (!outcome.ok)
      return held->reply({500,
                          "text/plain; charset=utf-8",
                          {},
                          std::string("the recipe's handler failed; see netlab's log\n")});
    lua_State* S = h.machine().main();
    stack_guard inner(S);
    held->reply(read_reply(S, t->push_values(S, 2)));
  });
}

class http_service final : public service {
public:
  listen_list listen;
  std::optional<tls_identity> tls;
  http_limits limits;
  std::vector<object_ptr> entries;

  std::string default_name() const override {
    return listen.empty() ? "http" : "http-" + std::to_string(listen[0].endpoint.port);
  }

  std::vector<claimed_endpoint> endpoints() const override {
    std::vector<claimed_endpoint> out;
    if (server_) {
      for (const auto& e : on_bytes_loop(*host_, [this] { return bound_; })) out.push_back({"tcp", e});
      return out;
    }
    for (const auto& l : listen) out.push_back({"tcp", l.endpoint});
    return out;
  }

  result<void> start(host& h) override {
    host_ = &h;
    source_ = sources_.open(entries, h.world().scheduler, h.bytes().scheduler);
    if (auto ok = on_bytes_loop(h, [&]() -> result<void> { return open(h); }); !ok) return ok;
    if (!tls && listen[0].endpoint.port == 0)
      for (const auto& e : entries)
        if (auto* s = dynamic_cast<served_source*>(e.get())) s->served_by_http(endpoints()[0].local.port);
    return {};
  }

  void drain(std::function<void()> done) override {
    auto& control = host_->world().scheduler;
    host_->bytes().scheduler.post([this, &control, done = std::move(done)] {
      late_.reset();
      server_->drain([&control, done] { control.post(done); });
    });
  }

  json status() const override {
    if (!server_) return json::object();
    return {{"connections", connections()}};
  }
  std::vector<reading> readings() const override {
    if (!server_) return {};
    return {{"netlab_http_connections", {}, static_cast<double>(connections())}};
  }

private:
  std::size_t connections() const {
    return on_bytes_loop(*host_, [this] { return server_->connections(); });
  }

  result<void> open(host& h) {
    auto& bytes = h.bytes();
    http_server_options o;
    o.name = name();
    o.limits = limits;
    o.on_access = [log = bytes.log](const http_access& a) {
      if (!log.enabled(log_level::debug)) return;
      log.write(log_level::debug, "http " + std::string(a.method) + " " + std::string(a.path),
                {{"client", a.client.to_string()},
                 {"status", std::to_string(a.status)},
                 {"bytes", std::to_string(a.bytes)}});
    };
    server_ = make_http_server(bytes, std::move(o));
    if (source_)
      if (auto ok = server_->serve("/", *source_); !ok) return ok;
    for (const auto& e : entries) {
      if (auto* self = dynamic_cast<http_answerer*>(e.get())) {
        auto ok = server_->handle(self->http_prefix(), [&h, e, self](http_call_ptr c) {
          self->answer_http(std::make_shared<borrowed_call>(std::move(c), h.bytes().scheduler));
        });
        if (!ok) return ok;
        continue;
      }
      auto* route = dynamic_cast<http_route*>(e.get());
      if (!route) continue;
      result<void> ok;
      if (route->handler) {
        ok = server_->handle(
            route->prefix, [&h, fn = route->handler, title = "http.route " + route->prefix](http_call_ptr c) {
              auto held = std::make_shared<borrowed_call>(std::move(c), h.bytes().scheduler);
              h.world().scheduler.post([&h, fn, title, held] { ask_recipe(h, fn, title, held); });
            });
      } else {
        ok = server_->files(route->prefix, route->folder, route->settings);
      }
      if (!ok) return ok;
    }
    for (std::size_t i = 0; i < listen.size(); ++i) bound_.push_back(listen[i].endpoint);
    late_.emplace(bytes, name());
    for (std::size_t i = 0; i < listen.size(); ++i)
      if (auto ok = late_->bind(listen[i].endpoint, [this, i] { return bind(i); }); !ok) return ok;
    return {};
  }

  result<void> bind(std::size_t index) {
    listen_options o;
    o.local = listen[index].endpoint;
    o.tls = tls;
    auto got = server_->listen(o);
    if (!got) return tl::unexpected(got.error());
    bound_[index] = *got;
    return {};
  }

  host* host_ = nullptr;
  served_sources sources_;
  asset_source* source_ = nullptr; // null when only folders and handlers are served
  // The rest lives on the bytes loop.
  std::unique_ptr<http_server> server_;
  std::vector<endpoint> bound_;
  std::optional<late_binding> late_;
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
      with_default("connections", type::integer(1, 1000000), 4096, "at a time"),
      with_default("connections_per_client", type::integer(1, 1000000), 256, "at a time, by address"),
  };
  s.example = "netlab.http.server { listen = lan:at(8080), serve = { boot, netlab.http.files(\"/files\", "
              "\"/srv/files\") } }";
  return s;
}

result<object_ptr> create_server(host&, const options& o) {
  auto out = std::make_shared<http_service>();
  out->listen = o.get<listen_list>("listen");
  for (const auto& e : o.list<object_ptr>("serve")) out->entries.push_back(e);
  if (auto tls = o.maybe<options>("tls"))
    out->tls = tls_identity{tls->get<file_path>("certificate").path, tls->get<file_path>("key").path};
  out->limits.header_bytes = o.get<byte_size>("header_limit").bytes;
  out->limits.body_bytes = o.get<byte_size>("body_limit").bytes;
  out->limits.header_time = o.get<duration>("header_time");
  out->limits.idle_time = o.get<duration>("idle_time");
  out->limits.connections = static_cast<std::size_t>(o.get<std::int64_t>("connections"));
  out->limits.connections_per_client =
      static_cast<std::size_t>(o.get<std::int64_t>("connections_per_client"));
  for (const auto& e : out->entries)
    if (auto* self = dynamic_cast<http_answerer*>(e.get()))
      if (auto why = self->http_objection(out->tls.has_value()); !why.empty())
        return fail(errc::invalid, why, "serve");
  if (!out->tls)
    for (const auto& e : out->entries)
      if (auto* source = dynamic_cast<served_source*>(e.get()))
        source->served_by_http(out->listen[0].endpoint.port);
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
