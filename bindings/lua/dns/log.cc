#include "dns/log.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "netlab/dns_overlay.h"

namespace netlab::lua {

option dns_log_field() {
  return with_default(
      "log",
      type::one_of(
          {type::boolean(),
           type::table({
               with_default("retention", type::duration(), "30d", "how long queries are kept"),
               with_default("max_size", type::size(), "64MiB", "how much of the disk they may take"),
               with_default(
                   "privacy", type::enumeration({"all", "hide_domains", "hide_clients", "anonymous"}), "all",
                   "what of a query is kept: everything, not the name, neither name nor client, or no "
                   "rows at all but only how many"),
           })}),
      true, "the query log, for netlab dns top, tail and why; kept in the state folder, and off without one");
}

dns_log_settings read_dns_log(const options& o) {
  dns_log_settings out;
  out.retention = std::chrono::hours(24 * 30);
  out.max_bytes = 64u << 20;
  if (auto on = o.maybe<bool>("log")) out.on = *on;
  auto table = o.maybe<options>("log");
  if (!table) return out;
  out.wanted = true;
  out.retention = table->get<duration>("retention");
  out.max_bytes = table->get<byte_size>("max_size").bytes;
  const auto& privacy = table->get<std::string>("privacy");
  out.privacy = privacy == "hide_domains"   ? dns::log_privacy::hide_domains
                : privacy == "hide_clients" ? dns::log_privacy::hide_clients
                : privacy == "anonymous"    ? dns::log_privacy::anonymous
                                            : dns::log_privacy::all;
  return out;
}

std::unique_ptr<dns::query_log> make_dns_log(const dns_log_settings& settings, runtime& world,
                                             const std::string& server, const std::string& folder,
                                             const std::vector<std::string>& lists,
                                             const std::vector<std::string>& groups,
                                             const std::vector<dns::upstream_group>& upstreams) {
  dns::query_log_config c;
  c.server = server;
  c.folder = folder;
  c.retention = settings.retention;
  c.max_bytes = settings.max_bytes;
  c.segment_bytes = std::clamp<std::uint64_t>(settings.max_bytes / 16, 512u << 10, 4u << 20);
  c.privacy = settings.privacy;
  c.names.lists = lists;
  c.names.lists.resize(dns::operator_block_list + std::size_t{1});
  c.names.lists[dns::operator_allow_list] = "netlab dns allow";
  c.names.lists[dns::operator_block_list] = "netlab dns block";
  c.names.policies = groups;
  for (const auto& g : upstreams) {
    auto& texts = c.names.upstreams.emplace_back();
    for (const auto& u : g.members) texts.push_back(u.text);
  }
  return std::make_unique<dns::query_log>(world.clock, world.log, world.metrics, std::move(c));
}

} // namespace netlab::lua
