#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "netlab/tftp_client.h"
#include "netlab/tftp_server.h"
#include "support/fake_world.h"
#include "support/temporary_folder.h"
#include "tftp/packet.h"

using namespace netlab;
using namespace netlab::tftp;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

const metric_labels of_tftp{{"server", "tftp"}};

std::string sample(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>((i * 2654435761u) >> 11);
  return out;
}

// Files from memory; `later` holds replies back until the test gives them.
struct memory_source final : asset_source {
  std::map<std::string, std::string> files;
  std::map<std::string, error> refusals;
  std::vector<asset_request> asked;
  std::vector<transfer_report> reports;
  bool hold = false;
  std::vector<std::function<void()>> later;

  void open(const asset_request& request, asset_reply_fn reply) override {
    asked.push_back(request);
    auto answer = [this, path = request.path, reply] {
      if (auto no = refusals.find(path); no != refusals.end()) return reply(tl::unexpected(no->second));
      auto found = files.find(path);
      if (found == files.end()) return reply(fail(errc::not_found, path + ": nothing there"));
      asset out;
      out.content = std::make_shared<const std::string>(found->second);
      out.on_done = [this](const transfer_report& report) { reports.push_back(report); };
      reply(std::move(out));
    };
    if (hold)
      later.push_back(answer);
    else
      answer();
  }
};

// One server and as many clients as a test asks for, on a network of virtual time.
struct lab {
  explicit lab(std::function<void(server_config&)> adjust = {}, std::uint32_t mtu = 1500)
      : network(time), here(time, network.host("10.0.0.1", mtu)) {
    server_config config;
    config.listen = {*endpoint::parse("10.0.0.1:69")};
    config.source = &source;
    config.on_access = [this](const access_record& a) { accesses.push_back(a); };
    if (adjust) adjust(config);
    served = std::make_unique<server>(here.run, config);
    REQUIRE(served->start());
  }

  struct client {
    std::string got;
    std::optional<result<get_result>> done;
    std::unique_ptr<client_transfer> transfer;
  };

  client& get(get_options what, std::string_view host = "10.0.0.2") {
    auto& world = worlds[std::string(host)];
    if (!world) world = std::make_unique<test::fake_world>(time, network.host(host));
    clients.push_back(std::make_unique<client>());
    auto& c = *clients.back();
    get_callbacks callbacks;
    callbacks.on_data = [&c](byte_view data) { c.got += as_text(data); };
    callbacks.on_done = [&c](result<get_result> how) { c.done = std::move(how); };
    auto started = tftp::get(world->run, what, std::move(callbacks));
    REQUIRE(started);
    c.transfer = std::move(*started);
    return c;
  }

  static get_options ask(std::string file, std::optional<std::uint32_t> blksize = 512,
                         std::optional<std::uint32_t> windowsize = {}) {
    get_options out;
    out.server = *endpoint::parse("10.0.0.1:69");
    out.file = std::move(file);
    out.blksize = blksize;
    out.windowsize = windowsize;
    return out;
  }

  // Moves time until the client has ended; false when it never does.
  bool finish(client& c, duration limit = 5min) {
    for (auto end = time.now() + limit; !c.done && time.now() < end;)
      time.advance(std::min<duration>(time.until_next(), 1s));
    time.advance(1ms); // its last packet reaches the server
    return c.done.has_value();
  }

  std::uint64_t metric(const std::string& name) {
    return here.metric("netlab_tftp_" + name + "_total", of_tftp);
  }

  manual_time time;
  test::fake_network network;
  test::fake_world here;
  std::map<std::string, std::unique_ptr<test::fake_world>> worlds;
  memory_source source;
  std::vector<access_record> accesses;
  std::unique_ptr<server> served;
  std::vector<std::unique_ptr<client>> clients; // before the worlds that they live in
};

// A client of raw packets.
struct raw_client {
  raw_client(lab& l, std::string_view host, std::uint16_t port = 0) : time(l.time) {
    udp_options o;
    o.local = {*ip_address::parse(host), port};
    socket = std::move(*l.network.host(host).udp(o));
    socket->on_receive([this](std::span<const datagram> batch) {
      for (const auto& d : batch) {
        from.push_back(d.peer);
        packets.push_back(to_hex(d.data));
      }
    });
  }
  void send(const byte_vector& bytes, const endpoint& to) {
    REQUIRE(socket->send(datagram{to, {}, 0, bytes}));
    time.advance(2ms);
  }
  void send(std::string_view text, const endpoint& to = *endpoint::parse("10.0.0.1:69")) {
    send(byte_vector(text.begin(), text.end()), to);
  }
  std::string last() const { return packets.empty() ? "" : packets.back(); }

