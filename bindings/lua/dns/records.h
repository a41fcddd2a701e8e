#pragma once
#include <vector>

#include "host/schema.h"
#include "netlab/dns_names.h"

namespace netlab::lua {

// The `records` option of dns.server: names of the recipe's choice to addresses, lists of them, or tables of
// record types.
option_type dns_records_type();

// A record of the recipe, ready for the name table.
struct recipe_record {
  dns::name owner;
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;
  byte_vector data;
  bool back = true; // an address leads back to the name
};
// The records that the option says. A name without a dot lies in `domain`; it is known without it as well.
// An error's `op` names the option at fault.
result<std::vector<recipe_record>> read_dns_records(const options& o, const dns::name& domain,
                                                    std::uint32_t ttl);

// The same for one name and its value, as an element of the option.
result<std::vector<recipe_record>> read_dns_record(const std::string& name, const value& what,
                                                   const std::string& at, const dns::name& domain,
                                                   std::uint32_t ttl);

// The zones under in-addr.arpa or ip6.arpa that make up a network.
std::vector<dns::name> reverse_zones(const cidr& network);

} // namespace netlab::lua
