#include "netlab/http_client.h"

#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"
#include "netlab/digest.h"

namespace netlab::lua {

namespace {

std::vector<option> common_options() {
  return {
      optional("headers", type::map(type::string()), "request headers"),
      with_default("timeout", type::duration(), "30s", "for the whole exchange"),
      with_default("connect_timeout", type::duration(), "10s", "for the connection alone"),
      with_default("redirects", type::integer(0, 50), 5, "followed at most; 0 returns the redirect itself"),
      with_default("body_limit", type::size(), "64MiB", "a larger response is an error"),
      optional("keep", type::size(),
               "keep only this much of the body; all of it is counted and hashed, whatever its size"),
      with_default("verify", type::boolean(), true, "check the server's certificate"),
      optional("ca_file", type::path(), "certificates to trust instead of the system's"),
  };
}

const schema& get_schema() {
  static const schema s = [] {
    schema out;
    out.name = "http.get";
    out.options = common_options();
    return out;
  }();
  return s;
}

const schema& request_schema() {
  static const schema s = [] {
    schema out;
    out.name = "http.request";
    out.options = {required("url", type::url(), "what to ask for"),
                   with_default("method", type::string(), "GET", "the method"),
                   optional("body", type::string(), "what to send")};
    for (auto& o : common_options()) out.options.push_back(std::move(o));
    return out;
  }();
  return s;
}

http_request common_request(const options& o) {
  http_request r;
  if (auto headers = o.maybe<value_map>("headers"))
    for (const auto& h : headers->items) r.headers.emplace_back(h.name, h.value.as<std::string>());
  r.timeout = o.get<duration>("timeout");
  r.connect_timeout = o.get<duration>("connect_timeout");
  r.redirects = static_cast<int>(o.get<std::int64_t>("redirects"));
  r.body_limit = o.get<byte_size>("body_limit").bytes;
  r.verify = o.get<bool>("verify");
  if (auto ca = o.maybe<file_path>("ca_file")) r.ca_file = ca->path;
  return r;
}

// What `keep` asks for: the beginning, the size and the digest of a body of any size.
struct kept_body {
  std::string begin;
  std::uint64_t bytes = 0;
  sha256 hash;
};

int send(call& c, http_request request, const options& o) {
  std::shared_ptr<kept_body> kept;
  if (auto keep = o.maybe<byte_size>("keep")) {
    kept = std::make_shared<kept_body>();
    request.on_body = [kept, limit = keep->bytes](byte_view b) {
      kept->hash.update(b);
      kept->bytes += b.size();
      if (kept->begin.size() < limit)
        kept->begin += as_text(b.first(std::min<std::size_t>(b.size(), limit - kept->begin.size())));
    };
  }
  auto what = "http." + std::string(request.method == "GET" ? "get " : "request ") + request.url;
  // The exchange has its own timer with a better message; ours is the safety net behind it.
  auto limit =
      request.timeout == duration::max() ? request.timeout : request.timeout + std::chrono::seconds(1);
  auto& client = c.owner.world().http;
  return c.wait(what, limit, [&](waker w) -> std::shared_ptr<void> {
    return client.send(std::move(request), [w, kept](result<http_response> got) {
      if (!got) return w.fail(got.error());
      w([r = std::move(*got), kept](lua_State* L) {
        json headers = json::object();
        for (const auto& [name, value] : r.headers) {
          if (headers.contains(name))
            headers[name] = headers[name].get<std::string>() + ", " + value;
          else
            headers[name] = value;
        }
        push(L, json{{"status", r.status},
                     {"url", r.url},
                     {"headers", std::move(headers)},
                     {"ok", r.status >= 200 && r.status < 300}});
        push(L, std::string_view(kept ? kept->begin : r.body));
        lua_setfield(L, -2, "body");
        lua_pushnumber(L, static_cast<double>(kept ? kept->bytes : r.body.size()));
        lua_setfield(L, -2, "bytes");
        if (kept) {
          auto digest = kept->hash.finish();
          push(L, to_hex(digest));
          lua_setfield(L, -2, "sha256");
        }
        return 1;
      });
    });
  });
}

int get(call& c) {
  auto url = c.text(1, "the URL");
  if (!c.given(2)) {
    lua_settop(c.L, 1);
    lua_newtable(c.L);
  }
  auto o = c.table(2, get_schema());
  auto request = common_request(o);
  request.url = std::move(url);
  return send(c, std::move(request), o);
}

int request(call& c) {
  auto o = c.table(1, request_schema());
  auto request = common_request(o);
  request.url = o.get<std::string>("url");
  request.method = o.get<std::string>("method");
  request.body = o.maybe<std::string>("body").value_or("");
  return send(c, std::move(request), o);
}

} // namespace

void bind_http(api& a) {
  std::vector<described> results = {
      {"response", "netlab.http_response?",
       "{ status, ok, headers, body, bytes, url, sha256 (with keep) }: any status is a response"},
      {"err?", "netlab.error", "why there was none"}};
  a.function({"http.get",
              get,
              "Fetches a URL.",
              {{"url", "string", ""}, {"options?", "table", ""}},
              results,
              true,
              get_schema()});
  a.function({"http.request",
              request,
              "Sends an HTTP request.",
              {{"options", "table", ""}},
              results,
              true,
              request_schema()});
}

} // namespace netlab::lua
