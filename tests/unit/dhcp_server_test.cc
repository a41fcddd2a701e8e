#include <doctest/doctest.h>

#include "dhcp/frame.h"
#include "netlab/dhcp_client.h"
#include "netlab/dhcp_server.h"
#include "netlab/simulation.h"
#include "support/memory_lease_store.h"
#include "support/memory_net.h"

using namespace netlab;
using namespace netlab::dhcp;
using namespace std::chrono_literals;

namespace {

struct no_files final : files {
  result<std::string> read(const std::string&, std::size_t) override { return fail(errc::unsupported, ""); }
  result<void> write(const std::string&, std::string_view, int) override {
    return fail(errc::unsupported, "");
  }
  result<file_info> info(const std::string&) override { return fail(errc::unsupported, ""); }
  result<std::vector<file_info>> list(const std::string&) override { return fail(errc::unsupported, ""); }
  result<void> make_folders(const std::string&, int) override { return fail(errc::unsupported, ""); }
  result<void> remove(const std::string&) override { return fail(errc::unsupported, ""); }
  result<std::shared_ptr<void>> watch(const std::string&, std::function<void()>) override {
    return fail(errc::unsupported, "");
  }
};
struct no_processes final : processes {
  result<std::unique_ptr<child_process>> spawn(const process_options&,
                                               std::function<void(process_result)>) override {
    return fail(errc::unsupported, "");
  }
};
struct no_http final : http_client {
  std::unique_ptr<http_exchange> send(http_request, std::function<void(result<http_response>)>) override {
    return nullptr;
  }
};

const mac_address client_mac{{2, 0, 0, 0, 0, 9}};

struct world {
  world() {
    network_config n;
    n.name = "lan";
    n.subnet = cidr::parse("10.0.0.0/24").value();
    n.server = ip_address::v4(10, 0, 0, 1);
    n.ranges = {ip_range::parse("10.0.0.100-10.0.0.199").value()};
    options.config.networks = {n};
    options.on_lease = [this](const lease& l) { given.push_back(l); };
    options.on_lease_end = [this](const lease& l, end_reason) { ended.push_back(l); };
    options.on_event = [this](const boot_event& e) { events.push_back(e); };
  }
  void start() {
    auto made = server::start(rt, store, options);
    REQUIRE_MESSAGE(made.has_value(), made.error().message);
    running = std::move(*made);
  }
  packet message(message_type type) const {
    packet p;
    p.xid = 5;
    p.set_mac(client_mac);
    p.options.set_u8(option::type, static_cast<std::uint8_t>(type));
    return p;
  }
  void send(const packet& p) { net.deliver(67, {ip_address::v4(0), 68}, encode(p).value()); }
  void commit() {
    store.run();
    time.settle();
  }

  manual_time time;
  seeded_random random{1};
  memory_net net;
  no_files files_;
  no_processes processes_;
  no_http http;
  metrics numbers;
  memory_lease_store store;
  runtime rt{time, time, random, net, files_, processes_, http, netlab::log(), numbers};
  server_options options;
  std::vector<lease> given, ended;
  std::vector<boot_event> events;
  std::unique_ptr<server> running;
};

} // namespace

