#pragma once
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "forwarder.h"
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
  cache_key key() const { return {qname.wire(), type, group, bits}; }
  std::string map_key() const { return make_map_key(key()); }
  static std::string make_map_key(const cache_key& k) {
    std::string out;
    out.reserve(k.qname.size() + 4);
    for (int part : {k.type >> 8, k.type & 0xff, int{k.group}, int{k.bits}}) out += static_cast<char>(part);
    out += as_text(k.qname);
    return out;
  }
};

struct engine::impl {
  impl(engine_config c, random_source& r);

  // --- the way of a query
  std::size_t handle(const request& from, boot_time now, byte_span out);
  bool may_ask(const ip_address& client) const;
  std::uint8_t policy_of(const ip_address& client) const;
  std::size_t refuse(const reply_context& c, byte_span out, std::uint16_t rcode, const extended& why);
  std::optional<std::size_t> answer_here(const reply_context& c, const name& qname, byte_span out,
                                         std::vector<record>& prefix, name& target);
  std::size_t answer_local(const reply_context& c, const std::vector<record>& answers, const name* soa_zone,
                           std::uint16_t rcode, byte_span out, std::uint32_t negative_ttl,
                           const extended& why = {});
  std::size_t answer_any(const reply_context& c, const name& qname, byte_span out);
  std::size_t answer_blocked(const reply_context& c, const name& qname, const policy& p, std::uint16_t list,
                             byte_span out);
  // The rule that blocks one of the answer's CNAME targets for the policy, if any.
  std::optional<std::uint16_t> blocked_target(const cached_answer& answer, const policy& p);
  std::vector<name> targets_of(const cached_answer& answer);

  // --- what waits for upstreams
  void ask_upstream(const request& from, const query& q, std::uint8_t policy, const cache_key& key,
                    std::uint64_t hash, const name& target, std::vector<record> prefix, boot_time now);
  void renew(const cached_answer& answer, const name& qname, boot_time now);
  void on_outcome(std::uint64_t flight, flight_outcome outcome, boot_time now);
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
  std::unordered_map<std::string, std::uint64_t> flights_by_key;
  std::unordered_map<std::uint64_t, open_question> open;
  std::unordered_map<ip_address, std::size_t> waiting_of;
  std::multimap<boot_time, std::uint64_t> stale_due;
  // Questions that nobody could answer are not asked again at once (RFC 9520 §3.2).
  struct failure {
    boot_time until;
    std::uint16_t rcode, extended;
    std::string why;
  };
  std::unordered_map<std::string, failure> failures;
  std::vector<name> bootstrap_names;
  byte_vector scratch;
};

} // namespace netlab::dns
