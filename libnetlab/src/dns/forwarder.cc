#include "forwarder.h"

#include <algorithm>

#include "message_writer.h"

namespace netlab::dns {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned misses_until_down = 3;
constexpr duration longest_pause = seconds(10); // so that a returned uplink is noticed within it
constexpr std::size_t padded_block = 128;       // RFC 8467 §4.1
constexpr std::uint64_t explore_every = 16;     // questions between two looks at a slower upstream

constexpr const char* address_unknown = "its name has not been resolved yet";
bool lacks_address(const upstream& u) { return !u.host.empty() && u.address.address.is_unspecified(); }

double in_seconds(duration d) { return std::chrono::duration<double>(d).count(); }

name with_random_case(const name& lower, random_source& random) {
  std::uint8_t coins[8];
  random.fill(coins);
  std::uint64_t bits;
  std::memcpy(&bits, coins, 8);
  byte_vector wire(lower.wire().begin(), lower.wire().end());
  unsigned coin = 0;
  for (std::size_t at = 0; wire[at] != 0;) {
    auto length = wire[at++];
    for (unsigned i = 0; i < length; ++i, ++at) {
      if (wire[at] < 'a' || wire[at] > 'z') continue;
      if (bits >> (coin++ & 63) & 1) wire[at] = static_cast<std::uint8_t>(wire[at] - 32);
    }
  }
  return *name::from_wire(wire);
}

bool same_letters(const name& a, const name& b) { return std::ranges::equal(a.wire(), b.wire()); }

} // namespace

forwarder::forwarder(const engine_config& config, random_source& random, engine_actions& actions,
                     engine_counts& counts, done_fn done)
    : config_(config), random_(random), actions_(actions), counts_(counts), done_(std::move(done)) {
  for (const auto& g : config.groups) {
    groups_.emplace_back();
    for (const auto& u : g.members) {
      server_state s;
      s.what = u;
      s.health.text = u.text;
      groups_.back().push_back(std::move(s));
    }
  }
}

bool forwarder::any_up(std::uint8_t group) const {
  return std::any_of(groups_[group].begin(), groups_[group].end(),
                     [](const server_state& s) { return s.health.up; });
}

void forwarder::set_address(const std::string& host, const ip_address& address) {
  for (auto& g : groups_)
    for (auto& s : g)
      if (s.what.host == host) s.what.address.address = address;
}

std::vector<upstream_health> forwarder::health() const {
  std::vector<upstream_health> out;
  for (const auto& g : groups_)
    for (const auto& s : g) {
      out.push_back(s.health);
      if (lacks_address(s.what)) {
        out.back().up = false;
        out.back().last_trouble = address_unknown;
      }
      out.back().round_trip = std::chrono::duration_cast<duration>(std::chrono::duration<double>(s.srtt));
    }
  return out;
}

// The best first: those that answer by their time, then those that do not, the longest silent first.
std::vector<std::size_t> forwarder::ranked(std::uint8_t group, boot_time now) {
  auto& servers = groups_[group];
  std::vector<std::size_t> out(servers.size());
  if (out.size() == 1) return out;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = i;
  std::stable_sort(out.begin(), out.end(), [&](std::size_t a, std::size_t b) {
    const auto &x = servers[a], &y = servers[b];
    if (x.health.up != y.health.up) return x.health.up;
    return x.health.up ? x.srtt < y.srtt : x.retry_at < y.retry_at;
  });
  auto up = static_cast<std::size_t>(
      std::count_if(servers.begin(), servers.end(), [](const server_state& s) { return s.health.up; }));
  // Estimates of those that are not asked grow old: now and then another one comes first.
  if (up > 1 && ++turns_ % explore_every == 0)
    std::swap(out[0], out[1 + (turns_ / explore_every) % (up - 1)]);
  // One that is down and may be tried again gets this question beside the best one.
  if (up > 0 && up < out.size() && servers[out[up]].retry_at <= now)
    std::rotate(out.begin() + 1, out.begin() + static_cast<std::ptrdiff_t>(up),
                out.begin() + static_cast<std::ptrdiff_t>(up) + 1);
  return out;
}

