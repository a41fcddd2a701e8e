// What each kind of message leads to (RFC 2131 §4.3).
#include "engine_impl.h"
#include "netlab/text.h"

namespace netlab::dhcp {

void engine::impl::handle(byte_view datagram, const arrival& from, moment at, actions& out,
                          unsigned attempt) {
  if (auto ok = decode_into(datagram, in); !ok) {
    add(count::malformed);
    say(messages::malformed, {}, at, out, [&] {
      return "a datagram from " + from.peer.to_string() + " is no DHCP message: " + ok.error().message;
    });
    return;
  }
  if (in.op == packet::reply_op) {
    on_server_reply(in, at, out);
    return;
  }
  auto type = in.type();
  switch (type) {
  case message_type::discover: add(count::discover); break;
  case message_type::request: add(count::request); break;
  case message_type::decline: add(count::decline); break;
  case message_type::release: add(count::release); break;
  case message_type::inform: add(count::inform); break;
  case message_type::none: add(count::bootp); break;
  default:
    add(count::unsupported_type);
    say(messages::unsupported_type, in.mac(), at, out, [&] {
      return "message type " + std::to_string(static_cast<int>(type)) + " from " + in.mac().to_string() +
             " dropped";
    });
    return;
  }

  request_context c{in, datagram, from, at, out};
  c.attempt = attempt;
  c.mac = in.mac();
  if (!select_network(c)) {
    add(count::no_network);
    say(messages::no_network, c.mac, at, out, [&] {
      return c.mac.to_string() +
             (in.giaddr.is_unspecified()
                  ? " asked on an interface without a configured network"
                  : " asked through relay " + in.giaddr.to_string() + ", whose network is not configured");
    });
    return;
  }
  const auto& n = config.networks[static_cast<std::size_t>(c.network)];
  c.client = client_key(in);
  c.server_id = c.relay.server_override.value_or(n.server);
  c.uuid = machine_uuid(in);
  c.serial = machine_serial(in);
  c.host = find_host(c);
  if (!config.classes.empty()) c.classes = match_classes(c);
  if (auto list = in.options.find(option::parameter_list)) {
    c.has_wanted = true;
    for (auto code : *list) c.wanted.set(code);
  }

  if (n.mode == service::proxy || from.proxy_port) return on_proxy(c);
  switch (type) {
  case message_type::discover: return on_discover(c);
  case message_type::request: return on_request(c);
  case message_type::decline: return on_decline(c);
  case message_type::release: return on_release(c);
  case message_type::inform: return on_inform(c);
  default: return on_bootp(c);
  }
}

bool engine::impl::select_network(request_context& c) {
  if (auto agent = c.in.options.find(option::relay_agent))
    if (auto relay = decode_relay(*agent)) c.relay = *relay;
  std::optional<ip_address> link = c.relay.link_selection; // RFC 3527 §3 wins over RFC 3011
  if (!link) link = c.in.options.address(option::subnet_selection);
  if (!link && !c.in.giaddr.is_unspecified()) link = c.in.giaddr;
  if (link) {
    c.network = table.find_network(link->v4_value());
    return c.network >= 0;
  }
  c.network = c.from.network;
  // A renewal may be routed to us from another of our networks without a relay.
  if (!c.in.ciaddr.is_unspecified() && !c.from.local.is_broadcast())
    if (auto net = table.find_network(c.in.ciaddr.v4_value()); net >= 0) c.network = net;
  return c.network >= 0;
}

int engine::impl::find_host(const request_context& c) const {
  if (config.hosts.empty()) return -1;
  if (auto it = hosts_by_mac.find(c.mac); it != hosts_by_mac.end()) return it->second;
  if (!hosts_by_client.empty())
    if (auto it = hosts_by_client.find(c.client); it != hosts_by_client.end()) return it->second;
  auto by_uuid = [&](const netlab::uuid& id) {
    auto it = std::lower_bound(hosts_by_uuid.begin(), hosts_by_uuid.end(), std::pair{id, 0});
    return it != hosts_by_uuid.end() && it->first == id ? it->second : -1;
  };
  if (c.uuid) {
    if (auto host = by_uuid(*c.uuid); host >= 0) return host;
    // Some firmware sends the UUID in text order instead of the GUID's.
    auto swapped = c.uuid->to_guid();
    netlab::uuid other;
    std::copy(swapped.begin(), swapped.end(), other.bytes.begin());
    if (auto host = by_uuid(other); host >= 0) return host;
  }
  if (!c.serial.empty())
    if (auto it = hosts_by_serial.find(to_lower(c.serial)); it != hosts_by_serial.end()) return it->second;
  return -1;
}

std::uint32_t engine::impl::match_classes(const request_context& c) const {
  auto vendor = c.in.options.text(option::vendor_class);
  std::string user;
  if (auto value = c.in.options.find(option::user_class)) user = user_class_text(*value);
  std::vector<std::uint16_t> kinds;
  bool have_kinds = false;
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < config.classes.size() && i < 32; ++i) {
    const auto& k = config.classes[i];
    if (!k.vendor_class.empty() && !glob_match(k.vendor_class, vendor)) continue;
    if (!k.user_class.empty() && !glob_match(k.user_class, user)) continue;
    if (!k.mac.empty() && !glob_match(k.mac, c.mac.to_string())) continue;
    if (!k.architectures.empty()) {
      if (!have_kinds) kinds = architectures(c.in);
      have_kinds = true;
      if (std::find_first_of(kinds.begin(), kinds.end(), k.architectures.begin(), k.architectures.end()) ==
          kinds.end())
        continue;
    }
    out |= std::uint32_t{1} << i;
  }
  return out;
}

