#pragma once
#include <memory>
#include <string>

#include "host/schema.h"
#include "netlab/dns_engine.h"
#include "netlab/dns_query_log.h"
#include "netlab/runtime.h"

namespace netlab::lua {

// The `log` option of dns.server.
option dns_log_field();

struct dns_log_settings {
  bool on = true;
  bool wanted = false; // the recipe says how, so that it must be possible
  duration retention{};
  std::uint64_t max_bytes = 0;
  dns::log_privacy privacy = dns::log_privacy::all;
};
dns_log_settings read_dns_log(const options& o);

// The log of one server as its settings say, in `folder`. `lists` and `groups` are what rows call them.
std::unique_ptr<dns::query_log> make_dns_log(const dns_log_settings& settings, runtime& world,
                                             const std::string& server, const std::string& folder,
                                             const std::vector<std::string>& lists,
                                             const std::vector<std::string>& groups,
                                             const std::vector<dns::upstream_group>& upstreams);

} // namespace netlab::lua