  manual_time& time;
  std::unique_ptr<udp_socket> socket;
  std::vector<std::string> packets;
  std::vector<endpoint> from;
};

} // namespace

TEST_CASE("tftp server: sizes around a block arrive whole, in every way of asking") {
  lab l;
  for (std::size_t size : {0, 1, 511, 512, 513, 1024, 5000, 16 * 512, 16 * 512 + 1}) {
    auto name = "/f" + std::to_string(size);
    l.source.files[name] = sample(size);
    for (auto window : {std::optional<std::uint32_t>{}, std::optional<std::uint32_t>{1},
                        std::optional<std::uint32_t>{5}, std::optional<std::uint32_t>{16}}) {
      auto& c = l.get(lab::ask(name, 512, window));
      REQUIRE(l.finish(c));
      REQUIRE(*c.done);
      CHECK(c.got == l.source.files[name]);
      CHECK((*c.done)->size == size);
      CHECK((*c.done)->windowsize == window.value_or(1));
      CHECK(l.source.reports.back().completed);
      CHECK(l.source.reports.back().bytes == size);
    }
    auto bare = lab::ask(name, std::nullopt);
    bare.tsize = false;
    auto& c = l.get(bare);
    REQUIRE(l.finish(c));
    CHECK(c.got == l.source.files[name]);
    CHECK_FALSE((*c.done)->granted.any());
  }
  CHECK(l.served->transfers() == 0);
  CHECK(l.here.logged.count("NL-TFTP-001") == 45);
  CHECK(l.metric("completed") == 45);
  CHECK(l.metric("failed") == 0);
  CHECK(l.network.host("10.0.0.1").open_sockets == 1);
}

TEST_CASE("tftp server: each datagram of a transfer lost, doubled or late, in turn") {
  for (auto window : {std::optional<std::uint32_t>{}, std::optional<std::uint32_t>{4}}) {
    // A clean run first, to know how many datagrams there are.
    std::size_t clean = 0;
    {
      lab l;
      l.source.files["/f"] = sample(512 * 9 + 10);
      auto& c = l.get(lab::ask("f", 512, window));
      REQUIRE(l.finish(c));
      REQUIRE(*c.done);
      clean = l.network.packets;
    }
    for (std::size_t victim = 0; victim < clean; ++victim)
      for (int harm = 0; harm < 4; ++harm) {
        CAPTURE(victim);
        CAPTURE(harm);
        CAPTURE(window.value_or(0));
        lab l;
        l.source.files["/f"] = sample(512 * 9 + 10);
        l.network.rule = [&](const test::packet_in_flight& packet) {
          test::fate what;
          if (packet.number != victim) return what;
          if (harm == 0) what.copies = 0;
          if (harm == 1) what.copies = 2;
          if (harm == 2) what.delay = 350us;
          if (harm == 3) what.delay = 1500ms; // past both sides' first retransmission
          return what;
        };
        auto& c = l.get(lab::ask("f", 512, window));
        REQUIRE(l.finish(c));
        REQUIRE_MESSAGE(*c.done, c.done->error().message);
        CHECK(c.got == l.source.files["/f"]);
        l.time.advance(2min); // the server's side ends too
        CHECK(l.served->transfers() == 0);
        CHECK(l.source.reports.size() == l.metric("requests") - l.metric("repeated_requests"));
        // One accident must not multiply what follows it.
        CHECK(l.network.packets <= clean * 2 + 4);
        CHECK(l.time.until_next() == duration::max());
      }
  }
}

TEST_CASE("tftp server: a bad network slows transfers down and breaks none") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed)
    for (std::uint32_t window : {1u, 4u, 16u}) {
      CAPTURE(seed);
      CAPTURE(window);
      seeded_random random(seed); // outlives the lab, which still sends while it ends
      lab l([](server_config& c) { c.retries = 12; });
      l.source.files["/f"] = sample(512 * 60 + 7);
      l.network.rule = [&](const test::packet_in_flight&) {
        test::fate what;
        auto dice = random.u32() % 100;
        if (dice < 6)
          what.copies = 0;
        else if (dice < 12)
          what.copies = 2;
        else if (dice < 18)
          what.delay = std::chrono::microseconds(random.u32() % 3000);
        return what;
      };
      auto ask = lab::ask("f", 512, window);
      ask.retries = 12;
      auto& c = l.get(ask);
      REQUIRE(l.finish(c, 1h));
      REQUIRE_MESSAGE(*c.done, c.done->error().message);
      CHECK(c.got == l.source.files["/f"]);
      // Doubling everything would be 61 blocks × many; go-back-N repeats part of a window per loss.
      CHECK(l.network.packets < 1200);
    }
}

