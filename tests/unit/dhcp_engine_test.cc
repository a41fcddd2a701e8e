#include <doctest/doctest.h>

#include <set>

#include "support/dhcp_bench.h"
#include "support/dhcp_corpus.h"

using namespace netlab;
using namespace netlab::dhcp;
using namespace std::chrono_literals;

using namespace dhcp_bench;

TEST_CASE("dhcp engine: discover, offer, request, ack with what was asked for") {
  bench b;
  b.send(b.message(message_type::discover, 1));
  auto offer = b.last(message_type::offer);
  CHECK(offer.yiaddr == ip("10.0.0.100"));
  CHECK(offer.options.address(option::server_id) == ip("10.0.0.1"));
  CHECK(offer.options.u32(option::lease_time) == 12 * 3600);
  CHECK(offer.options.u32(option::renewal_time) == 6 * 3600);
  CHECK(offer.options.u32(option::rebinding_time) == 37800);
  CHECK(offer.options.address(option::subnet_mask) == ip("255.255.255.0"));
  CHECK(offer.options.address(option::router) == ip("10.0.0.254"));
  CHECK(offer.options.text(option::domain_name) == "lab.internal");
  CHECK_FALSE(offer.options.has(option::broadcast_address)); // not asked for
  CHECK(b.store.writes == 0);                                // an offer is not stored
  CHECK(b.how().how == destination::link);
  CHECK(b.how().mac == mac_of(1));
  b.send(b.select(1, offer.yiaddr));
  b.last(message_type::ack);
  CHECK(b.store.stored.at(offer.yiaddr).mac == mac_of(1));
  REQUIRE(b.changes.size() == 1);
  CHECK_FALSE(b.changes[0].renewed);
  REQUIRE(b.events.size() == 3);
  CHECK(b.events[0].stage == boot_stage::discover);
  CHECK(b.events[1].stage == boot_stage::offer);
  CHECK(b.events[2].stage == boot_stage::ack);
  CHECK(b.events[2].node.address == ip("10.0.0.100"));
}

TEST_CASE("dhcp engine: an ACK never leaves before the store has the lease") {
  bench b;
  auto address = b.discover(1);
  b.send(b.select(1, address), false);
  CHECK(b.silent());
  CHECK(b.changes.empty());
  CHECK(b.policy.in_flight() == 1);
  // Retransmissions join: one write, one ACK, to the newest.
  auto again = b.select(1, address);
  again.xid = 77;
  b.send(again, false);
  CHECK(b.silent());
  CHECK(b.store.waiting.size() == 1);
  CHECK(b.counted(count::coalesced) == 1);
  b.store.run();
  b.take();
  REQUIRE(b.packets.size() == 1);
  CHECK(b.last(message_type::ack).xid == 77);
  CHECK(b.store.writes == 1);
}

TEST_CASE("dhcp engine: a store that fails gives no ACK, and the client may try again") {
  bench b;
  auto address = b.discover(1);
  b.store.failure = "disk full";
  b.send(b.select(1, address));
  CHECK(b.silent());
  CHECK(b.said(messages::commit_failed));
  CHECK(b.policy.leases(b.at()).empty());
  b.store.failure.clear();
  b.send(b.select(1, address));
  b.last(message_type::ack);
}

TEST_CASE("dhcp engine: an address that another server of the store leased meanwhile") {
  bench b;
  auto address = b.discover(1);
  lease other;
  other.address = address;
  other.client = {1, 2, 3};
  other.mac = mac_of(99);
  other.expires = b.time.wall() + 1h;
  other.version = 7;
  b.store.stored[address] = other;
  b.send(b.select(1, address));
  b.last(message_type::nak);
  CHECK(b.policy.find(address, b.at())->mac == mac_of(99));
  CHECK(b.discover(1) != address);
}

TEST_CASE("dhcp engine: the same client keeps its address; a new one gets an unused one") {
  bench b(lab("10.0.0.100-10.0.0.102"));
  auto first = b.dora(1), second = b.dora(2);
  CHECK(first != second);
  b.pass(13h); // both over
  CHECK(b.changes.back().ended);
  CHECK(b.dora(3) == ip("10.0.0.102")); // never used goes first
  CHECK(b.dora(2) == second);           // its own again
  CHECK(b.dora(4) == first);            // least recently ended
  b.send(b.message(message_type::discover, 5));
  CHECK(b.silent());
  CHECK(b.said(messages::pool_exhausted));
  CHECK(b.events.back().stage == boot_stage::refused);
}