bool engine::impl::is_boot_client(const packet& m) const {
  auto vendor = m.options.text(option::vendor_class);
  if (vendor.starts_with("PXEClient") || vendor.starts_with("HTTPClient")) return true;
  return m.options.has(option::architecture) || m.options.has(option::ipxe) ||
         (m.options.has(option::user_class) &&
          user_class_text(*m.options.find(option::user_class)).find("iPXE") != std::string::npos);
}

node_identity engine::impl::identity(const request_context& c, std::optional<ip_address> address) const {
  node_identity who;
  if (c.host >= 0) who.name = config.hosts[static_cast<std::size_t>(c.host)].name;
  if (!c.mac.is_zero()) who.mac = c.mac;
  who.uuid = c.uuid;
  who.serial = c.serial;
  who.address = address;
  return who;
}

bool engine::impl::told(const request_context& c, boot_stage passing) const {
  return hooks.events && (!hooks.wants_step || hooks.wants_step(passing, c.mac, c.architecture));
}

void engine::impl::refuse(const pending_commit& p, moment at, actions& out) {
  if (!decode_into(p.request, in)) return;
  request_context c{in, p.request, p.from, at, out};
  c.mac = in.mac();
  if (!select_network(c)) return; // another configuration since
  c.server_id = c.relay.server_override.value_or(config.networks[static_cast<std::size_t>(c.network)].server);
  add(count::nak);
  reply r;
  auto why = ip_address::v4(p.address).to_string() + " was leased elsewhere";
  builder.build_nak(c, why, out.bytes, r);
  out.replies.push_back(r);
}

void engine::impl::event(const request_context& c, boot_stage stage, std::optional<ip_address> address,
                         std::string detail, std::string_view message_id) {
  if (!hooks.events) return;
  boot_event ev;
  ev.node = identity(c, address);
  ev.stage = stage;
  ev.detail = std::move(detail);
  ev.architecture = c.architecture;
  ev.message_id = message_id;
  ev.proxied = c.network >= 0 && config.networks[static_cast<std::size_t>(c.network)].mode == service::proxy;
  c.out.events.push_back(std::move(ev));
}

