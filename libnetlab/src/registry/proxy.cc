#include <algorithm>

#include "import.h"
#include "messages.h"
#include "netlab/oci.h"
#include "netlab/text.h"
#include "proxy_impl.h"

namespace netlab::registry {

namespace {

// A hand-written name must not make this process ask a thousand hosts.
constexpr std::size_t most_allowed = 64;

} // namespace

upstream_config default_upstream(std::string name) {
  upstream_config out;
  out.url = "https://" + std::string(oci::api_host(name));
  out.library = oci::registry_name(name) == "docker.io";
  out.name = std::move(name);
  return out;
}

std::optional<std::string> served_as(const proxy_config& c, std::string_view registry) {
  auto name = oci::registry_name(registry);
  for (const auto& u : c.upstreams)
    if (oci::registry_name(u.name) == name) return u.name;
  for (const auto& pattern : c.allow)
    if (oci::is_host(name) && glob_match(pattern, name)) return std::string(name);
  return std::nullopt;
}

result<void> check(const proxy_config& c) {
  if (c.folder.empty()) return fail(errc::invalid, "the cache has no folder", "cache");
  if (c.upstreams.empty() && c.allow.empty()) return fail(errc::invalid, "there is no upstream", "upstreams");
  bool reachable = !c.listen.empty();
  for (const auto& u : c.upstreams) {
    auto where = "upstreams." + u.name;
    if (!oci::is_host(u.name))
      return fail(errc::invalid, "\"" + printable(u.name) + "\" is no registry's name", where);
    if (u.hosted && (!u.url.empty() || !u.mirrors.empty()))
      return fail(errc::invalid, "a hosted registry has no upstream", where);
    if (!u.hosted && u.url.empty()) return fail(errc::invalid, "it has no URL", where);
    if (u.tags < duration::zero() || u.latest < duration::zero())
      return fail(errc::invalid, "a time cannot be negative", where);
    reachable = reachable || !u.listen.empty();
  }
  if (!reachable) return fail(errc::invalid, "nothing says where to listen", "listen");
  return {};
}

std::vector<std::string> missing(const proxy_config& c, files& disk) {
  std::vector<std::string> out;
  for (const auto& u : c.upstreams)
    if (!u.import.empty() && !is_storage(disk, u.import))
      out.push_back(u.name + ": " + u.import +
                    " has no docker/registry/v2, as the storage folder of a registry:2 " +
                    "has: nothing is imported");
  return out;
}

proxy::impl::counters::counters(metrics& m, const std::string& name)
    : manifest_hits(m.get("netlab_registry_requests_total",
                          {{"registry", name}, {"what", "manifest"}, {"cache", "hit"}})),
      manifest_misses(m.get("netlab_registry_requests_total",
                            {{"registry", name}, {"what", "manifest"}, {"cache", "miss"}})),
      blob_hits(
          m.get("netlab_registry_requests_total", {{"registry", name}, {"what", "blob"}, {"cache", "hit"}})),
      blob_misses(
          m.get("netlab_registry_requests_total", {{"registry", name}, {"what", "blob"}, {"cache", "miss"}})),
      sent(m.get("netlab_registry_sent_bytes_total", {{"registry", name}})),
      sent_cached(m.get("netlab_registry_saved_bytes_total", {{"registry", name}})) {}

proxy::impl::impl(const runtime& w, proxy_config c)
    : world(w), config(std::move(c)), cache(w, config.folder, config.max_size, config.reserve),
      incoming(w.random, cache), count(w.metrics, config.name) {
  for (auto& u : config.upstreams)
    upstreams.emplace(u.name, std::make_unique<upstream>(world, u, config.stall_time, config.name));
}

proxy::impl::~impl() {
  // Flows hold references to upstreams and to the cache: they end first.
  for (auto& [digest, f] : std::exchange(fills, {})) f->stop();
  runs.clear();
  doors.clear();
}

result<void> proxy::impl::start() {
  auto found = cache.open();
  if (!found) return tl::unexpected(found.error());
  for (const auto& [image, digest] : pins = cache.read_pins()) cache.index().pin(digest);
  cache.trim(); // the limit may have been a larger one
  if (found->damaged > 0)
    world.log(msg_repaired,
              config.folder + ": " + std::to_string(found->damaged) + " damaged files were removed",
              {{"registry", config.name}});
  for (const auto& u : config.upstreams)
    if (!u.listen.empty())
      if (auto ok = open_door(u.listen, upstreams.at(u.name).get(), config.name + "-" + u.name); !ok)
        return ok;
  if (!config.listen.empty())
    if (auto ok = open_door(config.listen, nullptr, config.name); !ok) return ok;
  hourly = world.scheduler.every(std::chrono::hours(1), [this] {
    expire_uploads();
    cache.expire_parts();
  });
  world.log(msg_listening,
            config.name + ": " + format_size(cache.index().bytes()) + " of " + format_size(config.max_size) +
                " in the cache, " + std::to_string(found->blobs) + " blobs, " +
                std::to_string(found->manifests) + " manifests, " + std::to_string(found->tags) + " tags",
            {{"registry", config.name}});
  return {};
}

result<void> proxy::impl::open_door(std::vector<endpoint> listen, upstream* only, const std::string& label) {
  auto d = std::make_unique<door>();
  auto* at = d.get();
  http_server_options o;
  o.name = label;
  // A pull opens many connections at once, and a slow upstream may take its time to begin.
  o.limits.reply_time = std::chrono::minutes(15);
  o.limits.body_bytes = 4u << 20; // of a pushed manifest
  at->server = make_http_server(world, std::move(o));
  at->only = only;
  at->server->take_bodies([this, at](const http_request_head& head) { return sink_of(*at, head); });
  at->wanted = at->bound = std::move(listen);
  auto ok = at->server->handle(
      "/", [this, at](http_call_ptr call) { answer(*at, std::move(call)); },
      [this, at](const http_request_head& head) { return ready_answer(*at, head); });
  if (!ok) return ok;
  doors.push_back(std::move(d));
  for (std::size_t i = 0; i < at->wanted.size(); ++i)
    if (auto bound = bind(*at, i); !bound) return bound;
  return {};
}

// An address that this machine does not have yet (an interface attached late) is waited for.
result<void> proxy::impl::bind(door& d, std::size_t index) {
  listen_options o;
  o.local = d.wanted[index];
  o.tls = config.tls;
  auto got = d.server->listen(o);
  if (got) {
    d.bound[index] = *got;
    return {};
  }
  if (got.error().code != errc::unreachable) return tl::unexpected(got.error());
  d.missing.push_back(index);
  if (address_watch) return {};
  auto watch = world.net.watch_addresses([this] {
    if (draining) return;
    for (auto& each : doors)
      for (auto i : std::exchange(each->missing, {}))
        if (auto ok = bind(*each, i); !ok)
          world.log(msg_listen_failed, ok.error().message, {{"registry", config.name}});
  });
  if (!watch) return tl::unexpected(watch.error());
  address_watch = *watch;
  return {};
}

upstream* proxy::impl::upstream_named(const std::string& registry) {
  auto found = upstreams.find(registry);
  if (found != upstreams.end()) return found->second.get();
  auto name = served_as(config, registry);
  if (!name) return nullptr;
  found = upstreams.find(*name);
  if (found != upstreams.end()) return found->second.get();
  if (upstreams.size() >= config.upstreams.size() + most_allowed) return nullptr;
  auto made = std::make_unique<upstream>(world, default_upstream(*name), config.stall_time, config.name);
  return upstreams.emplace(*name, std::move(made)).first->second.get();
}

void proxy::impl::answer(door& at, http_call_ptr call) {
  auto asked = read_request(call->path);
  using kind = request::kind;
  if (asked.what == kind::none)
    return call->reply(refusal(404, "NAME_UNKNOWN", "there is no such thing here"));
  bool reads = call->method == "GET" || call->method == "HEAD";
  if (asked.what == kind::ping || asked.what == kind::catalog) {
    if (!reads) return call->reply(refusal(405, "UNSUPPORTED", "this can only be read"));
    if (asked.what == kind::catalog) return answer_catalog(call);
    http_reply out;
    out.content_type = "application/json";
    out.headers = common_fields();
    out.body = std::string("{}");
    return call->reply(std::move(out));
  }
  auto q = understand(at, call, asked);
  if (!q) return;
  if (!reads || asked.what == kind::upload) return answer_write(q, asked);
  switch (asked.what) {
  case kind::manifest: return answer_manifest(q);
  case kind::blob: return answer_blob(q);
  case kind::tags: return answer_tags(q);
  default: return answer_referrers(q);
  }
}

destination proxy::impl::destination_of(const door& at, std::string_view name, std::string_view query) {
  destination out;
  out.from = at.only;
  out.name = name;
  if (!query.empty()) out.ns = parameter(query, "ns");
  if (!out.ns.empty()) {
    auto* named = upstream_named(out.ns);
    // On a port of its own the registry is known: what the node calls it is its own affair.
    if (!named && !at.only) out.registry = out.ns;
    if (named) out.from = named;
    // A node may say it twice: by ns, and by a path that was written into its hosts.toml.
    if (!at.only && name.starts_with(out.ns) && name.substr(out.ns.size()).starts_with("/"))
      out.name.remove_prefix(out.ns.size() + 1);
    return out;
  }
  if (at.only) return out;
  auto slash = name.find('/');
  auto registry = std::string(name.substr(0, slash));
  if (slash != std::string_view::npos) out.from = upstream_named(registry);
  if (out.from)
    out.name.remove_prefix(slash + 1);
  else
    out.registry = std::move(registry);
  return out;
}

question_ptr proxy::impl::understand(door& at, const http_call_ptr& call, const request& asked) {
  auto to = destination_of(at, asked.name, call->query);
  if (!to.from) {
    // Once for each name: a node asks again and again.
    if (told.size() < 256 && told.insert("registry " + to.registry).second)
      world.log(msg_unknown_registry,
                call->client.address.to_string() + " asked for " + printable(to.registry) + "/" +
                    printable(to.name) + ", which is no registry of this proxy",
                {{"registry", config.name}});
    call->reply(refusal(404, "NAME_UNKNOWN",
                        "\"" + to.registry + "\" is no registry of this proxy: see its upstreams and allow"));
    return nullptr;
  }
  if (!oci::is_repository(to.name)) {
    call->reply(refusal(400, "NAME_INVALID", "\"" + std::string(to.name) + "\" is no repository's name"));
    return nullptr;
  }
  auto q = std::make_shared<question>();
  q->call = call;
  q->from = to.from;
  q->reference = asked.reference;
  q->name = asked.name;
  q->ns = std::move(to.ns);
  q->image = to.from->image(to.name);
  return q;
}

http_headers proxy::impl::fields(const question_ptr& q, const std::string& digest) const {
  http_headers out;
  out.reserve(4);
  out.emplace_back("Docker-Distribution-API-Version", "registry/2.0");
  if (!digest.empty()) out.emplace_back("Docker-Content-Digest", digest);
  if (!q->ns.empty() && oci::is_host(q->ns)) out.emplace_back("OCI-Namespace", q->ns);
  return out;
}

void proxy::impl::refuse(const question_ptr& q, int status, std::string_view code, std::string_view message,
                         std::optional<duration> retry_after) {
  auto out = refusal(status, code, message);
  if (retry_after) {
    auto seconds = std::chrono::ceil<std::chrono::seconds>(*retry_after).count();
    out.headers.emplace_back("Retry-After", std::to_string(std::max<std::int64_t>(1, seconds)));
  }
  q->call->reply(std::move(out));
}

void proxy::impl::refuse_as(const question_ptr& q, int status, const std::string& why,
                            std::optional<duration> retry_after, std::string_view missing_code) {
  switch (status) {
  case 404: return refuse(q, 404, missing_code, why.empty() ? "the registry does not have it" : why);
  case 401:
  case 403:
    if (told.size() < 256 && told.insert("denied " + q->image).second)
      world.log(msg_denied, q->from->config().name + " does not let netlab read " + q->image,
                {{"registry", config.name}});
    return refuse(q, 403, "DENIED", "the registry does not let netlab read " + q->image);
  case 429:
    return refuse(q, 429, "TOOMANYREQUESTS", "the registry says that there were too many requests",
                  retry_after);
  case 504: return refuse(q, 504, "UNAVAILABLE", why);
  default: return refuse(q, 502, "UNAVAILABLE", why);
  }
}

void proxy::impl::began(const question_ptr& q, std::string_view tag) {
  journal.begin(q->call->client.address, q->image, tag, world.clock.now());
  watch_pulls();
}

void proxy::impl::ended(const question_ptr& q, const transfer_report& report, bool hit) {
  pull_journal::part p;
  p.bytes = report.bytes;
  p.hit = hit;
  p.counts = !report.probe;
  p.reason = report.completed ? std::string() : report.reason;
  count.sent.add(report.bytes);
  if (hit) count.sent_cached.add(report.bytes);
  journal.end(q->call->client.address, q->image, p, world.clock.now());
}

void proxy::impl::watch_pulls() {
  if (pull_watch || journal.empty()) return;
  pull_watch = world.scheduler.after(pull_journal::rest, [this] {
    pull_watch = {};
    look_for_finished_pulls();
    watch_pulls();
  });
}

void proxy::impl::look_for_finished_pulls() {
  for (const auto& p : journal.finished(world.clock.now())) {
    auto text = p.client.to_string() + " pulled " + p.image + ": " + format_size(p.bytes) + ", " +
                format_size(p.cached_bytes) + " of it from the cache, in " + format_elapsed(p.elapsed);
    if (!p.completed) text += "; not everything: " + p.reason;
    world.log(msg_pull, text,
              {{"client", p.client.to_string()},
               {"image", p.image},
               {"bytes", std::to_string(p.bytes)},
               {"cached", std::to_string(p.cached_bytes)}});
    if (config.on_pull) config.on_pull(p);
  }
}

proxy_state proxy::impl::state() const {
  proxy_state out;
  const auto& index = cache.index();
  out.bytes = cache.bytes();
  out.max_size = config.max_size;
  for (const auto& [digest, e] : index.entries()) ++(e.manifest ? out.manifests : out.blobs);
  for (const auto& [repository, all] : index.tags()) out.tags += all.size();
  out.pinned = pins.size();
  out.fills = fills.size();
  out.hits = count.manifest_hits.value() + count.blob_hits.value();
  out.requests = out.hits + count.manifest_misses.value() + count.blob_misses.value();
  out.sent = count.sent.value();
  out.saved = count.sent_cached.value();
  out.evicted = cache.evicted_bytes();
  for (const auto& [name, u] : upstreams) {
    out.upstreams.push_back(u->state());
    out.fetched += out.upstreams.back().bytes;
  }
  return out;
}

proxy::proxy(const runtime& world, proxy_config config)
    : impl_(std::make_shared<impl>(world, std::move(config))) {}
proxy::~proxy() = default;

result<void> proxy::start() { return impl_->start(); }

std::vector<endpoint> proxy::local() const {
  std::vector<endpoint> out;
  for (const auto& d : impl_->doors) out.insert(out.end(), d->bound.begin(), d->bound.end());
  return out;
}

void proxy::drain(std::function<void()> done) {
  impl_->draining = true;
  impl_->address_watch.reset();
  auto left = std::make_shared<std::size_t>(impl_->doors.size());
  if (*left == 0) return impl_->world.scheduler.post(std::move(done));
  for (auto& d : impl_->doors)
    d->server->drain([left, done] {
      if (--*left == 0) done();
    });
}

proxy_state proxy::state() const { return impl_->state(); }
std::vector<image_state> proxy::images() const { return impl_->images(); }

} // namespace netlab::registry
