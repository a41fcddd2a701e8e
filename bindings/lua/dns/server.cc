#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <set>

#include "dns/filter.h"
#include "dns/hook.h"
#include "dns/log.h"
#include "dns/names.h"
#include "dns/operated.h"
#include "dns/records.h"
#include "dns/why.h"
#include "dns/zones.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/borrowed_call.h"
#include "host/host.h"
#include "host/side_loop.h"
#include "netlab/dns_over_https.h"
#include "netlab/dns_server.h"
#include "netlab/files.h"
#include "netlab/text.h"
#include "network/lease_source.h"
#include "network/network.h"
#include "network/nodes.h"

namespace netlab::lua {

namespace {

constexpr std::uint32_t lease_ttl = 60; // seconds: a name may belong to another machine soon
// A burst of leases makes one new table, and a large table is not made all the time.
constexpr duration gather_leases = std::chrono::milliseconds(20);
constexpr duration file_settles = std::chrono::milliseconds(200);

std::uint32_t whole_seconds(duration d) {
  auto count = std::chrono::duration_cast<std::chrono::seconds>(d).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(count, 0, 0x7fffffff));
}

class dns_service final : public service, public http_answerer, public dns_operated {
public:
  listen_list listen;
  dns::server_config settings;
  dns::name domain;
  std::uint32_t ttl = 300;
  std::vector<recipe_record> records;
  std::vector<std::string> hosts_files;
  std::vector<std::shared_ptr<node_list>> nodes;
  std::vector<object_ptr> leases;
  std::shared_ptr<const dns::route_table> routes;
  std::size_t workers = 1;
  dns_filter_settings filtering;
  bool save_cache = false;
  dns_log_settings logging;
  dns_zones zones;
  std::vector<std::shared_ptr<dns_names>> set_names;
  shared_reference on_query;

  ~dns_service() override {
    for (auto& w : workers_)
      if (w->loop) w->loop->stop();
    serving_ = false;
    if (alive_) *alive_ = false;
  }

  std::string default_name() const override {
    return listen.empty() ? "dns" : "dns-" + std::to_string(listen[0].endpoint.port);
  }

  result<void> check(host& h) override {
    if (filtering.has_lists() && h.state_folder().empty())
      return fail(errc::invalid, "lists are kept in the state folder: call netlab.state first", "blocklists");
    if (logging.wanted && h.state_folder().empty())
      return fail(errc::invalid, "the log is kept in the state folder: call netlab.state first", "log");
    if (auto loaded = zones.load(h.world().files); !loaded) return loaded;
    for (const auto& g : settings.engine.groups)
      for (const auto& u : g.members)
        for (const auto& l : listen)
          if (u.host.empty() && u.address == l.endpoint && u.address.port != 0)
            return fail(errc::invalid, "\"" + u.text + "\" is this server itself", "upstreams");
    if (save_cache && h.state_folder().empty())
      return fail(errc::invalid, "answers are kept in the state folder: call netlab.state first", "cache");
    auto names = fixed_names();
    if (!names) return tl::unexpected(names.error());
    return dns::check(settings.engine);
  }

