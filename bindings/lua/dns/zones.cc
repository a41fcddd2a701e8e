#include "dns/zones.h"

#include "netlab/dns_operator_messages.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

constexpr std::size_t most_zones = 1000;

result<std::vector<dns::zone_record>> read_zone(files& from, const dns_zone& z, std::uint32_t ttl) {
  dns::zone_options o;
  o.file = z.path;
  o.origin = z.origin;
  o.ttl = ttl;
  auto text = from.read(z.path, o.max_bytes);
  if (!text) return tl::unexpected(text.error());
  return dns::parse_zone(*text, o);
}

} // namespace

option dns_zones_field() {
  return optional("zones", type::map(type::path()),
                  "zones that are answered from master files (RFC 1035 §5), read again when they change: "
                  "{ [\"example.org\"] = \"example.org.zone\" }");
}

result<dns_zones> dns_zones::read(const options& o, std::uint32_t ttl) {
  dns_zones out;
  out.ttl = ttl;
  auto given = o.maybe<value_map>("zones");
  if (!given) return out;
  for (const auto& item : given->items) {
    auto at = "zones." + item.name;
    auto origin = dns::name::parse(item.name);
    if (!origin) return fail(errc::invalid, origin.error().message, at);
    if (origin->is_root()) return fail(errc::invalid, "the root is nobody's own zone", at);
    out.all.push_back({origin->lower(), item.value.as<file_path>().path, {}});
  }
  if (out.all.size() > most_zones) return fail(errc::invalid, "more zones than a server has", "zones");
  return out;
}

result<void> dns_zones::load(files& from) {
  for (auto& z : all) {
    auto records = read_zone(from, z, ttl);
    if (!records) return fail(records.error().code, records.error().message, "zones." + z.origin.to_string());
    z.records = std::move(*records);
  }
  return {};
}

void dns_zones::reload(runtime& world, const std::string& server) {
  for (auto& z : all) {
    auto records = read_zone(world.files, z, ttl);
    if (records)
      z.records = std::move(*records);
    else
      world.log(dns::msg_zone_refused, server + ": " + printable(records.error().message));
  }
}

} // namespace netlab::lua