duration forwarder::patience(const server_state& s, transport over, std::size_t tries) const {
  // A connection may have to be made first: three round trips instead of one.
  double base = s.srtt == 0 ? 0.4 : s.srtt + 4 * s.deviation;
  if (over != transport::udp) base = std::max(1.0, 3 * base);
  auto shift = std::min<std::size_t>(tries > 0 ? tries - 1 : 0, 3);
  base = std::clamp(base * static_cast<double>(1u << shift), 0.15, 2.0);
  return std::chrono::duration_cast<duration>(std::chrono::duration<double>(base));
}

std::uint64_t forwarder::ask(std::uint8_t group, const name& qname, std::uint16_t type, bool dnssec_ok,
                             bool checking_disabled, boot_time now, std::optional<std::size_t> avoid) {
  auto id = next_flight_++;
  auto& f = flights_[id];
  f.group = group;
  f.asked = {qname, type, class_in};
  f.dnssec_ok = dnssec_ok;
  f.checking_disabled = checking_disabled;
  f.ends = now + config_.query_timeout;
  f.order = ranked(group, now);
  if (avoid)
    std::stable_partition(f.order.begin(), f.order.end(), [&](std::size_t s) { return s != *avoid; });
  bool probing = f.order.size() > 1 && !groups_[group][f.order[1]].health.up;
  begin_next(id, f, now);
  // With nobody known to answer, and beside one that is tried again, two are asked at once.
  if (probing) begin_next(id, f, now);
  if (f.attempts.empty()) due_.push({now, id, 0}); // nobody can be asked: said in the next on_time()
  return id;
}

bool forwarder::begin_next(std::uint64_t id, flight& f, boot_time now) {
  auto most = std::clamp<std::size_t>(f.order.size() * 2, 3, 8);
  while (f.tries < most) {
    auto server = f.order[f.next++ % f.order.size()];
    auto& s = groups_[f.group][server];
    ++f.tries;
    if (lacks_address(s.what)) {
      f.trouble = s.what.text + ": " + address_unknown;
      continue;
    }
    send(id, f, server, s.what.over, now);
    return true;
  }
  return false;
}

void forwarder::send(std::uint64_t id, flight& f, std::size_t server, transport over, boot_time now) {
  auto& s = groups_[f.group][server];
  auto number = next_attempt_++;
  attempt a;
  a.flight = id;
  a.server = server;
  a.over = over;
  a.id = over == transport::https ? 0 : random_.u16(); // RFC 8484 §4.1: one id, for the sake of HTTP caches
  // Case guards against forged datagrams; nobody forges into a connection.
  bool mixed = over == transport::udp && !s.loses_case;
  a.qname = mixed ? with_random_case(f.asked.qname, random_) : f.asked.qname;
  a.with_edns = !s.plain_dns;
  a.sent = now;

  transmission t;
  t.attempt = number;
  t.to = s.what;
  t.over = over;
  t.bytes.resize(header_size + a.qname.size() + 4 + 11 + 4 + padded_block);
  message_writer w(t.bytes);
  w.question(a.qname, f.asked.type, f.asked.klass);
  if (a.with_edns) {
    edns e;
    e.udp_size = config_.udp_size;
    e.dnssec_ok = f.dnssec_ok;
    if (is_encrypted(over)) {
      auto size = w.position() + 11 + 4;
      e.options.push_back(
          {edns_code::padding, byte_vector((padded_block - size % padded_block) % padded_block)});
    }
    w.opt(e, 0);
  }
  // AD says that we understand it in the answer (RFC 6840 §5.7).
  auto flags = flag::rd | flag::ad | (f.checking_disabled ? flag::cd : 0);
  t.bytes.resize(w.finish(a.id, static_cast<std::uint16_t>(flags)));
  due_.push({std::min(now + patience(s, over, f.tries), f.ends), id, number});
  f.attempts.push_back(number);
  attempts_.emplace(number, std::move(a));
  actions_.transmissions.push_back(std::move(t));
  ++counts_.upstream_queries;
  ++s.health.sent;
}