bool engine::impl::ask_boot_policy(request_context& c) {
  if (!hooks.boot || !is_boot_client(c.in)) return true;
  boot_request ask;
  ask.architectures = architectures(c.in);
  if (!ask.architectures.empty()) c.architecture = architecture_name(ask.architectures[0]);
  ask.node = identity(c);
  if (!c.in.ciaddr.is_unspecified()) ask.node.address = c.in.ciaddr;
  ask.vendor_class = c.in.options.text(option::vendor_class);
  auto copy = [&](std::uint8_t code, byte_vector& to) {
    if (auto value = c.in.options.find(code)) to.assign(value->begin(), value->end());
  };
  if (auto value = c.in.options.find(option::user_class)) ask.user_class = user_class_text(*value);
  copy(option::machine_id, ask.guid);
  copy(option::ipxe, ask.ipxe);
  copy(option::parameter_list, ask.wanted);
  ask.server = config.networks[static_cast<std::size_t>(c.network)].server;
  auto answer = hooks.boot(ask);
  if (!answer.architecture.empty()) c.architecture = answer.architecture;
  if (answer.what == boot_reply::kind::refuse) {
    add(count::boot_refused);
    say(messages::boot_refused, c.mac, c.at, c.out, [&] {
      return c.mac.to_string() + " (" + c.architecture + ") gets nothing to boot: " + answer.reason;
    });
    // A REQUEST that takes an offer comes after the DISCOVER that was told the same.
    if (!c.in.options.has(option::server_id))
      event(c, boot_stage::refused, {}, answer.reason,
            answer.message_id.empty() ? std::string_view(messages::boot_refused.id) : answer.message_id);
    // An address without a boot file is told by the firmware as just that, at once; silence would look like a
    // network without DHCP after a minute, and would keep the machine from a boot server beside this one.
    return config.networks[static_cast<std::size_t>(c.network)].mode != service::proxy;
  }
  if (answer.what == boot_reply::kind::boot) c.boot = std::make_shared<const boot_reply>(std::move(answer));
  return true;
}

bool engine::impl::admit(request_context& c) {
  const auto& n = config.networks[static_cast<std::size_t>(c.network)];
  if (!n.known_clients_only || c.host >= 0) return true;
  add(count::unknown_client);
  say(messages::unknown_client, c.mac, c.at, c.out, [&] {
    return c.mac.to_string() + " is not a known machine; network \"" + n.name + "\" serves known ones only";
  });
  event(c, boot_stage::refused, {}, "unknown machine, and the network serves known ones only",
        messages::unknown_client.id);
  return false;
}

bool engine::impl::same_machine(const lease_entry& e, const request_context& c) const {
  if (!e.held) return false;
  if (e.client == c.client) return true;
  // One machine uses several identifiers: firmware its hardware address, the system a DUID.
  return !c.mac.is_zero() && e.mac == c.mac &&
         (is_hardware_key(e.client, e.mac) || is_hardware_key(c.client, c.mac) ||
          (c.host >= 0 && table.reserved_for(e.address) == c.host));
}

bool engine::impl::permitted(const request_context& c, std::uint32_t address) const {
  const auto& n = config.networks[static_cast<std::size_t>(c.network)];
  if (auto host = table.reserved_for(address); host >= 0)
    return host == c.host && n.subnet.contains(ip_address::v4(address));
  return table.in_pool(c.network, address);
}

bool engine::impl::available(const lease_entry* e, const request_context& c) const {
  if (!e) return true;
  bool mine = same_machine(*e, c);
  if (e->in_flight != 0) {
    auto it = pending.find(e->in_flight);
    if (it != pending.end() && it->second.what == pending_commit::kind::grant)
      return it->second.client == c.client;
    if (!mine) return false;
  }
  if (e->offered() && e->offer_until > c.at.now && e->offered_client != c.client &&
      !(e->offered_mac == c.mac && !c.mac.is_zero()))
    return false;
  if (e->held_back()) return false;
  return !e->active() || mine;
}

std::optional<std::uint32_t> engine::impl::reserved_address(const request_context& c) const {
  if (c.host < 0) return std::nullopt;
  const auto& address = config.hosts[static_cast<std::size_t>(c.host)].address;
  if (!address || !config.networks[static_cast<std::size_t>(c.network)].subnet.contains(*address))
    return std::nullopt;
  return address->v4_value();
}

