#include "dns/service.h"

#include <algorithm>

#include "netlab/dns_operator_messages.h"
#include "network/lease_source.h"

namespace netlab::lua {

namespace {

// A burst of leases makes one new table, and a large table is not made all the time.
constexpr duration gather_leases = std::chrono::milliseconds(20);
constexpr duration file_settles = std::chrono::milliseconds(200);

} // namespace

dns_service::~dns_service() {
  for (auto& w : workers_)
    if (w->loop) w->loop->stop();
  serving_ = false;
  if (alive_) *alive_ = false;
}

std::string dns_service::default_name() const {
  return listen.empty() ? "dns" : "dns-" + std::to_string(listen[0].endpoint.port);
}

result<void> dns_service::check(host& h) {
  if (filtering.has_lists() && h.state_folder().empty())
    return fail(errc::invalid, "lists are kept in the state folder: call netlab.state first", "blocklists");
  if (auto loaded = filtering.load_zone(h.world().files); !loaded) return loaded;
  if (logging.wanted && h.state_folder().empty())
    return fail(errc::invalid, "the log is kept in the state folder: call netlab.state first", "log");
  if (auto loaded = names.zones.load(h.world().files); !loaded) return loaded;
  auto not_this_server = [&](const std::vector<dns::upstream>& all, const char* option) -> result<void> {
    for (const auto& u : all)
      for (const auto& l : listen)
        if (u.host.empty() && u.address == l.endpoint && u.address.port != 0)
          return fail(errc::invalid, "\"" + u.text + "\" is this server itself", option);
    return {};
  };
  for (const auto& g : settings.engine.groups)
    if (auto other = not_this_server(g.members, "upstreams"); !other) return other;
  if (auto other = not_this_server(settings.bootstrap, "bootstrap"); !other) return other;
  if (save_cache && h.state_folder().empty())
    return fail(errc::invalid, "answers are kept in the state folder: call netlab.state first", "cache");
  if (auto possible = names.check(); !possible) return possible;
  return dns::check(settings);
}

std::vector<claimed_endpoint> dns_service::endpoints() const {
  std::vector<endpoint> at;
  if (!workers_.empty() && workers_[0]->server)
    at = on(*workers_[0], [](dns::server& s) { return s.local(); });
  if (at.size() != settings.listen.size() + settings.listen_tls.size()) at.clear();
  std::vector<claimed_endpoint> out;
  for (std::size_t i = 0; i < listen.size(); ++i) {
    auto where = at.empty() ? listen[i].endpoint : at[i];
    out.push_back({"udp", where});
    out.push_back({"tcp", where});
  }
  for (std::size_t i = 0; i < settings.listen_tls.size(); ++i)
    out.push_back({"tcp", at.empty() ? settings.listen_tls[i] : at[listen.size() + i]});
  return out;
}

result<void> dns_service::start(host& h) {
  host_ = &h;
  settings.name = name();
  for (const auto& l : listen) settings.listen.push_back(l.endpoint);
  names.read_hosts_files(h.world(), name());
  if (auto loaded = names.zones.load(h.world().files); !loaded) return loaded;
  if (auto made = names.renew_fixed(); !made) return made;
  names.renew_leased(h.nodes());
  bool kept = !h.state_folder().empty();
  overlays_ = std::make_unique<dns_overlays>(
      h.world(), name(), kept ? h.state_path(name() + ".overlays.json") : "", [this] { give_out(); });
  overlays_->start();
  // Simulated runs have one thread.
  bool alone = &h.bytes().scheduler == &h.world().scheduler;
  if (filtering.any()) {
    filter_ = std::make_unique<dns_filter>(filtering, h.world(), [this] { give_out(); });
    filter_->start(name(), h.state_path(name() + ".lists"), alone);
  }
  if (logging.on && kept) {
    log_ = make_dns_log(logging, h.world(), name(), log_folder(),
                        filter_ ? filter_->list_names() : std::vector<std::string>{},
                        filter_ ? filter_->group_names() : std::vector<std::string>{"everybody"},
                        settings.engine.groups);
  }
  if (on_query) {
    hook_ = std::make_unique<dns_lua_hook>(h, on_query, "dns.server on_query", names.domain,
                                           settings.hook_timeout);
    settings.hook = hook_.get();
  }
  auto now_valid = make_snapshot();
  auto count = alone ? std::size_t{1} : workers;
  settings.reuse_port = count > 1;
  for (std::size_t i = 0; i < count; ++i) {
    auto w = std::make_unique<worker>();
    if (!alone) w->loop = std::make_unique<side_loop>(h.world().log, h.world().metrics);
    w->world = alone ? &h.world() : &w->loop->world();
    settings.worker = std::to_string(i);
    if (log_) settings.sink = &log_->add_worker();
    auto begun = call(*w, [&]() -> result<void> {
      w->server = std::make_unique<dns::server>(*w->world, settings);
      w->server->use(now_valid);
      if (save_cache) load_cache(*w, i);
      return w->server->start();
    });
    if (!begun) {
      workers_.push_back(std::move(w));
      workers_.clear();
      return begun;
    }
    // The others share the port that the first one got.
    if (i == 0) {
      auto got = call(*w, [&] { return w->server->local(); });
      if (got.size() == settings.listen.size() + settings.listen_tls.size()) {
        std::copy_n(got.begin(), settings.listen.size(), settings.listen.begin());
        std::copy(got.begin() + static_cast<std::ptrdiff_t>(settings.listen.size()), got.end(),
                  settings.listen_tls.begin());
      }
    }
    workers_.push_back(std::move(w));
  }
  serving_ = true;
  if (log_) log_->start();
  for (const auto& each : names.leases)
    if (auto* source = dynamic_cast<lease_source*>(each.get()))
      source->on_leases_changed([this] { leases_changed(); });
  for (const auto& each : names.set_names) {
    each->on_change([this, alive = std::weak_ptr(alive_)] {
      if (auto still = alive.lock(); still && *still) leases_changed();
    });
    each->on_ask([this, alive = std::weak_ptr(alive_)](const dns::name& n) {
      auto still = alive.lock();
      bool held = still && *still && names.held_by_recipe(n);
      return held ? n.to_string() + " is " + names.origin_of(n, host_->nodes()) : std::string();
    });
  }
  // A DHCP server that starts after this one has its leases by the next turn.
  if (!names.leases.empty()) leases_changed();
  watch_files();
  return {};
}

void dns_service::drain(std::function<void()> done) {
  serving_ = false;
  if (save_cache) store_caches();
  gather_.cancel();
  watches_.clear();
  reread_.cancel();
  if (overlays_) overlays_->stop();
  if (filter_) filter_->stop();
  auto left = std::make_shared<std::size_t>(workers_.size());
  if (*left == 0) return done();
  for (auto& w : workers_) {
    auto& control = host_->world().scheduler;
    w->world->scheduler.post([raw = w.get(), &control, left, done] {
      raw->server->drain([&control, left, done] {
        control.post([left, done] {
          if (--*left == 0) done();
        });
      });
    });
  }
}

void dns_service::load_cache(const worker& w, std::size_t index) {
  auto saved = w.world->files.read(cache_path(index), 4 * settings.engine.cache_bytes);
  if (!saved) return;
  auto count = w.server->load_cache(as_bytes(*saved));
  w.world->log.write(log_level::debug, name() + ": " + std::to_string(count) + " answers kept from before",
                     {});
}

void dns_service::store_caches() {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    auto bytes = on(*workers_[i], [](dns::server& s) { return s.save_cache(); });
    auto written = host_->world().files.write(cache_path(i), as_text(bytes), 0600);
    if (!written) host_->world().log(dns::msg_cache_unsaved, name() + ": " + written.error().message);
  }
}

