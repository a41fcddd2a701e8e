#include <nlohmann/json.hpp>

#include "api.h"
#include "bindings.h"
#include "boot.h"
#include "dhcp_options.h"
#include "handle.h"
#include "host.h"
#include "lease_source.h"
#include "netlab/dhcp_import.h"
#include "netlab/dhcp_server.h"
#include "netlab/files.h"
#include "netlab/lease_journal.h"
#include "netlab/memory_lease_store.h"
#include "netlab/text.h"
#include "network.h"
#include "nodes.h"
#include "story.h"

namespace netlab::lua {

namespace {

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

json lease_row(const host& h, const lease& l) {
  node_identity who;
  who.mac = l.mac;
  const auto* known = const_cast<host&>(h).nodes().find(who);
  return {{"ip", l.address.to_string()},
          {"mac", l.mac.to_string()},
          {"name", known && known->declared ? known->name : l.hostname},
          {"network", l.network},
          {"expires", l.expires == wall_time::max() ? "never" : format_time(l.expires, false)}};
}

class dhcp_service final : public service, public lease_source {
public:
  dhcp::server_options settings;
  std::shared_ptr<boot_object> boot;
  std::shared_ptr<network> lan;
  shared_reference on_lease, on_lease_end;
  std::map<std::string, std::string> imports; // what to read → path

  std::string default_name() const override { return lan ? "dhcp-" + lan->name() : "dhcp"; }

  result<void> check(host& h) override {
    bool servers_whole = !h.mistaken("http.server") && !h.mistaken("tftp.server");
    if (boot && !boot->has_http && !boot->has_tftp && servers_whole)
      h.mistake(where(), kind(),
                {"boot", "no server of the recipe serves boot.service \"" + boot->name() +
                             "\": list it in `serve` of an http.server or tftp.server"});
    settings.config.name = name();
    add_nodes(h);
    for (const auto& e : dhcp::check(settings.config))
      h.mistake(where(), kind(), {e.op == "dhcp.config" ? "" : e.op, e.message});
    if (h.state_folder().empty())
      notes_.emplace_back(
          "leases are kept in memory only: name a folder with netlab.state to keep them over a restart");
    return {};
  }

  std::vector<std::string> notes() const override { return notes_; }

  std::vector<claimed_endpoint> endpoints() const override {
    if (server_) {
      std::vector<claimed_endpoint> out;
      for (const auto& e : server_->endpoints()) out.push_back({"udp", e});
      return out;
    }
    if (settings.listen) return {{"udp", {*settings.listen, settings.port}}};
    // It binds to the interface, so that another program's socket on another interface is no conflict.
    return {{"udp", {lan->address.address, settings.port}, false}};
  }

  result<void> start(host& h) override {
    host_ = &h;
    auto& world = h.world();
    if (h.state_folder().empty()) {
      store_ = std::make_unique<memory_lease_store>(world.scheduler);
    } else {
      auto journal = lease_journal::open(make_journal_storage(h.state_path(name() + ".leases")), world.clock,
                                         world.scheduler, world.log, world.metrics);
      if (!journal) return tl::unexpected(journal.error());
      store_ = std::move(*journal);
    }
    import(h);
    settings.hooks.may_use_name = [&h](std::string_view wanted, const node_identity& who) {
      const auto* holder = h.nodes().find_name(wanted);
      if (!holder || !holder->declared) return true;
      return who.mac && std::find(holder->macs.begin(), holder->macs.end(), *who.mac) != holder->macs.end();
    };
    if (boot) settings.hooks.boot = boot->policy();
    settings.on_event = [&h](const boot_event& e) { h.tell(e); };
    settings.on_lease = [this, &h](const lease& l) {
      leases_changed();
      if (on_lease)
        h.notify(on_lease, "dhcp.server on_lease", [&](lua_State* L) { return push_lease(L, h, l), 1; });
    };
    settings.on_lease_end = [this, &h](const lease& l, dhcp::end_reason why) {
      h.nodes().forget_address(l.address);
      leases_changed();
      h.notify(on_lease_end, "dhcp.server on_lease_end", [&](lua_State* L) {
        push_lease(L, h, l);
        push(L, dhcp::to_string(why));
        return 2;
      });
    };
    auto server = dhcp::server::start(world, *merged_, settings);
    if (!server) return tl::unexpected(server.error());
    server_ = std::move(*server);
    h.story().add_evidence([this](const boot_record&, boot_evidence& out) {
      for (const auto& f : server_->foreign_servers())
        out.other_servers.push_back({f.address, "DHCP", f.how.starts_with("chosen")});
    });
    return {};
  }

  void drain(std::function<void()> done) override {
    server_->stop([this, done = std::move(done)] { store_->drain(done); });
  }