TEST_CASE("tftp server: a hole in a window is mended at once, not by a timeout") {
  std::size_t lost = 0;
  lab l;
  l.source.files["/f"] = sample(512 * 40);
  l.network.rule = [&](const test::packet_in_flight& packet) {
    test::fate what;
    bool data = packet.bytes.size() > 1 && packet.bytes[1] == 3;
    auto block = data ? packet.bytes[3] : 0;
    // A first, a middle and a last but one block of windows, once each.
    for (std::size_t i = 0; i < 3; ++i)
      if (lost == i && block == std::array{9, 20, 31}[i]) {
        what.copies = 0;
        ++lost;
        break;
      }
    return what;
  };
  auto& c = l.get(lab::ask("f", 512, 8));
  REQUIRE(l.finish(c));
  REQUIRE(*c.done);
  CHECK(c.got == l.source.files["/f"]);
  CHECK(lost == 3);
  CHECK((*c.done)->gaps == 3);
  CHECK((*c.done)->elapsed < 100ms);
}

TEST_CASE("tftp server: more than 65535 blocks") {
  lab l;
  l.source.files["/big"] = sample(8 * 70000 + 5);
  auto& c = l.get(lab::ask("big", 8, 16));
  REQUIRE(l.finish(c));
  REQUIRE(*c.done);
  CHECK(c.got == l.source.files["/big"]);
  CHECK((*c.done)->blocks == 70001);
}

TEST_CASE("tftp server: blksize never needs fragments, and its own limits hold") {
  lab l({}, 1400);
  l.source.files["/f"] = sample(3000);
  auto& c = l.get(lab::ask("f", 65464, 64));
  REQUIRE(l.finish(c));
  CHECK((*c.done)->blksize == 1368);
  CHECK(l.accesses.back().blksize == 1368);
  CHECK(l.accesses.back().windowsize == 64);

  lab narrow([](server_config& s) {
    s.max_blksize = 1024;
    s.max_windowsize = 2;
  });
  narrow.source.files["/f"] = sample(3000);
  auto& d = narrow.get(lab::ask("f", 1428, 16));
  REQUIRE(narrow.finish(d));
  CHECK((*d.done)->blksize == 1024);
  CHECK((*d.done)->windowsize == 2);

  lab wide([](server_config& s) { s.fit_mtu = false; });
  wide.source.files["/f"] = sample(3000);
  auto& e = wide.get(lab::ask("f", 65464));
  REQUIRE(wide.finish(e));
  CHECK((*e.done)->blksize == 65464);
}

TEST_CASE("tftp server: a missing file is a quick and quiet error 1") {
  lab l;
  auto& c = l.get(lab::ask("pxelinux.cfg/default"));
  REQUIRE(l.finish(c));
  REQUIRE_FALSE(*c.done);
  CHECK(c.done->error().code == errc::not_found);
  CHECK(c.done->error().message.find("file not found") != std::string::npos);
  REQUIRE(l.here.logged.lines.size() == 1);
  CHECK(l.here.logged.lines[0].id == "NL-TFTP-002");
  CHECK(l.here.logged.lines[0].level == log_level::debug);
  CHECK(l.metric("not_found") == 1);
  REQUIRE(l.accesses.size() == 1);
  CHECK(l.accesses[0].path == "/pxelinux.cfg/default");
  CHECK_FALSE(l.accesses[0].report.completed);
}

TEST_CASE("tftp server: what the source refuses is refused with its reason") {
  lab l;
  l.source.refusals["/secret"] = {errc::denied, "not for this node", ""};
  l.source.refusals["/broken"] = {errc::io, "the upstream is gone", ""};
  auto& denied = l.get(lab::ask("secret"));
  REQUIRE(l.finish(denied));
  CHECK(denied.done->error().code == errc::denied);
  auto& broken = l.get(lab::ask("broken"));
  REQUIRE(l.finish(broken));
  CHECK(broken.done->error().code == errc::refused);
  CHECK(broken.done->error().message.find("the upstream is gone") != std::string::npos);
  CHECK(l.here.logged.count("NL-TFTP-003") == 1);
  CHECK(l.here.logged.count("NL-TFTP-009") == 1);
  CHECK(l.metric("refused") == 2);
}

