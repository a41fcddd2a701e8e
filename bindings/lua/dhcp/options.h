#pragma once
#include <string>
#include <vector>

#include "host/schema.h"
#include "netlab/dhcp_config.h"

namespace netlab::lua {

// What DHCP clients are told, as recipes write it: the same words for a server, a host, a class and a
// relayed network.
std::vector<option> dhcp_option_fields();
// `at` is the path in front of an option's name in mistakes ("hosts[2].").
result<dhcp::option_set> read_dhcp_options(const options& o, const std::string& at);
// Fills in what `set` does not say from `from`, routers excepted: they belong to one network.
void merge_dhcp_options(dhcp::option_set& set, const dhcp::option_set& from);

} // namespace netlab::lua
