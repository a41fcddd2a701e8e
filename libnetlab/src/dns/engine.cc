#include <algorithm>
#include <new>

#include "engine_impl.h"
#include "message_writer.h"

namespace netlab::dns {

namespace {

constexpr std::size_t max_local_chain = 8;
constexpr std::uint32_t local_negative_ttl = 60; // seconds: a new lease or record shows within a minute
constexpr std::uint8_t hot_hits = 3;             // answers of one entry that make it worth renewing
constexpr std::uint32_t least_renewed_ttl = 10;  // seconds; shorter ones would be asked for all the time
constexpr std::uint32_t safe_search_ttl = 300;   // seconds

// What tells an answer for who has safe search from the name's own, in the cache.
std::uint8_t safe_bits(byte_view qname, safe_search how) {
  if (how == safe_search::off || safe_search_target(qname, how).empty()) return 0;
  return how == safe_search::strict ? 4 : 8;
}

// The SOA that a negative answer of ours carries (RFC 2308 §3).
byte_vector soa_data(const name& zone, std::uint32_t ttl) {
  byte_vector out(zone.wire().begin(), zone.wire().end());
  auto mailbox = name::parse("hostmaster")->under(zone).value_or(zone);
  out.insert(out.end(), mailbox.wire().begin(), mailbox.wire().end());
  std::uint8_t numbers[20];
  for (auto [at, value] : {std::pair<int, std::uint32_t>{0, 1}, {4, 3600}, {8, 600}, {12, 86400}, {16, ttl}})
    put32(numbers + at, value);
  out.insert(out.end(), numbers, numbers + sizeof numbers);
  return out;
}

} // namespace

result<void> check(const engine_config& config) {
  if (config.groups.empty() || config.groups[0].members.empty())
    return fail(errc::invalid, "at least one upstream is needed", "upstreams");
  if (config.groups.size() > 200) return fail(errc::invalid, "more than 199 forwarded zones", "forward");
  for (const auto& g : config.groups) {
    if (auto fine = g.check(); !fine) return fine;
    if (g.members.empty()) return fail(errc::invalid, "a group of upstreams is empty", "forward");
  }
  if (config.udp_size < plain_udp_size || config.udp_size > 4096)
    return fail(errc::invalid, "the UDP size lies between 512 and 4096", "udp_size");
  if (config.dnssec.validate && config.dnssec.anchors.empty())
    return fail(errc::invalid, "validation needs a trust anchor", "dnssec");
  if (config.blocked.mode == blocking::kind::address && config.blocked.addresses.empty())
    return fail(errc::invalid, "blocking by address needs one", "blocking");
  return {};
}

engine::impl::impl(engine_config c, random_source& r)
    : config(std::move(c)), random(r), now_valid(std::make_shared<snapshot>()),
      cache(config.cache_bytes, std::uint64_t{r.u32()} << 32 | r.u32()),
      limits(config.queries_per_second, config.burst, std::uint64_t{r.u32()} << 32 | r.u32()),
      upstreams(config, r, actions, counts,
                [this](std::uint64_t flight, flight_outcome outcome, boot_time now) {
                  on_outcome(flight, std::move(outcome), now);
                }) {
  random.fill(secret);
  if (config.dnssec.validate)
    for (std::size_t i = 0; i < config.groups.size(); ++i) trust.emplace_back(config.dnssec);
  for (const auto& each : config.clients) {
    if (each.address.is_v4())
      allowed_v4.push_back({each.network().v4_value(), each.netmask().v4_value()});
    else
      allowed_v6.push_back(each);
  }
}

bool engine::impl::may_ask(const ip_address& client) const {
  if (config.clients.empty()) return true;
  if (client.is_v4()) {
    auto value = client.v4_value();
    for (const auto& n : allowed_v4)
      if ((value & n.mask) == n.network) return true;
    return false;
  }
  return std::any_of(allowed_v6.begin(), allowed_v6.end(), [&](const cidr& n) { return n.contains(client); });
}

std::uint8_t engine::impl::policy_of(const ip_address& client) const {
  for (const auto& [network, index] : now_valid->client_policies)
    if (network.contains(client)) return index;
  return 0;
}

std::size_t engine::impl::refuse(const reply_context& c, byte_span out, std::uint16_t code,
                                 const extended& why) {
  ++counts.refused;
  told.outcome = query_outcome::refused;
  return put_empty(c, out, 0, code, why);
}

std::size_t engine::impl::handle(const request& from, boot_time now, byte_span out) {
  told = {};
  read_ahead alone;
  const auto* read_one = &alone;
  if (next_ahead < ahead_count && (*ahead)[next_ahead].bytes == from.bytes.data())
    read_one = &(*ahead)[next_ahead++];
  else
    read(from.bytes, alone);
  const auto& q = read_one->asked;
  auto size = answer(from, *read_one, now, out);
  if (sink && size > 0 && told.outcome != query_outcome::none)
    sink->note({q.qname(), from.client.address, now, duration{}, q.type,
                static_cast<std::uint16_t>(out[3] & flag::rcode_mask), told.list, told.outcome, told.policy,
                0, no_upstream, from.stream});
  return size;
}

void engine::impl::read(byte_view bytes, read_ahead& out) const {
  out.bytes = bytes.data();
  ::new (static_cast<void*>(&out.asked)) query; // without clearing the room for its name
  out.problem = read_query(bytes, out.asked);
  if (out.problem == query_problem::none) out.hash = cache.hash(out.asked.qname(), out.asked.type);
}

void engine::impl::expect(std::span<const byte_view> queries) {
  if (!ahead) ahead = std::make_unique<std::array<read_ahead, most_expected>>();
  next_ahead = 0;
  ahead_count = std::min(queries.size(), most_expected);
  std::span<read_ahead> all(ahead->data(), ahead_count);
  for (std::size_t i = 0; i < all.size(); ++i) {
    read(queries[i], all[i]);
    if (all[i].problem == query_problem::none) cache.fetch_bucket(all[i].hash);
  }
  for (const auto& r : all)
    if (r.problem == query_problem::none) cache.fetch_answer(r.hash);
  const auto* filter = now_valid->policies[0].filter.get();
  if (!filter) return;
  for (const auto& r : all)
    if (r.problem == query_problem::none && !cache.may_hold(r.hash)) filter->expect(r.asked.qname());
}

void engine::impl::count_question(const request& from, std::uint16_t type) {
  if (from.stream) ++counts.streams;
  switch (type) {
  case rtype::a: ++counts.type_a; break;
  case rtype::aaaa: ++counts.type_aaaa; break;
  case rtype::https: ++counts.type_https; break;
  case rtype::ptr: ++counts.type_ptr; break;
  case rtype::srv: ++counts.type_srv; break;
  default: ++counts.type_other;
  }
}

std::size_t engine::impl::answer(const request& from, const read_ahead& read, boot_time now, byte_span out) {
  ++counts.queries;
  const auto& q = read.asked;
  auto problem = read.problem;
  if (problem == query_problem::drop) {
    ++counts.malformed;
    return 0;
  }
  reply_context c{q, limit_of(q, from.stream), config.udp_size, secret, from.client.address, seconds(now)};
  if (!may_ask(from.client.address))
    return refuse(c, out, rcode::refused, {ede::prohibited, "not a client of this resolver", true});
  if (problem != query_problem::none) {
    ++counts.malformed;
    auto code = problem == query_problem::format            ? rcode::format_error
                : problem == query_problem::not_implemented ? rcode::not_implemented
                                                            : rcode::bad_version;
    return put_empty(c, out, 0, code);
  }
  bool known_address =
      from.stream || (!q.server_cookie.empty() && is_server_cookie(secret, q.client_cookie, q.server_cookie,
                                                                   from.client.address, c.seconds));
  if (!from.decided && !limits.admits(from.client.address, now)) {
    ++counts.limited;
    told.outcome = query_outcome::limited;
    // A datagram's sender may be forged: half of what is over the limit gets no answer at all, so that we
    // are of no use against a victim, and a real client still learns to come by TCP (as RRL's "slip").
    if (!known_address && (counts.limited & 1)) return 0;
    if (!known_address) return put_empty(c, out, flag::tc, rcode::no_error);
    return put_empty(c, out, 0, rcode::refused, {ede::prohibited, "too many queries", true});
  }
  count_question(from, q.type);
  if (q.klass != class_in) return refuse(c, out, rcode::refused, {});
  if (q.type == rtype::opt || q.type == 0) return put_empty(c, out, 0, rcode::format_error);

  std::uint8_t policy_index = now_valid->client_policies.empty() ? 0 : policy_of(from.client.address);
  const auto& rules = now_valid->policies[policy_index];
  told.policy = policy_index;
  if (from.decided) {
    const auto& d = *from.decided;
    told.outcome = query_outcome::hook;
    static const name root;
    bool negative = d.records.empty() && (d.code == rcode::no_error || d.code == rcode::name_error);
    if (d.records.empty() && !negative) return put_empty(c, out, 0, d.code);
    return answer_local(c, d.records, negative ? &root : nullptr, d.code, out, local_negative_ttl);
  }
  // Only DO and CD change what an upstream says; for who has safe search, some names are others.
  auto bits = static_cast<std::uint8_t>((q.dnssec_ok ? 1 : 0) | (q.flags & flag::cd ? 2 : 0));
  auto safe = rules.safe;
  if (safe != safe_search::off) bits |= safe_bits(q.qname(), safe);
  cache_key key{q.qname(), q.type, 0, bits};
  auto hash = read.hash;
  auto fresh = [&](cached_answer& e) {
    ++counts.hits;
    told.outcome = query_outcome::cached;
    e.referenced = true;
    if (e.hits < 255) ++e.hits;
    auto age =
        static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(now - e.stored).count());
    if (config.prefetch && !e.renewing && e.hits >= hot_hits && e.ttl >= least_renewed_ttl &&
        age >= e.ttl - e.ttl / 10 && !e.local_start) {
      e.renewing = true;
      renew(e, *name::from_wire(q.qname()), now);
    }
    return put_cached(c, out, e, age, 0);
  };
  // The short way: an answer that this client may have, by the rules that hold now.
  if (auto* hit = cache.find_passed(key, hash, now_valid->generation, policy_index);
      hit && now < hit->expires() && (q.flags & flag::rd) != 0)
    return fresh(*hit);