TEST_CASE("tftp server: writing, odd modes, broken requests and names that lead out") {
  lab l;
  raw_client c(l, "10.0.0.2");
  c.send("\0\2config\0octet\0"s);
  CHECK(c.last().starts_with("00050002"));
  CHECK(l.here.logged.count("NL-TFTP-004") == 1);
  CHECK(l.accesses.back().write);
  c.send("\0\1x\0mail\0"s);
  CHECK(c.last().starts_with("00050004"));
  c.send("\0\1x\0octet"s);
  CHECK(c.last().starts_with("00050004"));
  CHECK(l.here.logged.count("NL-TFTP-008") == 2);
  for (auto name : {"../etc/passwd", "..\\..\\boot.ini", "/a/../../b"}) {
    c.send("\0\1"s + name + "\0octet\0"s);
    CHECK(c.last().starts_with("00050002"));
  }
  CHECK(l.here.logged.count("NL-TFTP-003") == 3);
  CHECK(l.source.asked.empty());
  auto answers = c.packets.size();
  c.send("\0\5\0\0lost\0"s); // an ERROR is never answered
  c.send("x"s);
  c.send("\x7f\x7f garbage"s);
  CHECK(c.packets.size() == answers);
  c.send("\0\4\0\1"s);
  CHECK(c.last().starts_with("00050005"));
  CHECK(l.metric("stray_packets") == 4);
  CHECK(l.metric("malformed") == 2);
  CHECK(l.metric("refused") == 4);
  CHECK(l.metric("requests") == 6);
  CHECK(l.served->transfers() == 0);
}

TEST_CASE("tftp server: the source learns who asked what, and may answer later") {
  lab l;
  l.source.files["/boot/x64.efi"] = sample(700);
  l.source.hold = true;
  auto& c = l.get(lab::ask("\\boot\\.\\x64.efi"), "10.0.0.77");
  l.time.advance(2500ms); // the client repeats its request twice meanwhile
  REQUIRE(l.source.asked.size() == 1);
  const auto& asked = l.source.asked[0];
  CHECK(asked.protocol == asset_protocol::tftp);
  CHECK(asked.path == "/boot/x64.efi");
  CHECK(asked.client.address.to_string() == "10.0.0.77");
  CHECK(asked.server.to_string() == "10.0.0.1");
  CHECK(asked.server_port == 69);
  CHECK(l.metric("repeated_requests") == 1);
  l.source.later[0]();
  REQUIRE(l.finish(c));
  REQUIRE(*c.done);
  CHECK(c.got.size() == 700);
  REQUIRE(l.source.reports.size() == 1);
  CHECK(l.source.reports[0].completed);
}

TEST_CASE("tftp server: a source that never answers, and one that answers too late") {
  lab l;
  l.source.files["/f"] = sample(700);
  l.source.hold = true;
  auto ask = lab::ask("f");
  ask.retries = 20;
  auto& c = l.get(ask);
  REQUIRE(l.finish(c));
  CHECK(c.done->error().message.find("did not answer in time") != std::string::npos);
  CHECK(l.served->transfers() == 0);
  l.source.later[0]();
  REQUIRE(l.source.reports.size() == 1);
  CHECK_FALSE(l.source.reports[0].completed);
  // The same after the server is gone.
  auto& d = l.get(ask);
  l.time.advance(10ms);
  REQUIRE(l.source.later.size() == 2);
  l.served.reset();
  l.source.later[1]();
  CHECK(l.source.reports.size() == 2);
  REQUIRE(l.finish(d));
  CHECK(d.done->error().message.find("the server stops") != std::string::npos);
}

TEST_CASE("tftp server: EDK2 asks for the size, aborts and comes back") {
  lab l;
  l.source.files["/uki.efi"] = sample(50000);
  auto ask = lab::ask("uki.efi", 1468);
  ask.probe = true;
  auto& c = l.get(ask);
  REQUIRE(l.finish(c));
  REQUIRE(*c.done);
  CHECK((*c.done)->size == 50000u);
  CHECK(c.got.empty());
  l.time.advance(10ms);
  REQUIRE(l.source.reports.size() == 1);
  CHECK(l.source.reports[0].probe);
  CHECK(l.source.reports[0].reason.empty());
  CHECK(l.metric("probes") == 1);
  CHECK(l.metric("failed") == 0);
  CHECK(l.here.logged.count("NL-TFTP-012") == 1);
  ask.probe = false;
  auto& d = l.get(ask);
  REQUIRE(l.finish(d));
  CHECK(d.got == l.source.files["/uki.efi"]);
}

