// A DNS server on real sockets of the loopback: UDP, TCP, TLS, and itself as its own upstream.
#include <doctest/doctest.h>

#include "netlab/dns_server.h"
#include "netlab/event_loop.h"
#include "support/certificate.h"
#include "support/dns_lab.h"
#include "support/fake_world.h"
#include "support/loop_runner.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::test;
namespace rtype = dns::rtype;

namespace {

struct server_world {
  event_loop loop;
  kept_log logged;
  metrics counters;
  no_http http;
  runtime world{loop.clock(), loop.scheduler(), loop.random(), loop.net(),
                loop.files(), loop.processes(), http,          log(logged, loop.clock()),
                counters};

  static std::shared_ptr<const dns::snapshot> names() {
    auto out = std::make_shared<dns::snapshot>();
    out->generation = 1;
    dns::name_table_builder b({});
    REQUIRE(b.add_host(dns_name("www.example.org"), ip_address::v4(192, 0, 2, 1), 300));
    for (int i = 0; i < 200; ++i)
      REQUIRE(b.add_host(dns_name("big.example.org"), ip_address::v4(192, 0, 2, static_cast<std::uint8_t>(i)),
                         300));
    out->fixed = b.build();
    return out;
  }

  std::unique_ptr<dns::server> serve(const std::string& upstream, dns::server_config c = {}) {
    if (c.listen.empty()) c.listen = {{ip_address::v4(127, 0, 0, 1), 0}};
    c.engine.groups.resize(1);
    auto parsed = dns::upstream::parse(upstream);
    REQUIRE(parsed);
    if (!ca_file.empty()) parsed->ca_file = ca_file;
    c.engine.groups[0].members = {*parsed};
    auto out = std::make_unique<dns::server>(world, c);
    auto begun = out->start();
    REQUIRE_MESSAGE(begun.has_value(), (begun ? std::string() : begun.error().message));
    return out;
  }

  // Queries by UDP; the answers in the order in which they came.
  std::vector<dns::message> ask(const endpoint& server,
                                const std::vector<std::pair<std::string, std::uint16_t>>& all,
                                std::uint16_t udp_size = 0) {
    udp_options o;
    o.peer = server;
    auto socket = loop.net().udp(o);
    REQUIRE(socket);
    std::vector<dns::message> out;
    (*socket)->on_receive([&](std::span<const datagram> batch) {
      for (const auto& d : batch)
        if (auto m = dns::decode(d.data)) out.push_back(*m);
    });
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto bytes = query(all[i].first, all[i].second, static_cast<std::uint16_t>(i), udp_size);
      REQUIRE((*socket)->send(datagram{server, {}, 0, bytes}));
    }
    run_until(loop, [&] { return out.size() >= all.size(); });
    return out;
  }

  static byte_vector query(const std::string& n, std::uint16_t type, std::uint16_t id,
                           std::uint16_t udp_size = 0) {
    dns::message m;
    m.id = id;
    m.flags = dns::flag::rd;
    m.questions = {{dns_name(n), type, dns::class_in}};
    if (udp_size > 0) m.opt = dns::edns{udp_size, 0, false, {}};
    return dns::encode(m);
  }

  std::string ca_file;
};

std::string framed(byte_view bytes) {
  std::string out{static_cast<char>(bytes.size() >> 8), static_cast<char>(bytes.size() & 0xff)};
  return out + std::string(as_text(bytes));
}

} // namespace

TEST_CASE("dns server: a crowd of datagrams, each with its answer") {
  server_world w;
  auto s = w.serve("127.0.0.1:9");
  s->use(server_world::names());
  std::vector<std::pair<std::string, std::uint16_t>> all;
  for (int i = 0; i < 200; ++i)
    all.emplace_back(i % 2 ? "www.example.org" : "1.2.0.192.in-addr.arpa", i % 2 ? rtype::a : rtype::ptr);
  auto got = w.ask(s->local()[0], all);
  REQUIRE(got.size() == 200);
  for (const auto& m : got) CHECK(m.answers.size() == 1);
  CHECK(w.counters.get("netlab_dns_queries_total", {{"server", "dns"}, {"worker", "0"}}).value() == 200);
  CHECK(w.counters.get("netlab_dns_local_total", {{"server", "dns"}, {"worker", "0"}}).value() == 200);
  for (auto type : {"A", "PTR"})
    CHECK(w.counters.get("netlab_dns_questions_total", {{"server", "dns"}, {"type", type}, {"worker", "0"}})
              .value() == 100);
  // Nobody was asked, and nothing kept.
  auto now = s->status();
  REQUIRE(now.upstreams.size() == 1);
  CHECK(now.upstreams[0].up);
  CHECK(now.upstreams[0].sent == 0);
  CHECK(now.cached_answers == 0);
}