  std::vector<claimed_endpoint> endpoints() const override {
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

  result<void> start(host& h) override {
    host_ = &h;
    settings.name = name();
    for (const auto& l : listen) settings.listen.push_back(l.endpoint);
    read_hosts_files();
    if (auto loaded = zones.load(h.world().files); !loaded) return loaded;
    auto fixed = fixed_names();
    if (!fixed) return tl::unexpected(fixed.error());
    fixed_ = std::move(*fixed);
    dynamic_ = leased_names();
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
      hook_ =
          std::make_unique<dns_lua_hook>(h, on_query, "dns.server on_query", domain, settings.hook_timeout);
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
        stop_workers();
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
    for (const auto& each : leases)
      if (auto* source = dynamic_cast<lease_source*>(each.get()))
        source->on_leases_changed([this] { leases_changed(); });
    for (const auto& each : set_names) {
      each->on_change([this, alive = std::weak_ptr(alive_)] {
        if (auto still = alive.lock(); still && *still) leases_changed();
      });
      each->on_ask([this, alive = std::weak_ptr(alive_)](const dns::name& n) {
        auto still = alive.lock();
        bool held = still && *still && held_by_recipe(n);
        return held ? n.to_string() + " is " + origin_of(n) : std::string();
      });
    }
    // A DHCP server that starts after this one has its leases by the next turn.
    if (!leases.empty()) leases_changed();
    watch_files();
    return {};
  }

  void drain(std::function<void()> done) override {
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

  json status() const override {
    if (workers_.empty() || !workers_[0]->server) return json::object();
    dns::engine_counts sum;
    std::size_t answers = 0, bytes = 0;
    json upstreams = json::array();
    std::string last_bogus;
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      auto s = on(*workers_[i], [](dns::server& server) { return server.status(); });
      sum.queries += s.counts.queries;
      sum.hits += s.counts.hits;
      sum.blocked += s.counts.blocked;
      sum.failures += s.counts.failures;
      answers += s.cached_answers;
      bytes += s.cached_bytes;
      sum.secure += s.counts.secure;
      sum.insecure += s.counts.insecure;
      sum.bogus += s.counts.bogus;
      if (!s.last_bogus.empty()) last_bogus = s.last_bogus;
      if (i > 0) continue;
      for (const auto& u : s.upstreams) {
        json entry = {
            {"upstream", u.text}, {"up", u.up}, {"ms", static_cast<double>(u.round_trip.count()) / 1e6}};
        if (!u.up) entry["why"] = printable(u.last_trouble);
        upstreams.push_back(std::move(entry));
      }
    }
    json out = {{"queries", sum.queries},
                {"cache_hits", sum.hits},
                {"blocked", sum.blocked},
                {"failures", sum.failures},
                {"cached", answers},
                {"cache_bytes", bytes},
                {"names", (fixed_ ? fixed_->size() : 0) + (dynamic_ ? dynamic_->size() : 0)},
                {"upstreams", std::move(upstreams)}};
    if (settings.engine.dnssec.validate) {
      out["dnssec"] = {{"secure", sum.secure}, {"insecure", sum.insecure}, {"bogus", sum.bogus}};
      if (!last_bogus.empty()) out["dnssec"]["last_bogus"] = printable(last_bogus);
    }
    if (filter_) out["filter"] = filter_->status();
    if (log_) {
      auto s = log_->status();
      out["log"] = {{"queries", s.rows}, {"on disk", format_size(s.bytes)}};
      if (s.dropped > 0) out["log"]["not logged"] = s.dropped;
      if (!s.trouble.empty()) out["log"]["trouble"] = printable(s.trouble);
    }
    if (auto changes = overlays_ ? overlays_->status() : json::array(); !changes.empty())
      out["changes"] = std::move(changes);
    return out;
  }

  bool fits(std::string_view kind) const override { return kind == "http.entry"; }
  std::string http_prefix() const override { return std::string(dns::doh_path); }
  std::string http_objection(bool tls) const override {
    return tls ? "" : "DNS over HTTPS needs a certificate: give the server tls = { certificate, key }";
  }
  void answer_http(std::shared_ptr<borrowed_call> asked) override {
    const auto& c = *asked->call;
    auto q = dns::read_doh(c.method, c.query, c.header("content-type"), c.body);
    if (q.refusal != 0) {
      http_reply r;
      r.status = q.refusal;
      if (q.refusal == 405) r.headers = {{"Allow", "GET, POST"}};
      return asked->reply(std::move(r));
    }
    auto next = turn_.fetch_add(1, std::memory_order_relaxed);
    if (!*alive_ || !serving_) return asked->reply({503, "text/plain; charset=utf-8", {}, std::string()});
    auto& w = *workers_[next % workers_.size()];
    w.world->scheduler.post([raw = &w, bytes = std::move(q.bytes), client = c.client, asked, alive = alive_] {
      if (!*alive) return;
      raw->server->ask(bytes, client, [asked](byte_view reply) {
        http_reply r;
        if (reply.empty()) { // the server is going
          r.status = 503;
          return asked->reply(std::move(r));
        }
        r.content_type = dns::doh_content_type;
        r.headers = {{"Cache-Control", "max-age=" + std::to_string(dns::doh_max_age(reply))}};
        r.body = std::string(as_text(reply));
        asked->reply(std::move(r));
      });
    });
  }

  // --- what an operator asks

  bool is_running() const override { return !workers_.empty() && workers_[0]->server != nullptr; }
  dns_overlays* overlays() override { return overlays_.get(); }
  dns::query_log* log() override { return log_.get(); }
  std::string log_folder() const override {
    return log_ || (host_ && logging.on && !host_->state_folder().empty())
               ? host_->state_path(name() + ".log")
               : "";
  }
  std::string log_privacy() const override {
    static constexpr const char* words[] = {"all", "hide_domains", "hide_clients", "anonymous"};
    return words[static_cast<std::size_t>(logging.privacy)];
  }

  void settle() override {
    if (!gather_) return;
    renew_names();
    for (auto& w : workers_) on(*w, [](dns::server&) { return true; });
  }

  std::optional<endpoint> own_endpoint() const override {
    for (const auto& e : endpoints()) {
      if (e.protocol != "udp" || e.local.port == 0) continue;
      auto out = e.local;
      if (out.address.is_unspecified())
        out.address = out.address.is_v4() ? ip_address::v4(127, 0, 0, 1) : *ip_address::parse("::1");
      return out;
    }
    return std::nullopt;
  }

  json why(const dns::name& qname, std::uint16_t type, const std::optional<ip_address>& client) override {
    dns_facts facts{*valid_,
                    settings.engine,
                    *overlays_,
                    filter_ ? filter_->current() : nullptr,
                    filter_ ? filter_->group_names() : std::vector<std::string>{"everybody"},
                    on_query != nullptr,
                    [this](const dns::name& n) { return origin_of(n); },
                    [this](const dns::name& n, std::uint16_t t, std::uint8_t group, dns::safe_search safe) {
                      for (auto& w : workers_)
                        if (auto got = on(*w, [&](dns::server& s) { return s.kept(n, t, group, safe); }))
                          return got;
                      return std::optional<dns::kept_answer>();
                    }};
    return explain_question(facts, qname, type, client);
  }

  void flush() {
    for (auto& w : workers_)
      w->world->scheduler.post([raw = w.get(), alive = alive_] {
        if (*alive) raw->server->clear_cache();
      });
  }

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

  void stop_workers() { workers_.clear(); }

  std::string cache_path(std::size_t index) const {
    return host_->state_path(name() + ".answers-" + std::to_string(index));
  }
  // A file that is not there, damaged or of other upstreams is as good as an empty cache.
  void load_cache(const worker& w, std::size_t index) {
    auto saved = w.world->files.read(cache_path(index), 4 * settings.engine.cache_bytes);
    if (!saved) return;
    auto count = w.server->load_cache(as_bytes(*saved));
    w.world->log.write(log_level::debug, name() + ": " + std::to_string(count) + " answers kept from before",
                       {});
  }
  void store_caches() {
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      auto bytes = on(*workers_[i], [](dns::server& s) { return s.save_cache(); });
      auto written = host_->world().files.write(cache_path(i), as_text(bytes), 0600);
      if (!written)
        host_->world().log.write(log_level::warn,
                                 name() + ": answers are not kept: " + written.error().message, {});
    }
  }

