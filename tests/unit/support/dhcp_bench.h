#pragma once
#include <doctest/doctest.h>

#include <algorithm>

#include "memory_lease_store.h"
#include "netlab/dhcp_engine.h"
#include "netlab/dhcp_messages.h"
#include "netlab/simulation.h"

// A DHCP engine on a manual clock with a store in memory, and clients by number.
namespace dhcp_bench {

using namespace netlab;
using namespace netlab::dhcp;

inline ip_address ip(const char* text) { return ip_address::parse(text).value(); }
inline mac_address mac_of(unsigned n) {
  return {{2, 0, 0, static_cast<std::uint8_t>(n >> 16), static_cast<std::uint8_t>(n >> 8),
           static_cast<std::uint8_t>(n)}};
}

inline server_config lab(std::string range = "10.0.0.100-10.0.0.199") {
  server_config c;
  network_config n;
  n.name = "lan";
  n.subnet = cidr::parse("10.0.0.0/24").value();
  n.server = ip("10.0.0.1");
  n.ranges = {ip_range::parse(range).value()};
  n.options.routers = {ip("10.0.0.254")};
  n.options.dns = {ip("10.0.0.1")};
  n.options.domain = "lab.internal";
  n.probe = false;
  c.networks.push_back(n);
  return c;
}

// An engine with its store, its clock and the replies it made.
struct bench {
  explicit bench(server_config c = lab(), engine_hooks hooks = {}) : policy(std::move(c), std::move(hooks)) {}

  moment at() const { return {time.now(), time.wall()}; }

  void take(bool answer_store = true) {
    for (auto& r : out.replies) {
      replies.push_back(r);
      packets.push_back(decode(out.payload(r)).value());
    }
    for (auto& e : out.events) events.push_back(e);
    for (auto& c : out.changes) changes.push_back(c);
    for (auto& n : out.notes) notes.push_back(n);
    for (auto& p : out.probes) probes.push_back(p);
    auto commits = std::move(out.commits);
    out.clear();
    for (auto& c : commits)
      store.claim(c.next, [this, token = c.token](lease_store::outcome o) {
        policy.committed(token, std::move(o), at(), out);
      });
    if (answer_store && !store.waiting.empty()) {
      store.run();
      take();
    }
  }
  void send(const packet& p, bool answer_store = true) {
    policy.handle(encode(p, 1472).value(), from, at(), out);
    take(answer_store);
  }
  void pass(duration d) {
    time.advance(d);
    for (int i = 0; i < 1000 && policy.next_deadline() <= time.now(); ++i) {
      policy.advance(at(), out);
      take();
    }
    policy.advance(at(), out);
    take();
  }
  // The last reply, which must be of this type.
  packet last(message_type type) {
    REQUIRE_FALSE(packets.empty());
    auto p = packets.back();
    CHECK(p.type() == type);
    packets.clear();
    return p;
  }
  reply how() const { return replies.back(); }
  bool silent() const { return packets.empty(); }
  bool said(const message& m) const {
    return std::any_of(notes.begin(), notes.end(), [&](const auto& n) { return n.what == &m; });
  }
  std::uint64_t counted(count c) const { return policy.counters()[static_cast<std::size_t>(c)]; }

  packet message(message_type type, unsigned n) const {
    packet p;
    p.xid = 0x1000 + n;
    p.set_mac(mac_of(n));
    if (type != message_type::none) p.options.set_u8(option::type, static_cast<std::uint8_t>(type));
    const std::uint8_t wanted[] = {1, 3, 6, 12, 15, 66, 67, 97, 119, 121};
    p.options.set(option::parameter_list, wanted);
    return p;
  }
  ip_address discover(unsigned n) {
    send(message(message_type::discover, n));
    return last(message_type::offer).yiaddr;
  }
  packet select(unsigned n, const ip_address& address, const char* server = "10.0.0.1") const {
    auto p = message(message_type::request, n);
    p.options.set_address(option::server_id, ip(server));
    p.options.set_address(option::requested_address, address);
    return p;
  }
  packet renew(unsigned n, const ip_address& address) const {
    auto p = message(message_type::request, n);
    p.ciaddr = address;
    return p;
  }
  packet reboot(unsigned n, const ip_address& address) const {
    auto p = message(message_type::request, n);
    p.options.set_address(option::requested_address, address);
    return p;
  }
  ip_address dora(unsigned n) {
    auto address = discover(n);
    send(select(n, address));
    CHECK(last(message_type::ack).yiaddr == address);
    return address;
  }

  manual_time time;
  memory_lease_store store;
  engine policy;
  actions out;
  arrival from{{ip("0.0.0.0"), 68}, ip("255.255.255.255"), 2, 0, true, false};
  std::vector<reply> replies;
  std::vector<packet> packets;
  std::vector<boot_event> events;
  std::vector<lease_change> changes;
  std::vector<note> notes;
  std::vector<probe> probes;
};

} // namespace dhcp_bench
