#include "dhcp/options.h"

#include <nlohmann/json.hpp>

#include "netlab/dhcp_options.h"

namespace netlab::lua {

std::vector<option> dhcp_option_fields() {
  auto ips = [] { return type::one_of({type::ip(), type::list(type::ip())}); };
  return {
      optional("router", ips(), "option 3; by default the network's router"),
      optional("dns", ips(), "option 6"),
      optional("ntp", ips(), "option 42"),
      optional("domain", type::string(), "option 15; by default the network's domain"),
      optional("search", type::list(type::string()), "option 119: domains to search"),
      optional("mtu", type::integer(68, 65535), "option 26"),
      optional("routes",
               type::list(type::table({required("to", type::cidr(), "the destination"),
                                       required("via", type::ip(), "the gateway")})),
               "option 121: static routes"),
      optional("options",
               type::list(type::table({
                   required("code", type::integer(1, 254), "the option's number"),
                   optional("text", type::string(), "its value as text"),
                   optional("hex", type::string(), "its value as hex digits"),
                   optional("ip", ips(), "its value as addresses"),
                   optional("u8", type::integer(0, 255), "its value as one byte"),
                   optional("u16", type::integer(0, 65535), "its value as two bytes"),
                   optional("u32", type::integer(0, 4294967295.0), "its value as four bytes"),
                   with_default("always", type::boolean(), true,
                                "send it even when the client does not ask for it"),
               })),
               "further options by number"),
  };
}

namespace {

result<dhcp::raw_option> read_raw(const options& o, const std::string& at) {
  dhcp::raw_option out;
  out.code = static_cast<std::uint8_t>(o.get<std::int64_t>("code"));
  out.always = o.get<bool>("always");
  int values = 0;
  auto number = [&](const char* name, int width) {
    auto value = o.maybe<std::int64_t>(name);
    if (!value) return;
    ++values;
    for (int i = width - 1; i >= 0; --i) out.value.push_back(static_cast<std::uint8_t>(*value >> (8 * i)));
  };
  if (auto text = o.maybe<std::string>("text")) {
    ++values;
    out.value.assign(text->begin(), text->end());
  }
  if (auto hex = o.maybe<std::string>("hex")) {
    ++values;
    if (!from_hex(*hex, out.value))
      return fail(errc::invalid, "\"" + *hex + "\" is not hex digits", at + ".hex");
  }
  if (o.has("ip")) {
    ++values;
    auto raw = dhcp::encode_addresses(o.list<ip_address>("ip"));
    if (!raw) return fail(errc::invalid, raw.error().message, at + ".ip");
    out.value = std::move(*raw);
  }
  number("u8", 1);
  number("u16", 2);
  number("u32", 4);
  if (values != 1) return fail(errc::invalid, "exactly one of text, hex, ip, u8, u16 and u32 is needed", at);
  return out;
}

} // namespace

result<dhcp::option_set> read_dhcp_options(const options& o, const std::string& at) {
  dhcp::option_set out;
  if (o.has("router")) out.routers = o.list<ip_address>("router");
  if (o.has("dns")) out.dns = o.list<ip_address>("dns");
  if (o.has("ntp")) out.ntp = o.list<ip_address>("ntp");
  out.domain = o.maybe<std::string>("domain");
  if (o.has("search")) out.search = o.list<std::string>("search");
  if (auto mtu = o.maybe<std::int64_t>("mtu")) out.mtu = static_cast<std::uint16_t>(*mtu);
  if (o.has("routes")) {
    out.routes.emplace();
    for (const auto& r : o.list<options>("routes"))
      out.routes->push_back({r.get<cidr>("to"), r.get<ip_address>("via")});
  }
  std::size_t index = 0;
  for (const auto& entry : o.list<options>("options")) {
    auto raw = read_raw(entry, at + "options[" + std::to_string(++index) + "]");
    if (!raw) return tl::unexpected(raw.error());
    out.raw.push_back(std::move(*raw));
  }
  out.lease = o.maybe<duration>("lease");
  return out;
}

void merge_dhcp_options(dhcp::option_set& set, const dhcp::option_set& from) {
  auto inherit = [](auto& mine, const auto& theirs) {
    if (!mine) mine = theirs;
  };
  inherit(set.dns, from.dns);
  inherit(set.ntp, from.ntp);
  inherit(set.domain, from.domain);
  inherit(set.search, from.search);
  inherit(set.mtu, from.mtu);
  if (set.raw.empty()) set.raw = from.raw;
}

} // namespace netlab::lua
