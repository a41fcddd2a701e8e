// The addresses of a host, asked of scripted servers on the loopback.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "netlab/dns_message.h"
#include "netlab/event_loop.h"
#include "netlab/simulation.h"
#include "support/dns_lab.h"
#include "support/loop_runner.h"

using namespace netlab;
using namespace std::chrono_literals;
using test::dns_lab;
using test::dns_record;
namespace rtype = dns::rtype;
namespace rcode = dns::rcode;

namespace {

const ip_address loopback = ip_address::v4(127, 0, 0, 1);

// Answers by UDP what `says` returns, byte for byte.
struct scripted_server {
  using script = std::function<std::vector<byte_vector>(const dns::message&)>;
  scripted_server(event_loop& loop, script fn) : says(std::move(fn)) {
    socket = loop.net().udp({.local = {loopback, 0}}).value();
    socket->on_receive([this](std::span<const datagram> batch) {
      for (const auto& d : batch) {
        last_peer = d.peer;
        ++asked;
        auto q = dns::decode(d.data);
        if (!q) continue;
        for (const auto& bytes : says(*q)) (void)socket->send(datagram{d.peer, {}, 0, bytes});
      }
    });
  }
  endpoint at() const { return socket->local(); }
  script says;
  std::unique_ptr<udp_socket> socket;
  endpoint last_peer;
  int asked = 0;
};

std::vector<byte_vector> one(const dns::message& m) { return {dns::encode(m)}; }

// dns.example.net is an alias of real.example.net, which has an address of either family.
std::vector<byte_vector> good(const dns::message& q) {
  bool v6 = q.questions[0].type == rtype::aaaa;
  return one(dns_lab::reply_to(
      q, {dns_record("dns.example.net", rtype::cname, 70, "real.example.net."),
          dns_record("real.example.net", q.questions[0].type, 300, v6 ? "2001:db8::53" : "192.0.2.53")}));
}
std::vector<byte_vector> silent(const dns::message&) { return {}; }
scripted_server::script code(std::uint16_t rcode) {
  return [rcode](const dns::message& q) { return one(dns_lab::negative(q, rcode)); };
}

host_question about(std::vector<endpoint> servers) {
  return {.name = "dns.example.net", .servers = std::move(servers), .patience = 20ms, .timeout = 60s};
}

result<host_addresses> look_up(event_loop& loop, host_question q) {
  std::optional<result<host_addresses>> got;
  auto lookup = loop.net().look_up(std::move(q), [&](result<host_addresses> r) { got = std::move(r); });
  CHECK_FALSE(got);
  test::run_until(
      loop, [&] { return got.has_value(); }, 60s);
  REQUIRE(got);
  return *got;
}

bool finds(const result<host_addresses>& got, std::string_view address) {
  if (!got) return false;
  return std::count(got->addresses.begin(), got->addresses.end(), *ip_address::parse(address)) == 1;
}

} // namespace

TEST_CASE("host lookup: both families, and the shortest time that led to them") {
  event_loop loop;
  scripted_server server(loop, good);
  auto got = look_up(loop, about({server.at()}));
  REQUIRE_MESSAGE(got.has_value(), (got ? std::string() : got.error().message));
  CHECK(got->addresses.size() == 2);
  CHECK(finds(got, "192.0.2.53"));
  CHECK(finds(got, "2001:db8::53"));
  CHECK(got->ttl == 70s);
  // One family is enough.
  server.says = [](const dns::message& q) {
    return q.questions[0].type == rtype::a ? code(rcode::no_error)(q) : good(q);
  };
  got = look_up(loop, about({server.at()}));
  REQUIRE(got);
  CHECK(got->addresses == std::vector{*ip_address::parse("2001:db8::53")});
}

TEST_CASE("host lookup: a server that is dead is not the last one") {
  event_loop loop;
  scripted_server mute(loop, silent), server(loop, good);
  auto nobody = loop.net().udp({.local = {loopback, 0}}).value();
  auto closed = nobody->local();
  nobody.reset();
  CHECK(finds(look_up(loop, about({mute.at(), server.at()})), "192.0.2.53"));
  CHECK(mute.asked >= 1);
  CHECK(finds(look_up(loop, about({closed, server.at()})), "192.0.2.53"));
  for (auto refusal : {rcode::server_failure, rcode::refused, rcode::not_implemented}) {
    scripted_server refuses(loop, code(refusal));
    CHECK(finds(look_up(loop, about({refuses.at(), server.at()})), "192.0.2.53"));
    CHECK(refuses.asked >= 1);
  }
}

