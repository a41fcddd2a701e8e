// Leases over time: what the store said, what ran out, what was probed. The answers to clients are in
// engine_requests.cc.
#include "engine_impl.h"

#include "netlab/text.h"

namespace netlab::dhcp {

namespace {
constexpr duration repeat_interval = std::chrono::seconds(60);
constexpr duration step_threshold = std::chrono::seconds(5); // below it NTP slews
constexpr std::size_t restamps_per_turn = 256;
constexpr std::size_t max_foreign = 32;
} // namespace

std::string_view to_string(end_reason reason) {
  static constexpr std::string_view names[] = {"expired", "released", "declined", "dropped", "taken"};
  return names[static_cast<std::size_t>(reason)];
}

std::string_view to_string(count what) {
  static constexpr std::string_view names[] = {"discover",
                                               "offer",
                                               "request",
                                               "ack",
                                               "nak",
                                               "decline",
                                               "release",
                                               "inform",
                                               "bootp",
                                               "malformed",
                                               "server_reply",
                                               "no_network",
                                               "unsupported_type",
                                               "unknown_client",
                                               "pool_exhausted",
                                               "boot_refused",
                                               "other_server",
                                               "no_record",
                                               "commit_failed",
                                               "conflict",
                                               "probe_conflict",
                                               "not_holder",
                                               "bootp_refused",
                                               "coalesced",
                                               "not_boot_client",
                                               "probing",
                                               "wrong_address",
                                               "options_dropped"};
  static_assert(std::size(names) == static_cast<std::size_t>(count::last_));
  return names[static_cast<std::size_t>(what)];
}

bool actions::empty() const {
  return replies.empty() && commits.empty() && probes.empty() && events.empty() && changes.empty() &&
         notes.empty();
}

void actions::clear() {
  replies.clear();
  bytes.clear();
  commits.clear();
  probes.clear();
  events.clear();
  changes.clear();
  notes.clear();
}

engine::impl::impl(server_config c, engine_hooks h) : hooks(std::move(h)) { configure(std::move(c)); }

void engine::impl::configure(server_config c) {
  config = std::move(c);
  hosts_by_mac.clear();
  hosts_by_client.clear();
  hosts_by_serial.clear();
  hosts_by_uuid.clear();
  for (std::size_t i = 0; i < config.hosts.size(); ++i) {
    const auto& h = config.hosts[i];
    auto number = static_cast<int>(i);
    for (const auto& mac : h.macs) hosts_by_mac.emplace(mac, number);
    if (!h.client_id.empty()) hosts_by_client.emplace(std::string(as_text(h.client_id)), number);
    if (!h.serial.empty()) hosts_by_serial.emplace(to_lower(h.serial), number);
    if (h.uuid) hosts_by_uuid.emplace_back(*h.uuid, number);
  }
  std::sort(hosts_by_uuid.begin(), hosts_by_uuid.end());
  table.configure(config);
  builder.configure(config);
  windows.assign(config.networks.size(), {}); // the table has their addresses again
}

void engine::impl::load(std::vector<lease> stored, moment at) {
  wall_known = true;
  wall_offset = at.wall.time_since_epoch() - at.now.time_since_epoch();
  // Oldest end first, so that addresses are given out again in that order.
  std::sort(stored.begin(), stored.end(),
            [](const lease& a, const lease& b) { return a.expires < b.expires; });
  for (const auto& l : stored) {
    if (!l.address.is_v4()) continue;
    auto& e = table.get(l.address.v4_value());
    e.held = true;
    e.state = l.state;
    e.hostname = l.hostname;
    e.network_name = l.network;
    e.starts = l.starts;
    e.version = l.version;
    if (l.expires == wall_time::max()) {
      e.expires = boot_time::max();
    } else {
      auto left = l.expires - at.wall;
      // A machine without a clock chip starts years ago: no more can be left than was given.
      if (auto given = l.expires - l.starts; given > duration{} && left > given) left = given;
      e.expires = later(at.now, left);
    }
    if ((e.state == lease_state::active || e.state == lease_state::declined) && e.expires <= at.now)
      e.state = lease_state::expired;
    table.set_holder(e, as_text(l.client), l.mac);
    if (e.active() || e.held_back()) push_expiry(e);
    table.settle(e);
  }
}

lease engine::impl::to_lease(const lease_entry& e, moment at) const {
  lease l;
  l.address = ip_address::v4(e.address);
  l.client.assign(e.client.begin(), e.client.end());
  l.mac = e.mac;
  l.hostname = e.hostname;
  l.network = e.network >= 0 ? config.networks[static_cast<std::size_t>(e.network)].name : e.network_name;
  l.state = e.state;
  l.starts = e.starts;
  l.expires = e.expires == boot_time::max() ? wall_time::max() : later(at.wall, e.expires - at.now);
  l.version = e.version;
  return l;
}

void engine::impl::push_expiry(const lease_entry& e) {
  if (e.expires == boot_time::max()) return;
  // Renewals leave stale entries behind; rebuild before they outnumber the leases.
  if (expiries.size() > 1024 && expiries.size() > 4 * table.all().size()) {
    expiries.clear();
    for (const auto& [address, x] : table.all())
      if ((x.active() || x.held_back()) && x.expires != boot_time::max())
        expiries.emplace_back(x.expires, address);
    std::make_heap(expiries.begin(), expiries.end(), std::greater<>{});
  }
  expiries.emplace_back(e.expires, e.address);
  std::push_heap(expiries.begin(), expiries.end(), std::greater<>{});
}

std::uint64_t engine::impl::send_commit(lease_entry& e, pending_commit p, lease next, actions& out) {
  auto token = ++next_token;
  leave_window(e.address);
  e.in_flight = token;
  p.address = e.address;
  pending.emplace(token, std::move(p));
  out.commits.push_back({token, std::move(next)});
  return token;
}

void engine::impl::end_lease(lease_entry& e, lease_state state, end_reason reason, boot_time until, moment at,
                             actions& out) {
  pending_commit p;
  p.what = pending_commit::kind::end;
  p.state = state;
  p.reason = reason;
  p.expires = until;
  auto next = to_lease(e, at);
  next.state = state;
  next.expires = until == boot_time::max() ? wall_time::max() : later(at.wall, until - at.now);
  send_commit(e, std::move(p), std::move(next), out);
}

void engine::impl::committed(std::uint64_t token, lease_store::outcome outcome, moment at, actions& out) {
  auto it = pending.find(token);
  if (it == pending.end()) return;
  auto p = std::move(it->second);
  pending.erase(it);
  auto* found = table.find(p.address);
  if (!found) return;
  auto& e = *found;
  e.in_flight = 0;
  auto ip = ip_address::v4(p.address);

  if (outcome.what == lease_store::outcome::kind::failed) {
    add(count::commit_failed);
    say(messages::commit_failed, p.mac, at, out, [&] {
      return "the lease of " + ip.to_string() + (p.mac.is_zero() ? "" : " for " + p.mac.to_string()) +
             " could not be stored: " + outcome.reason;
    });
    if (p.what == pending_commit::kind::end && p.reason == end_reason::expired) {
      // Memory is right even if the disk is full; the stored end has passed anyway.
      e.state = lease_state::expired;
      out.changes.push_back({to_lease(e, at), true, false, p.reason});
    }
    table.settle(e);
    return;
  }

  if (outcome.what == lease_store::outcome::kind::conflict) {
    add(count::conflict);
    // Somebody who shares the store was faster: what is stored is the truth.
    const auto& now = outcome.current;
    bool had = e.active();
    auto before = to_lease(e, at);
    e.state = now.state;
    e.hostname = now.hostname;
    e.starts = now.starts;
    e.version = now.version;
    e.expires = now.expires == wall_time::max() ? boot_time::max() : later(at.now, now.expires - at.wall);
    if (e.state == lease_state::active && e.expires <= at.now) e.state = lease_state::expired;
    bool other = as_text(now.client) != std::string_view(before.client.empty() ? "" : e.client);
    table.set_holder(e, as_text(now.client), now.mac);
    if (e.active() || e.held_back()) push_expiry(e);
    if (had && other) out.changes.push_back({before, true, false, end_reason::taken});
    if (p.what == pending_commit::kind::grant) {
      say(messages::commit_conflict, p.mac, at, out, [&] {
        return ip.to_string() + " for " + p.mac.to_string() + ": the store holds it for " +
               now.mac.to_string();
      });
      if (!p.request.empty()) {
        refuse(p, at, out);
        if (hooks.events) {
          boot_event ev;
          ev.node = std::move(p.node);
          ev.stage = boot_stage::nak;
          ev.detail = ip.to_string() + " was leased elsewhere";
          ev.architecture = std::move(p.architecture);
          ev.message_id = messages::commit_conflict.id;
          out.events.push_back(std::move(ev));
        }
      }
    }
    table.settle(e);
    return;
  }

  e.version = outcome.current.version;
  switch (p.what) {
  case pending_commit::kind::restamp: break;
  case pending_commit::kind::end:
    e.state = p.state;
    e.expires = p.expires;
    table.clear_offer(e);
    if (e.held_back()) push_expiry(e);
    out.changes.push_back({to_lease(e, at), true, false, p.reason});
    break;
  case pending_commit::kind::grant: {
    bool moved = e.active() && e.client != p.client;
    if (moved && e.mac != p.mac) out.changes.push_back({to_lease(e, at), true, false, end_reason::taken});
    // A client that was given another address before keeps only one on a network.
    for (auto* old : {table.by_client(e.network, p.client), table.by_mac(e.network, p.mac)})
      if (old && old != &e && old->active() && old->client == p.client && old->in_flight == 0)
        end_lease(*old, lease_state::released, end_reason::released, at.now, at, out);
    e.state = lease_state::active;
    e.hostname = p.hostname;
    e.network_name = p.network;
    e.expires = p.expires;
    e.starts = p.starts;
    table.set_holder(e, p.client, p.mac);
    push_expiry(e);
    add(p.answer.type == message_type::offer ? count::offer : count::ack);
    auto r = p.answer;
    r.offset = out.bytes.size();
    r.size = p.bytes.size();
    out.bytes.insert(out.bytes.end(), p.bytes.begin(), p.bytes.end());
    out.replies.push_back(r);
    out.changes.push_back({to_lease(e, at), false, p.renewed, end_reason::expired});
    if (hooks.events) {
      boot_event ev;
      ev.node = std::move(p.node);
      ev.stage = boot_stage::ack;
      ev.detail = std::move(p.detail);
      ev.architecture = std::move(p.architecture);
      out.events.push_back(std::move(ev));
    }
    break;
  }
  }
  if (p.then_end && e.active()) {
    auto until = p.then_state == lease_state::declined ? later(at.now, config.decline_hold) : at.now;
    end_lease(e, p.then_state, p.then_reason, until, at, out);
    return;
  }
  table.settle(e);
}

void engine::impl::probe_ahead(int network, std::uint32_t interface, moment at, actions& out) {
  if (network < 0 || static_cast<std::size_t>(network) >= config.networks.size()) return;
  const auto& n = config.networks[static_cast<std::size_t>(network)];
  if (!n.probe || n.mode == service::proxy) return;
  auto& w = windows[static_cast<std::size_t>(network)];
  w.open(interface);
  w.fill(table, network, at.now, out.probes);
}

std::optional<boot_time> engine::impl::leave_window(std::uint32_t address) {
  auto network = table.find_network(address);
  if (network < 0) return std::nullopt;
  return windows[static_cast<std::size_t>(network)].remove(address);
}

void engine::impl::wait_for_probe(lease_entry& e, boot_time asked) {
  e.probe_until = later(asked, config.probe_timeout);
  due next{e.probe_until, e.address};
  // Nearly always the last one; two networks may differ by what their windows have asked for already.
  probed.insert(std::upper_bound(probed.begin(), probed.end(), next), next);
}

void engine::impl::address_seen(const ip_address& address, const mac_address& holder, moment at,
                                actions& out) {
  if (!address.is_v4()) return;
  auto* e = table.find(address.v4_value());
  bool ahead = leave_window(address.v4_value()).has_value();
  // Whose lease has ended may well use its address still, and may have it again.
  bool former = e && e->held && e->mac == holder;
  if (ahead && former) return table.put_last(*e);
  // Offered as free and not acknowledged yet: better no lease than one of an address that is in use.
  bool fresh = e && e->verified != boot_time::min() && !e->active() && e->in_flight == 0 && !former &&
               !(e->held && e->client == e->offered_client);
  bool promised = e && e->offered() && e->offered_mac != holder && (e->waiting || fresh);
  if (!ahead && !promised) return;
  add(count::probe_conflict);
  say(messages::address_in_use, holder, at, out, [&] {
    return address.to_string() + " is used by " + holder.to_string() + " without a lease; held back for " +
           format_duration(config.decline_hold);
  });
  if (!e) e = &table.get(address.v4_value());
  auto waiting = std::move(e->waiting);
  hold_back(*e, at, out);
  if (waiting && waiting->attempt < 4)
    handle(waiting->datagram, waiting->from, at, out, waiting->attempt + 1);
}

// Nobody holds the address, yet it must not be given out: kept in memory and in the store.
void engine::impl::hold_back(lease_entry& e, moment at, actions& out) {
  leave_window(e.address);
  table.clear_offer(e);
  auto version = e.version;
  table.set_holder(e, {}, {});
  e.hostname.clear();
  e.version = version;
  e.state = lease_state::declined;
  e.starts = at.wall;
  e.expires = later(at.now, config.decline_hold);
  push_expiry(e);
  if (e.in_flight != 0) return; // memory holds it back; the store's end of it has passed anyway
  pending_commit p;
  p.what = pending_commit::kind::restamp;
  send_commit(e, std::move(p), to_lease(e, at), out);
}

void engine::impl::watch_wall(moment at, actions& out) {
  auto offset = at.wall.time_since_epoch() - at.now.time_since_epoch();
  if (!wall_known) {
    wall_known = true;
    wall_offset = offset;
    return;
  }
  auto step = offset - wall_offset;
  if (step < step_threshold && step > -step_threshold) return;
  wall_offset = offset;
  restamps.clear();
  for (auto& [address, e] : table.all())
    if ((e.active() || e.held_back()) && e.expires != boot_time::max()) restamps.push_back(address);
  say(messages::clock_stepped, {}, at, out, [&] {
    return "the clock was set " + format_elapsed(step < duration{} ? -step : step) +
           (step < duration{} ? " back; " : " ahead; ") + std::to_string(restamps.size()) +
           " leases are stored again";
  });
}

void engine::impl::advance(moment at, actions& out) {
  watch_wall(at, out);

  while (!probed.empty() && probed.front().first <= at.now) {
    auto [when, address] = probed.front();
    probed.pop_front();
    auto* e = table.find(address);
    if (!e || !e->waiting || e->probe_until != when) continue;
    e->verified = at.now;
    auto waiting = std::move(e->waiting);
    if (waiting->again) {
      handle(waiting->datagram, waiting->from, at, out, waiting->attempt + 1);
      continue;
    }
    add(count::offer);
    auto r = waiting->how;
    r.offset = out.bytes.size();
    out.bytes.insert(out.bytes.end(), waiting->bytes.begin(), waiting->bytes.end());
    out.replies.push_back(r);
  }

  while (!offers.empty() && offers.front().first <= at.now) {
    auto [when, address] = offers.front();
    offers.pop_front();
    auto* e = table.find(address);
    if (!e || !e->offered() || e->offer_until > at.now || e->in_flight != 0) continue;
    table.clear_offer(*e);
    table.settle(*e);
  }

  while (!expiries.empty() && expiries.front().first <= at.now) {
    auto [when, address] = expiries.front();
    std::pop_heap(expiries.begin(), expiries.end(), std::greater<>{});
    expiries.pop_back();
    auto* e = table.find(address);
    if (!e || e->expires != when || !(e->active() || e->held_back())) continue;
    if (e->in_flight != 0) { // a renewal on its way to the store decides
      expiries.emplace_back(later(at.now, std::chrono::seconds(1)), address);
      e->expires = expiries.back().first;
      std::push_heap(expiries.begin(), expiries.end(), std::greater<>{});
      continue;
    }
    if (e->held_back()) {
      e->state = lease_state::expired; // its stored end says the same
      table.settle(*e);
    } else {
      end_lease(*e, lease_state::expired, end_reason::expired, e->expires, at, out);
    }
  }

  for (std::size_t n = std::min(restamps.size(), restamps_per_turn); n > 0; --n) {
    auto address = restamps.front();
    restamps.pop_front();
    auto* e = table.find(address);
    if (!e || !(e->active() || e->held_back())) continue;
    if (e->in_flight != 0) {
      restamps.push_back(address);
      continue;
    }
    pending_commit p;
    p.what = pending_commit::kind::restamp;
    // The start moves along, so that the length of the lease stays readable.
    auto next = to_lease(*e, at);
    next.starts = std::min(at.wall, next.expires);
    e->starts = next.starts;
    send_commit(*e, std::move(p), std::move(next), out);
  }
}

boot_time engine::impl::next_deadline() const {
  auto next = boot_time::max();
  if (!probed.empty()) next = std::min(next, probed.front().first);
  if (!offers.empty()) next = std::min(next, offers.front().first);
  if (!expiries.empty()) next = std::min(next, expiries.front().first);
  // When every lease that waits is busy in the store, its answer is what moves things.
  if (std::any_of(restamps.begin(), restamps.end(), [&](auto a) {
        auto* e = table.find(a);
        return !e || e->in_flight == 0;
      }))
    next = boot_time{};
  return next;
}

void engine::impl::say(const message& m, const mac_address& who, moment at, actions& out,
                       const std::function<std::string()>& text) {
  auto key = std::hash<mac_address>{}(who) ^ reinterpret_cast<std::uintptr_t>(&m) * 0x9e3779b97f4a7c15ull;
  auto& slot = recent[key >> 7 & 255];
  if (slot.key == key && at.now < slot.until) {
    ++slot.suppressed;
    return;
  }
  auto line = text();
  if (slot.key == key && slot.suppressed > 0)
    line += " (" + std::to_string(slot.suppressed) + " times more before)";
  slot = {key, later(at.now, repeat_interval), 0};
  out.notes.push_back({&m, std::move(line)});
}

void engine::impl::remember_server(const ip_address& server, std::string how, const mac_address& client,
                                   moment at) {
  auto it = std::find_if(foreign.begin(), foreign.end(), [&](const auto& f) { return f.address == server; });
  if (it == foreign.end()) {
    if (foreign.size() >= max_foreign) {
      it = std::min_element(foreign.begin(), foreign.end(),
                            [](const auto& a, const auto& b) { return a.last < b.last; });
      *it = {};
    } else {
      it = foreign.insert(foreign.end(), foreign_server{});
    }
    it->address = server;
    it->first = at.now;
  }
  it->last = at.now;
  ++it->seen;
  it->how = std::move(how);
  it->client = client;
}

engine::engine(server_config config, engine_hooks hooks)
    : impl_(std::make_unique<impl>(std::move(config), std::move(hooks))) {}
engine::~engine() = default;

void engine::load(std::vector<lease> stored, moment at) { impl_->load(std::move(stored), at); }
void engine::handle(byte_view datagram, const arrival& from, moment at, actions& out) {
  impl_->watch_wall(at, out);
  impl_->handle(datagram, from, at, out, 0);
}
void engine::committed(std::uint64_t token, lease_store::outcome outcome, moment at, actions& out) {
  impl_->committed(token, std::move(outcome), at, out);
}
void engine::address_seen(const ip_address& address, const mac_address& holder, moment at, actions& out) {
  impl_->address_seen(address, holder, at, out);
}
void engine::probe_ahead(int network, std::uint32_t interface, moment at, actions& out) {
  impl_->probe_ahead(network, interface, at, out);
}
void engine::advance(moment at, actions& out) { impl_->advance(at, out); }
boot_time engine::next_deadline() const { return impl_->next_deadline(); }
void engine::reconfigure(server_config config, moment) { impl_->configure(std::move(config)); }
const server_config& engine::config() const { return impl_->config; }
int engine::find_network(const ip_address& address) const {
  return address.is_v4() ? impl_->table.find_network(address.v4_value()) : -1;
}

result<void> engine::drop(const ip_address& address, moment at, actions& out) {
  auto* e = impl_->table.find(address.v4_value());
  if (!e || !e->active())
    return fail(errc::not_found, "nobody holds a lease of " + address.to_string(), "dhcp.drop");
  if (e->in_flight != 0) {
    auto& p = impl_->pending.at(e->in_flight);
    p.then_end = true;
    p.then_state = lease_state::released;
    p.then_reason = end_reason::dropped;
    return {};
  }
  impl_->end_lease(*e, lease_state::released, end_reason::dropped, at.now, at, out);
  return {};
}

std::vector<lease> engine::leases(moment at) const {
  std::vector<lease> out;
  for (const auto& [address, e] : impl_->table.all())
    if (e.active()) out.push_back(impl_->to_lease(e, at));
  std::sort(out.begin(), out.end(), [](const lease& a, const lease& b) { return a.address < b.address; });
  return out;
}

std::optional<lease> engine::find(const ip_address& address, moment at) const {
  auto* e = address.is_v4() ? impl_->table.find(address.v4_value()) : nullptr;
  if (!e || !e->held) return std::nullopt;
  return impl_->to_lease(*e, at);
}

const counts& engine::counters() const { return impl_->counters; }
const std::vector<foreign_server>& engine::foreign_servers() const { return impl_->foreign; }
std::size_t engine::in_flight() const { return impl_->pending.size(); }

} // namespace netlab::dhcp