TEST_CASE("dhcp engine: an offer holds its address for a minute, stored nowhere") {
  bench b(lab("10.0.0.100-10.0.0.100"));
  auto address = b.discover(1);
  CHECK(b.discover(1) == address); // retransmitted
  b.send(b.message(message_type::discover, 2));
  CHECK(b.silent());
  b.pass(61s);
  CHECK(b.discover(2) == address);
  b.send(b.select(1, address)); // too late: it is offered to somebody else
  b.last(message_type::nak);
}

TEST_CASE("dhcp engine: renewing, rebinding and init-reboot") {
  bench b;
  auto address = b.dora(1);
  b.pass(6h);
  b.from.local = ip("10.0.0.1");
  b.send(b.renew(1, address));
  auto ack = b.last(message_type::ack);
  CHECK(ack.ciaddr == address);
  CHECK(b.how().how == destination::unicast);
  CHECK(b.how().to == endpoint{address, 68});
  CHECK(b.changes.back().renewed);
  b.pass(11h); // would be over without the renewal
  CHECK(b.policy.leases(b.at()).size() == 1);
  b.from.local = ip("255.255.255.255");
  b.send(b.renew(1, address));
  b.last(message_type::ack);
  b.send(b.reboot(1, address));
  b.last(message_type::ack);
  b.send(b.reboot(1, ip("192.168.7.7"))); // moved here from elsewhere
  auto nak = b.last(message_type::nak);
  CHECK(nak.yiaddr.is_unspecified());
  CHECK(b.how().how == destination::broadcast);
  CHECK_FALSE(nak.options.text(option::message).empty());
  b.send(b.reboot(2, address)); // another's
  b.last(message_type::nak);
}

TEST_CASE("dhcp engine: unknown leases: authoritative takes them over, else silence") {
  bench b;
  b.send(b.renew(1, ip("10.0.0.150")));
  CHECK(b.last(message_type::ack).yiaddr == ip("10.0.0.150"));
  b.send(b.reboot(2, ip("10.0.0.20"))); // outside the range
  b.last(message_type::nak);
  auto c = lab();
  c.networks[0].authoritative = false;
  bench quiet(c);
  quiet.send(quiet.reboot(1, ip("10.0.0.150")));
  CHECK(quiet.silent());
  CHECK(quiet.counted(count::no_record) == 1);
  CHECK(quiet.said(messages::no_record));
}

TEST_CASE("dhcp engine: release and decline") {
  bench b(lab("10.0.0.100-10.0.0.100"));
  auto address = b.dora(1);
  auto release = b.message(message_type::release, 2);
  release.ciaddr = address;
  b.send(release); // not its own
  CHECK(b.said(messages::not_holder));
  CHECK(b.policy.leases(b.at()).size() == 1);
  release = b.message(message_type::release, 1);
  release.ciaddr = address;
  b.send(release);
  CHECK(b.policy.leases(b.at()).empty());
  CHECK(b.changes.back().reason == end_reason::released);
  CHECK(b.store.stored.at(address).state == lease_state::released);
  CHECK(b.dora(2) == address);
  auto decline = b.message(message_type::decline, 2);
  decline.options.set_address(option::requested_address, address);
  b.send(decline);
  CHECK(b.said(messages::declined));
  CHECK(b.store.stored.at(address).state == lease_state::declined);
  b.send(b.message(message_type::discover, 3));
  CHECK(b.silent());
  b.pass(11min);
  CHECK(b.discover(3) == address);
}

TEST_CASE("dhcp engine: a release that overtakes its own commit is carried out after it") {
  bench b;
  auto address = b.discover(1);
  b.send(b.select(1, address));
  b.last(message_type::ack);
  b.send(b.renew(1, address), false);
  auto release = b.message(message_type::release, 1);
  release.ciaddr = address;
  b.send(release, false);
  CHECK(b.store.waiting.size() == 1);
  b.store.run();
  b.take();
  CHECK(b.store.stored.at(address).state == lease_state::released);
}

