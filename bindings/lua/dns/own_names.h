#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dns/filter.h"
#include "dns/names.h"
#include "dns/records.h"
#include "dns/zones.h"
#include "host/object.h"
#include "netlab/nodes.h"
#include "network/nodes.h"

namespace netlab::lua {

// The names that a DNS server answers by itself, by who may say what: the recipe's records, its zone and
// hosts files, a Pi-hole's records and the addresses reserved for nodes make the fixed table; names that the
// recipe sets while it runs, and leases, make the other one. Control loop only.
class dns_own_names {
public:
  // Where they come from, filled in before anything is made.
  dns::name domain; // the root when there is none
  std::uint32_t ttl = 300;
  std::vector<recipe_record> records;
  dns_zones zones;
  std::vector<std::string> hosts_files;
  std::vector<std::shared_ptr<pihole_import>> piholes;
  std::vector<std::shared_ptr<node_list>> nodes;
  std::vector<std::shared_ptr<dns_names>> set_names;
  std::vector<object_ptr> leases;

  // Whether the fixed table can be made. The error's `op` names the option at fault.
  result<void> check() const;
  // Reads the hosts files; a file or a line that is none is told and left out.
  void read_hosts_files(runtime& world, const std::string& server);
  // Makes a table anew. After an error the old one stays.
  result<void> renew_fixed();
  void renew_leased(const node_directory& directory);

  std::shared_ptr<const dns::name_table> fixed() const { return fixed_; }
  std::shared_ptr<const dns::name_table> leased() const { return dynamic_; }
  std::size_t size() const { return (fixed_ ? fixed_->size() : 0) + (dynamic_ ? dynamic_->size() : 0); }
  bool held_by_recipe(const dns::name& n) const;
  // Where the records of a name of ours come from, for the operator.
  std::string origin_of(const dns::name& n, const node_directory& directory) const;
  // Who has which address, by reservations and leases.
  std::vector<dns::known_client> known_clients(const node_directory& directory) const;

private:
  // The recipe's records, then what hosts files say, then the addresses that are reserved for nodes: what
  // comes first wins.
  result<std::shared_ptr<const dns::name_table>> fixed_names() const;
  // The local records of a Pi-hole, where the recipe and hosts files say nothing.
  void add_pihole_names(dns::name_table_builder& b, const dns::pihole_setup& from) const;
  bool taken(const dns::name_table_builder& b, const dns::name& n) const;
  // A machine's name, with and without the domain. A name that has other records by now keeps those.
  void add_machine(dns::name_table_builder& b, const dns::name& n, const ip_address& address,
                   std::uint32_t seconds) const;

  std::vector<std::pair<ip_address, dns::name>> from_files_;
  std::shared_ptr<const dns::name_table> fixed_, dynamic_;
};

} // namespace netlab::lua