void dns_service::leases_changed() {
  if (gather_) return;
  auto wait = std::max<duration>(gather_leases, 10 * last_build_);
  gather_ = host_->world().scheduler.after(wait, [this] { renew_names(); });
}

void dns_service::renew_names() {
  gather_ = {};
  auto begun = host_->world().clock.now();
  names.renew_leased(host_->nodes());
  last_build_ = host_->world().clock.now() - begun;
  give_out();
}

std::shared_ptr<const dns::snapshot> dns_service::make_snapshot() {
  auto out = std::make_shared<dns::snapshot>();
  out->generation = ++generation_;
  out->fixed = names.fixed();
  out->dynamic = names.leased();
  out->routes = routes;
  if (filter_)
    filter_->fill(*out, filter_->names_machines() ? names.known_clients(host_->nodes())
                                                  : std::vector<dns::known_client>{});
  auto changes = overlays_->current();
  bool rules = std::any_of(changes.begin(), changes.end(),
                           [](const dns::overlay& o) { return o.what != dns::overlay::kind::pause; });
  std::shared_ptr<const dns::filter_set> overlaid;
  for (auto& p : out->policies) {
    if (overlays_->paused()) {
      p.filter = nullptr;
      p.safe = dns::safe_search::off;
    } else if (rules) {
      if (!overlaid) overlaid = std::make_shared<dns::overlaid_filter>(p.filter, changes);
      p.filter = overlaid; // one set of lists for all, with masks of their own
    }
  }
  valid_ = out;
  return out;
}

void dns_service::give_out() {
  if (workers_.empty()) return; // it begins
  auto now_valid = make_snapshot();
  for (auto& w : workers_)
    w->world->scheduler.post([raw = w.get(), now_valid, alive = alive_] {
      if (*alive) raw->server->use(now_valid);
    });
}

void dns_service::watch_files() {
  auto paths = names.hosts_files;
  for (const auto& z : names.zones.all) paths.push_back(z.path);
  for (const auto& path : paths) {
    auto watching = host_->world().files.watch(path, [this] {
      // Editors empty a file before they write it: what lies between is no state of it.
      reread_ = host_->world().scheduler.after(file_settles, [this] { read_files_again(); });
    });
    if (watching) watches_.push_back(std::move(*watching));
  }
}

void dns_service::read_files_again() {
  names.read_hosts_files(host_->world(), name());
  names.zones.reload(host_->world(), name());
  if (!names.renew_fixed()) return;
  names.renew_leased(host_->nodes());
  give_out();
}

} // namespace netlab::lua
