#pragma once
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dnssec_check.h"
#include "forwarder.h"
#include "node_pool.h"
#include "query.h"
#include "rate_limit.h"
#include "reply_chain.h"

namespace netlab::dns {

// A client whose question waits for an upstream. Holds what its reply needs, apart from the question's
// answer.
struct waiter {
  endpoint client;
  ip_address local;
  std::uint32_t interface = 0;
  bool stream = false;
  std::uint64_t token = 0;
  std::uint8_t policy = 0;
  boot_time came{};
  query asked; // its views look into `bytes`
  byte_vector bytes;
};

// A question under way, with everybody who asked it.
struct open_question {
  name qname; // lower case
  std::uint16_t type = 0;
  std::uint8_t group = 0, bits = 0;
  std::uint64_t hash = 0;
  std::vector<record> prefix; // CNAMEs of the recipe that led to what is asked upstream
  std::vector<waiter> waiters;
  boot_time began{};
  // Validation, when `validated`: the reply as it came, and how often more had to be asked.
  bool validated = false, asked_again = false;
  name limit; // the zone that its group of upstreams is asked about
  std::optional<flight_outcome> reply;
  unsigned lookups = 0;
  std::uint8_t upstream = no_upstream; // that answered, when it did
  cache_key key() const { return {qname.wire(), type, group, bits}; }
  bool asks(const cache_key& k) const {
    return type == k.type && group == k.group && bits == k.bits && std::ranges::equal(qname.wire(), k.qname);
  }
  std::string map_key() const { return make_map_key(key()); }
  static std::string make_map_key(const cache_key& k) {
    std::string out;
    out.reserve(k.qname.size() + 4);
    for (int part : {k.type >> 8, k.type & 0xff, int{k.group}, int{k.bits}}) out += static_cast<char>(part);
    out += as_text(k.qname);
    return out;
  }
};

// A query as it was read, before anything is known about its answer.
struct read_ahead {
  const std::uint8_t* bytes = nullptr; // where it lies
  query_problem problem = query_problem::none;
  std::uint64_t hash = 0; // of its name and type, when it could be read
  query asked;
};

struct engine::impl {
  impl(engine_config c, random_source& r);

  // --- the way of a query
  std::size_t handle(const request& from, boot_time now, byte_span out);
  void expect(std::span<const byte_view> queries);
  void count_question(const request& from, std::uint16_t type);
  void read(byte_view bytes, read_ahead& out) const;
  std::size_t answer(const request& from, const read_ahead& read, boot_time now, byte_span out);
  bool may_ask(const ip_address& client) const;
  std::uint8_t policy_of(const ip_address& client) const;
  std::size_t refuse(const reply_context& c, byte_span out, std::uint16_t rcode, const extended& why);
  std::optional<std::size_t> answer_here(const reply_context& c, const name& qname, byte_span out,
                                         std::vector<record>& prefix, name& target);
  std::size_t answer_local(const reply_context& c, const std::vector<record>& answers, const name* soa_zone,
                           std::uint16_t rcode, byte_span out, std::uint32_t negative_ttl,
                           const extended& why = {});
  std::size_t answer_any(const reply_context& c, const name& qname, byte_span out);
  std::size_t answer_blocked(const reply_context& c, const policy& p, std::uint16_t list, byte_span out);
  // The rule that blocks one of the answer's CNAME targets for the policy, if any.
  std::optional<std::uint16_t> blocked_target(const cached_answer& answer, const policy& p);
  std::vector<name> targets_of(const cached_answer& answer);

