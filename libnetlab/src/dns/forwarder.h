#pragma once
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "netlab/dns_engine.h"
#include "node_pool.h"

namespace netlab::dns {

// What became of a question: the reply of an upstream, or why there is none.
struct flight_outcome {
  std::optional<message> reply; // NOERROR or NXDOMAIN
  std::uint16_t rcode = rcode::server_failure;
  std::uint16_t extended = ede::no_reachable_authority;
  std::string why;
  std::uint8_t server = no_upstream; // who replied: its place in the group
};

// Asks upstreams: which of them, how often, what counts as an answer. A query has a fresh random id, and its
// letters a random case (draft-vixie-dnsext-dns0x20); an answer counts only when address, port, id and
// question match to the letter, and a wrong one does not end the wait (TuDoor). Owned by the engine.
class forwarder {
public:
  using done_fn = std::function<void(std::uint64_t flight, flight_outcome outcome, boot_time now)>;
  forwarder(const engine_config& config, random_source& random, engine_actions& actions,
            engine_counts& counts, done_fn done);

  // Begins to ask. `done` runs later, inside one of the calls below, never inside this one. `avoid`: the
  // server of the group that is asked last.
  std::uint64_t ask(std::uint8_t group, const name& qname, std::uint16_t type, bool dnssec_ok,
                    bool checking_disabled, boot_time now, std::optional<std::size_t> avoid = std::nullopt);
  void on_reply(std::uint64_t attempt, const endpoint& from, byte_view bytes, boot_time now);
  void on_failure(std::uint64_t attempt, const std::string& why, boot_time now);
  void on_time(boot_time now);
  std::optional<boot_time> deadline() const;
  bool any_up(std::uint8_t group) const;
  void set_address(const std::string& host, const ip_address& address);
  std::vector<upstream_health> health() const;

private:
  struct server_state {
    upstream what;
    upstream_health health;
    double srtt = 0, deviation = 0; // seconds; srtt 0: never answered
    unsigned misses = 0;            // timeouts or failures in a row
    boot_time retry_at{};           // while down: not before, unless everybody is
    duration pause = std::chrono::seconds(1);
    bool plain_dns = false;    // answers FORMERR to EDNS
    bool case_doubted = false; // an answer had letters of another case: forged, or
    bool loses_case = false;   // it does so itself, for over TCP it answered
  };
  struct flight {
    std::uint8_t group = 0;
    question asked;
    bool dnssec_ok = false, checking_disabled = false;
    boot_time ends{};
    std::vector<std::size_t> order; // indices of the group's servers, best first
    std::size_t next = 0, tries = 0;
    std::vector<std::uint64_t> attempts; // open ones
    std::optional<message> refusal;      // the last answer that was none: SERVFAIL, REFUSED …
    std::string trouble;
  };
  struct attempt {
    std::uint64_t flight = 0;
    std::size_t server = 0;
    transport over = transport::udp;
    std::uint16_t id = 0;
    name qname; // with the case that was sent
    bool with_edns = true, late = false;
    boot_time sent{};
  };
  struct due {
    boot_time when;
    std::uint64_t flight, attempt; // attempt 0: the flight's end
    bool operator>(const due& other) const { return when > other.when; }
  };

  bool begin_next(std::uint64_t id, flight& f, boot_time now);
  void send(std::uint64_t id, flight& f, std::size_t server, transport over, boot_time now);
  void close(std::uint64_t attempt_id);
  void drop_attempt(flight& f, std::uint64_t attempt_id);
  void finish(std::uint64_t id, flight_outcome outcome, boot_time now);
  void give_up(std::uint64_t id, boot_time now);
  void settle(std::uint64_t id, const flight& f, boot_time now);
  void missed(server_state& s, const std::string& why, boot_time now);
  void answered(server_state& s, const attempt& a, boot_time now);
  std::vector<std::size_t> ranked(std::uint8_t group, boot_time now);
  duration patience(const server_state& s, transport over, std::size_t tries) const;

  const engine_config& config_;
  random_source& random_;
  engine_actions& actions_;
  engine_counts& counts_;
  done_fn done_;
  std::vector<std::vector<server_state>> groups_;
  node_pool nodes_;
  std::pmr::unordered_map<std::uint64_t, flight> flights_{&nodes_};
  std::pmr::unordered_map<std::uint64_t, attempt> attempts_{&nodes_};
  std::priority_queue<due, std::vector<due>, std::greater<>> due_;
  std::uint64_t next_flight_ = 1, next_attempt_ = 1, turns_ = 0;
};

} // namespace netlab::dns
