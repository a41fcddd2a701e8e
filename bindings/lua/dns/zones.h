#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/schema.h"
#include "netlab/dns_zone_file.h"
#include "netlab/runtime.h"

namespace netlab::lua {

// The `zones` option of dns.server: names of zones to their master files.
option dns_zones_field();

struct dns_zone {
  dns::name origin;
  std::string path;
  std::vector<dns::zone_record> records;
};

// The zone files of one server. Control loop only.
class dns_zones {
public:
  // The error's `op` names the option at fault.
  static result<dns_zones> read(const options& o, std::uint32_t ttl);
  // Reads every file, for a server that is checked or begins: a mistake is an error.
  result<void> load(files& from);
  // Reads them again: what has a mistake stays as it was, and is told.
  void reload(runtime& world, const std::string& server);

  std::vector<dns_zone> all;
  std::uint32_t ttl = 300; // seconds, of records before any TTL
};

} // namespace netlab::lua
