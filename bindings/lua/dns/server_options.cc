#include "dns/server_options.h"

#include <algorithm>

#include "dns/records.h"
#include "dns/upstreams.h"

namespace netlab::lua {

namespace {

std::uint32_t whole_seconds(duration d) {
  auto count = std::chrono::duration_cast<std::chrono::seconds>(d).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(count, 0, 0x7fffffff));
}

result<void> read_dnssec(const options& o, dns::dnssec_settings& out) {
  const auto* given = o.find("dnssec");
  if (!given) return {};
  out.anchors = dns::root_anchors();
  if (given->is<bool>()) {
    out.validate = given->as<bool>();
    return {};
  }
  out.validate = true;
  const auto& t = given->as<options>();
  if (auto anchors = t.maybe<value_map>("anchors")) {
    out.anchors.clear();
    for (const auto& item : anchors->items) {
      auto at = "dnssec.anchors." + item.name;
      auto zone = dns::name::parse(item.name);
      if (!zone) return fail(errc::invalid, zone.error().message, at);
      for (const auto& text : one_or_more_texts(item.value)) {
        auto anchor = dns::trust_anchor::parse(*zone, text);
        if (!anchor) return fail(errc::invalid, anchor.error().message, at);
        out.anchors.push_back(std::move(*anchor));
      }
    }
    if (out.anchors.empty()) return fail(errc::invalid, "no anchor is given", "dnssec.anchors");
  }
  for (const auto& text : t.list<std::string>("negative")) {
    auto zone = dns::name::parse(text);
    if (!zone) return fail(errc::invalid, zone.error().message, "dnssec.negative");
    out.negative.push_back(zone->lower());
  }
  return {};
}

} // namespace

result<std::shared_ptr<dns_service>> read_dns_server(const options& o) {
  auto out = std::make_shared<dns_service>();
  auto& s = out->settings;
  auto& e = s.engine;
  out->listen = o.get<listen_list>("listen");

  std::string domain = o.maybe<std::string>("domain").value_or("");
  for (const auto& l : out->listen)
    if (const auto* lan = dynamic_cast<const network*>(l.network.get()); lan && domain.empty())
      domain = lan->domain;
  if (!domain.empty()) {
    auto parsed = dns::name::parse(domain);
    if (!parsed) return fail(errc::invalid, parsed.error().message, "domain");
    out->names.domain = parsed->lower();
  }
  e.domain = out->names.domain;

  auto routes = std::make_shared<dns::route_table>();
  dns::add_standard_routes(*routes, o.get<bool>("special_domains"));
  if (!out->names.domain.is_root()) routes->add(out->names.domain, dns::route_kind::local);

  if (auto read = read_dns_upstreams(o, s, *routes); !read) return tl::unexpected(read.error());
  // Names below a zone file's are ours: what it does not have does not exist.
  if (auto zones = o.maybe<value_map>("zones"))
    for (const auto& item : zones->items)
      if (auto zone = dns::name::parse(item.name)) routes->add(*zone, dns::route_kind::local);
  out->routes = std::move(routes);

  out->names.ttl = whole_seconds(o.get<duration>("ttl"));
  auto records = read_dns_records(o, out->names.domain, out->names.ttl);
  if (!records) return tl::unexpected(records.error());
  out->names.records = std::move(*records);
  for (const auto& path : o.list<file_path>("hosts")) out->names.hosts_files.push_back(path.path);
  auto zones = dns_zones::read(o, out->names.ttl);
  if (!zones) return tl::unexpected(zones.error());
  out->names.zones = std::move(*zones);
  out->names.set_names = o.objects<dns_names>("names");
  out->logging = read_dns_log(o);
  if (out->logging.max_bytes < 2u << 20)
    return fail(errc::invalid, "a log needs 2MiB at least", "log.max_size");
  if (out->logging.retention < std::chrono::hours(1))
    return fail(errc::invalid, "a log is kept for an hour at least", "log.retention");
  out->on_query = o.maybe<shared_reference>("on_query").value_or(nullptr);
  s.hook_timeout = o.get<duration>("on_query_timeout");
  if (s.hook_timeout < std::chrono::milliseconds(1) || s.hook_timeout > std::chrono::seconds(30))
    return fail(errc::invalid, "a query waits between 1ms and 30s", "on_query_timeout");
  s.hook_refuses = o.get<std::string>("on_query_default") == "refuse";
  out->names.nodes = o.objects<node_list>("nodes");
  out->names.leases = o.list<object_ptr>("leases");
  out->workers = static_cast<std::size_t>(o.get<std::int64_t>("workers"));

  const auto& cache = *o.find("cache");
  if (cache.is<options>()) {
    e.cache_bytes = cache.as<options>().get<byte_size>("size").bytes;
    out->save_cache = cache.as<options>().get<bool>("save");
  } else {
    e.cache_bytes = cache.as<byte_size>().bytes;
  }
  e.min_ttl = whole_seconds(o.get<duration>("min_ttl"));
  e.max_ttl = whole_seconds(o.get<duration>("max_ttl"));
  e.max_negative_ttl = whole_seconds(o.get<duration>("max_negative_ttl"));
  if (e.min_ttl > e.max_ttl) return fail(errc::invalid, "it is longer than max_ttl", "min_ttl");
  e.stale_for = o.get<duration>("stale");
  e.prefetch = o.get<bool>("prefetch");
  e.udp_size = static_cast<std::uint16_t>(o.get<std::int64_t>("udp_size"));
  e.clients = o.list<cidr>("clients");
  for (const auto& single : o.list<ip_address>("clients"))
    e.clients.push_back({single, static_cast<std::uint8_t>(single.is_v4() ? 32 : 128)});
  e.queries_per_second = o.maybe<double>("rate_limit").value_or(0);
  e.burst = o.maybe<double>("rate_burst").value_or(10 * e.queries_per_second);
  if (auto ok = read_dnssec(o, e.dnssec); !ok) return tl::unexpected(ok.error());
  auto filtering = read_dns_filter(o);
  if (!filtering) return tl::unexpected(filtering.error());
  e.blocked = filtering->blocking;
  out->names.piholes = filtering->piholes;
  out->filtering = std::move(*filtering);

  e.rebind_protection = o.get<bool>("rebind_protection");
  for (const auto& text : o.list<std::string>("rebind_allow")) {
    auto zone = dns::name::parse(text);
    if (!zone) return fail(errc::invalid, zone.error().message, "rebind_allow");
    e.rebind_allow.push_back(*zone);
  }
  if (auto tls = o.maybe<options>("tls")) {
    s.tls = tls_identity{tls->get<file_path>("certificate").path, tls->get<file_path>("key").path};
    for (const auto& l : tls->get<listen_list>("listen")) s.listen_tls.push_back(l.endpoint);
  }
  return out;
}

} // namespace netlab::lua
