#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/clock.h"
#include "netlab/dns_query_note.h"
#include "netlab/log.h"
#include "netlab/metrics.h"
#include "netlab/result.h"

namespace netlab::dns {

// What is remembered of a query, as a Pi-hole's privacy levels 0 … 3.
enum class log_privacy : std::uint8_t {
  all,          // everything
  hide_domains, // who asked, not what
  hide_clients, // neither who nor what
  anonymous,    // no rows at all, only how many
};

// What the numbers of rows stand for.
struct query_log_names {
  std::vector<std::string> lists; // by number; those without a name are empty
  std::vector<std::string> policies;
  std::vector<std::vector<std::string>> upstreams; // by group and place
};

struct query_log_config {
  std::string server = "dns"; // in messages and metrics
  std::string folder;         // for segments and statistics, made when missing; mode 0750
  duration retention = std::chrono::hours(24 * 30);
  std::uint64_t max_bytes = 64u << 20; // of all segments; the oldest go first
  std::uint64_t segment_bytes = 4u << 20;
  log_privacy privacy = log_privacy::all;
  query_log_names names;
  std::size_t ring_bytes = 256u << 10; // of each worker; a power of two
};
result<void> check(const query_log_config& config);

// What the log does, for status.
struct query_log_status {
  std::uint64_t rows = 0, dropped = 0, bytes = 0; // bytes: of all segments on disk
  std::string trouble;                            // why nothing is written; empty: all is well
};

// Writes the queries of a server's workers into segment files, and counts them. Each worker puts its rows
// into a ring of its own, which never waits; a thread empties the rings about once a second, and sleeps while
// nobody asks. A row that finds its ring full is counted and lost. When the disk takes nothing, rows are
// dropped with one message and tried again every minute: answers never depend on it.
//
// Made, started and destroyed on the control loop; its destructor writes what is there. It outlives the
// engines that its sinks were given to.
class query_log {
public:
  // `config` passed check(). `clock`, `out` and `counters` outlive the log; they are used on its thread.
  query_log(const clock& time, const netlab::log& out, metrics& counters, query_log_config config);
  ~query_log();
  query_log(const query_log&) = delete;
  query_log& operator=(const query_log&) = delete;

  // A ring for one worker; only before start().
  query_sink& add_worker();
  void start();
  // Has everything that was asked until now written, the statistics too; waits at most `patience`.
  bool flush(duration patience);
  query_log_status status() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// --- reading, by any process that may read the folder

struct logged_query {
  wall_time at{};
  duration took{};
  query_outcome outcome = query_outcome::none;
  bool stream = false;
  std::uint16_t type = 0, rcode = 0;
  std::string name, client;           // printable; empty when the log hides them
  std::string list, policy, upstream; // empty when there is none
};

// A place between two blocks of a log. The default is its beginning.
struct log_position {
  std::uint64_t segment = 0, offset = 0;
  friend bool operator==(const log_position&, const log_position&) = default;
};

struct log_reading {
  log_position end;          // where to go on when there is more
  std::uint64_t damaged = 0; // stretches that were skipped
};
// Calls `fn` for every row from `from` on, in the order in which they were written, until it returns false.
// What is damaged is skipped to the next whole block. Errors: not_found (no such folder), io.
result<log_reading> read_query_log(const std::string& folder, const log_position& from,
                                   const std::function<bool(const logged_query&)>& fn);
// Where the last `bytes` or so of a log begin.
result<log_position> last_of_query_log(const std::string& folder, std::uint64_t bytes);

} // namespace netlab::dns