std::optional<std::uint32_t> engine::impl::choose(request_context& c) {
  if (auto fixed = reserved_address(c)) {
    auto* e = table.find(*fixed);
    if (available(e, c)) return fixed;
    say(messages::reservation_taken, c.mac, c.at, c.out, [&] {
      return ip_address::v4(*fixed).to_string() + ", reserved for " + c.mac.to_string() + ", is " +
             (e->held_back() ? "held back after a conflict" : "leased to " + e->mac.to_string());
    });
  }
  for (auto* e : {table.by_client(c.network, c.client), table.by_mac(c.network, c.mac)}) {
    if (!e || !permitted(c, e->address) || !available(e, c)) continue;
    if (same_machine(*e, c) || (e->offered() && e->offered_client == c.client)) return e->address;
  }
  if (auto asked = c.in.options.address(option::requested_address))
    if (permitted(c, asked->v4_value()) && available(table.find(asked->v4_value()), c))
      return asked->v4_value();
  auto& window = windows[static_cast<std::size_t>(c.network)];
  if (probes(c)) {
    if (!window.is_open()) window.open(c.from.interface);
    window.demand(probe_timing(), c.at.now);
    auto ready = window.front(table, probe_timing(), c.at.now, c.out.probes);
    window.fill(table, c.network, c.at.now, c.out.probes);
    if (!ready) ready = window.front(table, probe_timing(), c.at.now, c.out.probes);
    if (ready) return ready;
  }
  if (auto free = table.next_free(c.network)) return free;
  return window.front(table, probe_timing(), c.at.now, c.out.probes); // what a probe keeps from the others
}

bool engine::impl::probes(const request_context& c) const {
  return config.networks[static_cast<std::size_t>(c.network)].probe && c.from.can_probe &&
         c.in.giaddr.is_unspecified();
}

duration engine::impl::term_of(const request_context& c) const {
  const auto& n = config.networks[static_cast<std::size_t>(c.network)];
  auto term = builder.default_lease(c);
  if (term == duration::max()) return term;
  if (auto asked = c.in.options.u32(option::lease_time)) {
    auto wanted = *asked == 0xffffffff ? n.lease_max : duration(std::chrono::seconds(*asked));
    // What the recipe gives by default is never cut below by its own bounds.
    term = std::clamp(wanted, std::min(n.lease_min, term), std::max(n.lease_max, term));
  }
  return term;
}

std::string engine::impl::hostname_of(request_context& c) {
  if (c.host >= 0)
    if (auto name = clean_hostname(config.hosts[static_cast<std::size_t>(c.host)].name); !name.empty())
      return name;
  std::string name;
  if (auto value = c.in.options.find(option::client_fqdn))
    if (auto fqdn = decode_fqdn(*value)) name = clean_hostname(fqdn->name);
  if (name.empty()) name = clean_hostname(c.in.options.text(option::host_name));
  if (!name.empty() && hooks.may_use_name && !hooks.may_use_name(name, identity(c))) {
    say(messages::name_refused, c.mac, c.at, c.out, [&] {
      return c.mac.to_string() + " asks to be called \"" + name + "\", which is another machine's name";
    });
    name.clear();
  }
  return name;
}

static std::string ranges_of(const network_config& n) {
  std::string out;
  for (const auto& r : n.ranges) out += (out.empty() ? "" : ", ") + r.to_string();
  return out.empty() ? "no range" : out;
}