void forwarder::close(std::uint64_t attempt_id) {
  if (attempts_.erase(attempt_id) > 0) actions_.closed.push_back(attempt_id);
}

void forwarder::drop_attempt(flight& f, std::uint64_t attempt_id) {
  std::erase(f.attempts, attempt_id);
  close(attempt_id);
}

void forwarder::finish(std::uint64_t id, flight_outcome outcome, boot_time now) {
  auto found = flights_.find(id);
  if (found == flights_.end()) return;
  for (auto a : found->second.attempts) close(a);
  flights_.erase(found);
  done_(id, std::move(outcome), now);
}

void forwarder::give_up(std::uint64_t id, boot_time now) {
  auto& f = flights_.at(id);
  flight_outcome out;
  if (f.refusal) {
    out.why = "the upstream answers " + rcode_name(f.refusal->rcode);
    out.rcode = f.refusal->rcode == rcode::refused ? rcode::refused : rcode::server_failure;
    out.extended = ede::other;
    for (const auto& o : f.refusal->opt ? f.refusal->opt->options : std::vector<edns_option>{})
      if (o.code == edns_code::extended_error && o.data.size() >= 2) out.extended = get16(o.data.data());
  } else {
    out.why = f.trouble.empty() ? "no upstream answered in time" : f.trouble;
    if (!f.trouble.empty()) out.extended = ede::network_error;
  }
  finish(id, std::move(out), now);
}

// Nobody else will be asked: the end, or the wait for those who were.
void forwarder::settle(std::uint64_t id, const flight& f, boot_time now) {
  if (f.attempts.empty()) return give_up(id, now);
  due_.push({f.ends, id, 0});
}

void forwarder::missed(server_state& s, const std::string& why, boot_time now) {
  ++s.misses;
  if (s.srtt > 0) s.srtt = std::min(s.srtt * 2, 2.0);
  if (s.misses < misses_until_down) return;
  if (s.health.up) {
    s.health.up = false;
    s.health.last_trouble = why;
    s.pause = seconds(1);
    actions_.health.push_back({s.what.text, false, why});
  } else {
    s.pause = std::min(s.pause * 2, longest_pause);
  }
  s.retry_at = now + s.pause;
}

void forwarder::answered(server_state& s, const attempt& a, boot_time now) {
  auto took = std::max(in_seconds(now - a.sent), 1e-5);
  if (s.srtt == 0) {
    s.srtt = took;
    s.deviation = took / 2;
  } else { // RFC 6298 §2
    s.deviation = 0.75 * s.deviation + 0.25 * std::abs(s.srtt - took);
    s.srtt = 0.875 * s.srtt + 0.125 * took;
  }
  s.misses = 0;
  ++s.health.answered;
  if (s.health.up) return;
  s.health.up = true;
  actions_.health.push_back({s.what.text, true, {}});
}