  auto qname = *name::from_wire(q.qname());
  if (q.type == rtype::any) {
    told.outcome = query_outcome::local;
    return answer_any(c, qname, out);
  }
  if (q.type >= 128 && q.type <= 255)
    return refuse(c, out, rcode::refused, {}); // transfers and other meta types
  std::vector<record> prefix;
  name target = qname;
  if (auto done = answer_here(c, qname, out, prefix, target)) {
    told.outcome = query_outcome::local;
    return *done;
  }

  bool allowed = false;
  if (rules.filter) {
    auto v = rules.filter->match(q.qname(), rules.lists);
    if (v.action == filter_action::block) return answer_blocked(c, rules, v.list, out);
    allowed = v.action == filter_action::allow;
  }
  if ((q.flags & flag::rd) == 0)
    return refuse(c, out, rcode::refused, {ede::not_authoritative, "ask with RD", true});
  if ((bits & ~3) != 0 && prefix.empty()) {
    target = *name::parse(safe_search_target(q.qname(), safe));
    prefix.push_back({qname, rtype::cname, class_in, safe_search_ttl,
                      byte_vector(target.wire().begin(), target.wire().end())});
  }

  const auto* way = now_valid->routes ? &now_valid->routes->find(target) : nullptr;
  key.group = way ? way->group : std::uint8_t{0};
  auto* hit = cache.find(key, hash);
  if (hit && hit->local_start && hit->checked_generation != now_valid->generation) hit = nullptr;
  bool is_fresh = hit && now < hit->expires();
  bool is_stale = hit && !is_fresh && usable_stale(*hit, now);
  if (is_fresh || is_stale) {
    if (hit->checked_generation != now_valid->generation) {
      hit->checked_generation = now_valid->generation;
      hit->passed_policies = 0;
    }
    if ((hit->passed_policies >> policy_index & 1) == 0) {
      if (rules.filter && !allowed)
        if (auto list = blocked_target(*hit, rules)) return answer_blocked(c, rules, *list, out);
      hit->passed_policies |= 1u << policy_index;
    }
    if (is_fresh) return fresh(*hit);
    // Nobody is there to ask: the old answer at once, and a question to find out who is back.
    if (!upstreams.any_up(key.group)) {
      ++counts.stale;
      told.outcome = query_outcome::stale;
      hit->referenced = true;
      renew(*hit, qname, now);
      return put_cached(c, out, *hit, 0, config.stale_ttl);
    }
  }
  if (auto failed = failures.empty() ? failures.end() : failures.find(open_question::make_map_key(key));
      failed != failures.end()) {
    if (now < failed->second.until) {
      ++counts.failures;
      told.outcome = query_outcome::failed;
      return put_empty(c, out, 0, failed->second.rcode, {failed->second.extended, failed->second.why, true});
    }
    failures.erase(failed);
  }
  ask_upstream(from, q, policy_index, key, hash, target, std::move(prefix), now);
  return 0;
}