TEST_CASE("dns server: several queries on one TCP connection, cut anywhere") {
  server_world w;
  auto s = w.serve("127.0.0.1:9");
  s->use(server_world::names());
  std::string input;
  for (std::uint16_t i = 0; i < 20; ++i)
    input += framed(server_world::query(i % 2 ? "big.example.org" : "www.example.org", rtype::a, i));
  for (std::size_t piece : {std::size_t{1}, std::size_t{7}, input.size()}) {
    std::unique_ptr<netlab::stream> held;
    std::string got;
    bool ended = false;
    w.loop.net().connect({s->local()[0]}, [&](result<std::unique_ptr<netlab::stream>> made) {
      REQUIRE(made);
      held = std::move(*made);
      held->on_data([&](byte_view bytes) { got += as_text(bytes); });
      held->on_end([&](std::optional<error>) { ended = true; });
    });
    run_until(w.loop, [&] { return held != nullptr; });
    for (std::size_t at = 0; at < input.size(); at += piece) held->write(input.substr(at, piece));
    auto count = [&] {
      std::size_t n = 0;
      for (std::size_t at = 0; at + 2 <= got.size(); ++n)
        at += 2 + (static_cast<std::uint8_t>(got[at]) << 8 | static_cast<std::uint8_t>(got[at + 1]));
      return n;
    };
    run_until(w.loop, [&] { return count() >= 20; });
    CHECK(count() == 20);
    CHECK(!ended);
    // An empty message is the end of it.
    held->write(std::string(2, '\0'));
    run_until(w.loop, [&] { return ended; });
  }
}

TEST_CASE("dns server: forwards by UDP, TCP and TLS, and falls back to TCP") {
  temporary_folder folder;
  auto certificate = folder.path() + "/cert.pem", key = folder.path() + "/key.pem";
  make_certificate(certificate, key);
  server_world w;
  w.ca_file = certificate;
  dns::server_config far_config;
  far_config.name = "far";
  far_config.listen_tls = {{ip_address::v4(127, 0, 0, 1), 0}};
  far_config.tls = tls_identity{certificate, key};
  auto far = w.serve("127.0.0.1:9", far_config);
  far->use(server_world::names());
  auto plain = far->local()[0].to_string(), secret = far->local()[1].to_string();
  for (auto way : {plain, "tcp://" + plain, "tls://" + secret, "tls://" + secret + "#localhost"}) {
    auto near = w.serve(way);
    auto got =
        w.ask(near->local()[0], {{"www.example.org", rtype::a}, {"nobody.example.org.invalid", rtype::a}});
    REQUIRE_MESSAGE(got.size() == 2, way);
    got = w.ask(near->local()[0], {{"big.example.org", rtype::a}}, 4096);
    REQUIRE(got.size() == 1);
    CHECK((got[0].flags & dns::flag::tc) != 0);
    auto kept = near->status();
    CHECK(kept.cached_answers >= 2);
    CHECK(kept.upstreams[0].answered >= 2);
    CHECK(kept.upstreams[0].up);
    bool drained = false;
    near->drain([&] { drained = true; });
    run_until(w.loop, [&] { return drained; });
  }
  // Somebody else's certificate is no answer.
  auto wrong = w.serve("tls://" + secret + "#somebody.else");
  auto got = w.ask(wrong->local()[0], {{"www.example.org", rtype::a}});
  REQUIRE(got.size() == 1);
  CHECK(got[0].rcode == dns::rcode::server_failure);
}

TEST_CASE("dns server: a port that is taken, an address that is not here") {
  server_world w;
  auto first = w.serve("127.0.0.1:9");
  dns::server_config c;
  c.listen = first->local();
  c.engine.groups.resize(1);
  c.engine.groups[0].members = {*dns::upstream::parse("127.0.0.1:9")};
  dns::server second(w.world, c);
  auto refused = second.start();
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::exists);
  c.listen = {{*ip_address::parse("203.0.113.77"), 5300}};
  dns::server waiting(w.world, c);
  CHECK(waiting.start());
  CHECK(waiting.local().empty());
}