TEST_CASE("dhcp engine: fixed hosts by MAC, UUID, serial and client id, inside and outside the range") {
  auto c = lab();
  c.hosts.push_back({.name = "Talos-1",
                     .macs = {mac_of(1)},
                     .client_id = {},
                     .uuid = {},
                     .serial = {},
                     .address = ip("10.0.0.11"),
                     .options = {}});
  c.hosts.push_back({.name = "uuid",
                     .macs = {},
                     .client_id = {},
                     .serial = {},
                     .address = ip("10.0.0.105"),
                     .options = {}});
  c.hosts.back().uuid = uuid::parse("12345678-1234-5678-9abc-def012345678").value();
  c.hosts.push_back({.name = "pi",
                     .macs = {},
                     .client_id = {},
                     .uuid = {},
                     .serial = "40302010",
                     .address = ip("10.0.0.12"),
                     .options = {}});
  c.hosts.push_back({.name = "id",
                     .macs = {},
                     .client_id = {0, 'x', 'y'},
                     .uuid = {},
                     .serial = {},
                     .address = ip("10.0.0.13"),
                     .options = {}});
  c.hosts[0].options.lease = 1h;
  c.hosts[0].options.dns = std::vector{ip("9.9.9.9")};
  CHECK(check(c).empty());
  bench b(c);
  b.send(b.message(message_type::discover, 1));
  auto offer = b.last(message_type::offer);
  CHECK(offer.yiaddr == ip("10.0.0.11"));
  CHECK(offer.options.u32(option::lease_time) == 3600);
  CHECK(offer.options.address(option::dns) == ip("9.9.9.9"));
  CHECK(offer.options.text(option::host_name) == "talos-1");
  b.policy.handle(corpus_packet(dhcp_corpus[0]), b.from, b.at(), b.out);
  b.take();
  CHECK(b.last(message_type::offer).yiaddr == ip("10.0.0.105"));
  b.policy.handle(corpus_packet(dhcp_corpus[5]), b.from, b.at(), b.out);
  b.take();
  CHECK(b.last(message_type::offer).yiaddr == ip("10.0.0.12"));
  auto by_id = b.message(message_type::discover, 50);
  by_id.options.set(option::client_id, as_bytes(std::string_view("\0xy", 3)));
  b.send(by_id);
  offer = b.last(message_type::offer);
  CHECK(offer.yiaddr == ip("10.0.0.13"));
  CHECK(to_hex(*offer.options.find(option::client_id)) == "007879"); // RFC 6842
  // Nobody else gets a reserved address, even on request.
  auto thief = b.message(message_type::discover, 60);
  thief.options.set_address(option::requested_address, ip("10.0.0.105"));
  b.send(thief);
  CHECK(b.last(message_type::offer).yiaddr == ip("10.0.0.100"));
  b.send(b.reboot(61, ip("10.0.0.11")));
  b.last(message_type::nak);
}

TEST_CASE("dhcp engine: a machine that is given a reservation moves there, even from a taken address") {
  bench b;
  auto one = b.dora(1), two = b.dora(2);
  auto c = lab();
  c.hosts.push_back({.name = "a",
                     .macs = {mac_of(1)},
                     .client_id = {},
                     .uuid = {},
                     .serial = {},
                     .address = two,
                     .options = {}});
  b.policy.reconfigure(c, b.at());
  CHECK(b.policy.leases(b.at()).size() == 2);
  b.send(b.renew(1, one)); // its place is still taken: it stays
  b.last(message_type::ack);
  b.send(b.renew(2, two)); // the other must leave
  b.last(message_type::nak);
  CHECK(b.dora(2) != two);
  b.send(b.renew(1, one));
  b.last(message_type::nak);
  CHECK(b.dora(1) == two);
  CHECK(b.policy.leases(b.at()).size() == 2); // the old lease was given back
}

TEST_CASE("dhcp engine: firmware and system of one machine share an address") {
  bench b;
  auto address = b.dora(1); // firmware, without client id
  auto os = b.message(message_type::discover, 1);
  os.options.set(option::client_id, as_bytes(std::string_view("\xff\0\0\0\1\0\3\0\1xxxxxx", 15)));
  b.send(os);
  CHECK(b.last(message_type::offer).yiaddr == address);
  auto take = b.select(1, address);
  take.options.set(option::client_id, *os.options.find(option::client_id));
  b.send(take);
  b.last(message_type::ack);
  CHECK(b.dora(1) == address); // next boot
  CHECK(b.policy.leases(b.at()).size() == 1);
}

TEST_CASE("dhcp engine: known clients only") {
  auto c = lab();
  c.networks[0].known_clients_only = true;
  c.hosts.push_back({.name = "a",
                     .macs = {mac_of(1)},
                     .client_id = {},
                     .uuid = {},
                     .serial = {},
                     .address = {},
                     .options = {}});
  bench b(c);
  CHECK(b.dora(1) == ip("10.0.0.100"));
  b.send(b.message(message_type::discover, 2));
  CHECK(b.silent());
  CHECK(b.counted(count::unknown_client) == 1);
  CHECK(b.events.back().message_id == "NL-DHCP-003");
}