TEST_CASE("dhcp server: probe, offer to a client without an address, commit, ack, hooks") {
  world w;
  w.start();
  REQUIRE(w.running->endpoints().size() == 1);
  REQUIRE(w.net.frames.size() == 16); // the conflict probes, ahead of demand
  CHECK(w.net.frame_sends == 1);
  CHECK(w.net.frames[0].protocol == ethertype_arp);
  CHECK(parse_arp(w.net.frames[0].payload)->target_address == ip_address::v4(10, 0, 0, 100));
  w.send(w.message(message_type::discover));
  w.net.frames.clear();
  w.time.advance(249ms);
  CHECK(w.net.frames.empty());
  w.time.advance(1ms);
  REQUIRE(w.net.frames.size() == 1);
  CHECK(w.net.frames[0].to == client_mac);
  auto offer = parse_udp_frame(w.net.frames[0].payload);
  REQUIRE(offer.has_value());
  CHECK(offer->from == endpoint{ip_address::v4(10, 0, 0, 1), 67});
  CHECK(offer->to == endpoint{ip_address::v4(10, 0, 0, 100), 68});
  CHECK(decode(offer->payload)->type() == message_type::offer);
  auto p = w.message(message_type::request);
  p.options.set_address(option::server_id, ip_address::v4(10, 0, 0, 1));
  p.options.set_address(option::requested_address, ip_address::v4(10, 0, 0, 100));
  w.send(p);
  w.time.settle();
  CHECK(w.net.frames.size() == 1); // not before the store is done
  CHECK(w.given.empty());
  w.commit();
  REQUIRE(w.net.frames.size() == 2);
  CHECK(decode(parse_udp_frame(w.net.frames[1].payload)->payload)->type() == message_type::ack);
  REQUIRE(w.given.size() == 1);
  CHECK(w.numbers.get("netlab_dhcp_packets_total", {{"server", "dhcp"}, {"what", "ack"}}).value() == 1);
  CHECK(w.running->leases().size() == 1);
  // The one timer ends the lease and the store hears of it before the hook.
  w.time.advance(13h);
  CHECK(w.ended.empty());
  w.commit();
  CHECK(w.ended.size() == 1);
}

TEST_CASE("dhcp server: without CAP_NET_RAW a neighbour entry, without CAP_NET_ADMIN too a broadcast") {
  world w;
  w.net.refuse_packets = true;
  w.start(); // no probe either: there is no ARP socket
  w.send(w.message(message_type::discover));
  REQUIRE(w.net.datagrams.size() == 1);
  CHECK(w.net.datagrams[0].to == endpoint{ip_address::v4(10, 0, 0, 100), 68});
  REQUIRE(w.net.neighbours.size() == 1);
  CHECK(w.net.neighbours[0].second == client_mac);

  world full; // the kernel takes no frame: the reply leaves another way
  full.options.config.networks[0].probe = false;
  full.net.refuse_frames = true;
  full.start();
  full.send(full.message(message_type::discover));
  CHECK(full.net.datagrams.size() == 1);
  CHECK(full.net.frames.empty());

  world poor;
  poor.net.refuse_neighbours = poor.net.refuse_packets = true;
  poor.start(); // no probe either: there is no ARP socket
  poor.send(poor.message(message_type::discover));
  REQUIRE(poor.net.datagrams.size() == 1);
  CHECK(poor.net.datagrams[0].to == endpoint{ip_address::v4(0xffffffff), 68});
}

TEST_CASE("dhcp server: one batch in, one batch out") {
  world w;
  w.options.config.networks[0].probe = false;
  w.start();
  std::vector<byte_vector> raw;
  std::vector<datagram> batch;
  for (std::uint8_t i = 0; i < 20; ++i) {
    auto p = w.message(message_type::discover);
    p.set_mac({{2, 0, 0, 0, 1, i}});
    raw.push_back(encode(p).value());
  }
  for (auto& r : raw) {
    datagram d;
    d.peer = {ip_address::v4(0), 68};
    d.interface = 7;
    d.data = r;
    batch.push_back(d);
  }
  w.net.at_port(67)->receive(batch);
  CHECK(w.net.frames.size() == 20);
  CHECK(w.net.frame_sends == 1);
}

TEST_CASE("dhcp server: interfaces appear and vanish; stop drains; errors are errors") {
  world w;
  w.options.config.networks[0].probe = false;
  auto there = w.net.present;
  w.net.present.clear();
  w.start();
  CHECK(w.running->endpoints().empty()); // waits
  w.net.present = there;
  w.net.changed();
  CHECK(w.running->endpoints().size() == 1);
  w.send(w.message(message_type::discover));
  auto p = w.message(message_type::request);
  p.options.set_address(option::requested_address, ip_address::v4(10, 0, 0, 100));
  w.send(p);
  auto before = w.net.frames.size();
  auto config = w.options.config;
  config.networks[0].ranges = {ip_range::parse("10.0.0.50-10.0.0.60").value()};
  CHECK(w.running->reconfigure(config).has_value());
  config.networks.clear();
  CHECK(w.running->reconfigure(config).error().code == errc::invalid);
  bool stopped = false;
  w.running->stop([&] { stopped = true; });
  CHECK(stopped);
  CHECK(w.net.frames.size() == before + 1); // the ACK of the commit in flight
  CHECK(w.net.sockets.empty());

  world busy;
  busy.net.refuse_udp = true;
  CHECK(server::start(busy.rt, busy.store, busy.options).error().code == errc::exists);
  busy.options.config.networks.clear();
  CHECK(server::start(busy.rt, busy.store, busy.options).error().code == errc::invalid);
}