TEST_CASE("tftp server: a client that goes away, with and without a word") {
  lab l;
  l.source.files["/f"] = sample(50000);
  auto& c = l.get(lab::ask("f"));
  l.time.advance(3ms);
  REQUIRE(c.got.size() > 0);
  c.transfer.reset();
  l.time.advance(3ms);
  CHECK_FALSE(c.done);
  CHECK(l.served->transfers() == 0);
  CHECK(l.here.logged.count("NL-TFTP-005") == 1);
  REQUIRE(l.source.reports.size() == 1);
  CHECK(l.source.reports[0].reason == "the client ended it with error 8 \"User aborted the transfer\"");

  raw_client silent(l, "10.0.0.3");
  silent.send("\0\1f\0octet\0"s);
  CHECK(l.served->transfers() == 1);
  l.time.advance(2min);
  CHECK(l.served->transfers() == 0);
  CHECK(silent.packets.size() == 8); // DATA 1, six times again, ERROR
  CHECK(l.here.logged.count("NL-TFTP-006") == 1);
  CHECK(l.metric("failed") == 2);
  CHECK(l.time.until_next() == duration::max()); // nothing wakes an idle server
}

TEST_CASE("tftp server: strangers on a transfer's port are told off and change nothing") {
  lab l;
  l.source.files["/f"] = sample(1000);
  raw_client c(l, "10.0.0.2"), stranger(l, "10.0.0.3");
  c.send("\0\1f\0octet\0"s);
  REQUIRE(c.from.size() == 1);
  CHECK(c.from[0].port != 69);
  stranger.send("\0\4\0\1"s, c.from[0]);
  CHECK(stranger.last().starts_with("00050005"));
  stranger.send("\0\5\0\0die\0"s, c.from[0]);
  CHECK(stranger.packets.size() == 1);
  c.send("\0\4\0\1"s, c.from[0]);
  CHECK(c.last().starts_with("00030002"));
  c.send("\0\4\0\2"s, c.from[0]);
  CHECK(l.metric("completed") == 1);
}

TEST_CASE("tftp server: a node that was reset asks again from the same port") {
  lab l;
  l.source.files["/f"] = sample(5000);
  raw_client c(l, "10.0.0.2", 2070);
  c.send("\0\1f\0octet\0"s);
  c.send("\0\1f\0octet\0"s); // repeated before any ACK: the same transfer
  CHECK(c.packets.size() == 2);
  CHECK(c.from[0] == c.from[1]);
  CHECK(l.served->transfers() == 1);
  c.send("\0\4\0\1"s, c.from[0]);
  c.send("\0\1f\0octet\0"s); // in the middle: a new one
  CHECK(c.last().starts_with("00030001"));
  CHECK(c.from.back() != c.from[0]);
  CHECK(l.served->transfers() == 1);
  CHECK(l.here.logged.count("NL-TFTP-013") == 1);
  c.send("\0\1f\0octet\0blksize\0"
         "1024\0"s); // other options: the firmware's next try
  CHECK(c.last().starts_with("0006"));
  CHECK(l.served->transfers() == 1);
  CHECK(l.source.reports.size() == 2);
}

TEST_CASE("tftp server: several clients at once, limits for all and for each") {
  lab l([](server_config& c) {
    c.max_transfers = 5;
    c.max_transfers_per_client = 3;
  });
  l.source.files["/f"] = sample(5000);
  std::vector<std::unique_ptr<raw_client>> all;
  for (auto host : {"10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"}) {
    all.push_back(std::make_unique<raw_client>(l, host));
    all.back()->send("\0\1f\0octet\0"s);
  }
  CHECK(l.served->transfers() == 5);
  CHECK(all[2]->last().starts_with("00030001"));
  CHECK(all[3]->last().starts_with("00050000"));
  CHECK(all[5]->last().starts_with("00030001"));
  CHECK(all[6]->last().starts_with("00050000"));
  CHECK(l.metric("limited") == 2);
  CHECK(l.here.logged.count("NL-TFTP-007") == 2);
  // A place that became free is given again.
  all[0]->send("\0\5\0\0enough\0"s, all[0]->from[0]);
  all[6]->send("\0\1f\0octet\0"s);
  CHECK(all[6]->last().starts_with("00030001"));

  lab many;
  many.source.files["/f"] = sample(20000);
  std::vector<lab::client*> running;
  for (int i = 0; i < 50; ++i)
    running.push_back(&many.get(lab::ask("f", 512, 4), "10.0.1." + std::to_string(i % 5 + 1)));
  for (auto* c : running) {
    REQUIRE(many.finish(*c));
    CHECK(c->got == many.source.files["/f"]);
  }
}