TEST_CASE("dhcp engine: through relays") {
  auto c = lab();
  auto far = c.networks[0];
  far.name = "far";
  far.subnet = cidr::parse("10.9.0.0/24").value();
  far.server = ip("10.0.0.1");
  far.ranges = {ip_range::parse("10.9.0.10-10.9.0.20").value()};
  c.networks.push_back(far);
  CHECK(check(c).empty());
  bench b(c);
  auto p = b.message(message_type::discover, 1);
  p.giaddr = ip("10.9.0.1");
  p.options.set(option::relay_agent, as_bytes(std::string_view("\x01\x03"
                                                               "eth",
                                                               5)));
  b.send(p);
  auto offer = b.last(message_type::offer);
  CHECK(offer.yiaddr == ip("10.9.0.10"));
  CHECK(b.how().how == destination::relay);
  CHECK(b.how().to == endpoint{ip("10.9.0.1"), 67});
  CHECK(offer.options.code_at(offer.options.size() - 1) == option::relay_agent); // verbatim, and last
  CHECK(to_hex(*offer.options.find(option::relay_agent)) == "0103657468");
  // Link selection beats giaddr; the server override names us.
  const std::uint8_t agent[] = {5, 4, 10, 9, 0, 0, 11, 4, 10, 5, 5, 5};
  p = b.message(message_type::discover, 2);
  p.giaddr = ip("172.16.0.1");
  p.options.set(option::relay_agent, agent);
  b.send(p);
  offer = b.last(message_type::offer);
  CHECK(offer.yiaddr == ip("10.9.0.11"));
  CHECK(offer.options.address(option::server_id) == ip("10.5.5.5"));
  auto request = b.select(2, offer.yiaddr, "10.5.5.5");
  request.giaddr = p.giaddr;
  request.options.set(option::relay_agent, agent);
  b.send(request);
  b.last(message_type::ack);
  // A NAK through a relay asks for a broadcast (RFC 2131 §4.3.2).
  request = b.select(3, ip("10.0.0.100"));
  request.giaddr = ip("10.9.0.1");
  b.send(request);
  auto nak = b.last(message_type::nak);
  CHECK(nak.wants_broadcast());
  CHECK(b.how().to.address == ip("10.9.0.1"));
  p = b.message(message_type::discover, 4);
  p.giaddr = ip("172.16.0.1");
  b.send(p);
  CHECK(b.silent());
  CHECK(b.said(messages::no_network));
  p.options.set_address(option::subnet_selection, ip("10.9.0.0")); // RFC 3011
  b.send(p);
  CHECK(b.last(message_type::offer).options.has(option::subnet_selection));
}

TEST_CASE("dhcp engine: broadcast flag and where replies go") {
  bench b;
  auto p = b.message(message_type::discover, 1);
  p.flags = packet::broadcast_flag;
  b.send(p);
  b.last(message_type::offer);
  CHECK(b.how().how == destination::broadcast);
  CHECK(b.how().to == endpoint{ip("255.255.255.255"), 68});
  b.from.peer = {ip("127.0.0.1"), 4567};
  b.send(p);
  b.last(message_type::offer);
  CHECK(b.how().to == b.from.peer);
}

TEST_CASE("dhcp engine: leases end on the boot clock; a step of the wall clock loses nothing") {
  bench b;
  auto address = b.dora(1);
  b.time.step_wall(std::chrono::hours(24 * 365 * 20));
  b.pass(1h);
  CHECK(b.policy.leases(b.at()).size() == 1);
  CHECK(b.said(messages::clock_stepped));
  // Stored again in the new time, so that a restart sees it running.
  CHECK(b.store.stored.at(address).expires == b.time.wall() + 11h);
  bench after;
  after.store = b.store;
  after.time.step_wall(b.time.wall() - after.time.wall());
  after.policy.load(after.store.load().value(), after.at());
  CHECK(after.policy.leases(after.at()).size() == 1);
  CHECK(after.dora(2) != address);
  after.pass(12h);
  CHECK_FALSE(after.policy.find(address, after.at())->state == lease_state::active);
  CHECK(after.store.stored.at(address).state == lease_state::expired);
  // Without a clock chip the machine wakes years early: no lease lasts longer than it was given.
  bench early;
  early.time.step_wall(-std::chrono::hours(24 * 365 * 30));
  early.policy.load(b.store.load().value(), early.at());
  CHECK(early.policy.leases(early.at()).size() == 1);
  early.pass(13h);
  CHECK(early.policy.leases(early.at()).empty());
}