void engine::impl::on_discover(request_context& c) {
  const auto& n = config.networks[static_cast<std::size_t>(c.network)];
  if (c.attempt == 0) {
    auto detail = c.in.options.text(option::vendor_class);
    if (auto kinds = architectures(c.in); !kinds.empty()) c.architecture = architecture_name(kinds[0]);
    if (told(c, boot_stage::discover)) event(c, boot_stage::discover, {}, printable(detail));
  }
  if (!admit(c) || !ask_boot_policy(c)) return;
  auto address = choose(c);
  if (!address) {
    add(count::pool_exhausted);
    say(messages::pool_exhausted, {}, c.at, c.out, [&] {
      return "network \"" + n.name + "\" (" + ranges_of(n) + ") has no address left; " + c.mac.to_string() +
             " gets none";
    });
    event(c, boot_stage::refused, {}, "no address left in network " + n.name, messages::pool_exhausted.id);
    return;
  }
  auto ip = ip_address::v4(*address);
  auto& e = table.get(*address);
  bool mine = same_machine(e, c);
  auto until = later(c.at.now, config.offer_hold);
  bool waiting = e.waiting && e.offered_client == c.client;
  auto held = std::move(e.waiting);
  auto probe_until = e.probe_until;
  auto asked = leave_window(*address);
  if (asked && c.at.now - *asked >= config.probe_timeout) e.verified = *asked + config.probe_timeout;
  table.set_offer(e, c.client, c.mac, until);
  e.boot = c.boot;
  offers.emplace_back(until, *address);

  if (n.rapid_commit && c.in.options.has(option::rapid_commit)) return grant(c, e, message_type::ack);

  bool fixed = table.reserved_for(*address) >= 0;
  bool fresh = e.verified != boot_time::min() && c.at.now - e.verified < config.probe_valid;
  bool probing = probes(c) && !fixed && !mine && !fresh;

  auto tell_offer = [&] {
    if (!told(c, boot_stage::offer)) return;
    event(c, boot_stage::offer, ip, c.boot && !c.boot->summary.empty() ? c.boot->summary : ip.to_string());
  };
  bool takes_offer = c.boot && c.boot->takes_offer;
  if (takes_offer && !probing && !waiting) {
    tell_offer();
    return grant(c, e, message_type::offer);
  }

  reply r;
  auto term = term_of(c);
  std::string name = c.wanted[option::host_name] ? hostname_of(c) : std::string{};
  if (probing || waiting) {
    if (!held || !waiting) held = std::make_unique<held_offer>();
    held->bytes.clear();
    held->datagram.assign(c.datagram.begin(), c.datagram.end());
    held->from = c.from;
    held->attempt = c.attempt;
    held->again = takes_offer;
    if (builder.build(c, message_type::offer, ip, term, name, held->bytes, r) > 0)
      add(count::options_dropped);
    held->how = r;
    e.waiting = std::move(held);
    if (waiting) {
      e.probe_until = probe_until; // a second DISCOVER does not prolong the probe
      add(count::coalesced);
    } else {
      add(count::probing);
      wait_for_probe(e, asked.value_or(c.at.now));
      if (!asked) c.out.probes.push_back({ip, c.from.interface});
    }
  } else {
    if (builder.build(c, message_type::offer, ip, term, name, c.out.bytes, r) > 0) {
      add(count::options_dropped);
      say(messages::options_dropped, c.mac, c.at, c.out,
          [&] { return "not all options fit into the message that " + c.mac.to_string() + " takes"; });
    }
    c.out.replies.push_back(r);
    add(count::offer);
  }
  if (!takes_offer) tell_offer();
}

bool engine::impl::ours(const request_context& c, const ip_address& server) const {
  if (server == c.server_id) return true;
  return std::any_of(config.networks.begin(), config.networks.end(),
                     [&](const auto& n) { return n.server == server; });
}

void engine::impl::nak(request_context& c, const std::string& why) {
  add(count::nak);
  add(count::wrong_address);
  say(messages::wrong_address, c.mac, c.at, c.out, [&] { return c.mac.to_string() + " got a NAK: " + why; });
  reply r;
  builder.build_nak(c, why, c.out.bytes, r);
  c.out.replies.push_back(r);
  event(c, boot_stage::nak, {}, why, messages::wrong_address.id);
}