  // --- what waits for upstreams
  void ask_upstream(const request& from, const query& q, std::uint8_t policy, const cache_key& key,
                    std::uint64_t hash, const name& target, std::vector<record> prefix, boot_time now);
  // Whether the question is under way, and in which flight.
  std::optional<std::uint64_t> flight_of(const cache_key& key, std::uint64_t hash) const;
  void renew(const cached_answer& answer, const name& qname, boot_time now);
  void on_outcome(std::uint64_t flight, flight_outcome outcome, boot_time now);
  // --- validation (engine_validation.cc)
  // The zone that a group is asked about because of this name.
  name limit_for(std::uint8_t group, const name& target) const;
  bool is_validated(std::uint8_t group, std::uint8_t bits, const name& target, const name& limit) const;
  void check_reply(std::uint64_t flight, boot_time now);
  bool ask_another(std::uint64_t flight, boot_time now);
  void look_up(std::uint64_t flight, const open_question& q, const question& need, boot_time now);
  void on_lookup(std::uint64_t flight, flight_outcome outcome, boot_time now);
  void conclude(std::uint64_t flight, flight_outcome outcome, const validation* checked, boot_time now);

  // --- the cache across restarts (cache_file.cc)
  byte_vector save_cache(boot_time now, wall_time wall) const;
  std::size_t load_cache(byte_view saved, boot_time now, wall_time wall);
  std::uint64_t upstreams_mark() const;

  void remove_private(reply_chain& chain, const open_question& q);
  answer_cache::owned make_answer(const open_question& q, const reply_chain& chain, boot_time now);
  void reply_to(const open_question& q, const waiter& w, const cached_answer* answer, bool stale,
                const extended& trouble, std::uint16_t failure_rcode, boot_time now);
  void release(const waiter& w);
  void remember_failure(const open_question& q, const flight_outcome& why, boot_time now);
  void serve_stale(boot_time now);
  bool usable_stale(const cached_answer& e, boot_time now) const {
    return config.stale_for > duration{} && now < e.expires() + config.stale_for && !e.local_start;
  }
  std::size_t limit_of(const query& q, bool stream) const {
    return stream ? max_message
                  : std::min<std::size_t>(q.udp_size, std::max(config.udp_size, plain_udp_size));
  }
  // Without a clock no signature is taken for expired.
  wall_time wall() const { return config.clock ? config.clock->wall() : wall_time{}; }
  std::uint32_t seconds(boot_time t) const {
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count());
  }

  engine_config config;
  random_source& random;
  engine_actions actions;
  engine_counts counts;
  cookie_secret secret{};
  std::shared_ptr<const snapshot> now_valid;
  answer_cache cache;
  rate_limit limits;
  forwarder upstreams;
  struct v4_network {
    std::uint32_t network, mask;
  };
  std::vector<v4_network> allowed_v4;
  std::vector<cidr> allowed_v6;
  node_pool nodes;
  std::pmr::unordered_map<std::uint64_t, open_question> open{&nodes};
  std::pmr::unordered_multimap<std::uint64_t, std::uint64_t> flights_by_hash{&nodes};
  std::pmr::unordered_map<ip_address, std::size_t> waiting_of{&nodes};
  std::multimap<boot_time, std::uint64_t> stale_due;
  // Questions that nobody could answer are not asked again at once (RFC 9520 §3.2).
  struct failure {
    boot_time until;
    std::uint16_t rcode, extended;
    std::string why;
  };
  std::unordered_map<std::string, failure> failures;
  boot_time failures_swept{};
  byte_vector scratch = byte_vector(max_message);
  // What validation needs to know beside the reply, by flights of its own; equal questions share one.
  struct lookup {
    question asked;
    std::uint8_t group = 0;
    name limit;
    bool asked_again = false;
    std::vector<std::uint64_t> waiting; // flights of open questions
  };
  std::unordered_map<std::uint64_t, lookup> lookups;
  std::unordered_map<std::string, std::uint64_t> lookups_by_key;
  std::vector<trust_store> trust; // by group
  query_sink* sink = nullptr;
  // Queries that were read before their turn came: [next_ahead, ahead_count) are still to come.
  std::unique_ptr<std::array<read_ahead, most_expected>> ahead;
  std::size_t next_ahead = 0, ahead_count = 0;
  // What the sink is told of the query at hand.
  struct {
    query_outcome outcome = query_outcome::none;
    std::uint8_t policy = 0;
    std::uint16_t list = no_list;
  } told;
};

} // namespace netlab::dns