TEST_CASE("tftp server: single-port mode answers everything from the port that was asked") {
  std::size_t others = 0;
  lab l([](server_config& c) { c.single_port = true; });
  l.source.files["/f"] = sample(512 * 30 + 1);
  l.network.on_send = [&](const test::packet_in_flight& packet) {
    if (packet.from.address == *ip_address::parse("10.0.0.1") && packet.from.port != 69) ++others;
  };
  auto& a = l.get(lab::ask("f", 512, 4));
  auto& b = l.get(lab::ask("f"), "10.0.0.3");
  REQUIRE(l.finish(a));
  REQUIRE(l.finish(b));
  CHECK(a.got == l.source.files["/f"]);
  CHECK(b.got == l.source.files["/f"]);
  CHECK(others == 0);
  CHECK(l.network.host("10.0.0.1").open_sockets == 1);
}

TEST_CASE("tftp server: netascii on the wire, text at both ends") {
  lab l;
  l.source.files["/t"] = "one\ntwo\rthree\r\n" + std::string(3000, '\n');
  auto ask = lab::ask("t", 512);
  ask.mode = transfer_mode::netascii;
  auto& c = l.get(ask);
  REQUIRE(l.finish(c));
  REQUIRE(*c.done);
  CHECK(c.got == l.source.files["/t"]);
  CHECK_FALSE((*c.done)->size);
  CHECK((*c.done)->bytes > 6000);
}

TEST_CASE("tftp server: a folder, its links, and what lies outside") {
  test::temporary_folder folder;
  std::filesystem::create_directories(folder / "root/sub");
  auto big = sample(200000);
  std::ofstream(folder / "root/sub/file") << big;
  std::ofstream(folder / "outside") << "secret";
  std::filesystem::create_symlink("sub/file", folder / "root/inner");
  std::filesystem::create_symlink(folder / "root/sub", folder / "root/absolute");
  std::filesystem::create_symlink("../outside", folder / "root/escape");
  std::filesystem::create_symlink("/", folder / "root/slash");
  lab l([&](server_config& c) {
    c.source = nullptr;
    c.root = folder / "root/";
  });
  for (auto name : {"sub/file", "inner", "absolute/file", "/sub//file"}) {
    CAPTURE(name);
    auto& c = l.get(lab::ask(name, 1428, 16));
    REQUIRE(l.finish(c));
    REQUIRE(*c.done);
    CHECK(c.got == big);
  }
  auto tiny = lab::ask("inner", 8);
  auto& small_blocks = l.get(tiny);
  REQUIRE(l.finish(small_blocks));
  CHECK(small_blocks.got == big);
  for (auto name : {"escape", "slash/etc/passwd"}) {
    CAPTURE(name);
    auto& c = l.get(lab::ask(name));
    REQUIRE(l.finish(c));
    REQUIRE_FALSE(*c.done);
    CHECK(c.done->error().code == errc::denied);
    CHECK(c.done->error().message.find(folder.path()) == std::string::npos);
  }
  for (auto name : {"sub", "none", "sub/file/more"}) {
    CAPTURE(name);
    auto& c = l.get(lab::ask(name));
    REQUIRE(l.finish(c));
    CHECK(c.done->error().code == errc::not_found);
  }
}

TEST_CASE("tftp server: the folder stands in for what the source does not have") {
  test::temporary_folder folder;
  std::ofstream(folder / "file") << "from the folder";
  std::ofstream(folder / "both") << "from the folder";
  std::ofstream(folder / "denied") << "from the folder";
  lab l([&](server_config& c) { c.root = folder.path(); });
  l.source.files["/both"] = "from the source";
  l.source.refusals["/denied"] = {errc::denied, "no", ""};
  auto& a = l.get(lab::ask("file"));
  REQUIRE(l.finish(a));
  CHECK(a.got == "from the folder");
  auto& b = l.get(lab::ask("both"));
  REQUIRE(l.finish(b));
  CHECK(b.got == "from the source");
  auto& c = l.get(lab::ask("denied"));
  REQUIRE(l.finish(c));
  CHECK(c.done->error().code == errc::denied);
}

