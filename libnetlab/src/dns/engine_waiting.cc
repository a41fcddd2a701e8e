#include <algorithm>

#include "engine_impl.h"
#include "message_writer.h"

// The part of the engine that begins when nothing here answers: questions to upstreams, who waits for them,
// and what becomes of the replies.

namespace netlab::dns {

namespace {

constexpr std::size_t max_waiters = 512; // of one question
constexpr std::size_t max_failures = 1024;
constexpr duration failure_hold = std::chrono::seconds(5), silence_hold = std::chrono::seconds(1);

// Addresses that a name of the outside has no reason to have (what a DNS rebinding attack needs).
bool is_private(const record& r) {
  if (r.type == rtype::a && r.data.size() == 4) {
    auto value = get32(r.data.data());
    auto in = [&](std::uint32_t network, int prefix) { return (value ^ network) >> (32 - prefix) == 0; };
    return in(0x0a000000, 8) || in(0xac100000, 12) || in(0xc0a80000, 16) || in(0x7f000000, 8) ||
           in(0xa9fe0000, 16) || in(0, 8) || in(0x64400000, 10);
  }
  if (r.type != rtype::aaaa || r.data.size() != 16) return false;
  const auto& d = r.data;
  bool zeros = std::all_of(d.begin(), d.begin() + 10, [](std::uint8_t b) { return b == 0; });
  if (zeros && d[10] == 0xff && d[11] == 0xff) // an IPv4 address in IPv6 clothes
    return is_private({r.owner, rtype::a, class_in, r.ttl, byte_vector(d.begin() + 12, d.end())});
  if (zeros && d[10] == 0 && d[11] == 0) return true; // ::, ::1 and their like
  return (d[0] & 0xfe) == 0xfc || (d[0] == 0xfe && (d[1] & 0xc0) == 0x80);
}

} // namespace

std::optional<std::uint64_t> engine::impl::flight_of(const cache_key& key, std::uint64_t hash) const {
  auto [first, last] = flights_by_hash.equal_range(hash);
  for (; first != last; ++first)
    if (open.at(first->second).asks(key)) return first->second;
  return std::nullopt;
}

void engine::impl::ask_upstream(const request& from, const query& q, std::uint8_t policy,
                                const cache_key& key, std::uint64_t hash, const name& target,
                                std::vector<record> prefix, boot_time now) {
  auto known = flight_of(key, hash);
  auto& held = waiting_of[from.client.address];
  bool full = held >= config.max_waiting_per_client ||
              (known ? open.at(*known).waiters.size() >= max_waiters : open.size() >= config.max_flights);
  waiter w;
  w.client = from.client;
  w.local = from.local;
  w.interface = from.interface;
  w.stream = from.stream;
  w.token = from.token;
  w.policy = policy;
  w.came = now;
  w.bytes.assign(from.bytes.begin(), from.bytes.end());
  (void)read_query(w.bytes, w.asked);
  if (full) {
    if (held == 0) waiting_of.erase(from.client.address);
    ++counts.limited;
    open_question none;
    return reply_to(none, w, nullptr, false, {ede::other, "too many questions wait", true},
                    rcode::server_failure, now);
  }
  ++held;
  if (known) {
    auto& waiting = open.at(*known).waiters;
    // A client that asks again before the answer came gets one answer, not two.
    bool again = std::any_of(waiting.begin(), waiting.end(), [&](const waiter& other) {
      return other.client == w.client && other.token == w.token && other.asked.id == w.asked.id;
    });
    ++counts.merged;
    if (again)
      --held;
    else
      waiting.push_back(std::move(w));
    return;
  }
  ++counts.forwarded;
  auto limit = limit_for(key.group, target);
  bool validated = is_validated(key.group, key.bits, target, limit);
  auto flight = upstreams.ask(key.group, target, q.type, q.dnssec_ok || validated,
                              (q.flags & flag::cd) != 0 || validated, now);
  auto& o = open[flight];
  o.validated = validated;
  o.limit = limit;
  o.qname = *name::from_wire(key.qname);
  o.type = key.type;
  o.group = key.group;
  o.bits = key.bits;
  o.hash = hash;
  o.prefix = std::move(prefix);
  o.began = now;
  o.waiters.push_back(std::move(w));
  flights_by_hash.emplace(hash, flight);
  if (auto* old = cache.find(key, hash); old && usable_stale(*old, now))
    stale_due.emplace(now + config.stale_after, flight);
}

void engine::impl::renew(const cached_answer& answer, const name& qname, boot_time now) {
  cache_key key{qname.wire(), answer.type, answer.group, answer.bits};
  if (flight_of(key, answer.hash) || open.size() >= config.max_flights) return;
  ++counts.prefetched;
  auto limit = limit_for(answer.group, qname);
  bool validated = is_validated(answer.group, answer.bits, qname, limit);
  auto flight = upstreams.ask(answer.group, qname, answer.type, (answer.bits & 1) != 0 || validated,
                              (answer.bits & 2) != 0 || validated, now);
  auto& o = open[flight];
  o.validated = validated;
  o.limit = limit;
  o.qname = qname;
  o.type = answer.type;
  o.group = answer.group;
  o.bits = answer.bits;
  o.hash = answer.hash;
  o.began = now;
  flights_by_hash.emplace(answer.hash, flight);
}

void engine::impl::release(const waiter& w) {
  auto held = waiting_of.find(w.client.address);
  if (held != waiting_of.end() && --held->second == 0) waiting_of.erase(held);
}

void engine::impl::remove_private(reply_chain& chain, const open_question& q) {
  auto exempt = [&](const name& n) {
    return std::any_of(config.rebind_allow.begin(), config.rebind_allow.end(),
                       [&](const name& zone) { return n.is_within(zone); });
  };
  if (exempt(q.qname)) return;
  auto removed = std::erase_if(chain.answers, [&](const record& r) {
    if (!is_private(r) || exempt(r.owner)) return false;
    ++counts.rebinds;
    auto who = q.waiters.empty() ? std::string() : q.waiters[0].client.address.to_string();
    if (actions.rebinds.size() < 16)
      actions.rebinds.push_back({q.qname.to_string(), rdata_text(r.type, r.data), who});
    return true;
  });
  if (removed > 0) chain.authentic = false;
}

answer_cache::owned engine::impl::make_answer(const open_question& q, const reply_chain& chain,
                                              boot_time now) {
  message_writer w(scratch);
  std::vector<std::uint16_t> offsets;
  w.ttl_offsets = &offsets;
  w.question(q.qname, q.type, class_in);
  auto start = w.position();
  auto cap = chain.negative ? config.max_negative_ttl : config.max_ttl;
  auto floor = chain.negative ? 0 : std::min(config.min_ttl, cap);
  auto bounded = [&](std::uint32_t ttl) { return std::clamp(ttl, floor, cap); };
  using section = message_writer::section;
  for (const auto& r : q.prefix) w.add(section::answer, r);
  for (const auto& r : chain.answers)
    w.add(section::answer, r.owner, r.type, r.klass, bounded(r.ttl), r.data);
  for (const auto& r : chain.authorities)
    w.add(section::authority, r.owner, r.type, r.klass, bounded(r.ttl), r.data);
  for (auto& o : offsets) o = static_cast<std::uint16_t>(o - start);
  auto made = cache.make(q.key(), q.hash, byte_view(scratch).subspan(start, w.position() - start), offsets);
  for (std::size_t i = 0; i < 3; ++i) made->counts[i] = w.counts()[i + 1];
  made->flags = static_cast<std::uint16_t>((chain.authentic && q.prefix.empty() ? flag::ad : 0) |
                                           (chain.rcode & flag::rcode_mask));
  made->stored = now;
  made->ttl = chain.ttl == 0 && (chain.negative || floor == 0) ? 0 : bounded(chain.ttl);
  for (const auto& r : q.prefix) made->ttl = std::min(made->ttl, r.ttl);
  made->local_start = !q.prefix.empty();
  auto is_alias = [](const record& r) { return r.type == rtype::cname; };
  made->aliased = std::any_of(q.prefix.begin(), q.prefix.end(), is_alias) ||
                  std::any_of(chain.answers.begin(), chain.answers.end(), is_alias);
  made->checked_generation = now_valid->generation;
  return made;
}

void engine::impl::reply_to(const open_question& q, const waiter& w, const cached_answer* answer, bool stale,
                            const extended& trouble, std::uint16_t failure_rcode, boot_time now) {
  late_reply out{w.client, w.local, w.interface, w.stream, w.token, {}};
  reply_context c{w.asked,     limit_of(w.asked, w.stream), config.udp_size, secret, w.client.address,
                  seconds(now)};
  // The room that an answer may take is written once, not made anew for each.
  auto room = byte_span(scratch).first(c.limit);
  std::size_t size = 0;
  told = {!answer ? query_outcome::failed
          : stale ? query_outcome::stale
                  : query_outcome::forwarded,
          w.policy, no_list};
  if (!answer) {
    ++counts.failures;
    size = put_empty(c, room, 0, failure_rcode, trouble);
  } else {
    const auto& rules = now_valid->policies[w.policy < now_valid->policies.size() ? w.policy : 0];
    std::optional<std::uint16_t> list;
    if (rules.filter && answer->counts[0] > 0 &&
        rules.filter->match(q.qname.wire(), rules.lists).action != filter_action::allow)
      list = blocked_target(*answer, rules);
    if (list)
      size = answer_blocked(c, rules, *list, room);
    else
      size = put_cached(c, room, *answer, 0, stale ? config.stale_ttl : 0);
    if (stale) ++counts.stale;
    if (size > 3 && (room[2] & 2)) ++counts.truncated;
  }
  out.bytes.assign(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(size));
  if (sink && size > 3)
    sink->note({w.asked.qname(), w.client.address, now, now - w.came, w.asked.type,
                static_cast<std::uint16_t>(out.bytes[3] & flag::rcode_mask), told.list, told.outcome,
                w.policy, q.group, stale ? no_upstream : q.upstream, w.stream});
  actions.replies.push_back(std::move(out));
}

void engine::impl::remember_failure(const open_question& q, const flight_outcome& why, boot_time now) {
  if (now >= failures_swept + failure_hold || failures.size() >= max_failures) {
    std::erase_if(failures, [&](const auto& f) { return f.second.until <= now; });
    failures_swept = now;
  }
  if (failures.size() >= max_failures) return;
  // An upstream's refusal will be the same in a moment; silence is the uplink's, and the first question after
  // its return should be answered.
  bool silent = why.extended == ede::network_error || why.extended == ede::no_reachable_authority;
  auto hold = silent ? silence_hold : failure_hold;
  failures[q.map_key()] = {now + hold, why.rcode, why.extended, why.why};
}

void engine::impl::on_outcome(std::uint64_t flight, flight_outcome outcome, boot_time now) {
  if (!lookups.empty() && lookups.contains(flight)) return on_lookup(flight, std::move(outcome), now);
  auto found = open.find(flight);
  if (found == open.end()) return;
  if (!found->second.validated || !outcome.reply) return conclude(flight, std::move(outcome), nullptr, now);
  found->second.reply = std::move(outcome);
  check_reply(flight, now);
}

void engine::impl::conclude(std::uint64_t flight, flight_outcome outcome, const validation* checked,
                            boot_time now) {
  auto found = open.find(flight);
  auto q = std::move(found->second);
  q.upstream = outcome.server;
  open.erase(found);
  auto [first, last] = flights_by_hash.equal_range(q.hash);
  flights_by_hash.erase(std::find_if(first, last, [&](const auto& f) { return f.second == flight; }));
  for (const auto& w : q.waiters) release(w);
  std::optional<reply_chain> chain;
  if (outcome.reply) {
    const auto& asked = outcome.reply->questions[0];
    chain = extract_chain(*outcome.reply, asked.qname.lower(), asked.type, (q.bits & 1) != 0);
    if (chain && config.dnssec.validate) {
      // Who validates says so by itself, and repeats nobody.
      chain->authentic = checked && checked->is == validation::state::secure;
      if (chain->authentic) {
        chain->ttl = std::min(chain->ttl, checked->ttl);
        for (auto* section : {&chain->answers, &chain->authorities})
          for (auto& r : *section) r.ttl = std::min(r.ttl, checked->ttl);
      }
    }
    if (!chain) {
      outcome.why = "the upstream's CNAMEs go in a circle";
      outcome.rcode = rcode::server_failure;
      outcome.extended = ede::other;
    }
  }
  if (!chain) {
    // An old answer is better than none (RFC 8767 §4).
    auto* old = cache.find(q.key(), q.hash);
    if (old) old->renewing = false;
    bool is_bogus = checked && checked->is == validation::state::bogus;
    bool usable = old && !is_bogus && usable_stale(*old, now);
    if (outcome.why.size() > 120) outcome.why.resize(120);
    if (!usable) remember_failure(q, outcome, now);
    for (const auto& w : q.waiters)
      reply_to(q, w, usable ? old : nullptr, usable, {outcome.extended, outcome.why, true}, outcome.rcode,
               now);
    return;
  }
  if (config.rebind_protection && q.group == 0) remove_private(*chain, q);
  auto answer = make_answer(q, *chain, now);
  for (const auto& w : q.waiters) reply_to(q, w, answer.get(), false, {}, 0, now);
  if (answer->ttl > 0) cache.put(answer);
}

void engine::impl::serve_stale(boot_time now) {
  while (!stale_due.empty() && stale_due.begin()->first <= now) {
    auto flight = stale_due.begin()->second;
    stale_due.erase(stale_due.begin());
    auto found = open.find(flight);
    if (found == open.end()) continue;
    auto& q = found->second;
    auto* old = cache.find(q.key(), q.hash);
    if (!old || !usable_stale(*old, now)) continue;
    // The question goes on, for the cache's sake.
    auto waiters = std::move(q.waiters);
    q.waiters.clear();
    for (const auto& w : waiters) {
      release(w);
      reply_to(q, w, old, true, {}, 0, now);
    }
  }
}

} // namespace netlab::dns
