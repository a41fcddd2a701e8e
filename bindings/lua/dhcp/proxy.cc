#include "dhcp/service.h"
#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"

namespace netlab::lua {

namespace {

constexpr const char* option43_help =
    "option 43 to PXE firmware: \"auto\" (BIOS gets discovery control 8, UEFI none "
    "and asks port 4011), \"control\" (discovery control 8 for all), \"omit\", or "
    "its bytes as hex digits";

schema proxy_schema() {
  schema s;
  s.name = "dhcp.proxy";
  s.help =
      "Boot options beside another DHCP server (proxyDHCP): answers boot firmware on ports 67 and 4011, and "
      "never gives an address.";
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      required("network", type::handle("network"), "the network that the other server serves"),
      required("boot", type::handle("boot.service"), "what network boot clients are told"),
      optional("nodes", type::handle("nodes"),
               "the lab's machines; every netlab.nodes counts, this one documents it"),
      with_default("option43", type::string(), "auto", option43_help),
      optional("hosts",
               type::list(type::table({
                   optional("name", type::string(), "for messages"),
                   optional("mac", type::one_of({type::mac(), type::list(type::mac())}),
                            "its network card, or a list"),
                   optional("uuid", type::uuid(), "its SMBIOS UUID"),
                   optional("serial", type::string(), "its serial number"),
                   required("option43", type::string(), "for this machine: see above"),
               })),
               "machines whose firmware wants another option 43"),
      optional("listen", type::ip(), "answer unicast on this address only, for tests"),
      with_default("port", type::integer(0, 65535), 67, "for tests"),
      with_default("proxy_port", type::integer(0, 65535), 4011, "for tests"),
  };
  s.example = "netlab.dhcp.proxy { network = lan, boot = boot }";
  return s;
}

result<dhcp::pxe_hints> read_hints(const std::string& text, const std::string& at) {
  using kind = dhcp::pxe_hints::kind;
  if (text == "auto") return dhcp::pxe_hints{};
  if (text == "omit") return dhcp::pxe_hints{kind::omit, {}};
  if (text == "control") return dhcp::pxe_hints{kind::control, {}};
  dhcp::pxe_hints out{kind::bytes, {}};
  if (!from_hex(text, out.value) || out.value.empty() || out.value.size() > 255)
    return fail(errc::invalid, "expected \"auto\", \"control\", \"omit\" or hex digits, got \"" + text + "\"",
                at);
  return out;
}

result<object_ptr> create_proxy(host&, const options& o) {
  auto out = std::make_shared<dhcp_service>();
  out->proxy = true;
  out->lan = o.object<network>("network");
  out->boot = o.object<boot_object>("boot");
  dhcp::network_config net;
  net.name = out->lan->name();
  net.interface = out->lan->interface;
  net.subnet = {out->lan->address.network(), out->lan->address.prefix};
  net.server = out->lan->address.address;
  net.mode = dhcp::service::proxy;
  auto hints = read_hints(o.get<std::string>("option43"), "option43");
  if (!hints) return tl::unexpected(hints.error());
  net.hints = std::move(*hints);
  out->settings.config.networks.push_back(std::move(net));
  std::size_t index = 0;
  for (const auto& entry : o.list<options>("hosts")) {
    auto at = "hosts[" + std::to_string(++index) + "]";
    dhcp::fixed_host host;
    host.name = entry.maybe<std::string>("name").value_or("");
    host.macs = entry.list<mac_address>("mac");
    host.uuid = entry.maybe<uuid>("uuid");
    host.serial = entry.maybe<std::string>("serial").value_or("");
    auto own = read_hints(entry.get<std::string>("option43"), at + ".option43");
    if (!own) return tl::unexpected(own.error());
    host.hints = std::move(*own);
    out->settings.config.hosts.push_back(std::move(host));
  }
  out->settings.listen = o.maybe<ip_address>("listen");
  out->settings.port = static_cast<std::uint16_t>(o.get<std::int64_t>("port"));
  out->settings.proxy_port = static_cast<std::uint16_t>(o.get<std::int64_t>("proxy_port"));
  return out;
}

} // namespace

void bind_dhcp_proxy(api& a) {
  a.constructor(proxy_schema(), "dhcp.proxy", create_proxy);
  a.kind({"dhcp.proxy", "A proxyDHCP server.", {}, {}});
}

} // namespace netlab::lua