TEST_CASE("dhcp engine: the client's wish for a lease time is bounded") {
  bench b;
  auto p = b.message(message_type::discover, 1);
  p.options.set_u32(option::lease_time, 600);
  b.send(p);
  CHECK(b.last(message_type::offer).options.u32(option::lease_time) == 600);
  p.options.set_u32(option::lease_time, 1);
  b.send(p);
  CHECK(b.last(message_type::offer).options.u32(option::lease_time) == 120);
  p.options.set_u32(option::lease_time, 0xffffffff);
  b.send(p);
  CHECK(b.last(message_type::offer).options.u32(option::lease_time) == 7 * 86400);
  auto c = lab();
  c.networks[0].options.lease = duration::max();
  bench forever(c);
  auto address = forever.dora(1);
  CHECK(forever.store.stored.at(address).expires == wall_time::max());
  forever.pass(std::chrono::hours(24 * 365));
  CHECK(forever.policy.leases(forever.at()).size() == 1);
}

TEST_CASE("dhcp engine: another server is noticed") {
  bench b(lab("10.0.0.100-10.0.0.100"));
  auto address = b.discover(1);
  b.send(b.select(1, ip("10.0.0.7"), "10.0.0.2"));
  CHECK(b.silent());
  CHECK(b.said(messages::other_server));
  REQUIRE(b.policy.foreign_servers().size() == 1);
  CHECK(b.policy.foreign_servers()[0].address == ip("10.0.0.2"));
  CHECK(b.discover(2) == address); // our offer was freed
  auto reply = b.message(message_type::offer, 3);
  reply.op = packet::reply_op;
  reply.yiaddr = ip("10.0.0.8");
  reply.options.set_address(option::server_id, ip("10.0.0.3"));
  b.send(reply);
  CHECK(b.silent());
  CHECK(b.policy.foreign_servers().size() == 2);
}

TEST_CASE("dhcp engine: boot clients get what the policy says") {
  engine_hooks hooks;
  boot_request asked;
  boot_reply answer;
  answer.what = boot_reply::kind::boot;
  answer.file = "snponly.efi";
  answer.next_server = ip("10.0.0.5");
  hooks.boot = [&](const boot_request& r) {
    asked = r;
    return answer;
  };
  bench b(lab(), hooks);
  b.policy.handle(corpus_packet(dhcp_corpus[0]), b.from, b.at(), b.out);
  b.take();
  auto offer = b.last(message_type::offer);
  CHECK(asked.architectures == std::vector<std::uint16_t>{7});
  CHECK(asked.guid.size() == 17);
  CHECK(asked.server == ip("10.0.0.1"));
  CHECK(offer.file == "snponly.efi");
  CHECK(offer.siaddr == ip("10.0.0.5"));
  CHECK(as_text(*offer.options.find(option::boot_file)) == "snponly.efi"); // no NUL for UEFI
  CHECK(offer.options.text(option::tftp_server) == "10.0.0.5");
  CHECK_FALSE(offer.options.has(option::vendor_class)); // EDK2 would go to port 4011
  CHECK(offer.options.find(option::machine_id)->size() == 17);
  // An old ROM gets its NUL.
  b.policy.handle(corpus_packet(dhcp_corpus[4]), b.from, b.at(), b.out);
  b.take();
  CHECK(b.last(message_type::offer).options.find(option::boot_file)->back() == 0);
  // HTTP boot: class echoed, a URL that is too long for the file field.
  answer.vendor_class = "HTTPClient";
  answer.file = "http://10.0.0.1:8080/assets/" + std::string(150, 'x') + ".efi";
  b.policy.handle(corpus_packet(dhcp_corpus[1]), b.from, b.at(), b.out);
  b.take();
  offer = b.last(message_type::offer);
  CHECK(offer.options.text(option::vendor_class) == "HTTPClient");
  CHECK(offer.options.text(option::boot_file) == answer.file);
  CHECK(offer.file.empty());
  // iPXE is known by its raw user class.
  b.policy.handle(corpus_packet(dhcp_corpus[3]), b.from, b.at(), b.out);
  b.take();
  CHECK(asked.user_class == "iPXE");
  CHECK_FALSE(asked.ipxe.empty());
  // An operating system is not asked about.
  asked = {};
  answer.file = "pi";
  b.policy.handle(corpus_packet(dhcp_corpus[6]), b.from, b.at(), b.out);
  b.take();
  CHECK(asked.vendor_class.empty());
  b.last(message_type::offer);
  // Refused: an address, nothing to boot, and a line that says why.
  answer.what = boot_reply::kind::refuse;
  answer.reason = "no profile for arm64";
  answer.message_id = "NL-BOOT-001";
  b.policy.handle(corpus_packet(dhcp_corpus[2]), b.from, b.at(), b.out);
  b.take();
  b.policy.handle(corpus_packet(dhcp_corpus[0]), b.from, b.at(), b.out);
  b.take();
  CHECK(b.said(messages::boot_refused));
  auto told = std::find_if(b.events.rbegin(), b.events.rend(),
                           [](const boot_event& e) { return e.stage == boot_stage::refused; });
  REQUIRE(told != b.events.rend());
  CHECK(told->detail == "no profile for arm64");
  CHECK(told->message_id == "NL-BOOT-001");
  auto plain = b.last(message_type::offer);
  CHECK(plain.file.empty());
  CHECK_FALSE(plain.options.find(option::boot_file).has_value());
}

