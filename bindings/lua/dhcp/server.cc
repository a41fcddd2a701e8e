#include <nlohmann/json.hpp>

#include "dhcp/options.h"
#include "dhcp/service.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "network/nodes.h"

namespace netlab::lua {

namespace {

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

schema server_schema() {
  schema s;
  s.name = "dhcp.server";
  s.help = "A DHCP server with durable leases: an address is acknowledged after its lease is on disk.";
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      required("network", type::handle("network"), "the network it serves"),
      with_default(
          "mode", type::enumeration({"server", "auto"}), "server",
          "\"auto\" looks at the network first and now and then: it gives addresses only while no other "
          "server does, and is a proxy (dhcp.proxy) beside one"),
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
  if (o.get<std::string>("mode") == "auto") {
    out->automatic = true;
    net.mode = dhcp::service::proxy; // until the network was looked at
    if (o.maybe<ip_address>("listen"))
      return fail(errc::invalid, "\"auto\" asks the network on its interface, which `listen` leaves out",
                  "mode");
  }
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
  if (self.is_off()) c.refuse(self.lan->keeps_off("dhcp.server"));
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
