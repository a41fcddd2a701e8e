#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/dns_message.h"

namespace netlab::dns {

struct zone_record {
  name owner; // whole
  std::uint16_t type = 0;
  std::uint32_t ttl = 0; // seconds
  byte_vector data;
  std::size_t line = 0; // where it begins
};

struct zone_options {
  std::string file;        // in errors
  name origin;             // the zone's name, which relative names are completed with
  std::uint32_t ttl = 300; // seconds, for records before any TTL
  std::size_t max_bytes = 4u << 20, max_records = 100'000;
};

// Reads a master file (RFC 1035 §5) of one zone: $ORIGIN, $TTL (RFC 2308 §4), parentheses, comments, relative
// names, times such as "1h", and every type that parse_rdata() reads, with names that are relative unless
// they end in a dot. Errors (invalid, limit) begin with "file:line: ". Refused besides what is no record:
// $INCLUDE and $GENERATE; records outside the zone; a CNAME beside other records; a second SOA; and
// delegations (NS below the zone's name) and DNAMEs, which netlab does not follow.
result<std::vector<zone_record>> parse_zone(std::string_view text, const zone_options& options);

} // namespace netlab::dns