TEST_CASE("dhcp server: may be destroyed while the store is busy") {
  world w;
  w.options.config.networks[0].probe = false;
  w.start();
  auto p = w.message(message_type::request);
  p.options.set_address(option::requested_address, ip_address::v4(10, 0, 0, 100));
  w.send(p);
  w.running.reset();
  w.commit();
  CHECK(w.given.empty());
}

TEST_CASE(
    "dhcp server: a ROM with half an IP stack is nudged, and its hardware address kept while it loads") {
  world w;
  w.options.hooks.boot = [](const boot_request&) {
    boot_reply b;
    b.what = boot_reply::kind::boot;
    b.takes_offer = b.keep_arp = b.nudge = true;
    return b;
  };
  w.options.config.networks[0].probe = false;
  w.start();
  auto p = w.message(message_type::discover);
  p.options.set_u16(option::architecture, 0);
  w.send(p);
  CHECK(w.net.frames.empty()); // the OFFER waits for the lease
  w.commit();
  REQUIRE(w.net.frames.size() == 1);
  CHECK(decode(parse_udp_frame(w.net.frames[0].payload)->payload)->type() == message_type::offer);
  auto address = ip_address::v4(10, 0, 0, 100);
  CHECK(w.net.kept.at(address) == client_mac);
  w.time.advance(599ms);
  CHECK(w.net.datagrams.empty());
  w.time.advance(700ms);
  REQUIRE(w.net.datagrams.size() == 2);
  for (const auto& nudge : w.net.datagrams) {
    CHECK(nudge.to == endpoint{ip_address::v4(0xffffffff), 9});
    REQUIRE(nudge.data.size() == 102);
    CHECK(to_hex(byte_view(nudge.data).first(12)) == "ffffffffffff020000000009");
  }
  w.time.advance(4min);
  CHECK(w.net.kept.size() == 1);
  w.time.advance(1min);
  CHECK(w.net.kept.empty());
  // An end of the lease, and of the server, end the entry as well.
  w.send(p);
  w.commit();
  CHECK(w.net.kept.size() == 1);
  REQUIRE(w.running->drop_lease(address).has_value());
  w.commit();
  CHECK(w.net.kept.empty());
  w.running->keep_arp(address, client_mac);
  CHECK(w.net.kept.size() == 1);
  w.running->keep_arp(ip_address::v4(10, 9, 0, 1), client_mac); // no network of ours
  CHECK(w.net.kept.size() == 1);
  w.running.reset();
  CHECK(w.net.kept.empty());
}