TEST_CASE("tftp server: a file that is cut short while it is sent") {
  test::temporary_folder folder;
  std::ofstream(folder / "file") << sample(400000);
  lab l([&](server_config& c) {
    c.source = nullptr;
    c.root = folder.path();
  });
  auto& c = l.get(lab::ask("file", 512));
  l.time.advance(5ms);
  REQUIRE(c.got.size() > 0);
  std::filesystem::resize_file(folder / "file", 1000);
  REQUIRE(l.finish(c));
  REQUIRE_FALSE(*c.done);
  CHECK(c.done->error().message.find("shorter") != std::string::npos);
  CHECK(l.here.logged.count("NL-TFTP-009") == 1);
}

TEST_CASE("tftp server: start refuses what cannot work and leaves nothing bound") {
  manual_time time;
  test::fake_network network(time);
  test::fake_world here(time, network.host("10.0.0.1"));
  memory_source source;
  auto start = [&](auto adjust) {
    server_config config;
    config.listen = {*endpoint::parse("10.0.0.1:69")};
    config.source = &source;
    adjust(config);
    server s(here.run, config);
    auto how = s.start();
    REQUIRE_FALSE(how);
    CHECK(s.local().empty());
    return how.error().code;
  };
  CHECK(start([](server_config& c) { c.listen.clear(); }) == errc::invalid);
  CHECK(start([](server_config& c) { c.source = nullptr; }) == errc::invalid);
  CHECK(start([](server_config& c) { c.max_blksize = 7; }) == errc::invalid);
  CHECK(start([](server_config& c) { c.max_windowsize = 0; }) == errc::invalid);
  CHECK(start([](server_config& c) { c.listen.push_back(c.listen[0]); }) == errc::exists);
  CHECK(network.host("10.0.0.1").open_sockets == 0);
}

TEST_CASE("tftp server: an address that comes later is waited for") {
  manual_time time;
  test::fake_network network(time);
  auto& host = network.host("10.0.0.1");
  test::fake_world here(time, host);
  memory_source source;
  server_config config;
  config.listen = {*endpoint::parse("10.0.0.1:69")};
  config.source = &source;
  host.set_present(false);
  server s(here.run, config);
  REQUIRE(s.start());
  CHECK(s.local().empty());
  host.set_present(true);
  time.settle();
  REQUIRE(s.local().size() == 1);
  CHECK(s.local()[0] == config.listen[0]);
}

TEST_CASE("tftp server: an address that comes while no socket can be had is an error in the log") {
  manual_time time;
  test::fake_network network(time);
  auto& host = network.host("10.0.0.1");
  test::fake_world here(time, host);
  memory_source source;
  server_config config;
  config.listen = {*endpoint::parse("10.0.0.1:69")};
  config.source = &source;
  host.set_present(false);
  server s(here.run, config);
  REQUIRE(s.start());
  CHECK(here.logged.count("NL-NET-001") == 0);
  host.sockets_left = 0;
  host.set_present(true);
  time.settle();
  CHECK(s.local().empty());
  CHECK(here.logged.count("NL-NET-001") == 1);
}

TEST_CASE("tftp server: no socket for a transfer is said on the wire and in the log") {
  lab l;
  l.source.files["/f"] = sample(100);
  l.network.host("10.0.0.1").sockets_left = 0;
  auto& c = l.get(lab::ask("f"));
  REQUIRE(l.finish(c));
  REQUIRE_FALSE(*c.done);
  CHECK(c.done->error().code == errc::refused);
  CHECK(l.here.logged.count("NL-TFTP-011") == 1);
  REQUIRE(l.source.reports.size() == 1);
  CHECK_FALSE(l.source.reports[0].completed);
}

TEST_CASE("tftp server: draining lets transfers end and takes no new ones") {
  bool drained = false;
  lab l;
  l.source.files["/f"] = sample(50000);
  auto& c = l.get(lab::ask("f"));
  l.time.advance(3ms);
  l.served->drain([&] { drained = true; });
  CHECK_FALSE(drained);
  auto late = lab::ask("f");
  late.retries = 1;
  auto& d = l.get(late, "10.0.0.3");
  REQUIRE(l.finish(c));
  REQUIRE(*c.done);
  l.time.advance(5ms);
  CHECK(drained);
  REQUIRE(l.finish(d));
  CHECK(d.done->error().code == errc::timeout);

  lab slow;
  slow.source.files["/f"] = sample(50000);
  raw_client silent(slow, "10.0.0.2");
  silent.send("\0\1f\0octet\0"s);
  slow.served->drain(
      [&] {
        drained = true;
        slow.served.reset();
      },
      5s);
  drained = false;
  slow.time.advance(6s);
  CHECK(drained);
  CHECK_FALSE(slow.served);
  CHECK(silent.last().starts_with("00050000"));
  CHECK(slow.here.logged.count("NL-TFTP-014") == 1);

  lab idle;
  drained = false;
  idle.served->drain([&] { drained = true; });
  CHECK_FALSE(drained); // never inside the call
  idle.time.settle();
  CHECK(drained);
}