  // The recipe's records, then what hosts files say, then the addresses that are reserved for nodes: what
  // comes first wins.
  result<std::shared_ptr<const dns::name_table>> fixed_names() {
    dns::name_table_builder b(domain.is_root() ? std::vector<dns::name>{} : std::vector{domain});
    dns::add_standard_names(b);
    for (const auto& r : records) {
      bool address = r.type == dns::rtype::a || r.type == dns::rtype::aaaa;
      auto added = result<void>();
      if (address && r.back) {
        auto parsed = ip_address::parse(dns::rdata_text(r.type, r.data));
        added = b.add_host(r.owner, *parsed, r.ttl);
      } else {
        added = b.add(r.owner, r.type, r.ttl, r.data);
      }
      if (!added) return fail(errc::conflict, added.error().message, "records");
    }
    for (const auto& z : zones.all)
      for (const auto& r : z.records) {
        bool address = r.type == dns::rtype::a || r.type == dns::rtype::aaaa;
        // A record of the recipe takes the place of a zone's CNAME, and the other way round.
        if (address)
          (void)b.add_host(r.owner, *ip_address::parse(dns::rdata_text(r.type, r.data)), r.ttl);
        else
          (void)b.add(r.owner, r.type, r.ttl, r.data);
      }
    for (const auto& [address, n] : from_files_) add_machine(b, n, address, ttl);
    for (const auto& p : filtering.piholes) add_pihole_names(b, p->setup);
    for (const auto& list : nodes)
      for (const auto* n : list->nodes)
        if (n->ip)
          if (auto parsed = dns::name::parse(n->name); parsed && !taken(b, *parsed))
            add_machine(b, *parsed, *n->ip, ttl);
    return b.build();
  }

  // The local records of a Pi-hole, where the recipe and hosts files say nothing.
  void add_pihole_names(dns::name_table_builder& b, const dns::pihole_setup& from) const {
    std::set<std::string> free;
    for (const auto& [address, text] : from.hosts) {
      auto n = dns::name::parse(text);
      // A name may have several addresses.
      if (n && (free.count(text) > 0 || !taken(b, *n))) {
        add_machine(b, *n, address, ttl);
        free.insert(text);
      }
    }
    for (const auto& [alias, target] : from.cnames) {
      auto n = dns::name::parse(alias), to = dns::name::parse(target);
      if (!n || !to || taken(b, *n)) continue;
      (void)b.add(*n, dns::rtype::cname, ttl, {to->wire().begin(), to->wire().end()});
    }
  }

  bool taken(const dns::name_table_builder& b, const dns::name& n) const {
    auto whole = n.labels() == 1 ? n.under(domain) : std::nullopt;
    return b.holds(n) || (whole && b.holds(*whole));
  }

  // A machine's name, with and without the domain. A name that has other records by now keeps those.
  void add_machine(dns::name_table_builder& b, const dns::name& n, const ip_address& address,
                   std::uint32_t seconds) const {
    if (n.labels() == 1 && !domain.is_root())
      if (auto whole = n.under(domain)) (void)b.add_host(*whole, address, seconds);
    (void)b.add_host(n, address, seconds);
  }