std::optional<std::size_t> engine::impl::answer_here(const reply_context& c, const name& qname, byte_span out,
                                                     std::vector<record>& prefix, name& target) {
  const auto& s = *now_valid;
  std::vector<record> answers;
  name current = qname;
  for (std::size_t step = 0; step <= max_local_chain; ++step) {
    const auto* fixed = s.fixed ? s.fixed->find(current) : nullptr;
    const auto* dynamic = s.dynamic ? s.dynamic->find(current) : nullptr;
    if (!fixed && !dynamic && s.fixed) fixed = s.fixed->find_wildcard(current);
    const auto* way = s.routes ? &s.routes->find(current) : nullptr;
    const name* zone = way && way->kind == route_kind::local ? &way->zone : &current;
    if (!fixed && !dynamic) {
      if (!way || way->kind == route_kind::forward) {
        // A bare name is nobody's outside: the root has no addresses for it.
        bool bare = current.labels() == 1 && (c.asked.type == rtype::a || c.asked.type == rtype::aaaa);
        if (bare && !config.domain.is_root()) {
          ++counts.local;
          static const name root;
          return answer_local(c, answers, &root, rcode::name_error, out, local_negative_ttl);
        }
        if (step == 0) return std::nullopt;
        prefix = std::move(answers);
        target = current;
        return std::nullopt;
      }
      ++counts.local;
      if (way->kind == route_kind::local && current == way->zone) {
        if (c.asked.type == rtype::soa) {
          answers.push_back({current, rtype::soa, class_in, 3600, soa_data(current, local_negative_ttl)});
          return answer_local(c, answers, nullptr, rcode::no_error, out, 0);
        }
        return answer_local(c, answers, &way->zone, rcode::no_error, out, local_negative_ttl);
      }
      auto code = way->kind == route_kind::nodata ? rcode::no_error : rcode::name_error;
      return answer_local(c, answers, &way->zone, code, out, local_negative_ttl);
    }
    const local_record* alias = nullptr;
    bool found = false;
    // The recipe's records of a type take the place of a lease's.
    for (const auto* table : {fixed, dynamic}) {
      if (!table || found) continue;
      for (const auto& r : *table) {
        if (r.type == c.asked.type) {
          answers.push_back({current, r.type, class_in, r.ttl, r.data});
          found = true;
        } else if (r.type == rtype::cname && !alias) {
          alias = &r;
        }
      }
    }
    if (found || !alias) {
      ++counts.local;
      return answer_local(c, answers, found ? nullptr : zone, rcode::no_error, out, local_negative_ttl);
    }
    answers.push_back({current, rtype::cname, class_in, alias->ttl, alias->data});
    current = name::from_wire(alias->data)->lower();
  }
  ++counts.failures;
  return put_empty(c, out, 0, rcode::server_failure,
                   {ede::other, "the recipe's CNAMEs go in a circle", true});
}

