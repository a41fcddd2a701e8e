#include "dns/upstreams.h"

#include "dns/records.h"
#include "netlab/ip.h"

namespace netlab::lua {

std::vector<std::string> one_or_more_texts(const value& given) {
  std::vector<std::string> out;
  if (given.is<std::string>()) out.push_back(given.as<std::string>());
  if (given.is<value_list>())
    for (const auto& each : given.as<value_list>()) out.push_back(each.as<std::string>());
  return out;
}

namespace {

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

} // namespace

std::vector<option> dns_upstream_fields() {
  auto upstream_list = type::one_of({type::string(), type::list(type::string())});
  return {
      required("upstreams", upstream_list,
               "who is asked: \"1.1.1.1\", \"tcp://1.1.1.1\", \"tls://1.1.1.1#one.one.one.one\", "
               "\"https://dns.google/dns-query\"; plain and encrypted ones do not mix"),
      optional("bootstrap", upstream_list,
               "plain resolvers that find the addresses of upstreams which are given by name"),
      optional("ca_file", type::path(), "certificates that upstreams may show, instead of the system's"),
      optional("forward", type::map(upstream_list),
               "upstreams of their own for domains and, by network, for reverse zones: "
               "{ [\"eu-west-1.compute.internal\"] = \"10.20.0.2\", [\"10.20.0.0/16\"] = \"10.20.0.2\" }"),
  };
}

result<void> read_dns_upstreams(const options& o, dns::server_config& server, dns::route_table& routes) {
  auto& engine = server.engine;
  auto ca_file = o.maybe<file_path>("ca_file").value_or(file_path{}).path;
  auto first = read_group(o.list<std::string>("upstreams"), "upstreams", ca_file);
  if (!first) return tl::unexpected(first.error());
  engine.groups.push_back(std::move(*first));
  if (auto forward = o.maybe<value_map>("forward"))
    for (const auto& item : forward->items) {
      auto at = "forward." + item.name;
      auto group = read_group(one_or_more_texts(item.value), at, ca_file);
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
        routes.add(zone, dns::route_kind::forward, static_cast<std::uint8_t>(engine.groups.size()));
      engine.groups.push_back(std::move(*group));
      if (engine.groups.size() > 200) return fail(errc::invalid, "more than 199 entries", "forward");
    }
  if (auto texts = o.list<std::string>("bootstrap"); !texts.empty()) {
    auto group = read_group(texts, "bootstrap", {});
    if (!group) return tl::unexpected(group.error());
    server.bootstrap = std::move(group->members);
  }
  return {};
}

} // namespace netlab::lua