  std::shared_ptr<const dns::name_table> leased_names() {
    dns::name_table_builder b(domain.is_root() ? std::vector<dns::name>{} : std::vector{domain});
    for (const auto& names : set_names)
      for (const auto& r : names->records(domain)) {
        if (held_by_recipe(r.owner)) continue;
        bool address = r.back && (r.type == dns::rtype::a || r.type == dns::rtype::aaaa);
        if (address)
          (void)b.add_host(r.owner, *ip_address::parse(dns::rdata_text(r.type, r.data)), r.ttl);
        else
          (void)b.add(r.owner, r.type, r.ttl, r.data);
      }
    std::vector<lease> all;
    for (const auto& each : leases)
      if (auto* source = dynamic_cast<lease_source*>(each.get()))
        for (auto& l : source->current_leases())
          if (l.state == lease_state::active) all.push_back(std::move(l));
    std::vector<const lease*> by_clients;
    for (const auto& l : all) {
      node_identity who;
      who.mac = l.mac;
      const auto* known = host_->nodes().find(who);
      if (!known || !known->declared) {
        by_clients.push_back(&l);
        continue;
      }
      if (known->ip) continue; // its reserved address is its name's
      if (auto n = dns::name::parse(known->name); n && !held_by_recipe(*n) && !taken(b, *n))
        add_machine(b, *n, l.address, lease_ttl);
    }
    for (const auto* l : by_clients) {
      auto n = dns::name::parse(l->hostname.substr(0, l->hostname.find('.')));
      if (!n || n->is_root() || held_by_recipe(*n) || is_telltale(n->to_string()) || taken(b, *n)) continue;
      const auto* holder = host_->nodes().find_name(n->to_string());
      if (holder && holder->declared) continue;
      add_machine(b, *n, l->address, lease_ttl);
    }
    return b.build();
  }

  bool held_by_recipe(const dns::name& n) const {
    auto holds = [&](const dns::name& each) {
      const auto* found = fixed_->find(each.lower());
      return found && !found->empty();
    };
    auto whole = n.under(domain);
    return holds(n) || (whole && holds(*whole));
  }

  // Where the records of a name of ours come from, for the operator.
  std::string origin_of(const dns::name& n) const {
    auto same = [&](const dns::name& each) {
      return each == n || (each.labels() == 1 && each.under(domain).value_or(each) == n);
    };
    auto covers = [&](const dns::name& each) {
      bool wild = each.wire()[0] == 1 && each.wire()[1] == '*';
      return same(each) || (wild && n.is_within(each.parent()));
    };
    for (const auto& r : records)
      if (covers(r.owner)) return "a record of the recipe";
    for (const auto& z : zones.all)
      for (const auto& r : z.records)
        if (covers(r.owner)) return "a record of " + z.path + ":" + std::to_string(r.line);
    for (const auto& [address, each] : from_files_)
      if (same(each)) return "a name of a hosts file";
    for (const auto& p : filtering.piholes) {
      for (const auto& [address, text] : p->setup.hosts)
        if (auto each = dns::name::parse(text); each && same(*each)) return "a local record of the Pi-hole";
      for (const auto& [alias, target] : p->setup.cnames)
        if (auto each = dns::name::parse(alias); each && same(*each)) return "a local record of the Pi-hole";
    }
    for (const auto& list : nodes)
      for (const auto* node : list->nodes)
        if (auto each = dns::name::parse(node->name); node->ip && each && same(*each))
          return "the node " + node->name + " with its reserved address";
    for (const auto& names : set_names)
      for (const auto& r : names->records(domain))
        if (covers(r.owner)) return "a name that the recipe set with \"" + names->name() + "\"";
    if (auto address = dns::address_of_reverse(n)) return "the reverse of a name of ours";
    for (const auto& c : known_clients())
      if (auto each = dns::name::parse(c.name.substr(0, c.name.find('.'))); each && same(*each))
        return "the lease of " + c.address.to_string();
    return "a name that exists by itself";
  }

  // Names by which machines look for a proxy, a tunnel or themselves are nobody's to claim.
  static bool is_telltale(std::string_view host) {
    for (auto each : {"wpad", "isatap", "localhost", "_gateway"})
      if (iequals(host, each)) return true;
    return false;
  }

  void leases_changed() {
    if (gather_) return;
    auto wait = std::max<duration>(gather_leases, 10 * last_build_);
    gather_ = host_->world().scheduler.after(wait, [this] { renew_names(); });
  }

  void renew_names() {
    gather_ = {};
    auto begun = host_->world().clock.now();
    dynamic_ = leased_names();
    last_build_ = host_->world().clock.now() - begun;
    give_out();
  }

  // Who has which address, by reservations and leases.
  std::vector<dns::known_client> known_clients() const {
    std::vector<dns::known_client> out;
    for (const auto& list : nodes)
      for (const auto* n : list->nodes)
        if (n->ip) {
          auto mac = n->macs.empty() ? std::optional<mac_address>() : n->macs.front();
          out.push_back({*n->ip, mac, n->name});
        }
    for (const auto& each : leases)
      if (auto* source = dynamic_cast<lease_source*>(each.get()))
        for (const auto& l : source->current_leases()) {
          if (l.state != lease_state::active) continue;
          node_identity who;
          who.mac = l.mac;
          const auto* known = host_->nodes().find(who);
          out.push_back({l.address, l.mac, known && known->declared ? known->name : l.hostname});
        }
    return out;
  }