void forwarder::on_reply(std::uint64_t number, const endpoint& from, byte_view bytes, boot_time now) {
  auto found = attempts_.find(number);
  if (found == attempts_.end()) { // it was answered by somebody else meanwhile
    ++counts_.upstream_late;
    return;
  }
  const attempt a = found->second;
  auto& f = flights_.at(a.flight);
  auto& s = groups_[f.group][a.server];
  auto bad = [&] { ++counts_.upstream_bad; }; // and the wait goes on
  if (a.over == transport::udp && from != s.what.address) return bad();
  if (bytes.size() < header_size || get16(bytes.data()) != a.id) return bad();
  auto word = get16(bytes.data() + 2);
  if ((word & flag::qr) == 0 || (word & flag::opcode_mask) != 0 || get16(bytes.data() + 4) != 1) return bad();
  std::size_t at = header_size;
  name qname;
  if (!name_reader::read(bytes, at, qname) || bytes.size() - at < 4 ||
      get16(bytes.data() + at) != f.asked.type || get16(bytes.data() + at + 2) != f.asked.klass ||
      qname != a.qname)
    return bad();
  if (a.over == transport::udp && !s.loses_case && !same_letters(qname, a.qname)) {
    bad();
    s.case_doubted = true;
    // Forged, or a server that does not keep the case: over TCP it makes no difference.
    auto id = a.flight;
    bool asked = std::any_of(f.attempts.begin(), f.attempts.end(), [&](std::uint64_t other) {
      const auto& o = attempts_.at(other);
      return o.over == transport::tcp && o.server == a.server;
    });
    if (!asked) send(id, f, a.server, transport::tcp, now);
    return;
  }
  if (a.over == transport::udp && (word & flag::tc) != 0) {
    answered(s, a, now);
    auto id = a.flight;
    auto server = a.server;
    drop_attempt(f, number);
    return send(id, f, server, transport::tcp, now);
  }
  auto reply = decode(bytes);
  if (!reply) return bad();
  if (a.over == transport::tcp && s.case_doubted) s.loses_case = true;
  bool fine = reply->rcode == rcode::no_error || reply->rcode == rcode::name_error;
  if (!fine && a.with_edns && !reply->opt &&
      (reply->rcode == rcode::format_error || reply->rcode == rcode::not_implemented)) {
    s.plain_dns = true; // RFC 6891 §7
    auto id = a.flight;
    auto server = a.server;
    auto over = a.over;
    drop_attempt(f, number);
    return send(id, f, server, over, now);
  }
  // A referral from somebody who does not resolve for us is no answer.
  bool lame = fine && reply->answers.empty() && (word & flag::ra) == 0 && (word & flag::aa) == 0 &&
              std::any_of(reply->authorities.begin(), reply->authorities.end(),
                          [](const record& r) { return r.type == rtype::ns; });
  answered(s, a, now);
  if (fine && !lame) {
    flight_outcome out;
    out.rcode = reply->rcode;
    out.reply = std::move(*reply);
    out.server = static_cast<std::uint8_t>(std::min<std::size_t>(a.server, 0xff));
    return finish(a.flight, std::move(out), now);
  }
  if (lame) reply->rcode = rcode::refused;
  f.refusal = std::move(*reply);
  ++s.health.failures;
  auto id = a.flight;
  drop_attempt(f, number);
  // Each is asked once for its refusal; who is waited for may still know better.
  if (f.tries < f.order.size() && begin_next(id, f, now)) return;
  settle(id, f, now);
}

void forwarder::on_failure(std::uint64_t number, const std::string& why, boot_time now) {
  auto found = attempts_.find(number);
  if (found == attempts_.end()) return;
  auto id = found->second.flight;
  auto& f = flights_.at(id);
  auto& s = groups_[f.group][found->second.server];
  ++s.health.failures;
  missed(s, why, now);
  f.trouble = s.what.text + ": " + why;
  drop_attempt(f, number);
  if (begin_next(id, f, now)) return;
  settle(id, f, now);
}

void forwarder::on_time(boot_time now) {
  while (!due_.empty() && due_.top().when <= now) {
    auto d = due_.top();
    due_.pop();
    auto found = flights_.find(d.flight);
    if (found == flights_.end()) continue;
    if (d.attempt == 0) {
      give_up(d.flight, now);
      continue;
    }
    auto a = attempts_.find(d.attempt);
    if (a == attempts_.end() || a->second.late) continue;
    // Its answer is still welcome, but somebody else is asked as well.
    a->second.late = true;
    auto& s = groups_[found->second.group][a->second.server];
    ++counts_.upstream_timeouts;
    ++s.health.timeouts;
    missed(s, "no answer in time", now);
    if (now >= found->second.ends)
      give_up(d.flight, now);
    else if (!begin_next(d.flight, found->second, now))
      settle(d.flight, found->second, now);
  }
}

std::optional<boot_time> forwarder::deadline() const {
  if (due_.empty()) return std::nullopt;
  return due_.top().when;
}

} // namespace netlab::dns