TEST_CASE("tftp client: mistakes show at once, silence after a while") {
  lab l;
  test::fake_world world(l.time, l.network.host("10.0.0.2"));
  auto refused = [&](auto adjust) {
    auto what = lab::ask("f");
    adjust(what);
    auto got = tftp::get(world.run, what, {});
    REQUIRE_FALSE(got);
    return got.error().code;
  };
  CHECK(refused([](get_options& o) { o.file.clear(); }) == errc::invalid);
  CHECK(refused([](get_options& o) { o.file = "a\0b"s; }) == errc::invalid);
  CHECK(refused([](get_options& o) { o.file.assign(481, 'x'); }) == errc::invalid);
  CHECK(refused([](get_options& o) { o.blksize = 7; }) == errc::invalid);
  CHECK(refused([](get_options& o) { o.windowsize = 0; }) == errc::invalid);
  CHECK(refused([](get_options& o) { o.timeout = 256; }) == errc::invalid);
  CHECK(refused([](get_options& o) { o.mode = transfer_mode::other; }) == errc::invalid);
  CHECK(refused([](get_options& o) { o.local = *endpoint::parse("10.9.9.9:0"); }) == errc::unreachable);

  auto nobody = lab::ask("f");
  nobody.server = *endpoint::parse("10.0.0.99:69");
  auto& c = l.get(nobody);
  REQUIRE(l.finish(c));
  CHECK(c.done->error().code == errc::timeout);
}

TEST_CASE("tftp client: progress is told, and a file over the limit is not taken") {
  lab l;
  l.source.files["/f"] = sample(5000);
  test::fake_world world(l.time, l.network.host("10.0.0.2"));
  std::vector<std::uint64_t> seen;
  get_callbacks callbacks;
  std::unique_ptr<client_transfer> transfer;
  bool done = false;
  callbacks.on_progress = [&](std::uint64_t bytes, std::optional<std::uint64_t> size) {
    CHECK(size == 5000u);
    seen.push_back(bytes);
  };
  callbacks.on_done = [&](result<get_result> how) {
    CHECK(how);
    done = true;
    transfer.reset(); // allowed
  };
  auto started = tftp::get(world.run, lab::ask("f", 1000, 2), std::move(callbacks));
  REQUIRE(started);
  transfer = std::move(*started);
  l.time.advance(1s);
  CHECK(done);
  CHECK(seen == std::vector<std::uint64_t>{2000, 4000, 5000});

  auto ask = lab::ask("f");
  ask.max_size = 4999;
  auto& c = l.get(ask);
  REQUIRE(l.finish(c));
  CHECK(c.done->error().code == errc::limit);
  CHECK(c.got.empty());
}

TEST_CASE("tftp client: URLs") {
  auto whole = parse_url("tftp://10.0.0.1:6969/boot/a%20b.efi");
  REQUIRE(whole);
  CHECK(whole->server.to_string() == "10.0.0.1:6969");
  CHECK(whole->file == "boot/a b.efi");
  auto plain = parse_url("TFTP://10.0.0.1/x");
  REQUIRE(plain);
  CHECK(plain->server.port == 69);
  auto six = parse_url("tftp://[fd00::1]/x");
  REQUIRE(six);
  CHECK(six->server.address.is_v6());
  for (auto bad : {"http://10.0.0.1/x", "tftp://10.0.0.1", "tftp://10.0.0.1/", "tftp:///x", "tftp://name/x",
                   "tftp://10.0.0.1/%zz", "tftp://:69/x"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_url(bad));
  }
}

TEST_CASE("tftp messages: each has its own id and says what it means") {
  std::vector<std::string> ids;
  for (const auto* each : tftp::messages()) {
    CHECK(std::string_view(each->id).starts_with("NL-TFTP-"));
    CHECK(std::string_view(each->explain).size() > 20);
    ids.emplace_back(each->id);
  }
  CHECK(std::is_sorted(ids.begin(), ids.end()));
  CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
}
