#pragma once
#include <string>
#include <utility>
#include <vector>

#include "netlab/dns_filter_groups.h"
#include "netlab/dns_filter_lists.h"

namespace netlab::dns {

// What a Pi-hole does, as our own values. Groups of Pi-hole become groups of ours with the same members: a
// client that is in several has the lists of all of them.
struct pihole_setup {
  std::vector<list_source>
      lists;               // what was subscribed to, then the domains that were allowed and denied by hand
  list_mask everybody = 0; // who is no known client: Pi-hole's group "Default"
  std::vector<filter_group> groups;
  std::vector<std::pair<ip_address, std::string>> hosts;   // local records
  std::vector<std::pair<std::string, std::string>> cnames; // name, target
  std::vector<std::string> upstreams;                      // of version 6's pihole.toml
  std::vector<std::string> warnings;                       // what has no counterpart
};

// Reads the folder of a Pi-hole 5 (gravity.db, custom.list, the CNAME file of its dnsmasq.d beside it) or 6
// (gravity.db, pihole.toml, hosts/custom.list). Nothing is written; a running Pi-hole is not disturbed.
// Blocking: for the time when a recipe declares. Errors: not_found (there is no gravity.db), invalid (it is
// no such database), limit (more lists or groups than a server can have).
result<pihole_setup> read_pihole(const std::string& folder);

// The parts of pihole.toml's [dns] that read_pihole() uses; what it does not understand is left out.
void read_pihole_toml(std::string_view text, pihole_setup& out);

} // namespace netlab::dns