TEST_CASE("dhcp engine: a refused boot is told between its DISCOVER and its offer, once") {
  engine_hooks hooks;
  hooks.boot = [](const boot_request&) {
    boot_reply r;
    r.what = boot_reply::kind::refuse;
    r.reason = "no profile";
    r.architecture = "x64-uefi";
    return r;
  };
  bench b(lab(), hooks);
  auto as_firmware = [](packet p) {
    p.options.set(option::vendor_class, as_bytes("PXEClient:Arch:00007:UNDI:003016"));
    return p;
  };
  b.send(as_firmware(b.message(message_type::discover, 9)));
  auto offered = b.last(message_type::offer).yiaddr;
  b.send(as_firmware(b.select(9, offered)));
  std::vector<boot_stage> stages;
  for (const auto& e : b.events) stages.push_back(e.stage);
  CHECK(stages == std::vector{boot_stage::discover, boot_stage::refused, boot_stage::offer, boot_stage::ack});
  REQUIRE(b.events.size() > 1);
  CHECK(b.events[1].message_id == messages::boot_refused.id);
  CHECK(b.events[1].architecture == "x64-uefi");
}

TEST_CASE("dhcp engine: a REQUEST that forgot to say that it boots gets what its DISCOVER got") {
  engine_hooks hooks;
  hooks.boot = [](const boot_request&) {
    boot_reply r;
    r.what = boot_reply::kind::boot;
    r.file = "bootcode.bin";
    return r;
  };
  bench b(lab(), hooks);
  b.policy.handle(corpus_packet(dhcp_corpus[5]), b.from, b.at(), b.out);
  b.take();
  auto offer = b.last(message_type::offer);
  auto p = b.select(9, offer.yiaddr);
  b.send(p);
  CHECK(b.last(message_type::ack).file == "bootcode.bin");
}

TEST_CASE("dhcp engine: classes") {
  auto c = lab();
  c.classes.push_back({.name = "pi",
                       .vendor_class = "PXEClient:*",
                       .user_class = {},
                       .mac = "02:00:00:00:00:*",
                       .architectures = {0},
                       .options = {}});
  c.classes[0].options.raw.push_back({option::vendor_specific, {1, 2, 3}, true});
  c.classes[0].options.lease = 30min;
  c.networks[0].options.raw.push_back({option::vendor_specific, {9}, true});
  c.networks[0].options.routes = {{cidr::parse("10.5.0.0/16").value(), ip("10.0.0.2")}};
  bench b(c);
  b.policy.handle(corpus_packet(dhcp_corpus[5]), b.from, b.at(), b.out);
  b.take();
  auto offer = b.last(message_type::offer);
  CHECK(to_hex(*offer.options.find(option::vendor_specific)) == "010203");
  CHECK(offer.options.u32(option::lease_time) == 1800);
  b.send(b.message(message_type::discover, 1));
  offer = b.last(message_type::offer);
  CHECK(to_hex(*offer.options.find(option::vendor_specific)) == "09");
  // The default route goes along with option 121 (RFC 3442).
  CHECK(decode_routes(*offer.options.find(option::classless_routes)).value().size() == 2);
}

TEST_CASE("dhcp engine: names are cleaned, and a declared node's name is not for sale") {
  engine_hooks hooks;
  hooks.may_use_name = [](std::string_view name, const node_identity&) { return name != "talos-1"; };
  bench b(lab(), hooks);
  auto address = b.discover(1);
  auto p = b.select(1, address);
  p.options.set_text(option::host_name, "Bob's_PC.home");
  b.send(p);
  CHECK(b.last(message_type::ack).options.text(option::host_name) == "bobs-pc");
  CHECK(b.store.stored.at(address).hostname == "bobs-pc");
  address = b.discover(2);
  p = b.select(2, address);
  p.options.set(option::client_fqdn, encode_fqdn(5, "talos-1.lab"));
  b.send(p);
  b.last(message_type::ack);
  CHECK(b.store.stored.at(address).hostname.empty());
  CHECK(b.said(messages::name_refused));
}

