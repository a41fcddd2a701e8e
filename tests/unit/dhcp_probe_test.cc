// Conflict probes: asked ahead of demand, and waited for where they were not.
#include <doctest/doctest.h>

#include <set>

#include "dhcp/probe_window.h"
#include "support/dhcp_bench.h"

using namespace dhcp_bench;
using namespace std::chrono_literals;

namespace {

server_config probing(std::string range = "10.0.0.100-10.0.0.199") {
  auto c = lab(std::move(range));
  c.networks[0].probe = true;
  return c;
}

// A network whose wire can be asked from the start, as a server that found its interface does it.
struct asked : bench {
  explicit asked(server_config c = probing()) : bench(std::move(c)) {
    policy.probe_ahead(0, 2, at(), out);
    take();
  }
  void seen(const char* address, unsigned holder) {
    policy.address_seen(ip(address), mac_of(holder), at(), out);
    take();
  }
  bool offers_at_once(unsigned n) {
    send(message(message_type::discover, n));
    bool now = !silent();
    packets.clear();
    return now;
  }
};

} // namespace

TEST_CASE("dhcp probe: a new address is probed first, and given only when nobody answers") {
  bench b(probing());
  b.send(b.message(message_type::discover, 1));
  CHECK(b.silent());
  REQUIRE(b.probes.size() == probe_window::least); // the next ones with it
  CHECK(b.probes[0].address == ip("10.0.0.100"));
  CHECK(b.probes[1].address == ip("10.0.0.101"));
  b.send(b.message(message_type::discover, 1)); // impatient
  CHECK(b.probes.size() == probe_window::least);
  b.pass(249ms);
  CHECK(b.silent());
  b.pass(1ms);
  CHECK(b.packets.size() == 1);
  CHECK(b.last(message_type::offer).yiaddr == ip("10.0.0.100"));
  // A client that comes while its address is asked for waits for the rest of the time only.
  bench late(probing());
  late.send(late.message(message_type::discover, 1));
  late.pass(200ms);
  late.send(late.message(message_type::discover, 2));
  late.pass(50ms);
  CHECK(late.packets.size() == 2);
}

TEST_CASE("dhcp probe: somebody answers while a client waits: the next address is taken") {
  bench b(probing());
  b.send(b.message(message_type::discover, 1));
  b.policy.address_seen(ip("10.0.0.100"), mac_of(77), b.at(), b.out);
  b.take();
  CHECK(b.said(messages::address_in_use));
  CHECK(b.store.stored.at(ip("10.0.0.100")).state == lease_state::declined);
  b.pass(250ms);
  CHECK(b.last(message_type::offer).yiaddr == ip("10.0.0.101"));
  // Returning clients are not probed.
  b.send(b.select(1, ip("10.0.0.101")));
  b.last(message_type::ack);
  auto before = b.probes.size();
  CHECK(b.discover(1) == ip("10.0.0.101"));
  CHECK(b.probes.size() == before);
  b.policy.address_seen(ip("10.0.0.101"), mac_of(1), b.at(), b.out); // it uses what it has
  CHECK(b.out.empty());
}

TEST_CASE("dhcp probe: ahead of demand a new client is answered at once") {
  asked b;
  CHECK(b.probes.size() == probe_window::least);
  CHECK(b.policy.next_deadline() == boot_time::max()); // nothing to wake up for
  b.pass(250ms);
  CHECK(b.probes.size() == probe_window::least);
  CHECK(b.discover(1) == ip("10.0.0.100"));
  CHECK(b.discover(2) == ip("10.0.0.101"));
  // What was taken is asked for at the other end, once each.
  std::set<ip_address> once;
  for (const auto& p : b.probes) CHECK(once.insert(p.address).second);
  CHECK(b.probes.size() > probe_window::least);
  CHECK(b.counted(count::probing) == 0);
}

TEST_CASE("dhcp probe: what is verified holds for a minute, then it is asked for again, in order") {
  asked b;
  b.pass(250ms + 59s);
  CHECK(b.discover(1) == ip("10.0.0.100"));
  b.pass(1s);
  auto before = b.probes.size();
  CHECK_FALSE(b.offers_at_once(2));
  REQUIRE(b.probes.size() > before);
  CHECK(b.probes[before].address == ip("10.0.0.101"));
  b.pass(250ms);
  CHECK(b.last(message_type::offer).yiaddr == ip("10.0.0.101"));
  CHECK(b.discover(3) == ip("10.0.0.102"));
}

