#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "netlab/clock.h"
#include "netlab/dns_names.h"
#include "netlab/dns_query_note.h"
#include "netlab/result.h"

namespace netlab::dns {

// The names that occur most often in a stream, in bounded memory (Misra and Gries, 1982): exact while there
// are at most `most` different ones, and afterwards too small by `error` at most.
class frequent {
public:
  explicit frequent(std::size_t most = 1024) : most_(most) {}
  void add(std::string_view key, std::uint64_t count = 1);
  std::vector<std::pair<std::string, std::uint64_t>> top(std::size_t how_many) const;
  std::uint64_t error() const { return error_; }
  void add_error(std::uint64_t more) { error_ += more; }
  std::size_t size() const { return counts_.size(); }
  bool empty() const { return counts_.empty(); }

private:
  void prune();
  std::size_t most_;
  std::uint64_t error_ = 0;
  std::unordered_map<std::string, std::uint64_t, wire_hash, std::equal_to<>> counts_;
};

struct client_counts {
  std::uint64_t queries = 0, blocked = 0;
};

// What was asked in a stretch of time. A value; may be added up.
struct query_statistics {
  wall_time from = wall_time::max(), until = wall_time::min();
  std::uint64_t queries = 0, blocked = 0, dropped = 0; // dropped: rows that the log lost
  std::map<std::string, std::uint64_t> outcomes, lists, upstreams;
  frequent names, blocked_names, clients, blocked_clients; // names in presentation form

  void add(const query_statistics& other);
  bool empty() const { return queries == 0 && dropped == 0; }
};

// One line of JSON without its line break; the `keep` most frequent of each kind.
std::string to_line(const query_statistics& s, std::size_t keep = 200);
// Lines that others may have damaged: errors say why.
result<query_statistics> parse_statistics(std::string_view line);

// Adds up what a log's folder knows from `since` on, the hour that runs included as of the last flush.
// Errors: not_found (there is no such folder).
result<query_statistics> read_statistics(const std::string& folder, wall_time since);

} // namespace netlab::dns
