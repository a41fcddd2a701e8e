#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"
#include "netlab/dhcp_client.h"
#include "netlab/dhcp_watch.h"
#include "netlab/ipxe_script.h"

// What `netlab probe` is made of: a DHCP client that imitates firmware, and a virtual iPXE. The rest of the
// chain is netlab.tftp.get and netlab.http.get; lua/netlab/probe.lua puts them together.

namespace netlab::lua {

namespace {

double seconds(duration d) { return static_cast<double>(d.count()) / 1e9; }

const schema& dhcp_schema() {
  static const schema s = [] {
    schema out;
    out.name = "dhcp.probe";
    out.options = {
        optional("interface", type::string(), "ask on this interface, which needs no address (CAP_NET_RAW)"),
        optional("server", type::listen(), "or ask this server by unicast: for loopback and relays"),
        with_default("kind", type::enumeration({"plain", "pxe", "http_boot", "ipxe"}), "pxe",
                     "whose options to send"),
        with_default("architecture", type::integer(0, 65535), 7,
                     "option 93: 0 BIOS, 7 x86-64 UEFI, 11 arm64 UEFI, 16 and 19 UEFI HTTP"),
        optional("mac", type::mac(), "the client's; by default the interface's"),
        optional("uuid", type::uuid(), "option 97; by default made from the MAC"),
        optional("hostname", type::string(), "option 12"),
        optional("user_class", type::string(), "option 77 instead of \"iPXE\""),
        with_default("broadcast", type::boolean(), false, "ask for broadcast replies"),
        with_default("release", type::boolean(), false, "give the address back at the end"),
        with_default("timeout", type::duration(), "10s", "for the whole exchange"),
    };
    return out;
  }();
  return s;
}

json to_json(const dhcp::client_report& r, bool as_boot_client) {
  json out = json::object();
  json steps = json::array(), offers = json::array();
  for (const auto& s : r.steps)
    steps.push_back({{"at", seconds(s.at)}, {"sent", s.sent}, {"what", s.what}, {"detail", s.detail}});
  for (const auto& o : r.offers)
    offers.push_back({{"server", o.server.to_string()},
                      {"address", o.address.to_string()},
                      {"file", o.file},
                      {"next_server", o.next_server.to_string()},
                      {"vendor_class", o.vendor_class},
                      {"after", seconds(o.after)},
                      {"proxy", o.proxy()}});
  out["steps"] = std::move(steps);
  out["offers"] = std::move(offers);
  auto verdict = dhcp::judge(r.offers, as_boot_client);
  out["network"] = {{"needs", dhcp::to_string(verdict.need)}, {"text", verdict.text}};
  if (r.failure)
    out["failure"] = {
        {"code", to_string(r.failure->code)}, {"message", r.failure->message}, {"op", r.failure->op}};
  if (r.lease) {
    const auto& l = *r.lease;
    json routers = json::array();
    for (const auto& a : l.routers) routers.push_back(a.to_string());
    out["lease"] = {{"ip", l.address.to_string()},
                    {"network", l.network.to_string()},
                    {"server", l.server.to_string()},
                    {"next_server", l.next_server.to_string()},
                    {"routers", std::move(routers)},
                    {"hostname", l.hostname},
                    {"domain", l.domain},
                    {"boot_file", l.boot_file},
                    {"boot_server", l.boot_server.to_string()},
                    {"boot_from_proxy", l.boot_from_proxy},
                    {"seconds", l.term == duration::max() ? -1.0 : seconds(l.term)}};
  }
  return out;
}

int dhcp_probe(call& c) {
  auto o = c.table(1, dhcp_schema());
  dhcp::client_transport transport;
  transport.interface = o.maybe<std::string>("interface").value_or("");
  if (auto server = o.maybe<listen_list>("server")) transport.server = server->front().endpoint;
  if (transport.interface.empty() == !transport.server)
    c.refuse("exactly one of \"interface\" and \"server\" is needed");
  dhcp::client_options what;
  const auto& kind = o.get<std::string>("kind");
  what.kind = kind == "plain"       ? dhcp::client_kind::plain
              : kind == "http_boot" ? dhcp::client_kind::http_boot
              : kind == "ipxe"      ? dhcp::client_kind::ipxe
                                    : dhcp::client_kind::pxe;
  what.architecture = static_cast<std::uint16_t>(o.get<std::int64_t>("architecture"));
  if (auto mac = o.maybe<mac_address>("mac")) what.mac = *mac;
  what.uuid = o.maybe<uuid>("uuid");
  what.hostname = o.maybe<std::string>("hostname").value_or("");
  what.user_class = o.maybe<std::string>("user_class").value_or("");
  what.broadcast = o.get<bool>("broadcast");
  what.release = o.get<bool>("release");
  what.deadline = o.get<duration>("timeout");
  auto& world = c.owner.world();
  return c.wait("dhcp.probe", what.deadline + std::chrono::seconds(2), [&](waker w) -> std::shared_ptr<void> {
    auto begun = dhcp::client::start(
        world, transport, what, [w, boots = what.kind != dhcp::client_kind::plain](dhcp::client_report r) {
          w([data = to_json(r, boots)](lua_State* L) { return push(L, data), 1; });
        });
    if (begun) return std::shared_ptr<dhcp::client>(std::move(*begun));
    world.scheduler.post([w, e = begun.error()] { w.fail(e); });
    return nullptr;
  });
}

// The interface as recipes see it, or nil.
int interface_info(call& c) {
  auto name = c.text(1, "the interface");
  auto all = c.owner.world().net.interfaces();
  if (!all) return c.fail(all.error());
  for (const auto& i : *all) {
    if (i.name != name) continue;
    json addresses = json::array();
    for (const auto& a : i.addresses) addresses.push_back(a.to_string());
    return c.give(json{{"name", i.name},
                       {"mac", i.mac.to_string()},
                       {"up", i.up},
                       {"mtu", i.mtu},
                       {"index", i.index},
                       {"addresses", std::move(addresses)}});
  }
  return c.fail(error{errc::not_found, "there is no interface \"" + name + "\"", "net.interface"});
}

template<bool add>
int change_address(call& c) {
  c.need_running();
  auto name = c.text(1, "the interface");
  auto address = cidr::parse(c.text(2, "the address"));
  if (!address) c.refuse(address.error().message);
  auto& net = c.owner.world().net;
  auto all = net.interfaces();
  if (!all) return c.fail(all.error());
  for (const auto& i : *all)
    if (i.name == name)
      return c.give(add ? net.add_address(i.index, *address) : net.remove_address(i.index, *address));
  return c.fail(error{errc::not_found, "there is no interface \"" + name + "\"", "net.address"});
}

// --- a virtual iPXE

class ipxe_object final : public object {
public:
  explicit ipxe_object(boot::ipxe_settings settings) : machine(std::move(settings)) {}
  boot::ipxe_machine machine;
};

int give_action(call& c, const boot::ipxe_action& action) {
  struct {
    json operator()(const boot::ipxe_fetch& a) const {
      const char* purpose = a.purpose == boot::ipxe_image_kind::script   ? "script"
                            : a.purpose == boot::ipxe_image_kind::kernel ? "kernel"
                            : a.purpose == boot::ipxe_image_kind::initrd ? "initrd"
                                                                         : "other";
      return {{"what", "fetch"}, {"url", a.url}, {"purpose", purpose}};
    }
    json operator()(const boot::ipxe_sleep& a) const {
      return {{"what", "sleep"}, {"seconds", seconds(a.time)}};
    }
    json operator()(const boot::ipxe_boot& a) const {
      json initrds = json::array();
      for (const auto& i : a.initrds) initrds.push_back({{"name", i.name}, {"url", i.url}});
      return {
          {"what", "boot"}, {"kernel", a.kernel}, {"cmdline", a.cmdline}, {"initrds", std::move(initrds)}};
    }
    json operator()(const boot::ipxe_exit& a) const { return {{"what", "exit"}, {"code", a.code}}; }
    json operator()(const boot::ipxe_failed& a) const {
      return {{"what", "failed"}, {"url", a.url}, {"line", a.line}, {"why", a.why}};
    }
  } show;
  return c.give(std::visit(show, action));
}

int ipxe(call& c) {
  c.need_table(1, "the settings");
  auto data = lua::to_json(c.L, 1);
  if (!data || !data->is_object()) c.refuse("expected a table of settings such as { mac = \"…\" }");
  boot::ipxe_settings settings;
  for (const auto& [key, value] : data->items())
    settings[key] = value.is_string() ? value.get<std::string>() : value.dump();
  auto made = std::make_shared<ipxe_object>(std::move(settings));
  if (auto ok = c.owner.graph().add(made, "boot.ipxe", where(c.L), "", json::object()); !ok)
    c.refuse(ok.error().message);
  push_handle(c.L, made);
  return 1;
}

int ipxe_start(call& c) { return give_action(c, c.self<ipxe_object>().machine.start(c.text(2, "the URL"))); }

int ipxe_fetched(call& c) {
  auto& self = c.self<ipxe_object>();
  boot::ipxe_image image;
  image.bytes = c.text(2, "the content");
  image.size = c.given(3) ? static_cast<std::uint64_t>(c.number(3, "the size")) : image.bytes.size();
  return give_action(c, self.machine.fetched(std::move(image)));
}

int ipxe_missing(call& c) {
  auto& self = c.self<ipxe_object>();
  return give_action(c, self.machine.fetched(fail(errc::not_found, c.text(2, "why"), "fetch")));
}

int ipxe_slept(call& c) { return give_action(c, c.self<ipxe_object>().machine.slept()); }

int ipxe_console(call& c) {
  json out = json::array();
  for (const auto& line : c.self<ipxe_object>().machine.console()) out.push_back(line);
  return c.give(out);
}

int talos_config_url(call& c) {
  auto cmdline = c.text(1, "the command line");
  boot::talos_variables v;
  if (c.given(2)) {
    auto data = lua::to_json(c.L, 2);
    if (!data || !data->is_object()) c.refuse("expected a table such as { mac = \"…\", uuid = \"…\" }");
    auto text = [&](const char* key) {
      return data->contains(key) && (*data)[key].is_string() ? (*data)[key].get<std::string>()
                                                             : std::string();
    };
    v = {text("uuid"), text("serial"), text("mac"), text("hostname"), text("code")};
  }
  return c.give(boot::talos_config_url(cmdline, v));
}

} // namespace

void bind_probe(api& a) {
  a.function(
      {"net.interface",
       interface_info,
       "What this machine's interface is like.",
       {{"name", "string", ""}},
       {{"interface", "table?", "{ name, mac, up, mtu, index, addresses }"}, {"err?", "netlab.error", ""}},
       false,
       {}});
  a.function({"net.add_address",
              change_address<true>,
              "Gives an interface an address (CAP_NET_ADMIN).",
              {{"interface", "string", ""}, {"address", "string", "with the prefix length"}},
              {{"ok", "boolean?", ""}, {"err?", "netlab.error", ""}},
              false,
              {}});
  a.function({"net.remove_address",
              change_address<false>,
              "Takes an address from an interface (CAP_NET_ADMIN).",
              {{"interface", "string", ""}, {"address", "string", "with the prefix length"}},
              {{"ok", "boolean?", ""}, {"err?", "netlab.error", ""}},
              false,
              {}});
  a.function({"dhcp.probe",
              dhcp_probe,
              "Asks for an address as a chosen firmware would, and reports every step.",
              {{"options", "table", ""}},
              {{"report", "table?", "{ lease?, failure?, offers, steps }"}, {"err?", "netlab.error", ""}},
              true,
              dhcp_schema()});
  a.function({"boot.ipxe",
              ipxe,
              "A virtual iPXE that runs scripts; its methods return the next action.",
              {{"settings", "table", "iPXE's settings: mac, uuid, serial, buildarch, platform, net0/ip …"}},
              {{"", "boot.ipxe", ""}},
              false,
              {}});
  a.function({"boot.talos_config_url",
              talos_config_url,
              "The URL that a Talos node with this command line fetches its config from.",
              {{"cmdline", "string", ""}, {"variables?", "table", "{ mac, uuid, serial, hostname, code }"}},
              {{"url", "string?", ""}, {"err?", "netlab.error", ""}},
              false,
              {}});
  a.kind({"boot.ipxe",
          "A virtual iPXE. Actions: { what = \"fetch\", url, purpose }, \"sleep\", \"boot\" { kernel, "
          "cmdline, initrds }, "
          "\"exit\" { code }, \"failed\" { url, line, why }.",
          {
              {"start",
               ipxe_start,
               "Begins with the script at a URL.",
               {{"url", "string", ""}},
               {{"action", "table", ""}},
               false,
               {}},
              {"fetched",
               ipxe_fetched,
               "Answers a fetch.",
               {{"content", "string", "all of a script; the beginning of anything else is enough"},
                {"size?", "number", "of the whole"}},
               {{"action", "table", ""}},
               false,
               {}},
              {"missing",
               ipxe_missing,
               "Answers a fetch that failed.",
               {{"why", "string", ""}},
               {{"action", "table", ""}},
               false,
               {}},
              {"slept", ipxe_slept, "Answers a sleep.", {}, {{"action", "table", ""}}, false, {}},
              {"console", ipxe_console, "What `echo` printed so far.", {}, {{"", "string[]", ""}}, false, {}},
          },
          {}});
}

} // namespace netlab::lua