  json status() const override {
    if (!server_) return json::object();
    json out = {{"leases", server_->leases().size()}};
    json ranges = json::array();
    for (const auto& n : settings.config.networks)
      for (const auto& r : n.ranges) ranges.push_back(r.to_string());
    if (!ranges.empty()) out["range"] = std::move(ranges);
    auto others = server_->foreign_servers();
    if (!others.empty()) {
      json list = json::array();
      for (const auto& f : others) list.push_back(f.address.to_string());
      out["other_servers"] = std::move(list);
    }
    return out;
  }

  dhcp::server* running() { return server_.get(); }
  std::vector<lease> current_leases() const override {
    return server_ ? server_->leases() : std::vector<lease>();
  }

private:
  // Every declared node is a fixed host: its name, and its address when it has one.
  void add_nodes(host& h) {
    for (const auto* n : h.nodes().all()) {
      if (!n->declared) continue;
      dhcp::fixed_host fixed;
      fixed.name = n->name;
      fixed.macs = n->macs;
      fixed.uuid = n->uuid;
      fixed.serial = n->serial;
      bool here = false;
      for (const auto& net : settings.config.networks) here = here || (n->ip && net.subnet.contains(*n->ip));
      if (here) fixed.address = n->ip;
      if (!fixed.macs.empty() || fixed.uuid || !fixed.serial.empty())
        settings.config.hosts.push_back(std::move(fixed));
    }
  }