TEST_CASE("dhcp engine: inform, rapid commit, BOOTP") {
  auto c = lab();
  c.networks[0].rapid_commit = c.networks[0].bootp = true;
  bench b(c);
  auto p = b.message(message_type::inform, 1);
  p.ciaddr = ip("10.0.0.50");
  b.send(p);
  auto ack = b.last(message_type::ack);
  CHECK(ack.yiaddr.is_unspecified());
  CHECK_FALSE(ack.options.has(option::lease_time));
  CHECK(b.how().to == endpoint{ip("10.0.0.50"), 68});
  CHECK(b.store.writes == 0);
  p = b.message(message_type::discover, 2);
  p.options.set(option::rapid_commit, {});
  b.send(p);
  ack = b.last(message_type::ack);
  CHECK(ack.options.has(option::rapid_commit));
  CHECK(b.store.stored.contains(ack.yiaddr));
  b.send(b.message(message_type::none, 3));
  auto bootp = b.last(message_type::none);
  CHECK_FALSE(bootp.yiaddr.is_unspecified());
  CHECK(b.store.stored.at(bootp.yiaddr).expires == wall_time::max());
  bench off;
  off.send(off.message(message_type::none, 3));
  CHECK(off.silent());
  CHECK(off.counted(count::bootp_refused) == 1);
}

TEST_CASE("dhcp engine: as a proxy it answers boot clients only, without addresses") {
  engine_hooks hooks;
  hooks.boot = [](const boot_request&) {
    boot_reply r;
    r.what = boot_reply::kind::boot;
    r.file = "snponly.efi";
    return r;
  };
  auto c = lab();
  c.networks[0].mode = service::proxy;
  bench b(c, hooks);
  b.send(b.message(message_type::discover, 1));
  CHECK(b.silent());
  auto raw = corpus_packet(dhcp_corpus[0]);
  b.policy.handle(raw, b.from, b.at(), b.out);
  b.take();
  auto offer = b.last(message_type::offer);
  CHECK(offer.yiaddr.is_unspecified());
  CHECK(offer.siaddr == ip("10.0.0.1"));
  CHECK(offer.options.text(option::vendor_class) == "PXEClient");
  CHECK_FALSE(offer.options.has(option::lease_time));
  CHECK_FALSE(offer.options.has(option::subnet_mask));
  // Port 4011 answers to where the question came from.
  b.from.proxy_port = true;
  b.from.peer = {ip("10.0.0.77"), 4011};
  auto request = decode(corpus_packet(dhcp_corpus[2])).value();
  request.ciaddr = ip("10.0.0.77");
  b.send(request);
  CHECK(b.last(message_type::ack).file == "snponly.efi");
  CHECK(b.how().to == b.from.peer);
  CHECK(b.how().proxy_port);
}

TEST_CASE("dhcp engine: a proxy's option 43 is the firmware's, the recipe's, or one machine's") {
  engine_hooks hooks;
  hooks.boot = [](const boot_request& r) {
    boot_reply b;
    b.what = boot_reply::kind::boot;
    b.file = "loader";
    if (r.vendor_class.starts_with("HTTPClient")) b.vendor_class = "HTTPClient";
    return b;
  };
  auto c = lab();
  c.networks[0].mode = service::proxy;
  auto offer = [&](const server_config& config, int entry) {
    bench b(config, hooks);
    b.policy.handle(corpus_packet(dhcp_corpus[entry]), b.from, b.at(), b.out);
    b.take();
    return b.last(message_type::offer);
  };
  auto option43 = [](const packet& p) {
    auto value = p.options.find(option::vendor_specific);
    return value ? to_hex(*value) : "none";
  };
  constexpr int uefi = 0, http = 1, ipxe = 3, bios = 4;
  auto rom = offer(c, bios);
  CHECK(option43(rom) == "060108ff"); // boot what this reply names
  CHECK(rom.sname == "10.0.0.1");
  CHECK(rom.siaddr == ip("10.0.0.1"));
  CHECK(option43(offer(c, uefi)) == "none"); // it goes to port 4011
  CHECK(option43(offer(c, http)) == "none");
  CHECK(offer(c, http).options.text(option::vendor_class) == "HTTPClient");
  CHECK(option43(offer(c, ipxe)) == "none");
  c.networks[0].hints.what = pxe_hints::kind::control;
  CHECK(option43(offer(c, uefi)) == "060108ff");
  c.networks[0].hints.what = pxe_hints::kind::omit;
  CHECK(option43(offer(c, bios)) == "none");
  fixed_host host;
  host.name = "odd";
  host.macs = {{{2, 0, 0, 0, 0, 9}}};
  host.hints = pxe_hints{pxe_hints::kind::bytes, {6, 1, 7, 255}};
  c.hosts = {host};
  CHECK(option43(offer(c, uefi)) == "060107ff");
  CHECK(option43(offer(c, bios)) == "060107ff");
  c.networks[0].mode = service::full; // hints are a proxy's
  CHECK(option43(offer(c, bios)) == "none");
}