void engine::impl::on_request(request_context& c) {
  const auto& n = config.networks[static_cast<std::size_t>(c.network)];
  auto server = c.in.options.address(option::server_id);
  auto asked = c.in.options.address(option::requested_address);

  if (server && !ours(c, *server)) {
    // It took another server's offer: what we held for it is free again.
    add(count::other_server);
    remember_server(*server, "chosen by " + c.mac.to_string(), c.mac, c.at);
    say(messages::other_server, c.mac, c.at, c.out,
        [&] { return c.mac.to_string() + " took the offer of another DHCP server, " + server->to_string(); });
    if (auto* e = table.by_client(c.network, c.client);
        e && e->offered_client == c.client && e->in_flight == 0) {
      table.clear_offer(*e);
      table.settle(*e);
    }
    event(c, boot_stage::refused, asked,
          "the client took the offer of another server, " + server->to_string(), messages::other_server.id);
    return;
  }
  bool selecting = server.has_value();
  bool holds = !c.in.ciaddr.is_unspecified(); // RENEWING or REBINDING
  if (!asked && holds) asked = c.in.ciaddr;
  if (!asked) {
    add(count::malformed);
    say(messages::malformed, c.mac, c.at, c.out,
        [&] { return "the REQUEST of " + c.mac.to_string() + " names no address"; });
    return;
  }
  if (!admit(c)) return;

  auto address = asked->v4_value();
  bool may_refuse = n.authoritative || selecting;
  if (!n.subnet.contains(*asked)) {
    if (may_refuse)
      return nak(c, asked->to_string() + " is not on network " + n.subnet.network().to_string() + "/" +
                        std::to_string(n.subnet.prefix));
    add(count::no_record);
    say(messages::no_record, c.mac, c.at, c.out,
        [&] { return c.mac.to_string() + " wants " + asked->to_string() + ", which is on another network"; });
    return;
  }

  auto* e = table.find(address);
  bool known = e && (same_machine(*e, c) ||
                     (e->offered() && (e->offered_client == c.client || e->offered_mac == c.mac)));
  if (!known && !may_refuse) {
    add(count::no_record);
    say(messages::no_record, c.mac, c.at, c.out, [&] {
      return c.mac.to_string() + " wants " + asked->to_string() + ", which this server did not give it";
    });
    return;
  }
  if (!permitted(c, address))
    return nak(c, asked->to_string() + (table.reserved_for(address) >= 0
                                            ? " is reserved for another machine"
                                            : " is not an address that is given out"));
  if (!available(e, c)) {
    if (e->in_flight != 0 && same_machine(*e, c)) {
      add(count::coalesced); // the store is busy with this very address; the client asks again
      return;
    }
    return nak(c, asked->to_string() + (e->held_back() ? " is in use by a machine without a lease"
                                                       : " belongs to another machine"));
  }
  // The recipe gives this machine another address: let it move there at its next chance.
  if (auto fixed = reserved_address(c);
      fixed && *fixed != address && !selecting && available(table.find(*fixed), c))
    return nak(c, "this machine's address is " + ip_address::v4(*fixed).to_string());

  if (e && e->offered_client == c.client && e->boot && !is_boot_client(c.in))
    c.boot = e->boot; // a Raspberry Pi 4 leaves out in its REQUEST what made it a boot client
  else if (!ask_boot_policy(c))
    return;
  grant(c, table.get(address), message_type::ack);
}

