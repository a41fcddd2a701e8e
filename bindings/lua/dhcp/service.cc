#include "dhcp/service.h"

#include <nlohmann/json.hpp>

#include "host/messages.h"
#include "host/stack.h"
#include "host/story.h"
#include "netlab/dhcp_messages.h"
#include "netlab/files.h"
#include "netlab/lease_journal.h"
#include "netlab/memory_lease_store.h"
#include "netlab/text.h"
#include "network/nodes.h"

namespace netlab::lua {

// Adds the leases of the server that ran here before to those of our own store, which win. They are read at
// every start, so that a client which has not renewed yet keeps its address across our restarts as well.
class importing_store final : public lease_store {
public:
  importing_store(lease_store& own, std::vector<lease> extra) : own_(own), extra_(std::move(extra)) {}
  result<std::vector<lease>> load() override {
    auto out = own_.load();
    if (!out) return out;
    std::map<ip_address, bool> known;
    for (const auto& l : *out) known[l.address] = true;
    for (auto& l : extra_)
      if (!known.contains(l.address)) out->push_back(std::move(l));
    extra_.clear();
    return out;
  }
  void claim(lease next, done_fn done) override { own_.claim(std::move(next), std::move(done)); }
  void drain(std::function<void()> fn) override { own_.drain(std::move(fn)); }

private:
  lease_store& own_;
  std::vector<lease> extra_;
};

void push_lease(lua_State* L, host& h, const lease& l) {
  json out = {{"ip", l.address.to_string()}, {"mac", l.mac.to_string()},
              {"network", l.network},        {"client", to_hex(l.client)},
              {"state", to_string(l.state)}, {"starts", format_time(l.starts, false)}};
  if (!l.hostname.empty()) out["hostname"] = l.hostname;
  if (l.expires != wall_time::max()) out["expires"] = format_time(l.expires, false);
  node_identity who;
  who.mac = l.mac;
  if (const auto* known = h.nodes().find(who); known && known->declared) out["name"] = known->name;
  push(L, out);
}

namespace {
void learn_name(host& h, const lease& l) {
  if (!l.hostname.empty()) h.lease_names()[l.mac] = l.hostname;
}
} // namespace

dhcp_service::dhcp_service() = default;
dhcp_service::~dhcp_service() = default;

std::string dhcp_service::default_name() const {
  std::string base = proxy ? "proxy" : "dhcp";
  return lan ? base + "-" + lan->name() : base;
}

result<void> dhcp_service::check(host& h) {
  bool servers_whole = !h.mistaken("http.server") && !h.mistaken("tftp.server");
  if (boot && !boot->has_http && !boot->has_tftp && servers_whole)
    h.mistake(where(), kind(),
              {"boot", "no server of the recipe serves boot.service \"" + boot->name() +
                           "\": list it in `serve` of an http.server or tftp.server"});
  settings.config.name = name();
  add_nodes(h);
  for (const auto& e : dhcp::check(settings.config))
    h.mistake(where(), kind(), {e.op == "dhcp.config" ? "" : e.op, e.message});
  if (is_off())
    notes_.push_back(lan->keeps_off(kind()) + " [" + messages::off_in_vpc.id + "]");
  else if (h.state_folder().empty() && !proxy)
    notes_.emplace_back(
        "leases are kept in memory only: name a folder with netlab.state to keep them over a restart");
  return {};
}

std::vector<claimed_endpoint> dhcp_service::endpoints() const {
  if (is_off()) return {};
  if (server_) {
    std::vector<claimed_endpoint> out;
    for (const auto& e : server_->endpoints()) out.push_back({"udp", e});
    return out;
  }
  // It binds to the interface, so that another program's socket on another interface is no conflict.
  auto address = settings.listen.value_or(lan->address.address);
  bool exclusive = settings.listen.has_value();
  std::vector<claimed_endpoint> out = {{"udp", {address, settings.port}, exclusive}};
  if (proxy || automatic) out.push_back({"udp", {address, settings.proxy_port}, exclusive});
  return out;
}

result<void> dhcp_service::open_store(host& h) {
  auto& world = h.world();
  if (proxy || h.state_folder().empty()) {
    store_ = std::make_unique<memory_lease_store>(world.scheduler);
    return {};
  }
  auto journal = lease_journal::open(make_journal_storage(h.state_path(name() + ".leases")), world.clock,
                                     world.scheduler, world.log, world.metrics);
  if (!journal) return tl::unexpected(journal.error());
  store_ = std::move(*journal);
  return {};
}

result<void> dhcp_service::start(host& h) {
  if (is_off()) {
    h.world().log(messages::off_in_vpc, lan->keeps_off(kind()), {{"server", name()}});
    return {};
  }
  if (auto opened = open_store(h); !opened) return opened;
  import(h);
  settings.hooks.may_use_name = [&h](std::string_view wanted, const node_identity& who) {
    const auto* holder = h.nodes().find_name(wanted);
    if (!holder || !holder->declared) return true;
    return who.mac && std::find(holder->macs.begin(), holder->macs.end(), *who.mac) != holder->macs.end();
  };
  if (boot) settings.hooks.boot = boot->policy();
  settings.hooks.wants_step = [&h](boot_stage, const mac_address& mac, std::string_view architecture) {
    return h.story().wants(mac, architecture);
  };
  settings.on_event = [this, &h](const boot_event& e) {
    // Somebody took another server's offer: the mode that was right may be so no longer.
    if (watch_ && e.message_id == dhcp::messages::other_server.id) watch_->look();
    h.tell(e);
  };
  bool names = boot && boot->asks_lease_names;
  settings.on_lease = [this, &h, names](const lease& l) {
    leases_changed();
    if (names) learn_name(h, l);
    if (on_lease)
      h.notify(on_lease, "dhcp.server on_lease", [&](lua_State* L) { return push_lease(L, h, l), 1; });
  };
  settings.on_lease_end = [this, &h](const lease& l, dhcp::end_reason why) {
    h.nodes().forget_address(l.address);
    h.lease_names().erase(l.mac);
    leases_changed();
    h.notify(on_lease_end, "dhcp.server on_lease_end", [&](lua_State* L) {
      push_lease(L, h, l);
      push(L, dhcp::to_string(why));
      return 2;
    });
  };
  auto server = dhcp::server::start(h.world(), *merged_, settings);
  if (!server) return tl::unexpected(server.error());
  server_ = std::move(*server);
  if (names)
    for (const auto& l : server_->leases()) learn_name(h, l);
  h.story().add_evidence([this](const boot_record& boot, boot_evidence& out) {
    // Beside a proxy another server is as it should be, unless it gives the machine no address.
    const auto& last = boot.steps.back().event;
    if (last.proxied && last.stage != boot_stage::offer) return;
    for (const auto& f : server_->foreign_servers())
      out.other_servers.push_back({f.address, "DHCP", !last.proxied && f.how.starts_with("chosen")});
  });
  // A proxy gives no address, and learns that of a Pi 3, which sends no REQUEST, when it asks for files.
  h.on_boot_event([this](const boot_event& e) {
    bool ours = settings.config.networks[0].mode == dhcp::service::full;
    if (!ours && server_ && e.architecture == "raspberry-pi-3" && e.stage == boot_stage::tftp && e.node.mac &&
        e.node.address)
      server_->keep_arp(*e.node.address, *e.node.mac);
  });
  if (automatic) watch(h);
  return {};
}

void dhcp_service::watch(host& h) {
  dhcp::watch_options look;
  look.interface = lan->interface;
  look.own = lan->address.address;
  watch_ = std::make_unique<dhcp::network_watch>(
      h.world(), look, [this, &h](const dhcp::network_verdict& verdict) { judged(h, verdict); });
}

void dhcp_service::judged(host& h, const dhcp::network_verdict& verdict) {
  log_fields who = {{"server", name()}};
  auto elsewhere = verdict.tells_boot.is_unspecified() ? "" : verdict.tells_boot.to_string();
  if (elsewhere != boots_elsewhere_ && !elsewhere.empty())
    h.world().log(dhcp::messages::other_boot_server, verdict.text, who);
  boots_elsewhere_ = elsewhere;
  if (!choice_.saw(verdict)) return;
  bool full = choice_.mode() == dhcp::service::full;
  h.world().log(dhcp::messages::mode_chosen,
                verdict.text +
                    (full ? ": giving addresses and boot options" : ": giving boot options only, as a proxy"),
                who);
  for (auto& n : settings.config.networks) n.mode = choice_.mode();
  if (auto ok = server_->reconfigure(settings.config); !ok)
    h.world().log.write(log_level::error, ok.error().message, who);
}

std::vector<lease> dhcp_service::current_leases() const {
  return server_ ? server_->leases() : std::vector<lease>();
}

void dhcp_service::drain(std::function<void()> done) {
  watch_.reset();
  if (!server_) return done();
  server_->stop([this, done = std::move(done)] { store_->drain(done); });
}

std::vector<reading> dhcp_service::readings() const {
  if (!server_) return {};
  std::vector<reading> out;
  if (!proxy) out.push_back({"netlab_dhcp_leases", {}, static_cast<double>(server_->leases().size())});
  out.push_back({"netlab_dhcp_other_servers", {}, static_cast<double>(server_->foreign_servers().size())});
  return out;
}

json dhcp_service::status() const {
  if (is_off()) return {{"off", lan->keeps_off(kind())}};
  if (!server_) return json::object();
  json out = json::object();
  bool gives = !proxy && settings.config.networks[0].mode == dhcp::service::full;
  if (automatic) out["mode"] = gives ? "server" : "proxy";
  if (!proxy) {
    out["leases"] = server_->leases().size();
    json ranges = json::array();
    for (const auto& n : settings.config.networks)
      for (const auto& r : n.ranges) ranges.push_back(r.to_string());
    if (!ranges.empty()) out["range"] = std::move(ranges);
  }
  auto others = server_->foreign_servers();
  if (!others.empty()) {
    json list = json::array();
    for (const auto& f : others) list.push_back(f.address.to_string());
    out["other_servers"] = std::move(list);
  }
  return out;
}

// A host of dhcp.proxy may be given by the name of a node alone, or by one of its identifiers.
bool dhcp_service::complete(const dhcp::fixed_host& node) {
  for (auto& host : settings.config.hosts) {
    bool same = (!node.name.empty() && host.name == node.name) || (node.uuid && host.uuid == node.uuid) ||
                (!node.serial.empty() && host.serial == node.serial) ||
                std::find_first_of(host.macs.begin(), host.macs.end(), node.macs.begin(), node.macs.end()) !=
                    host.macs.end();
    if (!same) continue;
    auto hints = std::move(host.hints);
    host = node;
    host.hints = std::move(hints);
    return true;
  }
  return false;
}

// Every declared node is a fixed host: its name, and its address when it has one.
void dhcp_service::add_nodes(host& h) {
  for (const auto* n : h.nodes().all()) {
    if (!n->declared) continue;
    dhcp::fixed_host fixed;
    fixed.name = n->name;
    fixed.macs = n->macs;
    fixed.uuid = n->uuid;
    fixed.serial = n->serial;
    bool here = false;
    for (const auto& net : settings.config.networks) here = here || (n->ip && net.subnet.contains(*n->ip));
    if (here && !proxy) fixed.address = n->ip;
    if (proxy && complete(fixed)) continue;
    if (!fixed.macs.empty() || fixed.uuid || !fixed.serial.empty())
      settings.config.hosts.push_back(std::move(fixed));
  }
}

void dhcp_service::import(host& h) {
  auto& world = h.world();
  std::vector<lease> extra;
  auto read = [&](const std::string& path, auto&& parse) {
    auto text = world.files.read(path);
    if (!text) {
      world.log.write(log_level::warn, "nothing to import: " + text.error().message, {{"server", name()}});
      return;
    }
    auto got = parse(*text);
    if (!got) {
      world.log.write(log_level::warn, path + ": " + got.error().message, {{"server", name()}});
      return;
    }
    for (const auto& w : got->warnings)
      world.log.write(log_level::warn, path + ":" + std::to_string(w.line) + ": " + w.text,
                      {{"server", name()}});
    take(extra, *got);
  };
  auto now = world.clock.wall();
  auto leases = [&](const std::string& path) {
    read(path, [&](const std::string& text) { return dhcp::import_dnsmasq(text, now); });
  };
  for (const auto& [what, path] : imports) {
    if (what == "dnsmasq") leases(path);
    if (what == "kea") read(path, [&](const std::string& text) { return dhcp::import_kea(text, now); });
    if (what == "isc") read(path, [&](const std::string& text) { return dhcp::import_isc(text, now); });
    if (what == "dnsmasq_hosts")
      read(path, [](const std::string& text) { return dhcp::import_dnsmasq_hosts(text); });
    if (what != "pihole") continue;
    leases(join_path(path, "dhcp.leases"));
    auto toml = join_path(path, "pihole.toml"); // version 6; version 5 keeps them in dnsmasq's folder
    if (world.files.info(toml))
      read(toml, [](const std::string& text) { return dhcp::import_pihole_toml(text); });
    auto hosts = join_path(path, "../dnsmasq.d/04-pihole-static-dhcp.conf");
    if (world.files.info(hosts))
      read(hosts, [](const std::string& text) { return dhcp::import_dnsmasq_hosts(text); });
  }
  if (!imports.empty())
    world.log.write(log_level::info, "imported leases of the DHCP server that ran here before",
                    {{"leases", std::to_string(extra.size())}, {"server", name()}});
  merged_ = std::make_unique<importing_store>(*store_, std::move(extra));
}

void dhcp_service::take(std::vector<lease>& into, dhcp::imported_leases& got) {
  for (auto& l : got.leases) {
    for (const auto& net : settings.config.networks)
      if (net.subnet.contains(l.address)) l.network = net.name;
    into.push_back(std::move(l));
  }
}
// A reservation of the recipe wins over an imported one for the same machine or address.
void dhcp_service::take(std::vector<lease>&, dhcp::imported_hosts& got) {
  auto& hosts = settings.config.hosts;
  for (auto& fixed : got.hosts) {
    bool known = false;
    for (const auto& mine : hosts) {
      known = known || (fixed.address && mine.address == fixed.address);
      for (const auto& mac : fixed.macs)
        known = known || std::find(mine.macs.begin(), mine.macs.end(), mac) != mine.macs.end();
    }
    if (!known) hosts.push_back(std::move(fixed));
  }
}

} // namespace netlab::lua
