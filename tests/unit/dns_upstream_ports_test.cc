#include <doctest/doctest.h>

#include <set>

#include "dns/upstream_ports.h"
#include "support/fake_net.h"

using namespace netlab;

namespace {

struct ports_lab {
  manual_time time;
  test::fake_network network{time};
  test::fake_host& host = network.host("10.0.0.1");
  test::fake_host& far = network.host("10.0.0.53");
  std::unique_ptr<udp_socket> upstream = listen();
  std::vector<std::pair<endpoint, byte_vector>> asked; // what reached the upstream, and from where
  std::vector<std::uint64_t> answered;
  std::vector<std::string> failed;
  dns::upstream_ports ports{
      host,
      time,
      {[this](std::uint64_t attempt, const endpoint&, byte_view) { answered.push_back(attempt); },
       [this](std::uint64_t, std::string why) { failed.push_back(std::move(why)); },
       [this] {
         for (auto attempt : answered) ports.close(attempt);
       }}};

  std::unique_ptr<udp_socket> listen() {
    udp_options o;
    o.local = *endpoint::parse("10.0.0.53:53");
    auto out = *far.udp(o);
    out->on_receive([this](std::span<const datagram> batch) {
      for (const auto& d : batch) asked.emplace_back(d.peer, byte_vector(d.data.begin(), d.data.end()));
    });
    return out;
  }

  void ask(std::uint64_t attempt, std::uint16_t id) {
    dns::transmission t;
    t.attempt = attempt;
    t.to.address = *endpoint::parse("10.0.0.53:53");
    t.bytes.resize(dns::header_size);
    t.bytes[0] = static_cast<std::uint8_t>(id >> 8);
    t.bytes[1] = static_cast<std::uint8_t>(id);
    ports.send(std::move(t));
  }
  void ask_many(std::uint64_t first, std::uint64_t count) {
    for (auto i = first; i < first + count; ++i) ask(i, static_cast<std::uint16_t>(i));
    ports.flush();
    time.advance(std::chrono::milliseconds(10));
  }
  std::set<std::uint16_t> ports_seen() const {
    std::set<std::uint16_t> out;
    for (const auto& [from, bytes] : asked) out.insert(from.port);
    return out;
  }
  void answer_all() {
    for (const auto& [from, bytes] : asked) (void)upstream->send(datagram{from, {}, 0, bytes});
    time.advance(std::chrono::milliseconds(10));
  }
};

} // namespace

TEST_CASE("dns upstream ports: each query has a port of its own, closed with its answer") {
  ports_lab lab;
  constexpr std::uint64_t most = dns::upstream_ports::most_alone;
  lab.ask_many(1, most);
  CHECK(lab.asked.size() == most);
  CHECK(lab.ports_seen().size() == most);
  CHECK(lab.host.open_sockets == most);
  lab.answer_all();
  CHECK(lab.answered.size() == most);
  CHECK(lab.host.open_sockets == 0);
  lab.asked.clear();
  lab.ask(1000, 7);
  lab.ports.flush();
  lab.ports.close(1000); // nobody waits for it any more
  CHECK(lab.host.open_sockets == 0);
}

TEST_CASE("dns upstream ports: what waits beyond the limit shares, and every answer finds its question") {
  ports_lab lab;
  constexpr std::uint64_t most = dns::upstream_ports::most_alone;
  lab.ask_many(1, most + 200);
  CHECK(lab.asked.size() == most + 200);
  CHECK(lab.ports_seen().size() >= most);
  CHECK(lab.ports_seen().size() < most + 10);
  lab.ask(5000, static_cast<std::uint16_t>(most + 200)); // an id that waits on the port that is shared
  lab.ports.flush();
  lab.time.advance(std::chrono::milliseconds(10));
  CHECK(lab.asked.back().first.port != lab.asked[most + 199].first.port);
  lab.answer_all();
  std::set<std::uint64_t> each(lab.answered.begin(), lab.answered.end());
  CHECK(each.size() == most + 201);
  CHECK(lab.host.open_sockets == 0);
  CHECK(lab.failed.empty());
}

TEST_CASE(
    "dns upstream ports: without descriptors a query shares, and fails when there is nothing to share") {
  ports_lab lab;
  lab.host.sockets_left = 1;
  lab.ask_many(1, 3);
  CHECK(lab.ports_seen().size() == 1);
  lab.answer_all();
  CHECK(lab.answered.size() == 3);
  CHECK(lab.failed.empty());
  lab.ask(9, 9);
  CHECK(lab.failed.size() == 1);
}