void engine::impl::grant(request_context& c, lease_entry& e, message_type answer) {
  auto term = answer == message_type::none ? duration::max() : term_of(c);
  auto ip = ip_address::v4(e.address);
  auto name = hostname_of(c);

  if (e.in_flight != 0) {
    // A retransmission: the newest one gets the answer when the store is done.
    add(count::coalesced);
    auto& p = pending.at(e.in_flight);
    if (p.what != pending_commit::kind::grant || p.client != c.client) return;
    p.bytes.clear();
    builder.build(c, answer, ip, term, name, p.bytes, p.answer);
    return;
  }

  pending_commit p;
  p.client = c.client;
  p.mac = c.mac;
  p.hostname = std::move(name);
  p.expires = later(c.at.now, term);
  p.starts = c.at.wall;
  p.renewed = e.active() && e.client == c.client;
  if (builder.build(c, answer, ip, term, p.hostname, p.bytes, p.answer) > 0) {
    add(count::options_dropped);
    say(messages::options_dropped, c.mac, c.at, c.out,
        [&] { return "not all options fit into the message that " + c.mac.to_string() + " takes"; });
  }
  if (c.in.type() == message_type::request) {
    p.request.assign(c.datagram.begin(), c.datagram.end());
    p.from = c.from;
  }
  p.node = identity(c, ip);
  if (p.node.name.empty()) p.node.name = p.hostname;
  p.architecture = c.architecture;
  p.network = config.networks[static_cast<std::size_t>(c.network)].name;
  if (hooks.events) p.detail = ip.to_string() + " for " + format_duration(term);

  lease next;
  next.address = ip;
  next.client.assign(c.client.begin(), c.client.end());
  next.mac = c.mac;
  next.hostname = p.hostname;
  next.network = p.network;
  next.starts = p.starts;
  next.expires = later(c.at.wall, term);
  next.version = e.version;
  send_commit(e, std::move(p), std::move(next), c.out);
}

void engine::impl::on_decline(request_context& c) {
  auto asked = c.in.options.address(option::requested_address);
  auto* e = asked ? table.find(asked->v4_value()) : nullptr;
  bool holder = e && (same_machine(*e, c) || e->offered_client == c.client);
  if (!holder) {
    add(count::not_holder);
    say(messages::not_holder, c.mac, c.at, c.out, [&] {
      return c.mac.to_string() + " declined " + (asked ? asked->to_string() : "no address") +
             ", which it does not hold";
    });
    return;
  }
  say(messages::declined, c.mac, c.at, c.out, [&] {
    return c.mac.to_string() + " found " + asked->to_string() + " in use by another machine; held back for " +
           format_duration(config.decline_hold);
  });
  event(c, boot_stage::refused, *asked,
        "the client found " + asked->to_string() + " in use by another machine", messages::declined.id);
  if (e->in_flight != 0) {
    auto& p = pending.at(e->in_flight);
    p.then_end = true;
    p.then_state = lease_state::declined;
    p.then_reason = end_reason::declined;
    return;
  }
  if (e->active())
    end_lease(*e, lease_state::declined, end_reason::declined, later(c.at.now, config.decline_hold), c.at,
              c.out);
  else
    hold_back(*e, c.at, c.out);
}

void engine::impl::on_release(request_context& c) {
  auto* e = c.in.ciaddr.is_unspecified() ? nullptr : table.find(c.in.ciaddr.v4_value());
  // A server identifier of somebody else's means that the message is not for us (RFC 2131 §4.3.4).
  auto server = c.in.options.address(option::server_id);
  if (!e || !same_machine(*e, c) || (server && !ours(c, *server)) || (!e->active() && e->in_flight == 0)) {
    add(count::not_holder);
    say(messages::not_holder, c.mac, c.at, c.out, [&] {
      return c.mac.to_string() + " released " + c.in.ciaddr.to_string() + ", which it does not hold";
    });
    return;
  }
  if (e->in_flight != 0) {
    auto& p = pending.at(e->in_flight);
    p.then_end = true;
    p.then_state = lease_state::released;
    p.then_reason = end_reason::released;
    return;
  }
  end_lease(*e, lease_state::released, end_reason::released, c.at.now, c.at, c.out);
}

void engine::impl::on_inform(request_context& c) {
  if (!ask_boot_policy(c)) return;
  if (c.in.ciaddr.is_unspecified() && c.from.peer.address.is_unspecified()) {
    add(count::malformed);
    say(messages::malformed, c.mac, c.at, c.out,
        [&] { return "the INFORM of " + c.mac.to_string() + " has no address to answer to"; });
    return;
  }
  // No lease time and no address in the answer (RFC 2131 §4.3.5).
  reply r;
  builder.build(c, message_type::ack, {}, std::nullopt, {}, c.out.bytes, r);
  if (!c.in.ciaddr.is_unspecified() && r.how != destination::unicast) {
    r.how = destination::unicast;
    r.to = {c.in.ciaddr, 68};
  }
  c.out.replies.push_back(r);
  add(count::ack);
}

