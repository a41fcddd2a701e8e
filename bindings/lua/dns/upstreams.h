#pragma once
#include <functional>
#include <string>
#include <vector>

#include "host/schema.h"
#include "netlab/dns_names.h"
#include "netlab/dns_server.h"

namespace netlab::lua {

// upstreams, bootstrap, ca_file and forward: whom dns.server asks.
std::vector<option> dns_upstream_fields();

// What a value holds that may be one text or a list of them.
std::vector<std::string> one_or_more_texts(const value& given);

// Fills in the engine's groups, the routes that lead to them, and the bootstrap resolvers. The error's `op`
// is the option at fault.
result<void> read_dns_upstreams(const options& o, dns::server_config& server, dns::route_table& routes);

} // namespace netlab::lua