  void import(host& h) {
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

  void take(std::vector<lease>& into, dhcp::imported_leases& got) {
    for (auto& l : got.leases) {
      for (const auto& net : settings.config.networks)
        if (net.subnet.contains(l.address)) l.network = net.name;
      into.push_back(std::move(l));
    }
  }
  // A reservation of the recipe wins over an imported one for the same machine or address.
  void take(std::vector<lease>&, dhcp::imported_hosts& got) {
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

  host* host_ = nullptr;
  std::vector<std::string> notes_;
  std::unique_ptr<lease_store> store_;
  std::unique_ptr<importing_store> merged_;
  std::unique_ptr<dhcp::server> server_;
};

schema server_schema() {
  schema s;
  s.name = "dhcp.server";
  s.help = "A DHCP server with durable leases: an address is acknowledged after its lease is on disk.";
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      required("network", type::handle("network"), "the network it serves"),
      optional("range", type::one_of({type::ip_range(), type::list(type::ip_range())}),
               "addresses to give out; without it only reserved ones"),
      optional("exclude", type::list(type::one_of({type::ip_range(), type::ip()})),
               "addresses of the range to leave alone"),
      with_default("lease", type::duration(), "12h",
                   "how long an address is given for; \"infinite\" for ever"),
      optional("lease_min", type::duration(),
               "the shortest a client may ask for; 2m, or `lease` when that is shorter"),
      optional("lease_max", type::duration(),
               "the longest a client may ask for; 7d, or `lease` when that is longer"),
  };
  auto told = dhcp_option_fields();
  s.options.insert(s.options.end(), told.begin(), told.end());
  std::vector<option> host_fields = {
      optional("name", type::string(), "its host name"),
      optional("mac", type::one_of({type::mac(), type::list(type::mac())}), "its network card, or a list"),
      optional("client_id", type::string(), "option 61 as hex digits, type byte included"),
      optional("uuid", type::uuid(), "its SMBIOS UUID"),
      optional("serial", type::string(), "its serial number"),
      optional("ip", type::ip(), "its address"),
      optional("lease", type::duration(), "instead of the server's"),
  };
  auto own = dhcp_option_fields();
  host_fields.insert(host_fields.end(), own.begin(), own.end());
  std::vector<option> class_fields = {
      required("name", type::string(), "for messages"),
      optional("vendor_class", type::string(), "option 60; * and ? are wildcards"),
      optional("user_class", type::string(), "option 77; * and ? are wildcards"),
      optional("mac", type::string(), "such as \"b8:27:eb:*\""),
      optional("architectures", type::list(type::integer(0, 65535)), "option 93, any of these"),
      optional("lease", type::duration(), "instead of the server's"),
  };
  class_fields.insert(class_fields.end(), own.begin(), own.end());
  std::vector<option> relayed_fields = {
      required("subnet", type::cidr(), "the clients' network behind a relay"),
      optional("range", type::one_of({type::ip_range(), type::list(type::ip_range())}),
               "addresses to give out"),
      optional("lease", type::duration(), "instead of the server's"),
  };
  relayed_fields.insert(relayed_fields.end(), own.begin(), own.end());
  std::vector<option> rest = {
      optional("nodes", type::handle("nodes"),
               "the lab's machines get their reserved addresses and names; every netlab.nodes counts"),
      optional("hosts", type::list(type::table(host_fields)),
               "further fixed hosts, with options of their own"),
      optional("classes", type::list(type::table(class_fields)),
               "clients that are alike, and what they are told"),
      optional("relayed", type::list(type::table(relayed_fields)),
               "networks that reach us through a DHCP relay"),
      optional("boot", type::handle("boot.service"), "what network boot clients are told"),
      with_default("authoritative", type::boolean(), true,
                   "refuse addresses of other networks at once (DHCPNAK)"),
      with_default("known_clients_only", type::boolean(), false, "addresses for nodes and hosts only"),
      with_default("conflict_probe", type::boolean(), true,
                   "ask by ARP whether an address is free before it is first offered"),
      with_default("rapid_commit", type::boolean(), false, "two messages instead of four, RFC 4039"),
      with_default("bootp", type::boolean(), false, "answer BOOTP clients"),
      optional(
          "import",
          type::table({
              optional("dnsmasq", type::path(), "a dnsmasq.leases file"),
              optional("dnsmasq_hosts", type::path(), "a file of dhcp-host lines"),
              optional("pihole", type::path(), "Pi-hole's folder, /etc/pihole, of version 5 or 6"),
              optional("kea", type::path(), "Kea's kea-leases4.csv"),
              optional("isc", type::path(), "ISC's dhcpd.leases"),
          }),
          "leases and reservations of the server that ran here before, so that no address is given twice"),
      optional("on_lease", type::function("function(lease)"), "runs after a lease was stored or renewed"),
      optional("on_lease_end", type::function("function(lease, reason)"), "runs after a lease ended"),
      optional("listen", type::ip(),
               "answer unicast on this address only instead of on the network's interface: behind relays, "
               "and for tests"),
      with_default("port", type::integer(0, 65535), 67, "for tests"),
  };
  s.options.insert(s.options.end(), rest.begin(), rest.end());
  s.example = "netlab.dhcp.server { network = lan, range = \"10.20.13.100-10.20.13.199\", lease = \"12h\", "
              "boot = boot }";
  return s;
}

std::vector<ip_range> read_ranges(const options& o, std::string_view name) {
  auto out = o.list<ip_range>(name);
  for (const auto& single : o.list<ip_address>(name)) out.push_back({single, single});
  return out;
}

result<dhcp::fixed_host> read_host(const options& o, std::size_t index) {
  dhcp::fixed_host out;
  auto at = "hosts[" + std::to_string(index) + "]";
  out.name = o.maybe<std::string>("name").value_or("");
  out.macs = o.list<mac_address>("mac");
  out.uuid = o.maybe<uuid>("uuid");
  out.serial = o.maybe<std::string>("serial").value_or("");
  out.address = o.maybe<ip_address>("ip");
  if (auto id = o.maybe<std::string>("client_id");
      id && (!from_hex(*id, out.client_id) || out.client_id.empty()))
    return fail(errc::invalid, "\"" + *id + "\" is not hex digits", at + ".client_id");
  auto told = read_dhcp_options(o, at + ".");
  if (!told) return tl::unexpected(told.error());
  out.options = std::move(*told);
  return out;
}

result<object_ptr> create_server(host&, const options& o) {
  auto out = std::make_shared<dhcp_service>();
  out->lan = o.object<network>("network");
  out->boot = o.object<boot_object>("boot");
  auto& c = out->settings.config;

  dhcp::network_config net;
  net.name = out->lan->name();
  net.interface = out->lan->interface;
  net.subnet = {out->lan->address.network(), out->lan->address.prefix};
  net.server = out->lan->address.address;
  net.ranges = read_ranges(o, "range");
  net.exclude = read_ranges(o, "exclude");
  auto told = read_dhcp_options(o, "");
  if (!told) return tl::unexpected(told.error());
  net.options = std::move(*told);
  if (!net.options.routers && out->lan->router) net.options.routers = std::vector{*out->lan->router};
  if (!net.options.domain && !out->lan->domain.empty()) net.options.domain = out->lan->domain;
  net.options.lease.reset();
  net.lease = o.get<duration>("lease");
  net.lease_min = o.maybe<duration>("lease_min").value_or(std::min(net.lease, net.lease_min));
  net.lease_max = o.maybe<duration>("lease_max").value_or(std::max(net.lease, net.lease_max));
  net.authoritative = o.get<bool>("authoritative");
  net.known_clients_only = o.get<bool>("known_clients_only");
  net.probe = o.get<bool>("conflict_probe");
  net.rapid_commit = o.get<bool>("rapid_commit");
  net.bootp = o.get<bool>("bootp");
  c.networks.push_back(net);

  std::size_t index = 0;
  for (const auto& entry : o.list<options>("relayed")) {
    auto at = "relayed[" + std::to_string(++index) + "]";
    auto behind = net;
    auto subnet = entry.get<cidr>("subnet");
    behind.name = subnet.to_string();
    behind.interface.clear();
    behind.subnet = {subnet.network(), subnet.prefix};
    behind.ranges = read_ranges(entry, "range");
    behind.exclude.clear();
    auto options_there = read_dhcp_options(entry, at + ".");
    if (!options_there) return tl::unexpected(options_there.error());
    // What is not said for the relayed network holds as for the server's own, but for the router.
    merge_dhcp_options(*options_there, net.options);
    behind.options = std::move(*options_there);
    behind.options.lease.reset();
    if (auto lease = entry.maybe<duration>("lease")) behind.lease = *lease;
    c.networks.push_back(std::move(behind));
  }
  index = 0;
  for (const auto& entry : o.list<options>("hosts")) {
    auto fixed = read_host(entry, ++index);
    if (!fixed) return tl::unexpected(fixed.error());
    c.hosts.push_back(std::move(*fixed));
  }
  index = 0;
  for (const auto& entry : o.list<options>("classes")) {
    dhcp::client_class k;
    k.name = entry.get<std::string>("name");
    k.vendor_class = entry.maybe<std::string>("vendor_class").value_or("");
    k.user_class = entry.maybe<std::string>("user_class").value_or("");
    k.mac = entry.maybe<std::string>("mac").value_or("");
    for (auto arch : entry.list<std::int64_t>("architectures"))
      k.architectures.push_back(static_cast<std::uint16_t>(arch));
    auto set = read_dhcp_options(entry, "classes[" + std::to_string(++index) + "].");
    if (!set) return tl::unexpected(set.error());
    k.options = std::move(*set);
    c.classes.push_back(std::move(k));
  }
  if (auto from = o.maybe<options>("import"))
    for (const auto& item : from->values)
      if (item.value.is<file_path>()) out->imports[item.name] = item.value.as<file_path>().path;
  out->on_lease = o.maybe<shared_reference>("on_lease").value_or(nullptr);
  out->on_lease_end = o.maybe<shared_reference>("on_lease_end").value_or(nullptr);
  out->settings.listen = o.maybe<ip_address>("listen");
  out->settings.port = static_cast<std::uint16_t>(o.get<std::int64_t>("port"));
  return out;
}

dhcp::server& running(call& c, dhcp_service& self) {
  c.need_running();
  if (!self.running()) c.refuse("the server has not started");
  return *self.running();
}

int server_leases(call& c) {
  auto& server = running(c, c.self<dhcp_service>());
  auto all = server.leases();
  lua_createtable(c.L, static_cast<int>(all.size()), 0);
  int i = 0;
  for (const auto& l : all) {
    push_lease(c.L, c.owner, l);
    lua_rawseti(c.L, -2, ++i);
  }
  return 1;
}

int server_drop(call& c) {
  auto& server = running(c, c.self<dhcp_service>());
  auto address = ip_address::parse(c.text(2, "the address"));
  if (!address) c.refuse(address.error().message);
  return c.give(server.drop_lease(*address));
}

} // namespace

// The control socket's verbs look servers up when they are asked, so that one verb serves all of them.
void add_dhcp_verbs(host& h) {
  h.on_control("leases", [&h](const json&) -> result<json> {
    json out = json::array();
    for (const auto& o : h.graph().objects())
      if (auto* s = dynamic_cast<dhcp_service*>(o.get()); s && s->running())
        for (const auto& l : s->running()->leases()) {
          auto row = lease_row(h, l);
          row["server"] = o->name();
          out.push_back(std::move(row));
        }
    return out;
  });
  h.on_control("drop_lease", [&h](const json& request) -> result<json> {
    auto text = request.contains("ip") && request["ip"].is_string() ? request["ip"].get<std::string>() : "";
    auto address = ip_address::parse(text);
    if (!address) return tl::unexpected(address.error());
    for (const auto& o : h.graph().objects())
      if (auto* s = dynamic_cast<dhcp_service*>(o.get()); s && s->running())
        if (auto ok = s->running()->drop_lease(*address)) return json{{"dropped", text}};
    return fail(errc::not_found, "nobody holds " + text, "drop_lease");
  });
}

void bind_dhcp(api& a) {
  a.constructor(server_schema(), "dhcp.server", create_server);
  a.kind({"dhcp.server",
          "A DHCP server.",
          {
              {"leases",
               server_leases,
               "The leases that run now, by address.",
               {},
               {{"", "netlab.lease[]", ""}},
               false,
               {}},
              {"drop_lease",
               server_drop,
               "Takes an address from its holder.",
               {{"ip", "string", ""}},
               {{"ok", "boolean?", ""}, {"err?", "netlab.error", ""}},
               false,
               {}},
          },
          {}});
}

} // namespace netlab::lua
