#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "netlab/clock.h"
#include "netlab/dns_filter.h"
#include "netlab/dns_message.h"
#include "netlab/dns_names.h"
#include "netlab/dns_query_hook.h"
#include "netlab/dns_query_note.h"
#include "netlab/dns_safe_search.h"
#include "netlab/dns_trust.h"
#include "netlab/dns_upstream.h"
#include "netlab/random.h"

namespace netlab::dns {

// How a blocked name is answered.
struct blocking {
  enum class kind : std::uint8_t { null, nxdomain, nodata, refused, address } mode = kind::null;
  std::vector<ip_address> addresses; // for `address`
  std::uint32_t ttl = 2;             // seconds; short, because an allowed name should work at once
};

struct engine_config {
  // Group 0 is asked for what no route names.
  std::vector<upstream_group> groups;
  name domain; // ours, for the SOA of negative answers; the root when there is none
  blocking blocked;

  std::size_t cache_bytes = 4u << 20;
  std::uint32_t min_ttl = 0, max_ttl = 86400;  // seconds, of positive answers
  std::uint32_t max_negative_ttl = 3600;       // RFC 2308 §5
  duration stale_for = std::chrono::hours(24); // how long an expired answer may still help; RFC 8767
  duration stale_after = std::chrono::milliseconds(1800); // how long a client waits before it gets one
  std::uint32_t stale_ttl = 30;                           // seconds, in such an answer
  bool prefetch = true;                                   // renew popular answers before they expire

  std::uint16_t udp_size = safe_udp_size; // largest UDP answer, and what upstreams are told
  std::vector<cidr> clients;              // who may ask; empty: everybody
  double queries_per_second = 0;          // per client (IPv4 address, IPv6 /64); 0: no limit
  double burst = 0;                       // queries that a quiet client may send at once
  std::size_t max_flights = 4096;         // questions that wait for upstreams at a time
  std::size_t max_waiting_per_client = 256;

  bool rebind_protection = false;                   // no private addresses in answers of group 0
  std::vector<name> rebind_allow;                   // but below these
  duration query_timeout = std::chrono::seconds(6); // after which the client is told that nobody answers