TEST_CASE("host lookup: what it says when there is nothing") {
  event_loop loop;
  struct {
    scripted_server::script says;
    errc code;
    const char* why;
  } cases[] = {
      {code(rcode::name_error), errc::not_found, "there is no such name"},
      {code(rcode::no_error), errc::not_found, "the name has no address"},
      {code(rcode::server_failure), errc::unreachable, "none would answer"},
      {code(rcode::refused), errc::unreachable, "none would answer"},
      // What filters answer for a blocked name.
      {[](const dns::message& q) {
         return one(dns_lab::address_of(q, q.questions[0].type == rtype::a ? "0.0.0.0" : "::"));
       },
       errc::not_found, "the name has no address"},
  };
  for (auto& c : cases) {
    scripted_server server(loop, c.says);
    auto got = look_up(loop, about({server.at()}));
    REQUIRE(!got);
    CHECK_MESSAGE(got.error().code == c.code, got.error().message);
    CHECK_MESSAGE(got.error().message.find(c.why) != std::string::npos, got.error().message);
    CHECK(got.error().message.starts_with("dns.example.net: "));
  }
  scripted_server mute(loop, silent);
  auto q = about({mute.at()});
  q.timeout = 100ms;
  CHECK(look_up(loop, q).error().code == errc::timeout);
  CHECK(look_up(loop, about({})).error().code == errc::invalid);
  for (const auto& name : {std::string(), std::string("a..b"), std::string(70, 'a') + ".example",
                           std::string("a\0b", 3), std::string(300, 'a')}) {
    auto bad = about({mute.at()});
    bad.name = name;
    bad.timeout = 5s;
    CHECK_MESSAGE(look_up(loop, bad).error().code == errc::invalid, name);
  }
}

TEST_CASE("host lookup: garbage before the answer is not the answer") {
  event_loop loop;
  scripted_server server(loop, [](const dns::message& q) {
    auto right = good(q)[0];
    auto other_id = right, other_name = right;
    other_id[1] ^= 0x55;
    other_name[13] ^= 1;
    auto forged = dns_lab::address_of(q, q.questions[0].type == rtype::a ? "203.0.113.66" : "2001:db8::66");
    forged.id ^= 0x0101;
    return std::vector<byte_vector>{{}, {0}, byte_vector(600, 0xff), other_id, dns::encode(forged), right};
  });
  auto got = look_up(loop, about({server.at()}));
  REQUIRE_MESSAGE(got.has_value(), (got ? std::string() : got.error().message));
  CHECK(finds(got, "192.0.2.53"));
  CHECK_FALSE(finds(got, "203.0.113.66"));
}

TEST_CASE("host lookup: whatever a server sends, it ends") {
  event_loop loop;
  seeded_random random(4);
  scripted_server server(loop, [&](const dns::message& q) {
    auto bytes = good(q)[0];
    // The identification stays right, so that the rest is read.
    for (int i = 0, flips = 1 + random.u16() % 8; i < flips; ++i)
      bytes[2 + random.u16() % (bytes.size() - 2)] = static_cast<std::uint8_t>(random.u16());
    if (random.u16() % 4 == 0) bytes.resize(12 + random.u16() % (bytes.size() - 12));
    // A name that points at itself.
    if (random.u16() % 8 == 0 && bytes.size() > 40) bytes[12] = 0xc0, bytes[13] = 12;
    return std::vector<byte_vector>{bytes};
  });
  std::size_t ended = 0;
  std::vector<std::unique_ptr<host_lookup>> all;
  for (int i = 0; i < 300; ++i) {
    auto q = about({server.at()});
    q.patience = 5ms;
    q.timeout = 2s;
    all.push_back(loop.net().look_up(std::move(q), [&](const result<host_addresses>&) { ++ended; }));
  }
  CHECK(test::run_until(
      loop, [&] { return ended == all.size(); }, 60s));
}