TEST_CASE("dhcp client: takes the booting offer, and the proxy's file") {
  client_options o;
  o.mac = client_mac;
  o.architecture = 11;
  client_engine c(o, 99);
  std::vector<client_output> out;
  boot_time now{};
  c.start(now, out);
  REQUIRE(out.size() == 1);
  auto discover = decode(out[0].message).value();
  CHECK(discover.options.text(option::vendor_class) == "PXEClient:Arch:00011:UNDI:003000");
  CHECK(machine_uuid(discover).has_value());
  out.clear();
  auto offer = [&](const char* server, const char* address, const char* file) {
    packet p;
    p.op = packet::reply_op;
    p.xid = 99;
    p.set_mac(client_mac);
    p.yiaddr = ip_address::parse(address).value();
    p.options.set_u8(option::type, 2);
    p.options.set_address(option::server_id, ip_address::parse(server).value());
    p.file = file;
    return p;
  };
  auto give = [&](const packet& p) { c.receive(encode(p).value(), now, out); };
  give(offer("10.0.0.2", "10.0.0.50", "")); // first, but without a file
  give(offer("10.0.0.1", "10.0.0.100", ""));
  give(offer("10.0.0.3", "0.0.0.0", "")); // a proxy that tells on port 4011
  auto stranger = offer("10.0.0.4", "10.0.0.44", "x");
  stranger.xid = 1;
  give(stranger);
  CHECK(c.report().offers.size() == 3);
  now += 700ms;
  c.advance(now, out);
  REQUIRE(out.size() == 1);
  CHECK(decode(out[0].message)->options.address(option::server_id) == ip_address::v4(10, 0, 0, 2));
  out.clear();
  auto ack = offer("10.0.0.2", "10.0.0.50", "");
  ack.options.set_u8(option::type, 5);
  ack.options.set_u32(option::lease_time, 600);
  give(ack);
  REQUIRE(out.size() == 1);
  CHECK(out[0].to == endpoint{ip_address::v4(10, 0, 0, 3), 4011});
  auto told = offer("10.0.0.3", "0.0.0.0", "snponly.efi");
  told.options.set_u8(option::type, 5);
  give(told);
  CHECK(c.done());
  CHECK_FALSE(c.report().failure.has_value());
  CHECK(c.report().lease->boot_file == "snponly.efi");
  CHECK(c.report().lease->boot_from_proxy);
  CHECK(c.next_deadline() == boot_time::max());
}

TEST_CASE("dhcp client: silence, refusals and half answers end with their reason") {
  client_options o;
  o.mac = client_mac;
  std::vector<client_output> out;
  client_engine silent(o, 1);
  silent.start({}, out);
  for (int guard = 0; guard < 100 && !silent.done(); ++guard) silent.advance(silent.next_deadline(), out);
  CHECK(silent.report().failure->code == errc::timeout);
  CHECK(silent.report().failure->message == "no DHCP server answered");
  CHECK(out.size() >= 3);
  client_engine broken(o, 1);
  broken.start({}, out);
  broken.receive(as_bytes("garbage"), {}, out);
  CHECK(broken.report().steps.back().what == "unreadable");
}

TEST_CASE("dhcp client and server: a whole exchange over the interface") {
  world w;
  w.options.hooks.boot = [](const boot_request& r) {
    boot_reply b;
    if (r.vendor_class.empty()) return b;
    b.what = boot_reply::kind::boot;
    b.file = "ipxe.efi";
    return b;
  };
  w.start();
  client_options o;
  o.mac = client_mac;
  o.release = true;
  std::optional<client_report> report;
  auto c = client::start(w.rt, {"lab0", {}}, o, [&](client_report r) { report = std::move(r); });
  REQUIRE(c.has_value());
  // The wire: frames to port 67 reach the server, its datagrams the client.
  for (int turn = 0; turn < 200 && !(report && w.store.stored.begin()->second.state == lease_state::released);
       ++turn) {
    w.time.settle();
    auto frames = std::move(w.net.frames);
    w.net.frames.clear();
    for (auto& f : frames)
      if (auto u = parse_udp_frame(f.payload); f.protocol == ethertype_ipv4 && u && u->to.port == 67)
        w.net.deliver(67, u->from, u->payload);
    w.commit();
    auto datagrams = std::move(w.net.datagrams);
    w.net.datagrams.clear();
    for (auto& d : datagrams)
      w.net.deliver_frame(ethertype_ipv4, {{2, 0, 0, 0, 0xff, 1}},
                          make_udp_frame({ip_address::v4(10, 0, 0, 1), 67}, d.to, d.data));
    w.time.advance(50ms);
  }
  REQUIRE(report.has_value());
  REQUIRE_FALSE(report->failure.has_value());
  CHECK(report->lease->address == ip_address::v4(10, 0, 0, 100));
  CHECK(report->lease->network.prefix == 24);
  CHECK(report->lease->boot_file == "ipxe.efi");
  CHECK(report->lease->boot_server == ip_address::v4(10, 0, 0, 1));
  CHECK(report->lease->term == 12h);
  CHECK(w.running->leases().empty()); // given back
  CHECK(client::start(w.rt, {"none0", {}}, o, [](client_report) {}).error().code == errc::not_found);
}
