#include <set>

#include "netlab/dhcp_config.h"

namespace netlab::dhcp {

namespace {

void check_options(const option_set& o, const std::string& where, std::vector<error>& out) {
  auto bad = [&](const std::string& what) {
    out.push_back({errc::invalid, where + ": " + what, "dhcp.config"});
  };
  auto addresses = [&](const auto& list, const char* what) {
    if (!list) return;
    for (const auto& a : *list)
      if (!a.is_v4()) bad(std::string(what) + " " + a.to_string() + " is not an IPv4 address");
    if (list->size() > 63) bad(std::string(what) + ": more than 63 addresses");
  };
  addresses(o.routers, "router");
  addresses(o.dns, "dns");
  addresses(o.ntp, "ntp");
  if (o.domain && o.domain->size() > 253) bad("domain is longer than 253 bytes");
  if (o.search)
    if (auto ok = encode_domains(*o.search); !ok) bad("search: " + ok.error().message);
  if (o.mtu && *o.mtu < 68) bad("mtu is below 68");
  if (o.routes)
    if (auto ok = encode_routes(*o.routes); !ok) bad("routes: " + ok.error().message);
  if (o.lease && *o.lease < std::chrono::seconds(1)) bad("lease is shorter than a second");
  for (const auto& raw : o.raw) {
    switch (raw.code) {
    case option::pad:
    case option::end:
    case option::overload:
    case option::type:
    case option::server_id:
    case option::requested_address:
    case option::lease_time:
    case option::parameter_list:
    case option::client_id:
    case option::relay_agent:
      bad("option " + std::to_string(raw.code) + " belongs to the protocol and cannot be set");
      break;
    default:
      if (raw.value.size() > 1024) bad("option " + std::to_string(raw.code) + " is longer than 1024 bytes");
    }
  }
}

} // namespace

std::vector<error> check(const server_config& config) {
  std::vector<error> out;
  auto bad = [&](errc code, const std::string& what) { out.push_back({code, what, "dhcp.config"}); };
  if (config.networks.empty()) bad(errc::invalid, "no network is given");
  std::set<std::string> names;
  for (std::size_t i = 0; i < config.networks.size(); ++i) {
    const auto& n = config.networks[i];
    auto where = "network \"" + n.name + "\"";
    // The first network's options are the server's own; those of others stand in a list.
    auto at = [&](const char* option, errc code, const std::string& what) {
      out.push_back({code, what, i == 0 ? option : "dhcp.config"});
    };
    if (!names.insert(n.name).second) bad(errc::conflict, where + " is there twice");
    if (!n.subnet.address.is_v4() || n.subnet.prefix == 0 || n.subnet.prefix > 30) {
      bad(errc::invalid, where + ": " + n.subnet.to_string() + " is not an IPv4 subnet of /1 to /30");
      continue;
    }
    if (!n.server.is_v4() || n.server.is_unspecified())
      bad(errc::invalid, where + ": the server's address is missing");
    for (std::size_t k = 0; k < i; ++k) {
      const auto& other = config.networks[k].subnet;
      if (other.contains(n.subnet.network()) || n.subnet.contains(other.network()))
        bad(errc::conflict, where + " overlaps network \"" + config.networks[k].name + "\"");
    }
    for (std::size_t k = 0; k < n.ranges.size(); ++k) {
      const auto& r = n.ranges[k];
      if (!r.first.is_v4() || !r.last.is_v4() || !n.subnet.contains(r.first) || !n.subnet.contains(r.last) ||
          r.last < r.first)
        at("range", errc::invalid,
           where + ": range " + r.to_string() + " is not inside " + n.subnet.to_string());
      for (std::size_t j = 0; j < k; ++j)
        if (r.first <= n.ranges[j].last && n.ranges[j].first <= r.last)
          at("range", errc::conflict,
             where + ": ranges " + r.to_string() + " and " + n.ranges[j].to_string() + " overlap");
    }
    if (n.lease < std::chrono::seconds(1))
      at("lease", errc::invalid, where + ": lease is shorter than a second");
    if (n.lease_min > n.lease_max) bad(errc::invalid, where + ": lease_min is longer than lease_max");
    check_options(n.options, where, out);
  }
  std::set<ip_address> addresses;
  std::set<mac_address> macs;
  for (const auto& h : config.hosts) {
    auto where = "host \"" + h.name + "\"";
    if (h.macs.empty() && h.client_id.empty() && !h.uuid && h.serial.empty())
      bad(errc::invalid, where + " has no MAC, client id, UUID or serial to know it by");
    for (const auto& mac : h.macs)
      if (!macs.insert(mac).second)
        bad(errc::conflict, where + ": MAC " + mac.to_string() + " is another host's");
    if (h.address) {
      if (!h.address->is_v4()) bad(errc::invalid, where + ": " + h.address->to_string() + " is not IPv4");
      if (!addresses.insert(*h.address).second)
        bad(errc::conflict, where + ": address " + h.address->to_string() + " is another host's");
      for (const auto& n : config.networks)
        if (n.server == *h.address)
          bad(errc::conflict, where + ": address " + h.address->to_string() + " is the server's own");
    }
    check_options(h.options, where, out);
  }
  for (const auto& c : config.classes) {
    if (c.vendor_class.empty() && c.user_class.empty() && c.mac.empty() && c.architectures.empty())
      bad(errc::invalid, "class \"" + c.name + "\" has no condition");
    check_options(c.options, "class \"" + c.name + "\"", out);
  }
  if (config.classes.size() > 32) bad(errc::limit, "more than 32 classes");
  return out;
}

} // namespace netlab::dhcp