TEST_CASE("host lookup: a late answer, and one that nobody waits for") {
  event_loop loop;
  // Every question is answered when the next one comes, so that each answer is late.
  std::vector<std::pair<endpoint, byte_vector>> held;
  scripted_server server(loop, silent);
  server.says = [&](const dns::message& q) {
    for (const auto& [to, bytes] : std::exchange(held, {}))
      (void)server.socket->send(datagram{to, {}, 0, bytes});
    held.emplace_back(server.last_peer, good(q)[0]);
    return std::vector<byte_vector>();
  };
  auto q = about({server.at()});
  q.timeout = 3s;
  int told = 0;
  auto lookup = loop.net().look_up(q, [&](const result<host_addresses>&) { ++told; });
  test::run_until(
      loop, [&] { return told == 1; }, 60s);
  // To a socket that is gone, and to one of a look-up that is.
  server.says = good;
  for (const auto& [to, bytes] : held) (void)server.socket->send(datagram{to, {}, 0, bytes});
  CHECK(finds(look_up(loop, about({server.at()})), "192.0.2.53"));
  CHECK(told == 1);
}

TEST_CASE("host lookup: dropped while it is under way, and in its own callback") {
  event_loop loop;
  scripted_server server(loop, silent);
  bool told = false;
  auto dropped =
      loop.net().look_up(about({server.at()}), [&](const result<host_addresses>&) { told = true; });
  test::run_until(
      loop, [&] { return server.asked >= 1; }, 60s);
  auto answer_to = server.last_peer;
  dropped.reset();
  (void)server.socket->send(datagram{answer_to, {}, 0, byte_vector(40, 1)});
  // Before anything was sent, and with its failure known but not told.
  loop.net().look_up(about({server.at()}), [&](const result<host_addresses>&) { told = true; }).reset();
  loop.net().look_up(about({}), [&](const result<host_addresses>&) { told = true; }).reset();
  server.says = good;
  std::unique_ptr<host_lookup> itself;
  bool ended = false;
  itself = loop.net().look_up(about({server.at()}), [&](const result<host_addresses>& got) {
    CHECK(got);
    itself.reset();
    ended = true;
  });
  test::run_until(
      loop, [&] { return ended; }, 60s);
  CHECK_FALSE(told);
}

TEST_CASE("host lookup: by TCP when an answer is cut short, and when that is wanted") {
  event_loop loop;
  scripted_server cut(loop, [](const dns::message& q) {
    auto m = dns_lab::reply_to(q, {});
    m.flags |= dns::flag::tc;
    return one(m);
  });
  std::vector<std::unique_ptr<stream>> held;
  bool answers = true;
  auto tcp = loop.net().listen({.local = cut.at()}, [&](std::unique_ptr<stream> s) {
    auto* raw = s.get();
    raw->on_data([&answers, raw, input = std::string()](byte_view bytes) mutable {
      input += as_text(bytes);
      while (input.size() > 2) {
        auto size = static_cast<std::size_t>(static_cast<std::uint8_t>(input[0]) << 8 |
                                             static_cast<std::uint8_t>(input[1]));
        if (input.size() < 2 + size) return;
        auto q = dns::decode(as_bytes(std::string_view(input).substr(2, size)));
        input.erase(0, 2 + size);
        if (!q || !answers) continue;
        auto reply = good(*q)[0];
        raw->write(std::string{static_cast<char>(reply.size() >> 8), static_cast<char>(reply.size())});
        raw->write(std::string(as_text(reply)));
      }
    });
    raw->on_end([](const std::optional<error>&) {});
    held.push_back(std::move(s));
  });
  REQUIRE(tcp);
  auto q = about({cut.at()});
  q.patience = 2s;
  CHECK(finds(look_up(loop, q), "192.0.2.53"));
  CHECK(cut.asked == 2);
  CHECK(!held.empty());
  q.by_tcp = true;
  CHECK(finds(look_up(loop, q), "2001:db8::53"));
  CHECK(cut.asked == 2);
  // A server that takes connections and says nothing, and one that is gone.
  answers = false;
  q.patience = 20ms;
  q.timeout = 200ms;
  CHECK(!look_up(loop, q));
  tcp->reset();
  held.clear();
  CHECK(!look_up(loop, q));
}