std::size_t engine::impl::answer_local(const reply_context& c, const std::vector<record>& answers,
                                       const name* soa_zone, std::uint16_t code, byte_span out,
                                       std::uint32_t negative_ttl, const extended& why) {
  message_writer w(out.first(std::min(out.size(), c.limit)));
  w.keep_free(opt_size(c, why));
  std::size_t at = 0;
  name asked_as;
  name_reader::read(c.asked.original, at, asked_as);
  w.question(asked_as, c.asked.type, c.asked.klass);
  bool cut = false;
  for (const auto& r : answers) cut = cut || !w.add(message_writer::section::answer, r);
  if (!cut && soa_zone)
    cut = !w.add(message_writer::section::authority, *soa_zone, rtype::soa, class_in, negative_ttl,
                 soa_data(*soa_zone, negative_ttl));
  auto back = c.asked.flags & (flag::rd | flag::cd);
  auto size = w.finish(c.asked.id, static_cast<std::uint16_t>(flag::qr | flag::aa | flag::ra | back |
                                                              (cut ? flag::tc : 0) | code));
  if (cut) ++counts.truncated;
  if (!c.asked.has_edns) return size;
  put16(out.data() + 10, static_cast<std::uint16_t>(w.counts()[3] + 1));
  return put_opt(c, out, size, code, why);
}