TEST_CASE("dhcp probe: an idle network is not asked") {
  asked b;
  b.pass(1h);
  CHECK(b.probes.size() == probe_window::least);
  CHECK(b.policy.next_deadline() == boot_time::max());
}

TEST_CASE("dhcp probe: a verified address that is in use later is not offered") {
  asked b;
  b.pass(250ms);
  b.seen("10.0.0.100", 77);
  CHECK(b.said(messages::address_in_use));
  CHECK(b.store.stored.at(ip("10.0.0.100")).state == lease_state::declined);
  CHECK(b.discover(1) == ip("10.0.0.101"));
  // Between the offer and the ACK: a NAK, and another address.
  b.seen("10.0.0.101", 78);
  b.send(b.select(1, ip("10.0.0.101")));
  b.last(message_type::nak);
  CHECK(b.discover(1) == ip("10.0.0.102"));
  // The client itself tries its address before it has it.
  b.seen("10.0.0.102", 1);
  b.send(b.select(1, ip("10.0.0.102")));
  b.last(message_type::ack);
  // Afterwards it is the holder's.
  b.seen("10.0.0.102", 79);
  CHECK(b.policy.leases(b.at()).size() == 1);
  // Held back for its time, then free again.
  b.pass(11min);
  CHECK(b.store.stored.at(ip("10.0.0.100")).state == lease_state::declined);
  CHECK(b.policy.leases(b.at()).size() == 1);
}

TEST_CASE("dhcp probe: a declined address does not come back") {
  asked b;
  b.pass(250ms);
  auto first = b.dora(1);
  auto p = b.message(message_type::decline, 1);
  p.options.set_address(option::requested_address, first);
  p.options.set_address(option::server_id, ip("10.0.0.1"));
  b.send(p);
  std::set<ip_address> given;
  for (unsigned n = 2; n < 12; ++n) given.insert(b.dora(n));
  CHECK(given.size() == 10);
  CHECK_FALSE(given.contains(first));
}

TEST_CASE("dhcp probe: who had the address may have it again, though it answers the probe") {
  asked b(probing("10.0.0.100-10.0.0.103"));
  b.pass(250ms);
  auto mine = b.dora(1);
  auto p = b.message(message_type::release, 1);
  p.ciaddr = mine;
  b.send(p);
  b.dora(2); // refills the window: the released address is asked for
  CHECK(b.probes.back().address == mine);
  b.seen("10.0.0.100", 1);
  CHECK_FALSE(b.said(messages::address_in_use));
  CHECK(b.dora(1) == mine);
}

TEST_CASE("dhcp probe: a small range is given out whole, also to those who are not probed") {
  asked b(probing("10.0.0.100-10.0.0.119"));
  b.pass(250ms);
  std::set<ip_address> given;
  for (unsigned n = 1; n <= 10; ++n) given.insert(b.dora(n));
  // Through a relay there is no ARP: the window's addresses serve as well, and none is given twice.
  for (unsigned n = 11; n <= 20; ++n) {
    auto p = b.message(message_type::discover, n);
    p.giaddr = ip("10.0.0.2");
    b.send(p);
    auto address = b.last(message_type::offer).yiaddr;
    auto r = b.select(n, address);
    r.giaddr = ip("10.0.0.2");
    b.send(r);
    b.last(message_type::ack);
    given.insert(address);
  }
  CHECK(given.size() == 20);
  b.send(b.message(message_type::discover, 21));
  CHECK(b.silent());
  CHECK(b.said(messages::pool_exhausted));
  // An offer that lapses and a lease that ends serve the next one.
  auto p = b.message(message_type::release, 20);
  p.ciaddr = *given.rbegin();
  p.giaddr = ip("10.0.0.2");
  b.send(p);
  p = b.message(message_type::release, 5);
  p.ciaddr = ip("10.0.0.104");
  b.send(p);
  b.send(b.message(message_type::discover, 22));
  b.pass(250ms);
  CHECK(b.last(message_type::offer).yiaddr == *given.rbegin()); // free for longer
}