void engine::impl::on_bootp(request_context& c) {
  const auto& n = config.networks[static_cast<std::size_t>(c.network)];
  if (!n.bootp) {
    add(count::bootp_refused);
    say(messages::bootp_refused, c.mac, c.at, c.out,
        [&] { return c.mac.to_string() + " speaks BOOTP only"; });
    return;
  }
  if (!admit(c) || !ask_boot_policy(c)) return;
  auto address = choose(c);
  if (!address) {
    add(count::pool_exhausted);
    say(messages::pool_exhausted, {}, c.at, c.out, [&] {
      return "network \"" + n.name + "\" (" + ranges_of(n) + ") has no address left; BOOTP client " +
             c.mac.to_string() + " gets none";
    });
    return;
  }
  auto& e = table.get(*address);
  auto until = later(c.at.now, config.offer_hold);
  leave_window(*address);
  table.set_offer(e, c.client, c.mac, until);
  offers.emplace_back(until, *address);
  grant(c, e, message_type::none);
}

// A REQUEST on port 67 speaks to the server that gives the address. Nothing else tells a proxy which address
// the machine has, and TFTP and HTTP requests come from that.
void engine::impl::overhear(request_context& c) {
  auto server = c.in.options.address(option::server_id);
  auto address = c.in.options.address(option::requested_address);
  add(count::other_server);
  // Simple clients take a proxy's offer for an address of 0.0.0.0 and ask us for it.
  if (server && ours(c, *server)) return;
  if (!c.in.ciaddr.is_unspecified())
    address = c.in.ciaddr;
  else if (!server)
    address.reset(); // INIT-REBOOT: the server may still say no
  if (server)
    remember_server(*server,
                    "gave " + (address ? address->to_string() : "an address") + " to " + c.mac.to_string(),
                    c.mac, c.at);
  if (!address || address->is_unspecified() || !hooks.events) return;
  event(c, boot_stage::ack, address,
        address->to_string() + (server ? " from " + server->to_string() : ", as before"));
  c.out.events.back().overheard = true;
}

void engine::impl::on_proxy(request_context& c) {
  auto type = c.in.type();
  if (type == message_type::request && !c.from.proxy_port) return overhear(c);
  bool answerable =
      type == message_type::discover || type == message_type::inform || type == message_type::request;
  if (!answerable || !is_boot_client(c.in)) {
    add(count::not_boot_client);
    return;
  }
  if (type == message_type::discover) {
    if (auto kinds = architectures(c.in); !kinds.empty()) c.architecture = architecture_name(kinds[0]);
    event(c, boot_stage::discover, {}, printable(c.in.options.text(option::vendor_class)));
  }
  if (!ask_boot_policy(c)) return;
  if (!c.boot) {
    add(count::not_boot_client);
    return;
  }
  bool offer = type == message_type::discover;
  reply r;
  if (builder.build(c, offer ? message_type::offer : message_type::ack, {}, std::nullopt, {}, c.out.bytes,
                    r) > 0)
    add(count::options_dropped);
  c.out.replies.push_back(r);
  add(offer ? count::offer : count::ack);
  std::optional<ip_address> address;
  if (!c.in.ciaddr.is_unspecified()) address = c.in.ciaddr;
  event(c, offer ? boot_stage::offer : boot_stage::ack, address, c.boot->summary);
}

void engine::impl::on_server_reply(const packet& m, moment at, actions& out) {
  add(count::server_reply);
  auto server = m.options.address(option::server_id);
  if (!server) return;
  if (std::any_of(config.networks.begin(), config.networks.end(),
                  [&](const auto& n) { return n.server == *server; }))
    return;
  auto what = std::string(to_string(m.type())) + " of " + m.yiaddr.to_string() + " to " + m.mac().to_string();
  remember_server(*server, what, m.mac(), at);
  say(messages::foreign_reply, m.mac(), at, out,
      [&] { return "another DHCP server, " + server->to_string() + ", sent an " + what; });
}

} // namespace netlab::dhcp