  // Validation of what upstreams say (RFC 4035 §5). Names of a forwarded zone are validated only when an
  // anchor lies within that zone.
  dnssec_settings dnssec;
  const netlab::clock* clock =
      nullptr; // the civil time by which signatures are valid; without one, their times do not count
};
// What is wrong with it, or nothing.
result<void> check(const engine_config& config);

// Which rules count for a client.
struct policy {
  std::shared_ptr<const filter_set> filter; // none: nothing is blocked
  list_mask lists = all_lists;
  safe_search safe = safe_search::off;
};

// What an engine has for a question, for who asks why.
struct kept_answer {
  std::uint16_t rcode = 0;
  std::uint32_t seconds_left = 0; // 0: past its time, and kept for when no upstream answers
  std::vector<name> aliases;      // the names that its CNAMEs lead to
};

// What may change while the engine runs. Immutable; shared by the engines of all workers and replaced whole.
struct snapshot {
  std::uint64_t generation = 0;              // differs between any two snapshots
  std::shared_ptr<const name_table> fixed;   // recipe and hosts files
  std::shared_ptr<const name_table> dynamic; // leases; a fixed record of the same type wins
  std::shared_ptr<const route_table> routes;
  std::vector<policy> policies = {{}};                        // at most 32; [0] is everybody's who has none
  std::vector<std::pair<cidr, std::uint8_t>> client_policies; // the first that holds the client decides
};

// One query as it came in. `token` and the other words about its way are given back with a late reply.
struct request {
  byte_view bytes;
  endpoint client;
  ip_address local;
  std::uint32_t interface = 0;
  bool stream = false;                  // TCP or TLS: no size limit, and the client's address is no lie
  const hook_answer* decided = nullptr; // what a hook answers, when it does
  std::uint64_t token = 0;
};

struct late_reply {
  endpoint client;
  ip_address local;
  std::uint32_t interface = 0;
  bool stream = false;
  std::uint64_t token = 0;
  byte_vector bytes;
};

// A query to send to an upstream. Its answers come back by its number until it is closed.
struct transmission {
  std::uint64_t attempt = 0;
  upstream to;
  transport over = transport::udp; // may be tcp although the upstream is a udp one
  byte_vector bytes;
};

// What the engine wants done; the caller empties the lists.
struct engine_actions {
  std::vector<late_reply> replies;
  std::vector<transmission> transmissions;
  std::vector<std::uint64_t> closed; // attempts whose answers are not wanted any more
  struct health_event {
    std::string upstream;
    bool up = false;
    std::string why;
  };
  std::vector<health_event> health;
  struct rebind_event {
    std::string name, address, client;
  };
  std::vector<rebind_event> rebinds;
  struct bogus_event {
    std::string name, why;
  };
  std::vector<bogus_event> bogus; // answers that failed validation
  bool empty() const {
    return replies.empty() && transmissions.empty() && closed.empty() && health.empty() && rebinds.empty() &&
           bogus.empty();
  }
  void clear() {
    replies.clear();
    transmissions.clear();
    closed.clear();
    health.clear();
    rebinds.clear();
    bogus.clear();
  }
};

// Plain numbers, added to whatever the program counts with by its owner.
struct engine_counts {
  std::uint64_t queries = 0, malformed = 0, refused = 0, limited = 0, local = 0, blocked = 0, hits = 0,
                stale = 0, forwarded = 0, merged = 0, prefetched = 0, failures = 0, upstream_queries = 0,
                upstream_bad = 0, upstream_late = 0, upstream_timeouts = 0, truncated = 0, rebinds = 0,
                secure = 0, insecure = 0, bogus = 0, lookups = 0, streams = 0, type_a = 0, type_aaaa = 0,
                type_https = 0, type_ptr = 0, type_srv = 0, type_other = 0;
};

// The resolver without sockets: names, filter, cache and upstreams, in this order. One thread; every worker
// has one of its own. Time comes in with each call, randomness from outside. Ends with its destructor; what
// waits then is forgotten.
class engine {
public:
  // `config` passed check(). `random` outlives the engine.
  engine(engine_config config, random_source& random);
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  void use(std::shared_ptr<const snapshot> now_valid);

  // Queries that handle() gets next, in this order and not moved in between: what their answers need is
  // fetched from memory for all of them at once. Of more than `most_expected` the rest is not looked at.
  static constexpr std::size_t most_expected = 32;
  void expect(std::span<const byte_view> queries);
  // Answers into `out` (at least 4096 bytes, 65535 for a stream) and returns the answer's size; 0 when there
  // is none now: it comes as a late reply, or the query deserves none.
  std::size_t handle(const request& query, boot_time now, byte_span out);
  // A message that came in answer to an attempt, from whom.
  void on_upstream(std::uint64_t attempt, const endpoint& from, byte_view bytes, boot_time now);
  // The attempt cannot be answered: refused, unreachable, certificate, status.
  void on_upstream_failure(std::uint64_t attempt, std::string why, boot_time now);
  // Call at deadline(), or earlier.
  void on_time(boot_time now);
  std::optional<boot_time> deadline() const;
  // The address of a named upstream, which is not asked before.
  void set_upstream_address(const std::string& host, const ip_address& address);

  engine_actions& actions();
  const engine_counts& counts() const;
  std::vector<upstream_health> health() const;
  std::size_t cached_bytes() const;
  std::size_t cached_answers() const;
  std::size_t waiting() const; // questions under way
  void clear_cache();
  // The answers that are still good, to be read after a restart by load_cache() of an engine with the same
  // upstreams, which returns how many it took: none of what has run out, and nothing of what is damaged or no
  // answer. `wall` bridges the time in between; a clock that went backwards spoils the file.
  byte_vector save_cache(boot_time now, wall_time wall) const;
  std::size_t load_cache(byte_view saved, boot_time now, wall_time wall);
  // What it has for a question that goes to that group of upstreams, without DO and CD.
  std::optional<kept_answer> kept(const name& qname, std::uint16_t type, std::uint8_t group, safe_search safe,
                                  boot_time now) const;
  // Tells every answered query to `sink` from now on, which outlives the engine; null: to nobody.
  void observe(query_sink* sink);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace netlab::dns