TEST_CASE("dhcp probe: an address of the window that a client asks for is its, and nobody else's") {
  asked b;
  b.pass(250ms);
  auto p = b.message(message_type::discover, 1);
  p.options.set_address(option::requested_address, ip("10.0.0.105"));
  b.send(p);
  CHECK(b.last(message_type::offer).yiaddr == ip("10.0.0.105")); // verified: at once
  b.send(b.reboot(2, ip("10.0.0.106")));                         // INIT-REBOOT of a client we do not know
  b.last(message_type::ack);
  std::set<ip_address> given;
  for (unsigned n = 3; n < 12; ++n) given.insert(b.discover(n));
  CHECK(given.size() == 9);
  CHECK_FALSE(given.contains(ip("10.0.0.105")));
  CHECK_FALSE(given.contains(ip("10.0.0.106")));
  // One outside the window is asked for on its own.
  p = b.message(message_type::discover, 30);
  p.options.set_address(option::requested_address, ip("10.0.0.190"));
  b.send(p);
  CHECK(b.silent());
  CHECK(b.probes.back().address == ip("10.0.0.190"));
  b.pass(250ms);
  CHECK(b.last(message_type::offer).yiaddr == ip("10.0.0.190"));
}

TEST_CASE("dhcp probe: another configuration begins anew and keeps what is promised") {
  asked b;
  b.pass(250ms);
  auto kept = b.discover(1);
  b.policy.reconfigure(probing("10.0.0.100-10.0.0.110"), b.at());
  auto before = b.probes.size();
  b.policy.probe_ahead(0, 2, b.at(), b.out);
  b.take();
  REQUIRE(b.probes.size() == before + 10); // all but the one that is offered
  CHECK(b.probes.back().address == ip("10.0.0.110"));
  b.send(b.select(1, kept));
  CHECK(b.last(message_type::ack).yiaddr == kept);
  b.pass(250ms);
  CHECK(b.discover(2) == ip("10.0.0.101"));
  auto off = probing();
  off.networks[0].probe = false;
  b.policy.reconfigure(off, b.at());
  before = b.probes.size();
  b.policy.probe_ahead(0, 2, b.at(), b.out);
  b.policy.probe_ahead(7, 2, b.at(), b.out); // no such network
  b.take();
  CHECK(b.probes.size() == before);
}

TEST_CASE("dhcp probe: networks have windows of their own, on their own wires") {
  auto c = probing();
  auto second = c.networks[0];
  second.name = "second";
  second.subnet = cidr::parse("10.0.1.0/24").value();
  second.server = ip("10.0.1.1");
  second.ranges = {ip_range::parse("10.0.1.100-10.0.1.104").value()};
  c.networks.push_back(second);
  asked b(c);
  b.policy.probe_ahead(1, 3, b.at(), b.out);
  b.take();
  REQUIRE(b.probes.size() == probe_window::least + 5);
  CHECK(b.probes.front().interface == 2);
  CHECK(b.probes.back().interface == 3);
  b.pass(250ms);
  CHECK(b.discover(1) == ip("10.0.0.100"));
  b.from.network = 1;
  b.from.interface = 3;
  CHECK(b.discover(2) == ip("10.0.1.100"));
}

TEST_CASE("dhcp probe: the window grows with demand, at most four requests for an address, and shrinks") {
  auto c = probing("10.0.0.10-10.0.7.250");
  c.networks[0].subnet = cidr::parse("10.0.0.0/16").value();
  asked b(c);
  b.pass(250ms);
  // 64 machines are switched on at once, and others as soon as these have their lease.
  unsigned client = 0, at_once = 0;
  for (int round = 0; round < 4; ++round) {
    at_once = 0;
    for (int n = 0; n < 200; ++n) at_once += b.offers_at_once(++client) ? 1 : 0;
    b.pass(250ms);
    b.packets.clear();
  }
  CHECK(at_once == 200); // nobody waits once the demand is known
  CHECK(b.probes.size() <= probe_window::least + 4 * client);
  std::set<ip_address> once;
  for (const auto& p : b.probes) CHECK(once.insert(p.address).second);
  // Nobody comes for a while: the next one makes no herd of requests.
  b.pass(2min);
  auto before = b.probes.size();
  CHECK_FALSE(b.offers_at_once(++client));
  CHECK(b.probes.size() - before == probe_window::least);
}

TEST_CASE("dhcp probe: the largest window bounds the requests of a second") {
  auto c = probing("10.1.0.0-10.20.0.0");
  c.networks[0].subnet = cidr::parse("10.0.0.0/8").value();
  asked b(c);
  unsigned client = 0;
  for (int turn = 0; turn < 40; ++turn) { // a second of far more demand than a link is asked for
    for (int n = 0; n < 1000; ++n) b.send(b.message(message_type::discover, ++client));
    b.pass(25ms);
    b.packets.clear();
    b.replies.clear();
  }
  CHECK(b.probes.size() <= probe_window::most * 5 + client);
}