TEST_CASE("dhcp engine: a proxy learns from the REQUEST to the other server who has which address") {
  auto c = lab();
  c.networks[0].mode = service::proxy;
  bench b(c);
  b.send(b.select(3, ip("10.0.0.77"), "10.0.0.254"));
  CHECK(b.silent());
  REQUIRE(b.events.size() == 1);
  CHECK(b.events[0].stage == boot_stage::ack);
  CHECK(b.events[0].overheard);
  CHECK(b.events[0].proxied);
  CHECK(b.events[0].node.address == ip("10.0.0.77"));
  CHECK(b.events[0].node.mac == mac_of(3));
  CHECK(b.events[0].detail == "10.0.0.77 from 10.0.0.254");
  REQUIRE(b.policy.foreign_servers().size() == 1);
  CHECK(b.policy.foreign_servers()[0].address == ip("10.0.0.254"));
  b.send(b.renew(3, ip("10.0.0.77")));
  REQUIRE(b.events.size() == 2);
  CHECK(b.events[1].detail == "10.0.0.77, as before");
  b.send(b.reboot(3, ip("10.0.0.78")));             // the other server may refuse it
  b.send(b.select(3, ip("0.0.0.0"), "10.0.0.1"));   // takes a proxy's offer for an address
  b.send(b.select(3, ip("0.0.0.0"), "10.0.0.254")); // nonsense
  CHECK(b.events.size() == 2);
  CHECK(b.silent());
  CHECK(b.counted(count::other_server) == 5);
  CHECK(b.store.writes == 0);
}

TEST_CASE("dhcp engine: hostile datagrams are counted, said once, and change nothing") {
  bench b;
  seeded_random random(7);
  for (int i = 0; i < 3000; ++i) {
    auto p = corpus_packet(dhcp_corpus[static_cast<std::size_t>(i) % std::size(dhcp_corpus)]);
    for (int k = 0; k < 12; ++k) p[random.u32() % p.size()] = static_cast<std::uint8_t>(random.u32());
    p.resize(random.u32() % (p.size() + 1));
    b.policy.handle(p, b.from, b.at(), b.out);
    b.take();
  }
  CHECK(b.counted(count::malformed) > 1000);
  auto lines = std::count_if(b.notes.begin(), b.notes.end(),
                             [](const auto& n) { return n.what == &messages::malformed; });
  CHECK(lines < 20);
}

TEST_CASE("dhcp engine: twenty thousand clients each get their own address") {
  auto c = lab();
  c.networks[0].subnet = cidr::parse("10.0.0.0/16").value();
  c.networks[0].ranges = {ip_range::parse("10.0.1.0-10.0.255.254").value()};
  bench b(c);
  std::set<ip_address> seen;
  for (unsigned n = 0; n < 20000; ++n) seen.insert(b.dora(n));
  CHECK(seen.size() == 20000);
  CHECK(b.policy.leases(b.at()).size() == 20000);
  b.pass(13h);
  CHECK(b.policy.leases(b.at()).empty());
  CHECK(b.policy.next_deadline() == boot_time::max()); // nothing left that would wake it
}

TEST_CASE("dhcp engine: configuration mistakes are all named") {
  auto c = lab();
  c.networks[0].ranges = {ip_range::parse("10.1.0.1-10.1.0.9").value()};
  c.networks[0].options.raw.push_back({option::lease_time, {0, 0, 0, 1}, true});
  c.hosts.push_back({});
  c.classes.push_back({});
  CHECK(check(c).size() == 4);
  c = lab();
  c.networks.push_back(c.networks[0]);
  CHECK(check(c).size() == 2); // the name, and the overlap
  std::set<std::string_view> ids;
  for (const auto* m : dhcp_messages()) {
    CHECK(ids.insert(m->id).second);
    CHECK(std::string_view(m->explain).size() > 20);
  }
}
