#include "registry/proxy.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"
#include "netlab/oci.h"
#include "netlab/text.h"

namespace netlab::lua {

registry_service::~registry_service() {
  if (loop_) loop_->stop();
  proxy_.reset();
}

result<void> registry_service::check(host& h) {
  settings.folder = h.state_path(cache);
  for (const auto& text : prefetched) {
    auto image = oci::parse_image(text);
    if (!image || !registry::served_as(settings, image->registry))
      return fail(errc::invalid, printable(text) + " is of no registry of this proxy", "prefetch");
  }
  if (auto possible = registry::check(settings); !possible) return possible;
  notes_ = registry::missing(settings, h.world().files);
  return {};
}

std::vector<claimed_endpoint> registry_service::endpoints() const {
  std::vector<claimed_endpoint> out;
  if (proxy_) {
    for (const auto& e : call([](registry::proxy& p) { return p.local(); })) out.push_back({"tcp", e});
    return out;
  }
  for (const auto& u : settings.upstreams)
    for (const auto& e : u.listen) out.push_back({"tcp", e});
  for (const auto& e : settings.listen) out.push_back({"tcp", e});
  return out;
}

result<void> registry_service::start(host& h) {
  host_ = &h;
  settings.name = name();
  // A node's pulls are steps of its boot.
  settings.on_pull = [&h, &control = h.world().scheduler,
                      late = std::weak_ptr(alive_)](const registry::pull& p) {
    boot_event e;
    e.node.address = p.client;
    e.stage = boot_stage::image;
    e.bytes = p.bytes;
    e.elapsed = p.elapsed;
    e.done = p.completed;
    auto percent = p.bytes ? p.cached_bytes * 100 / p.bytes : 100;
    e.detail = p.image + ", " + format_size(p.bytes) + " in " + format_elapsed(p.elapsed) + ", " +
               std::to_string(percent) + " % from the cache";
    if (!p.completed) e.detail += "; " + p.reason;
    control.post([&h, late, e] {
      if (!late.expired()) h.tell(e);
    });
  };
  bool alone = &h.bytes().scheduler == &h.world().scheduler;
  if (!alone) loop_ = std::make_unique<side_loop>(h.world().log, h.world().metrics);
  auto begin = [&]() -> result<void> {
    proxy_ = std::make_unique<registry::proxy>(alone ? h.world() : loop_->world(), settings);
    return proxy_->start();
  };
  auto begun = alone ? begin() : loop_->call(begin);
  if (begun && !prefetched.empty()) {
    auto job = call([&](registry::proxy& p) { return p.prefetch(prefetched, platforms); });
    if (!job) begun = tl::unexpected(job.error());
  }
  if (begun) return {};
  if (loop_) loop_->stop();
  proxy_.reset();
  loop_.reset();
  return begun;
}

void registry_service::drain(std::function<void()> done) {
  if (!proxy_) return done();
  auto& control = host_->world().scheduler;
  auto begin = [this, &control, done = std::move(done)] {
    proxy_->drain([&control, done] { control.post(done); });
  };
  if (loop_)
    loop_->world().scheduler.post(std::move(begin));
  else
    begin();
}

json registry_service::status() const {
  if (!proxy_) return json::object();
  auto s = call([](registry::proxy& p) { return p.state(); });
  json upstreams = json::array();
  for (const auto& u : s.upstreams) {
    json entry = {{"upstream", u.name}, {"up", u.up}, {"requests", u.requests}, {"bytes", u.bytes}};
    if (!u.trouble.empty()) entry["trouble"] = printable(u.trouble);
    if (u.blocked) entry["blocked_for"] = format_elapsed(*u.blocked);
    if (u.remaining) entry["quota_left"] = *u.remaining;
    if (u.limit) entry["quota"] = *u.limit;
    if (u.window > duration::zero()) entry["quota_window"] = format_duration(u.window);
    upstreams.push_back(std::move(entry));
  }
  json out = {{"cache", format_size(s.bytes) + " of " + format_size(s.max_size)},
              {"images", s.tags},
              {"requests", s.requests},
              {"hits", s.hits},
              {"hit_ratio", s.requests ? std::to_string(s.hits * 100 / s.requests) + " %" : std::string("-")},
              {"sent_bytes", s.sent},
              {"fetched_bytes", s.fetched},
              {"saved_bytes", s.saved}};
  if (s.fills) out["fetching"] = s.fills;
  if (s.pinned) out["pinned"] = s.pinned;
  if (s.evicted) out["evicted_bytes"] = s.evicted;
  out["upstreams"] = std::move(upstreams);
  return out;
}

std::vector<reading> registry_service::readings() const {
  if (!proxy_) return {};
  auto s = call([](registry::proxy& p) { return p.state(); });
  auto number = [](auto n) { return static_cast<double>(n); };
  std::vector<reading> out = {{"netlab_registry_cache_bytes", {}, number(s.bytes)},
                              {"netlab_registry_cache_limit_bytes", {}, number(s.max_size)},
                              {"netlab_registry_blobs", {}, number(s.blobs)},
                              {"netlab_registry_tags", {}, number(s.tags)},
                              {"netlab_registry_pinned", {}, number(s.pinned)},
                              {"netlab_registry_fills", {}, number(s.fills)},
                              {"netlab_registry_evicted_bytes_total", {}, number(s.evicted)}};
  if (s.requests) out.push_back({"netlab_registry_hit_ratio", {}, number(s.hits) / number(s.requests)});
  for (const auto& u : s.upstreams) {
    auto add = [&](const char* what, double value) { out.push_back({what, {{"upstream", u.name}}, value}); };
    add("netlab_registry_upstream_up", u.up ? 1 : 0);
    add("netlab_registry_upstream_blocked_seconds",
        u.blocked ? std::chrono::duration<double>(*u.blocked).count() : 0);
    if (u.limit) add("netlab_registry_upstream_quota", number(*u.limit));
    if (u.remaining) add("netlab_registry_upstream_quota_left", number(*u.remaining));
  }
  return out;
}

result<std::vector<registry::mirror>> registry_service::mirrors(const std::string& address) const {
  std::vector<registry::mirror> out;
  auto scheme = std::string(settings.tls ? "https://" : "http://");
  auto at = [&](const endpoint& e) -> result<std::string> {
    if (!address.empty()) return scheme + address + ":" + std::to_string(e.port);
    if (e.address.is_unspecified())
      return fail(errc::invalid,
                  "the proxy listens on every address: say by which one nodes reach it, with address",
                  "registry.mirrors");
    return scheme + e.to_string();
  };
  for (const auto& u : settings.upstreams) {
    bool own = !u.listen.empty();
    if (!own && settings.listen.empty()) continue;
    auto url = at(own ? u.listen.front() : settings.listen.front());
    if (!url) return tl::unexpected(url.error());
    out.push_back({u.name, own ? *url : *url + "/v2/" + u.name, !own});
  }
  return out;
}

namespace {

schema proxy_schema() {
  schema s;
  s.name = "registry.proxy";
  s.help =
      "A pull-through cache of container registries: every byte is fetched once, for all nodes, and stays "
      "within a size.";
  auto credentials = type::table({
      optional("username", type::string(), "with password_file or password_env"),
      optional("password_file", type::path(), "a file that holds the password or token alone"),
      optional("password_env", type::string(), "the environment variable that holds it"),
      optional("docker_config", type::path(),
               "instead of these: a Docker config file that knows the registry"),
  });
  auto upstream = type::table({
      optional("url", type::url(), "of its API; by default https:// and its name"),
      optional("listen", type::listen(), "a port of its own: \"addr:port\", lan:at(port), or a list of them"),
      optional("credentials", credentials, "for repositories or limits that need them"),
      with_default("tags", type::duration(), "10m",
                   "for how long a tag is believed before the upstream is asked whether it has changed"),
      optional("latest", type::duration(), "the same for the tag latest; by default a minute, or `tags`"),
      optional("mirrors", type::list(type::url()), "URLs that are asked before `url`, in order"),
      optional("ca", type::path(), "certificates, PEM, trusted instead of the system's"),
      with_default("verify", type::boolean(), true, "check its certificate"),
      optional("import", type::path(),
               "the storage folder of a registry:2 that cached it, read as a warm cache"),
  });
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      optional("cache",
               type::table({
                   with_default("path", type::string(), "registry", "a folder; relative to the state folder"),
                   with_default("max_size", type::size(), "20GiB", "what was used longest ago goes first"),
                   with_default("keep_free", type::size(), "64MiB", "of the disk, left to others"),
               }),
               "where content is kept, and how much of it"),
      optional("upstreams", type::map(upstream), "registries, by the name that images have in front"),
      optional("listen", type::listen(),
               "a port for all of them, which tells them apart by ?ns= or /v2/<registry>/…"),
      optional("allow", type::list(type::string()),
               "further registries that may be asked for on that port, by name; * and ? match"),
      optional("hosted", type::string(),
               "opens a registry of this name on the port for all, which takes pushes and keeps them"),
      optional("tls",
               type::table({required("certificate", type::path(), "certificate chain, PEM"),
                            required("key", type::path(), "private key, PEM")}),
               "serve HTTPS with this certificate"),
  };
  s.options.push_back(optional(
      "prefetch",
      type::table({
          optional("images", type::list(type::string()), "by name"),
          optional("files", type::list(type::path()),
                   "lists of images, as `talosctl image default` prints one, or Kubernetes manifests"),
          optional("platforms", type::list(type::string()),
                   "of images for several: \"linux/arm64\"; by default all of them"),
      }),
      "what is fetched when it starts, so that the lab can boot without the registries"));
  s.example = "netlab.registry.proxy {\n"
              "  cache = { max_size = \"20GiB\" },\n"
              "  upstreams = { [\"docker.io\"] = { listen = lan:at(5050) }, [\"ghcr.io\"] = { listen = "
              "lan:at(5052) } },\n"
              "  listen = lan:at(5000),\n"
              "}";
  return s;
}

result<registry::account> read_credentials(host& h, const options& o, const std::string& registry,
                                           const std::string& where) {
  auto bad = [&](const std::string& why) { return fail(errc::invalid, why, where); };
  if (auto path = o.maybe<file_path>("docker_config")) {
    if (o.has("username") || o.has("password_file") || o.has("password_env"))
      return bad("docker_config stands alone");
    auto text = h.world().files.read(path->path, 4u << 20);
    if (!text) return fail(text.error().code, text.error().message, where + ".docker_config");
    auto found = registry::account_of_docker_config(*text, registry);
    if (!found) return fail(found.error().code, found.error().message, where + ".docker_config");
    return found;
  }
  auto user = o.maybe<std::string>("username");
  if (!user) return bad("one of \"username\" and \"docker_config\" is needed");
  if (auto path = o.maybe<file_path>("password_file")) {
    auto text = h.world().files.read(path->path, 64u << 10);
    if (!text) return fail(text.error().code, text.error().message, where + ".password_file");
    return registry::account{*user, std::string(trim(*text))};
  }
  auto variable = o.maybe<std::string>("password_env");
  if (!variable) return bad("one of \"password_file\" and \"password_env\" is needed");
  const char* value = std::getenv(variable->c_str());
  if (!value) return fail(errc::not_found, "the environment has no " + *variable, where + ".password_env");
  return registry::account{*user, value};
}

std::vector<endpoint> endpoints_of(const listen_list& all) {
  std::vector<endpoint> out;
  for (const auto& each : all) out.push_back(each.endpoint);
  return out;
}

result<registry::upstream_config> read_upstream(host& h, const std::string& name, const options& o) {
  auto u = registry::default_upstream(name);
  auto where = "upstreams." + name;
  if (auto url = o.maybe<std::string>("url")) u.url = *url;
  if (auto listen = o.maybe<listen_list>("listen")) u.listen = endpoints_of(*listen);
  u.tags = o.get<duration>("tags");
  u.latest = o.maybe<duration>("latest").value_or(std::min<duration>(u.tags, std::chrono::minutes(1)));
  u.mirrors = o.list<std::string>("mirrors");
  if (auto ca = o.maybe<file_path>("ca")) u.ca_file = ca->path;
  u.verify = o.get<bool>("verify");
  if (auto folder = o.maybe<file_path>("import")) u.import = folder->path;
  if (auto given = o.maybe<options>("credentials")) {
    auto account = read_credentials(h, *given, name, where + ".credentials");
    if (!account) return tl::unexpected(account.error());
    u.credentials = *account;
  }
  return u;
}

result<std::vector<std::string>> read_prefetch(host& h, const options& o) {
  auto out = o.list<std::string>("images");
  for (const auto& image : out)
    if (auto ok = oci::parse_image(image); !ok)
      return fail(errc::invalid, ok.error().message, "prefetch.images");
  for (const auto& file : o.list<file_path>("files")) {
    auto text = h.world().files.read(file.path, 4u << 20);
    if (!text) return fail(text.error().code, text.error().message, "prefetch.files");
    auto found = registry::images_in(*text);
    if (found.empty()) return fail(errc::invalid, file.path + " names no image", "prefetch.files");
    out.insert(out.end(), found.begin(), found.end());
  }
  if (out.empty()) return fail(errc::invalid, "one of \"images\" and \"files\" is needed", "prefetch");
  return out;
}

result<object_ptr> create_proxy(host& h, const options& o) {
  auto out = std::make_shared<registry_service>();
  auto& s = out->settings;
  out->cache = "registry";
  if (auto cache = o.maybe<options>("cache")) {
    out->cache = cache->get<std::string>("path");
    s.max_size = cache->get<byte_size>("max_size").bytes;
    s.reserve = cache->get<byte_size>("keep_free").bytes;
  }
  if (auto all = o.maybe<value_map>("upstreams"))
    for (const auto& item : all->items) {
      auto u = read_upstream(h, item.name, item.value.as<options>());
      if (!u) return tl::unexpected(u.error());
      s.upstreams.push_back(std::move(*u));
    }
  if (auto listen = o.maybe<listen_list>("listen")) s.listen = endpoints_of(*listen);
  s.allow = o.list<std::string>("allow");
  if ((o.has("allow") || o.has("hosted")) && s.listen.empty())
    return fail(errc::invalid, "it needs the port for all: give listen", o.has("allow") ? "allow" : "hosted");
  if (auto hosted = o.maybe<std::string>("hosted")) {
    registry::upstream_config u;
    u.name = *hosted;
    u.hosted = true;
    s.upstreams.push_back(std::move(u));
  }
  if (auto prefetch = o.maybe<options>("prefetch")) {
    auto wanted = read_prefetch(h, *prefetch);
    if (!wanted) return tl::unexpected(wanted.error());
    out->prefetched = std::move(*wanted);
    out->platforms = prefetch->list<std::string>("platforms");
  }
  if (auto tls = o.maybe<options>("tls"))
    s.tls = tls_identity{tls->get<file_path>("certificate").path, tls->get<file_path>("key").path};
  return out;
}

const schema& mirrors_schema() {
  static const schema s = [] {
    schema out;
    out.name = "registry.mirrors";
    out.options = {
        optional("address", type::string(), "by which nodes reach the proxy; by default where it listens")};
    return out;
  }();
  return s;
}

int mirrors(call& c) {
  if (is_inert(c.L, 1)) return push_inert(c.L), 1;
  auto proxy = std::dynamic_pointer_cast<registry_service>(object_at(c.L, 1));
  if (!proxy) c.refuse("the first argument is what netlab.registry.proxy returned");
  std::string address;
  if (c.given(2)) address = c.table(2, mirrors_schema()).maybe<std::string>("address").value_or("");
  auto all = proxy->mirrors(address);
  if (!all) c.refuse(all.error().message);
  json hosts = json::object(), urls = json::object();
  for (const auto& [path, text] : registry::containerd_hosts(*all)) hosts[path] = text;
  for (const auto& m : *all) urls[m.registry] = m.url;
  return c.give(json{{"urls", std::move(urls)},
                     {"containerd", std::move(hosts)},
                     {"talos", registry::talos_registries(*all)},
                     {"talos_documents", registry::talos_mirror_documents(*all)},
                     {"docker", registry::docker_daemon_json(*all)}});
}

json job_row(const registry::job_state& j) {
  return {{"id", j.id},       {"what", j.what},         {"done", j.done},   {"failed", j.failed},
          {"steps", j.steps}, {"finished", j.finished}, {"bytes", j.bytes}, {"lines", j.lines}};
}

std::vector<std::string> texts_of(const json& request, const char* key) {
  std::vector<std::string> out;
  if (request.contains(key) && request[key].is_array())
    for (const auto& each : request[key])
      if (each.is_string()) out.push_back(each.get<std::string>());
  return out;
}

result<json> act(const registry_service& s, const std::string& action, const json& request) {
  auto images = texts_of(request, "images");
  auto job = [](const result<registry::job_state>& j) -> result<json> {
    if (!j) return tl::unexpected(j.error());
    return job_row(*j);
  };
  if (action == "ls") {
    json out = json::array();
    for (const auto& i : s.call([](registry::proxy& p) { return p.images(); }))
      out.push_back({{"image", i.image},
                     {"digest", i.digest},
                     {"media_type", i.media_type},
                     {"bytes", i.bytes},
                     {"missing", i.missing},
                     {"used", format_time(i.used, false)},
                     {"pinned", i.pinned}});
    return out;
  }
  if (action == "stat") return s.status();
  if (action == "gc") return json{{"bytes", s.call([](registry::proxy& p) { return p.collect(); })}};
  if (action == "verify") return job_row(s.call([](registry::proxy& p) { return p.verify(); }));
  if (action == "prefetch") {
    auto platforms = texts_of(request, "platforms");
    return job(s.call([&](registry::proxy& p) { return p.prefetch(images, platforms); }));
  }
  if (action == "job") {
    auto id = request.contains("id") && request["id"].is_number() ? request["id"].get<std::uint64_t>() : 0;
    return job(s.call([&](registry::proxy& p) { return p.job(id); }));
  }
  if (action == "pin" || action == "unpin") {
    for (const auto& image : images) {
      auto ok = s.call([&](registry::proxy& p) { return action == "pin" ? p.pin(image) : p.unpin(image); });
      if (!ok) return tl::unexpected(ok.error());
    }
    return json{{"images", images}};
  }
  return fail(errc::invalid, "there is no action \"" + printable(action) + "\"", "registry");
}

// What the control socket's verb "registry" does, on the one proxy or the one that is named.
result<json> do_as_asked(host& h, const json& request) {
  auto text = [&](const char* key) {
    return request.contains(key) && request[key].is_string() ? request[key].get<std::string>()
                                                             : std::string();
  };
  auto wanted = text("name");
  const registry_service* found = nullptr;
  for (const auto& o : h.graph().objects()) {
    auto* s = dynamic_cast<registry_service*>(o.get());
    if (!s || !s->running() || (!wanted.empty() && s->name() != wanted)) continue;
    if (found)
      return fail(errc::invalid, "there are several registry proxies: say which with --name", "registry");
    found = s;
  }
  if (!found)
    return fail(errc::not_found,
                wanted.empty() ? "this recipe has no registry proxy"
                               : "there is no registry proxy \"" + printable(wanted) + "\"",
                "registry");
  return act(*found, text("action"), request);
}

} // namespace

void add_registry_verbs(host& h) {
  h.on_control("registry", [&h](const json& request) { return do_as_asked(h, request); });
}

void bind_registry(api& a) {
  a.constructor(proxy_schema(), "registry.proxy", create_proxy);
  a.kind({"registry.proxy", "A pull-through cache of registries.", {}, {}});
  a.function(
      {"registry.mirrors",
       mirrors,
       "What nodes need to know to pull through a proxy. Of the result, `containerd` has the texts of "
       "hosts.toml files by their path below config_path, `talos` a machine config patch, "
       "`talos_documents` RegistryMirrorConfig documents for Talos 1.12 and later, `docker` the text of "
       "/etc/docker/daemon.json, which can have a mirror of docker.io only, and `urls` the address by "
       "registry.",
       {{"proxy", "registry.proxy", ""}, {"options?", "table", ""}},
       {{"mirrors", "table", "{ urls, containerd, talos, talos_documents, docker }"}},
       false,
       mirrors_schema()});
}

} // namespace netlab::lua
