#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "netlab/dns_message.h"

namespace netlab::dns {

// Hashing of wire names in maps that are looked up by a view.
struct wire_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view wire) const { return std::hash<std::string_view>{}(wire); }
};

// Which last labels some names have, roughly: most of what is asked ends in one that no name of ours has, and
// need not be looked for label by label.
class top_labels {
public:
  void add(const name& lower);
  bool may_hold(const name& lower) const { return (bits_ >> bit_of(lower) & 1) != 0; }

private:
  static unsigned bit_of(const name& lower);
  std::uint64_t bits_ = 0;
};

// A record that netlab itself knows.
struct local_record {
  std::uint16_t type = 0;
  std::uint32_t ttl = 0; // seconds
  byte_vector data;
};

// The names that are answered here. Immutable; any thread may ask.
class name_table {
public:
  using records = std::vector<local_record>;
  // The name's records; empty for a name that only has names below it; null when it is not here.
  // `lower` is in lower case.
  const records* find(const name& lower) const;
  // The records of the wildcard that stands for a name which is not here (RFC 4592 §3.3.1), or null.
  const records* find_wildcard(const name& lower) const;
  std::size_t size() const { return names_.size(); }
  bool has_wildcards() const { return wildcards_; }

private:
  friend class name_table_builder;
  std::unordered_map<std::string, records, wire_hash, std::equal_to<>> names_;
  top_labels tops_;
  bool wildcards_ = false;
};

// Makes a name table. What is added first wins where two contradict (a PTR, an address's name), so that the
// order of the calls is the order of precedence.
class name_table_builder {
public:
  // Names between a record and the zone of ours that it lies in exist without records (RFC 8020).
  explicit name_table_builder(std::vector<name> zones) : zones_(std::move(zones)) {}
  // A second record of the same data is ignored. A name with a CNAME has nothing else (RFC 1034 §3.6.2):
  // errc::conflict.
  result<void> add(const name& owner, std::uint16_t type, std::uint32_t ttl, byte_vector data);
  // An A or AAAA record, and the PTR that leads back unless the address has one already.
  result<void> add_host(const name& owner, const ip_address& address, std::uint32_t ttl);
  bool holds(const name& owner) const;
  std::shared_ptr<const name_table> build();

private:
  std::vector<name> zones_;
  std::shared_ptr<name_table> table_ = std::make_shared<name_table>();
};

// localhost and every name below it are this machine (RFC 6761 §6.3).
void add_standard_names(name_table_builder& names);

// Calls `fn` for every line of a hosts(5) file; returns the numbers of the lines that are none.
std::vector<std::size_t> parse_hosts(std::string_view text,
                                     const std::function<void(const ip_address&, const name&)>& fn);

enum class route_kind : std::uint8_t {
  forward,  // to a group of upstreams
  local,    // ours: what no record answers does not exist
  nxdomain, // does not exist, whoever asks (special-use names)
  nodata,   // exists and has nothing
};
struct route {
  route_kind kind = route_kind::forward;
  std::uint8_t group = 0;
  name zone;
};

// Where names go, by the longest zone that holds them. Immutable once shared.
class route_table {
public:
  // A later route for the same zone takes the place of an earlier one.
  void add(const name& zone, route_kind kind, std::uint8_t group = 0);
  const route& find(const name& lower) const;

private:
  std::unordered_map<std::string, route, wire_hash, std::equal_to<>> zones_;
  top_labels tops_;
  route rest_;
};

// The zones that no resolver forwards: private and special reverse zones (RFC 6303), localhost, invalid,
// onion, local, home.arpa (RFC 6761, 7686, 6762, 8375), and, when `special`, the names by which browsers and
// operating systems ask whether they may bypass the network's resolver.
void add_standard_routes(route_table& table, bool special);

} // namespace netlab::dns
