#include "network/network.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"
#include "netlab/files.h"
#include "netlab/text.h"

// The pattern of a binding file: a schema (what the recipe may write), create() (options → object),
// methods and fields of its handle, and bind_NAME(), which adds them to the api. A room's server derives
// from `service` instead of `object` and binds its sockets in start().

namespace netlab::lua {

bool network::contains(const ip_address& a) const {
  return address.contains(a) ||
         std::any_of(networks.begin(), networks.end(), [&](const cidr& n) { return n.contains(a); });
}

std::string network::default_name() const { return interface.empty() ? "network" : interface; }

json network::status() const {
  json out = {{"interface", interface}, {"address", address.to_string()}};
  if (router) out["router"] = router->to_string();
  if (!domain.empty()) out["domain"] = domain;
  out["platform"] = vpc.empty() ? "metal" : "ec2";
  return out;
}

std::string network::keeps_off(std::string_view what) const {
  if (vpc.empty()) return {};
  return std::string(what) + " stays off on network \"" + name() + "\": it is part of an EC2 VPC (" + vpc +
         "), which carries no broadcast and has its own DHCP; boot instances over HTTP from an iPXE image "
         "instead";
}

namespace {

schema network_schema() {
  schema s;
  s.name = "network";
  s.help = "A network that services are for, and this machine's address on it.";
  s.options = {
      optional("interface", type::string(), "the interface that leads to it, such as \"eth0\""),
      optional("address", type::cidr(),
               "our address with the prefix length; by default the interface's first IPv4 address"),
      optional("router", type::ip(), "the clients' way out; offered by DHCP"),
      optional("domain", type::string(), "the clients' domain, such as \"lab.internal\""),
      with_default(
          "platform", type::enumeration({"auto", "ec2", "metal"}), "auto",
          "what carries it: in a VPC of EC2, DHCP and TFTP stay off, because there is no broadcast and "
          "Amazon's own DHCP; \"auto\" looks at this machine's firmware tables and the interface"),
      optional("networks", type::list(type::cidr()),
               "further client networks that reach us through a router or DHCP relay"),
  };
  s.example = "local lan = netlab.network { interface = \"eth0\", address = \"10.20.13.140/24\" }\n"
              "local listen = lan:at(8080)";
  return s;
}

result<cidr> interface_address(host& h, const std::string& name) {
  auto all = h.world().net.interfaces();
  if (!all) return tl::unexpected(all.error());
  for (const auto& i : *all) {
    if (i.name != name) continue;
    for (const auto& a : i.addresses)
      if (a.address.is_v4()) return a;
    return fail(errc::unreachable, "interface \"" + name + "\" has no IPv4 address yet: give address",
                "interface");
  }
  return fail(errc::unreachable, "there is no interface \"" + name + "\" yet: give address", "interface");
}

// Amazon's instances say so in their SMBIOS tables: Nitro by the vendor, Xen by a UUID that begins with
// "ec2".
std::string ec2_evidence(files& disk) {
  constexpr std::size_t limit = 4096;
  auto field = [&](const std::string& path) {
    auto text = disk.read(path, limit);
    return text ? std::string(trim(*text)) : std::string{};
  };
  for (const char* name : {"sys_vendor", "board_vendor", "bios_vendor"})
    if (auto value = field("/sys/class/dmi/id/" + std::string(name)); value == "Amazon EC2")
      return std::string(name) + " is \"" + value + "\"";
  for (const char* path : {"/sys/class/dmi/id/product_uuid", "/sys/hypervisor/uuid"})
    if (auto value = to_lower(field(path)); value.starts_with("ec2"))
      return std::string(path) + " begins with \"ec2\"";
  return {};
}

// A VPC reaches an instance through devices of its own; bridges, tunnels and virtual cables on it are
// ordinary networks.
bool is_device(host& h, const network& n) {
  auto name = n.interface;
  if (name.empty()) {
    if (auto all = h.world().net.interfaces())
      for (const auto& i : *all)
        for (const auto& a : i.addresses)
          if (a.address == n.address.address) name = i.name;
  }
  return !name.empty() && h.world().files.info("/sys/class/net/" + name + "/device").has_value();
}

result<object_ptr> create_network(host& h, const options& o) {
  auto out = std::make_shared<network>();
  out->interface = o.maybe<std::string>("interface").value_or("");
  if (auto address = o.maybe<cidr>("address")) {
    out->address = *address;
  } else if (out->interface.empty()) {
    return fail(errc::invalid, "one of \"interface\" and \"address\" is needed");
  } else {
    auto found = interface_address(h, out->interface);
    if (!found) return tl::unexpected(found.error());
    out->address = *found;
  }
  if (auto router = o.maybe<ip_address>("router")) {
    if (!out->address.contains(*router))
      return fail(errc::invalid, "router " + router->to_string() + " is not in " + out->address.to_string(),
                  "router");
    out->router = *router;
  }
  out->domain = o.maybe<std::string>("domain").value_or("");
  out->networks = o.list<cidr>("networks");
  const auto& platform = o.get<std::string>("platform");
  if (platform == "ec2")
    out->vpc = "as the recipe says";
  else if (platform == "auto" && is_device(h, *out))
    out->vpc = ec2_evidence(h.world().files);
  return out;
}

int network_at(call& c) {
  auto& self = c.self<network>();
  double port = c.number(2, "the port");
  if (port < 1 || port > 65535 || port != static_cast<int>(port))
    throw script_error("network \"" + self.name() + "\":at(port): the port must be from 1 to 65535, got " +
                       describe_value(c.L, 2));
  push_listen(c.L, {endpoint{self.address.address, static_cast<std::uint16_t>(port)}, object_at(c.L, 1)});
  return 1;
}

int network_contains(call& c) {
  auto& self = c.self<network>();
  auto address = ip_address::parse(c.text(2, "the address"));
  if (!address)
    throw script_error("network \"" + self.name() + "\":contains(ip): " + address.error().message);
  return c.give(self.contains(*address));
}

int network_ip(call& c) { return c.give(c.self<network>().address.address.to_string()); }
int network_address(call& c) { return c.give(c.self<network>().address.to_string()); }
int network_interface(call& c) { return c.give(c.self<network>().interface); }
int network_domain(call& c) { return c.give(c.self<network>().domain); }
int network_platform(call& c) { return c.give(c.self<network>().vpc.empty() ? "metal" : "ec2"); }
int network_name(call& c) { return c.give(c.self<network>().name()); }
int network_router(call& c) {
  auto& router = c.self<network>().router;
  if (!router) return c.nothing();
  return c.give(router->to_string());
}

} // namespace

void bind_network(api& a) {
  a.constructor(network_schema(), "network", create_network);
  a.kind(
      {"network",
       "A network, as netlab.network returns it.",
       {
           {"at",
            network_at,
            "A place to listen: our address on this network with that port.",
            {{"port", "integer", "1 … 65535"}},
            {{"", "listen", ""}},
            false,
            {}},
           {"contains",
            network_contains,
            "Whether an address belongs to its client networks.",
            {{"ip", "string", ""}},
            {{"", "boolean", ""}},
            false,
            {}},
       },
       {
           {"ip", network_ip, "Our address.", {}, {{"", "string", ""}}, false, {}},
           {"address",
            network_address,
            "Our address with the prefix length.",
            {},
            {{"", "string", ""}},
            false,
            {}},
           {"interface",
            network_interface,
            "The interface's name, empty when none was given.",
            {},
            {{"", "string", ""}},
            false,
            {}},
           {"domain",
            network_domain,
            "The clients' domain, empty when none was given.",
            {},
            {{"", "string", ""}},
            false,
            {}},
           {"router", network_router, "The clients' router, or nil.", {}, {{"", "string?", ""}}, false, {}},
           {"platform",
            network_platform,
            "\"ec2\" in a VPC, else \"metal\".",
            {},
            {{"", "string", ""}},
            false,
            {}},
           {"name", network_name, "How messages and commands call it.", {}, {{"", "string", ""}}, false, {}},
       }});
}

} // namespace netlab::lua
