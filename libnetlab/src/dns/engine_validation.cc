#include "engine_impl.h"

// The part of the engine that does not believe what upstreams say: replies wait here for the keys that prove
// them (dnssec_check.h).

namespace netlab::dns {

namespace {

// A name of 34 labels (reverse IPv6) with a zone at every fourth needs about fifty.
constexpr unsigned max_lookups = 64;
constexpr std::size_t max_bogus_events = 16;

} // namespace

name engine::impl::limit_for(std::uint8_t group, const name& target) const {
  if (group == 0 || !now_valid->routes) return {};
  const auto& way = now_valid->routes->find(target);
  return way.kind == route_kind::forward && way.group == group ? way.zone : name();
}

bool engine::impl::is_validated(std::uint8_t group, std::uint8_t bits, const name& target,
                                const name& limit) const {
  if (!config.dnssec.validate || (bits & 2) != 0) return false; // CD: the client validates by itself
  // A zone of its own upstreams is not part of the tree that the root signs.
  if (group != 0 && limit.is_root()) return false;
  return trust[group].is_anchored(target, limit);
}

void engine::impl::check_reply(std::uint64_t flight, boot_time now) {
  auto& q = open.at(flight);
  const auto& asked = q.reply->reply->questions[0];
  auto v = validate(*q.reply->reply, asked.qname.lower(), asked.type, trust[q.group], q.limit, now, wall());
  if (v.is == validation::state::unknown) {
    if (++q.lookups <= max_lookups && now - q.began < 3 * config.query_timeout)
      return look_up(flight, q, v.need, now);
    v.is = validation::state::bogus;
    v.extended = ede::dnssec_indeterminate;
    v.why = "its keys take too much to find";
  }
  if (v.is == validation::state::bogus && ask_another(flight, now)) return;
  auto outcome = std::move(*q.reply);
  if (v.is == validation::state::bogus) {
    ++counts.bogus;
    if (actions.bogus.size() < max_bogus_events) actions.bogus.push_back({q.qname.to_string(), v.why});
    outcome.reply.reset();
    outcome.rcode = rcode::server_failure;
    outcome.extended = v.extended;
    outcome.why = v.why;
  } else {
    ++(v.is == validation::state::secure ? counts.secure : counts.insecure);
  }
  conclude(flight, std::move(outcome), &v, now);
}

// One that lies is no reason to fail while another tells the truth.
bool engine::impl::ask_another(std::uint64_t flight, boot_time now) {
  auto& q = open.at(flight);
  if (q.asked_again || config.groups[q.group].members.size() < 2) return false;
  const auto asked = q.reply->reply->questions[0];
  auto again = upstreams.ask(q.group, asked.qname.lower(), asked.type, true, true, now, q.reply->server);
  auto node = open.extract(flight);
  node.key() = again;
  node.mapped().asked_again = true;
  node.mapped().reply.reset();
  auto [first, last] = flights_by_hash.equal_range(node.mapped().hash);
  std::find_if(first, last, [&](const auto& f) { return f.second == flight; })->second = again;
  open.insert(std::move(node));
  return true;
}

void engine::impl::look_up(std::uint64_t flight, const open_question& q, const question& need,
                           boot_time now) {
  auto lower = need.qname.lower();
  auto key = open_question::make_map_key({lower.wire(), need.type, q.group, 0});
  if (auto known = lookups_by_key.find(key); known != lookups_by_key.end()) {
    lookups.at(known->second).waiting.push_back(flight);
    return;
  }
  ++counts.lookups;
  auto id = upstreams.ask(q.group, lower, need.type, true, true, now);
  lookups.emplace(id, lookup{{lower, need.type, class_in}, q.group, q.limit, false, {flight}});
  lookups_by_key.emplace(std::move(key), id);
}

void engine::impl::on_lookup(std::uint64_t flight, flight_outcome outcome, boot_time now) {
  auto node = lookups.extract(flight);
  auto& l = node.mapped();
  auto key = open_question::make_map_key({l.asked.qname.wire(), l.asked.type, l.group, 0});
  const auto* reply = outcome.reply ? &*outcome.reply : nullptr;
  bool last = l.asked_again || config.groups[l.group].members.size() < 2;
  auto bogus = trust[l.group].learn(l.asked, reply, outcome.why, l.limit, last, now, wall());
  if (bogus && !last) {
    l.asked_again = true;
    node.key() = upstreams.ask(l.group, l.asked.qname, l.asked.type, true, true, now, outcome.server);
    lookups_by_key[key] = node.key();
    lookups.insert(std::move(node));
    return;
  }
  lookups_by_key.erase(key);
  for (auto waiting : l.waiting)
    if (open.contains(waiting)) check_reply(waiting, now);
}

} // namespace netlab::dns