// RFC 8482 §4.2: one small record instead of everything that there is.
std::size_t engine::impl::answer_any(const reply_context& c, const name& qname, byte_span out) {
  static constexpr std::uint8_t hinfo[] = {7, 'R', 'F', 'C', '8', '4', '8', '2', 0};
  ++counts.local;
  std::vector<record> one{{qname, rtype::hinfo, class_in, 3600, {std::begin(hinfo), std::end(hinfo)}}};
  return answer_local(c, one, nullptr, rcode::no_error, out, 0);
}

std::size_t engine::impl::answer_blocked(const reply_context& c, const policy& p, std::uint16_t list,
                                         byte_span out) {
  ++counts.blocked;
  told.outcome = query_outcome::blocked;
  told.list = list;
  const auto& b = config.blocked;
  std::string text;
  if (c.asked.has_edns) {
    text = "blocked by " + p.filter->list_name(list);
    if (text.size() > 160) text.resize(160);
  }
  extended why{ede::blocked, text, true};
  using kind = blocking::kind;
  if (b.mode == kind::refused) return put_empty(c, out, 0, rcode::refused, why);
  if (b.mode == kind::address) return put_addresses(c, out, rcode::no_error, b.addresses, b.ttl, why);
  static const std::vector<ip_address> null{ip_address::v4(0), ip_address::v6({})}, none;
  auto code = b.mode == kind::nxdomain ? rcode::name_error : rcode::no_error;
  return put_addresses(c, out, code, b.mode == kind::null ? null : none, b.ttl, why);
}

