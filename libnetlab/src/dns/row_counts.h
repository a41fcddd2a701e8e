#pragma once
#include <array>

#include "netlab/dns_query_log.h"
#include "netlab/dns_statistics.h"
#include "netlab/ip.h"
#include "query_row.h"

namespace netlab::dns {

// The client of a row by its 4 or 16 octets.
ip_address address_of(byte_view octets);

// What the log's thread counts of the hour that runs, in the form in which rows come: one step a row, and
// names are made readable when somebody asks.
struct row_counts {
  static constexpr std::size_t list_numbers = 66; // of lists, and of an operator's rules behind them

  wall_time from = wall_time::max(), until = wall_time::min();
  std::uint64_t queries = 0, blocked_queries = 0, dropped = 0;
  std::array<std::uint64_t, 16> outcomes{};
  std::array<std::uint64_t, list_numbers> lists{};
  std::map<std::uint16_t, std::uint64_t> upstreams;  // group << 8 | place
  frequent names, blocked, clients, blocked_clients; // by wire name and address octets

  // `weight`: for how many rows the name and client of this one stand; 0: they do not count.
  void add(const query_row& head, const std::uint8_t* row, std::uint64_t weight) {
    ++queries;
    ++outcomes[head.outcome % outcomes.size()];
    bool is_blocked = head.outcome == static_cast<std::uint8_t>(query_outcome::blocked);
    if (is_blocked) {
      ++blocked_queries;
      if (head.list < lists.size()) ++lists[head.list];
    }
    if (head.upstream != no_upstream)
      ++upstreams[static_cast<std::uint16_t>(head.group << 8 | head.upstream)];
    if (weight == 0) return;
    if (head.name_size > 0) (is_blocked ? blocked : names).add(as_text(name_of(head, row)), weight);
    if (head.client_size == 0) return;
    auto client = as_text(client_of(head, row));
    clients.add(client, weight);
    if (is_blocked) blocked_clients.add(client, weight);
  }
  void span(wall_time now) {
    if (from == wall_time::max()) from = now;
    until = std::max(until, now);
  }
  query_statistics statistics(const query_log_names& known) const;
};

} // namespace netlab::dns