  std::shared_ptr<const dns::snapshot> make_snapshot() {
    auto out = std::make_shared<dns::snapshot>();
    out->generation = ++generation_;
    out->fixed = fixed_;
    out->dynamic = dynamic_;
    out->routes = routes;
    if (filter_)
      filter_->fill(*out, filter_->names_machines() ? known_clients() : std::vector<dns::known_client>{});
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

  void give_out() {
    if (workers_.empty()) return; // it begins
    auto now_valid = make_snapshot();
    for (auto& w : workers_)
      w->world->scheduler.post([raw = w.get(), now_valid, alive = alive_] {
        if (*alive) raw->server->use(now_valid);
      });
  }

  void read_hosts_files() {
    from_files_.clear();
    auto& world = host_->world();
    for (const auto& path : hosts_files) {
      auto text = world.files.read(path);
      if (!text) {
        world.log.write(log_level::warn, "hosts file: " + text.error().message, {{"server", name()}});
        continue;
      }
      auto wrong = dns::parse_hosts(*text, [&](const ip_address& a, const dns::name& n) {
        // Every hosts file names the machine itself; others are not told that it is theirs.
        if (!a.is_loopback() && !a.is_unspecified() && !a.is_multicast()) from_files_.emplace_back(a, n);
      });
      if (!wrong.empty())
        world.log.write(log_level::warn,
                        path + ":" + std::to_string(wrong[0]) + ": no line of a hosts file" +
                            (wrong.size() > 1 ? ", and " + std::to_string(wrong.size() - 1) + " more" : ""),
                        {{"server", name()}});
    }
  }

  void watch_files() {
    auto paths = hosts_files;
    for (const auto& z : zones.all) paths.push_back(z.path);
    for (const auto& path : paths) {
      auto watching = host_->world().files.watch(path, [this] {
        // Editors empty a file before they write it: what lies between is no state of it.
        reread_ = host_->world().scheduler.after(file_settles, [this] { read_files_again(); });
      });
      if (watching) watches_.push_back(std::move(*watching));
    }
  }

  void read_files_again() {
    read_hosts_files();
    zones.reload(host_->world(), name());
    auto made = fixed_names();
    if (!made) return;
    fixed_ = std::move(*made);
    dynamic_ = leased_names();
    give_out();
  }

  host* host_ = nullptr;
  std::vector<std::pair<ip_address, dns::name>> from_files_;
  std::shared_ptr<const dns::name_table> fixed_, dynamic_;
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

schema server_schema() {
  schema s;
  s.name = "dns.server";
  s.help =
      "The network's resolver: it knows the lab's names, keeps answers, and asks upstreams for the rest.";
  auto upstream_list = type::one_of({type::string(), type::list(type::string())});
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      required("listen", type::listen(),
               "where, by UDP and TCP: \"addr:port\", lan:at(port), or a list of them"),
      required("upstreams", upstream_list,
               "who is asked: \"1.1.1.1\", \"tcp://1.1.1.1\", \"tls://1.1.1.1#one.one.one.one\", "
               "\"https://dns.google/dns-query\"; plain and encrypted ones do not mix"),
      optional("bootstrap", upstream_list,
               "plain resolvers that find the addresses of upstreams which are given by name"),
      optional("ca_file", type::path(), "certificates that upstreams may show, instead of the system's"),
      optional("forward", type::map(upstream_list),
               "upstreams of their own for domains and, by network, for reverse zones: "
               "{ [\"eu-west-1.compute.internal\"] = \"10.20.0.2\", [\"10.20.0.0/16\"] = \"10.20.0.2\" }"),
      optional("domain", type::string(),
               "ours: never forwarded, and added to bare names; the network's domain unless given"),
      optional(
          "records", dns_records_type(),
          "names of the recipe: an address, a list of them, or { a, aaaa, cname, txt, srv, mx, ptr, caa, ns, "
          "ttl }; a name without a dot lies in the domain, \"*.apps.lab.internal\" is a wildcard"),
      optional("hosts", type::one_of({type::path(), type::list(type::path())}),
               "hosts files, read again when they change"),
      dns_zones_field(),
      optional("names", type::one_of({type::handle("dns.names"), type::list(type::handle("dns.names"))}),
               "names that the recipe sets while it runs; its `records`, files and reservations come first, "
               "leases after them"),
      optional("nodes", type::one_of({type::handle("nodes"), type::list(type::handle("nodes"))}),
               "machines whose names lead to their reserved addresses"),
      optional("leases", type::one_of({type::handle("dhcp.server"), type::list(type::handle("dhcp.server"))}),
               "DHCP servers whose clients get names for as long as they hold a lease"),
      with_default("ttl", type::duration(), "5m", "of our own records, unless they say otherwise"),
      with_default("workers", type::integer(1, 64), 1, "threads that answer, each with a cache of its own"),
      with_default("cache",
                   type::one_of({type::size(),
                                 type::table({
                                     with_default("size", type::size(), "4MiB", "memory, of each worker"),
                                     with_default("save", type::boolean(), true,
                                                  "keep answers in the state folder over restarts"),
                                 })}),
                   "4MiB",
                   "memory for answers, of each worker; { save = true } keeps them over restarts as well"),
      with_default("min_ttl", type::duration(), "0s", "the least time that an answer is kept"),
      with_default("max_ttl", type::duration(), "24h", "the longest time that an answer is kept"),
      with_default("max_negative_ttl", type::duration(), "1h", "the same for \"no such name\""),
      with_default("stale", type::duration(), "24h",
                   "how long after its time an answer may be given when no upstream answers (RFC 8767); "
                   "\"0s\": never"),
      with_default("prefetch", type::boolean(), true, "renew popular answers before their time is over"),
      with_default("udp_size", type::integer(512, 4096), 1232,
                   "the largest answer by UDP; a larger one goes by TCP"),
      with_default("clients", type::list(type::one_of({type::cidr(), type::ip()})),
                   json::array({"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                "169.254.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10"}),
                   "who may ask; everybody else is refused, so that nobody abuses an open resolver"),
      optional("rate_limit", type::number(1, 1e9),
               "queries a second that one client may send; no limit unless given"),
      optional("rate_burst", type::number(1, 1e9),
               "queries that it may send at once after a rest; ten seconds' worth"),
      with_default("special_domains", type::boolean(), true,
                   "tell browsers and phones not to go around this resolver (use-application-dns.net, "
                   "mask.icloud.com, resolver.arpa)"),
      with_default("rebind_protection", type::boolean(), false,
                   "leave private addresses out of what `upstreams` answer"),
      optional("rebind_allow", type::one_of({type::string(), type::list(type::string())}),
               "domains that may lead to private addresses"),
      optional("tls",
               type::table({
                   required("certificate", type::path(), "its chain, PEM"),
                   required("key", type::path(), "its key, PEM"),
                   required("listen", type::listen(), "where, usually port 853"),
               }),
               "DNS over TLS for clients"),
  };
  s.options.push_back(optional(
      "dnssec",
      type::one_of(
          {type::boolean(),
           type::table({
               optional("anchors", type::map(type::one_of({type::string(), type::list(type::string())})),
                        "keys that are trusted, by zone, instead of the root's: the data of DS or DNSKEY "
                        "records, { [\"corp.example\"] = \"12345 13 2 49fd…\" }; with \".\" left out, "
                        "only what lies below these is validated"),
               optional("negative", type::list(type::string()),
                        "zones whose broken signatures are not looked at"),
           })}),
      "validate what upstreams answer, by the root zone's keys: what is forged or broken is SERVFAIL, what "
      "is "
      "proven has the AD bit; names of our own and forwarded zones without an anchor are left alone"));
  for (auto& field : dns_filter_fields()) s.options.push_back(std::move(field));
  s.options.push_back(dns_log_field());
  s.options.push_back(
      optional("on_query", type::function("function(query)"),
               "asked before anything else about every query, { name, type, client, transport, node? }: "
               "returns nil to "
               "pass it on, an address or list of them, \"refuse\", \"nxdomain\", \"nodata\", or { a, aaaa, "
               "cname, txt, srv, mx, "
               "ptr, caa, ns, ttl, rcode, rewrite = name, delay }; without it no query waits for Lua"));
  s.options.push_back(
      with_default("on_query_timeout", type::duration(), "500ms", "how long a query waits for it"));
  s.options.push_back(with_default("on_query_default", type::enumeration({"pass", "refuse"}), "pass",
                                   "what counts when it does not answer in time, fails, or too many wait"));
  s.example = "netlab.dns.server {\n"
              "  listen = lan:at(53), domain = \"lab.internal\", nodes = nodes, leases = { dhcp },\n"
              "  upstreams = { \"tls://1.1.1.1\", \"tls://9.9.9.9\" }, records = { registry = lan.ip },\n"
              "}";
  return s;
}

result<dns::upstream_group> read_group(const std::vector<std::string>& texts, const std::string& option,
                                       const std::string& ca_file) {
  dns::upstream_group out;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    auto at = texts.size() > 1 ? option + "[" + std::to_string(i + 1) + "]" : option;
    auto parsed = dns::upstream::parse(texts[i]);
    if (!parsed) return fail(errc::invalid, parsed.error().message, at);
    parsed->ca_file = ca_file;
    out.members.push_back(std::move(*parsed));
  }
  if (out.members.empty()) return fail(errc::invalid, "the list is empty", option);
  if (auto fine = out.check(); !fine) return fail(errc::invalid, fine.error().message, option);
  return out;
}

result<void> read_dnssec(const options& o, dns::dnssec_settings& out) {
  const auto* given = o.find("dnssec");
  if (!given) return {};
  out.anchors = dns::root_anchors();
  if (given->is<bool>()) {
    out.validate = given->as<bool>();
    return {};
  }
  out.validate = true;
  const auto& t = given->as<options>();
  if (auto anchors = t.maybe<value_map>("anchors")) {
    out.anchors.clear();
    for (const auto& item : anchors->items) {
      auto at = "dnssec.anchors." + item.name;
      auto zone = dns::name::parse(item.name);
      if (!zone) return fail(errc::invalid, zone.error().message, at);
      std::vector<std::string> texts;
      if (item.value.is<std::string>()) texts.push_back(item.value.as<std::string>());
      if (item.value.is<value_list>())
        for (const auto& each : item.value.as<value_list>()) texts.push_back(each.as<std::string>());
      for (const auto& text : texts) {
        auto anchor = dns::trust_anchor::parse(*zone, text);
        if (!anchor) return fail(errc::invalid, anchor.error().message, at);
        out.anchors.push_back(std::move(*anchor));
      }
    }
    if (out.anchors.empty()) return fail(errc::invalid, "no anchor is given", "dnssec.anchors");
  }
  for (const auto& text : t.list<std::string>("negative")) {
    auto zone = dns::name::parse(text);
    if (!zone) return fail(errc::invalid, zone.error().message, "dnssec.negative");
    out.negative.push_back(zone->lower());
  }
  return {};
}

result<object_ptr> create_server(host&, const options& o) {
  auto out = std::make_shared<dns_service>();
  auto& s = out->settings;
  auto& e = s.engine;
  out->listen = o.get<listen_list>("listen");
  auto ca_file = o.maybe<file_path>("ca_file").value_or(file_path{}).path;

  std::string domain = o.maybe<std::string>("domain").value_or("");
  for (const auto& l : out->listen)
    if (const auto* lan = dynamic_cast<const network*>(l.network.get()); lan && domain.empty())
      domain = lan->domain;
  if (!domain.empty()) {
    auto parsed = dns::name::parse(domain);
    if (!parsed) return fail(errc::invalid, parsed.error().message, "domain");
    out->domain = parsed->lower();
  }
  e.domain = out->domain;

  auto routes = std::make_shared<dns::route_table>();
  dns::add_standard_routes(*routes, o.get<bool>("special_domains"));
  if (!out->domain.is_root()) routes->add(out->domain, dns::route_kind::local);

  auto first = read_group(o.list<std::string>("upstreams"), "upstreams", ca_file);
  if (!first) return tl::unexpected(first.error());
  e.groups.push_back(std::move(*first));
  if (auto forward = o.maybe<value_map>("forward"))
    for (const auto& item : forward->items) {
      auto at = "forward." + item.name;
      std::vector<std::string> texts;
      if (item.value.is<std::string>()) texts.push_back(item.value.as<std::string>());
      if (item.value.is<value_list>())
        for (const auto& each : item.value.as<value_list>()) texts.push_back(each.as<std::string>());
      auto group = read_group(texts, at, ca_file);
      if (!group) return tl::unexpected(group.error());
      std::vector<dns::name> zones;
      if (item.name.find('/') != std::string::npos) {
        auto network = cidr::parse(item.name);
        if (!network) return fail(errc::invalid, network.error().message, at);
        zones = reverse_zones(*network);
      } else {
        auto zone = dns::name::parse(item.name);
        if (!zone) return fail(errc::invalid, zone.error().message, at);
        zones.push_back(*zone);
      }
      for (const auto& zone : zones)
        routes->add(zone, dns::route_kind::forward, static_cast<std::uint8_t>(e.groups.size()));
      e.groups.push_back(std::move(*group));
      if (e.groups.size() > 200) return fail(errc::invalid, "more than 199 entries", "forward");
    }
  if (auto texts = o.list<std::string>("bootstrap"); !texts.empty()) {
    auto group = read_group(texts, "bootstrap", {});
    if (!group) return tl::unexpected(group.error());
    for (const auto& u : group->members)
      if (dns::is_encrypted(u.over))
        return fail(errc::invalid, "\"" + u.text + "\": a bootstrap resolver is a plain one", "bootstrap");
    e.bootstrap_group = static_cast<std::uint8_t>(e.groups.size());
    e.groups.push_back(std::move(*group));
  }
  // Names below a zone file's are ours: what it does not have does not exist.
  if (auto zones = o.maybe<value_map>("zones"))
    for (const auto& item : zones->items)
      if (auto zone = dns::name::parse(item.name)) routes->add(*zone, dns::route_kind::local);
  out->routes = std::move(routes);

  out->ttl = whole_seconds(o.get<duration>("ttl"));
  auto records = read_dns_records(o, out->domain, out->ttl);
  if (!records) return tl::unexpected(records.error());
  out->records = std::move(*records);
  for (const auto& path : o.list<file_path>("hosts")) out->hosts_files.push_back(path.path);
  auto zones = dns_zones::read(o, out->ttl);
  if (!zones) return tl::unexpected(zones.error());
  out->zones = std::move(*zones);
  out->set_names = o.objects<dns_names>("names");
  out->logging = read_dns_log(o);
  if (out->logging.max_bytes < 2u << 20)
    return fail(errc::invalid, "a log needs 2MiB at least", "log.max_size");
  if (out->logging.retention < std::chrono::hours(1))
    return fail(errc::invalid, "a log is kept for an hour at least", "log.retention");
  out->on_query = o.maybe<shared_reference>("on_query").value_or(nullptr);
  s.hook_timeout = o.get<duration>("on_query_timeout");
  if (s.hook_timeout < std::chrono::milliseconds(1) || s.hook_timeout > std::chrono::seconds(30))
    return fail(errc::invalid, "a query waits between 1ms and 30s", "on_query_timeout");
  s.hook_refuses = o.get<std::string>("on_query_default") == "refuse";
  out->nodes = o.objects<node_list>("nodes");
  out->leases = o.list<object_ptr>("leases");
  out->workers = static_cast<std::size_t>(o.get<std::int64_t>("workers"));

  const auto& cache = *o.find("cache");
  if (cache.is<options>()) {
    e.cache_bytes = cache.as<options>().get<byte_size>("size").bytes;
    out->save_cache = cache.as<options>().get<bool>("save");
  } else {
    e.cache_bytes = cache.as<byte_size>().bytes;
  }
  e.min_ttl = whole_seconds(o.get<duration>("min_ttl"));
  e.max_ttl = whole_seconds(o.get<duration>("max_ttl"));
  e.max_negative_ttl = whole_seconds(o.get<duration>("max_negative_ttl"));
  if (e.min_ttl > e.max_ttl) return fail(errc::invalid, "it is longer than max_ttl", "min_ttl");
  e.stale_for = o.get<duration>("stale");
  e.prefetch = o.get<bool>("prefetch");
  e.udp_size = static_cast<std::uint16_t>(o.get<std::int64_t>("udp_size"));
  e.clients = o.list<cidr>("clients");
  for (const auto& single : o.list<ip_address>("clients"))
    e.clients.push_back({single, static_cast<std::uint8_t>(single.is_v4() ? 32 : 128)});
  e.queries_per_second = o.maybe<double>("rate_limit").value_or(0);
  e.burst = o.maybe<double>("rate_burst").value_or(10 * e.queries_per_second);
  if (auto ok = read_dnssec(o, e.dnssec); !ok) return tl::unexpected(ok.error());
  auto filtering = read_dns_filter(o);
  if (!filtering) return tl::unexpected(filtering.error());
  e.blocked = filtering->blocking;
  out->filtering = std::move(*filtering);

  e.rebind_protection = o.get<bool>("rebind_protection");
  for (const auto& text : o.list<std::string>("rebind_allow")) {
    auto zone = dns::name::parse(text);
    if (!zone) return fail(errc::invalid, zone.error().message, "rebind_allow");
    e.rebind_allow.push_back(*zone);
  }
  if (auto tls = o.maybe<options>("tls")) {
    s.tls = tls_identity{tls->get<file_path>("certificate").path, tls->get<file_path>("key").path};
    for (const auto& l : tls->get<listen_list>("listen")) s.listen_tls.push_back(l.endpoint);
  }
  return out;
}

schema pihole_schema() {
  schema s;
  s.name = "dns.pihole";
  s.help = "What a Pi-hole does, version 5 or 6, for a dns.server: its lists, domains, groups, clients and "
           "records.";
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      with_default("path", type::path(), "/etc/pihole", "its folder, with gravity.db; it is only read"),
  };
  s.example =
      "netlab.dns.server { listen = lan:at(53), upstreams = \"1.1.1.1\", pihole = netlab.dns.pihole {} }";
  return s;
}

result<object_ptr> create_pihole(host& h, const options& o) {
  auto out = std::make_shared<pihole_import>();
  auto setup = dns::read_pihole(o.get<file_path>("path").path);
  if (!setup) return fail(setup.error().code, setup.error().message, "path");
  out->setup = std::move(*setup);
  for (const auto& w : out->setup.warnings) h.world().log.write(log_level::warn, "Pi-hole: " + w, {});
  return out;
}

int server_flush(call& c) {
  auto& self = c.self<dns_service>();
  c.need_running();
  self.flush();
  return c.nothing();
}

} // namespace

void bind_dns(api& a) {
  a.constructor(server_schema(), "dns.server", create_server);
  a.constructor(pihole_schema(), "dns.pihole", create_pihole);
  a.kind({"dns.pihole", "What was read of a Pi-hole's folder.", {}, {}});
  a.kind({"dns.server",
          "A DNS server.",
          {{"flush",
            server_flush,
            "Forgets every answer that it keeps; what it is asked next goes to the upstreams again.",
            {},
            {},
            false,
            {}}},
          {}});
}

} // namespace netlab::lua