std::vector<name> engine::impl::targets_of(const cached_answer& answer) {
  std::vector<name> out;
  if (!answer.aliased) return out;
  // The body's pointers count from the start of a whole message, so one is made for reading.
  byte_vector message_bytes(header_size);
  message_bytes[5] = 1;
  for (std::size_t i = 0; i < 3; ++i) put16(message_bytes.data() + 6 + 2 * i, answer.counts[i]);
  auto add = [&](byte_view more) { message_bytes.insert(message_bytes.end(), more.begin(), more.end()); };
  add(answer.qname());
  std::uint8_t rest[4];
  put16(rest, answer.type);
  put16(rest + 2, class_in);
  add(rest);
  add(answer.body());
  auto whole = decode(message_bytes);
  if (!whole) return out;
  for (const auto& r : whole->answers)
    if (r.type == rtype::cname)
      if (auto target = name::from_wire(r.data)) out.push_back(target->lower());
  return out;
}

std::optional<std::uint16_t> engine::impl::blocked_target(const cached_answer& answer, const policy& p) {
  for (const auto& target : targets_of(answer)) {
    auto v = p.filter->match(target.wire(), p.lists);
    if (v.action == filter_action::block) return v.list;
  }
  return std::nullopt;
}

engine::engine(engine_config config, random_source& random)
    : impl_(std::make_unique<impl>(std::move(config), random)) {}
engine::~engine() = default;

void engine::use(std::shared_ptr<const snapshot> now_valid) { impl_->now_valid = std::move(now_valid); }
void engine::expect(std::span<const byte_view> queries) { impl_->expect(queries); }
std::size_t engine::handle(const request& query, boot_time now, byte_span out) {
  return impl_->handle(query, now, out);
}
void engine::on_upstream(std::uint64_t attempt, const endpoint& from, byte_view bytes, boot_time now) {
  impl_->upstreams.on_reply(attempt, from, bytes, now);
}
void engine::on_upstream_failure(std::uint64_t attempt, std::string why, boot_time now) {
  impl_->upstreams.on_failure(attempt, why, now);
}
void engine::on_time(boot_time now) {
  impl_->serve_stale(now);
  impl_->upstreams.on_time(now);
}
std::optional<boot_time> engine::deadline() const {
  auto out = impl_->upstreams.deadline();
  if (!impl_->stale_due.empty() && (!out || impl_->stale_due.begin()->first < *out))
    out = impl_->stale_due.begin()->first;
  return out;
}
void engine::set_upstream_address(const std::string& host, const ip_address& address) {
  impl_->upstreams.set_address(host, address);
}
byte_vector engine::save_cache(boot_time now, wall_time wall) const { return impl_->save_cache(now, wall); }
std::size_t engine::load_cache(byte_view saved, boot_time now, wall_time wall) {
  return impl_->load_cache(saved, now, wall);
}
engine_actions& engine::actions() { return impl_->actions; }
const engine_counts& engine::counts() const { return impl_->counts; }
std::vector<upstream_health> engine::health() const { return impl_->upstreams.health(); }
std::size_t engine::cached_bytes() const { return impl_->cache.bytes(); }
std::size_t engine::cached_answers() const { return impl_->cache.count(); }
std::size_t engine::waiting() const { return impl_->open.size(); }
void engine::clear_cache() {
  impl_->cache.clear();
  impl_->failures.clear();
  for (auto& t : impl_->trust) t.clear();
}
std::optional<kept_answer> engine::kept(const name& qname, std::uint16_t type, std::uint8_t group,
                                        safe_search safe, boot_time now) const {
  auto lower = qname.lower();
  cache_key key{lower.wire(), type, group, safe_bits(lower.wire(), safe)};
  const auto* found = impl_->cache.find(key, impl_->cache.hash(key));
  if (!found) return std::nullopt;
  kept_answer out;
  out.rcode = static_cast<std::uint16_t>(found->flags & flag::rcode_mask);
  if (now < found->expires())
    out.seconds_left = static_cast<std::uint32_t>(std::max<std::int64_t>(
        1, std::chrono::duration_cast<std::chrono::seconds>(found->expires() - now).count()));
  out.aliases = impl_->targets_of(*found);
  return out;
}
void engine::observe(query_sink* sink) { impl_->sink = sink; }

} // namespace netlab::dns
