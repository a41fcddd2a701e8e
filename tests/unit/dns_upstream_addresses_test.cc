#include "dns/upstream_addresses.h"

#include <doctest/doctest.h>

#include "netlab/dns_server.h"
#include "support/fake_world.h"

using namespace netlab;
using namespace std::chrono_literals;
using dns::upstream;

namespace {

std::vector<upstream> upstreams(std::initializer_list<const char*> texts) {
  std::vector<upstream> out;
  for (const auto* text : texts) out.push_back(*upstream::parse(text));
  return out;
}

host_addresses at(std::initializer_list<const char*> texts, duration ttl) {
  host_addresses out;
  for (const auto* text : texts) out.addresses.push_back(*ip_address::parse(text));
  out.ttl = ttl;
  return out;
}

struct addresses_lab {
  manual_time time;
  test::fake_network network{time};
  test::fake_world world{time, network.host("10.0.0.1")};
  std::vector<std::string> found;
  std::optional<dns::upstream_addresses> addresses;

  void start(std::vector<dns::upstream_group> groups, std::vector<upstream> resolvers) {
    addresses.emplace(world.run, "dns", groups, std::move(resolvers),
                      [this](const std::string& host, const ip_address& address) {
                        found.push_back(host + "=" + address.to_string());
                      });
  }
  std::size_t asked() const { return network.looked_up.size(); }
};

using texts = std::vector<std::string>;

} // namespace

TEST_CASE("dns upstream addresses: asked once a name, and again when they have run out") {
  addresses_lab lab;
  lab.network.names.emplace("one.example", at({"192.0.2.1", "2001:db8::1"}, 100s));
  lab.network.names.emplace("short.example", at({"192.0.2.2"}, 0s));
  lab.network.names.emplace("long.example", at({"2001:db8::3"}, 24h));
  lab.start({{upstreams({"tls://one.example", "https://one.example/dns-query", "tls://192.0.2.9#named"})},
             {upstreams({"tls://short.example", "tls://one.example:8853"})},
             {upstreams({"https://long.example"})}},
            upstreams({"9.9.9.9", "[2620:fe::fe]:5353"}));
  CHECK(lab.found.empty());
  REQUIRE(lab.asked() == 3);
  CHECK(lab.network.looked_up[0].name == "one.example");
  CHECK(lab.network.looked_up[0].servers ==
        std::vector{*endpoint::parse("9.9.9.9:53"), *endpoint::parse("[2620:fe::fe]:5353")});
  CHECK_FALSE(lab.network.looked_up[0].by_tcp);
  lab.time.advance(1s);
  CHECK(lab.found == texts{"one.example=192.0.2.1", "short.example=192.0.2.2", "long.example=2001:db8::3"});
  auto count = [&](std::string_view name) {
    return std::count_if(lab.network.looked_up.begin(), lab.network.looked_up.end(),
                         [&](const host_question& q) { return q.name == name; });
  };
  lab.time.advance(1h);
  CHECK(count("short.example") >= 119); // every 30 seconds
  CHECK(count("short.example") <= 121);
  CHECK(count("one.example") >= 36);
  CHECK(count("one.example") <= 37);
  CHECK(count("long.example") >= 6);
  CHECK(count("long.example") <= 7);
  CHECK(lab.world.logged.lines.empty());
  // Nothing runs after it is gone, with a look-up under way or not.
  lab.addresses.reset();
  auto before = lab.asked();
  lab.time.advance(1h);
  CHECK(lab.asked() == before);
  lab.start({{upstreams({"tls://one.example"})}}, upstreams({"9.9.9.9"}));
  lab.found.clear();
  lab.addresses.reset();
  lab.time.advance(1h);
  CHECK(lab.found.empty());
}

TEST_CASE("dns upstream addresses: what was found stays while nobody answers, and that is said once") {
  addresses_lab lab;
  lab.network.names.emplace("dns.example", fail(errc::timeout, "dns.example: no server answered in time"));
  lab.start({{upstreams({"tls://dns.example"})}}, upstreams({"tcp://9.9.9.9"}));
  lab.time.advance(10min);
  // The uplink comes late: it was asked for all the time.
  CHECK(lab.asked() >= 600 / 15);
  CHECK(lab.network.looked_up[0].by_tcp);
  CHECK(lab.found.empty());
  REQUIRE(lab.world.logged.count("NL-DNS-006") == 1);
  CHECK(lab.world.logged.lines.back().text.find("dns.example: no server answered in time") !=
        std::string::npos);
  lab.network.names.at("dns.example") = at({"192.0.2.1"}, 5min);
  lab.time.advance(20s);
  CHECK(lab.found == texts{"dns.example=192.0.2.1"});
  lab.network.names.at("dns.example") = fail(errc::refused, "dns.example: it \x1b[31mrefuses");
  lab.time.advance(1h);
  CHECK(lab.found == texts{"dns.example=192.0.2.1"});
  REQUIRE(lab.world.logged.count("NL-DNS-006") == 2);
  CHECK(lab.world.logged.lines.back().text.find("192.0.2.1 is used on") != std::string::npos);
  CHECK(lab.world.logged.lines.back().text.find('\x1b') == std::string::npos);
  // It has moved meanwhile.
  lab.network.names.at("dns.example") = at({"192.0.2.7"}, 5min);
  lab.time.advance(6s);
  CHECK(lab.found == texts{"dns.example=192.0.2.1", "dns.example=192.0.2.7"});
}

TEST_CASE("dns upstream addresses: who may be asked for them") {
  dns::server_config c;
  c.engine.groups.push_back({upstreams({"tls://dns.example"})});
  auto problem = [&](std::initializer_list<const char*> bootstrap) {
    c.bootstrap = upstreams(bootstrap);
    auto fine = dns::check(c);
    return fine ? std::string() : fine.error().op + ": " + fine.error().message;
  };
  CHECK(problem({}) ==
        "bootstrap: \"tls://dns.example\" is named: give bootstrap = { \"9.9.9.9\" }, a resolver "
        "that finds its address");
  CHECK(problem({"9.9.9.9", "[2620:fe::fe]:5353"}).empty());
  CHECK(problem({"tcp://9.9.9.9", "tcp://1.1.1.1"}).empty());
  CHECK(problem({"9.9.9.9", "tls://1.1.1.1"}) ==
        "bootstrap: \"tls://1.1.1.1\": a bootstrap resolver is a plain one");
  CHECK(problem({"https://dns.google"}) ==
        "bootstrap: \"https://dns.google\": a bootstrap resolver is a plain one");
  CHECK(problem({"9.9.9.9", "tcp://1.1.1.1"}) == "bootstrap: \"9.9.9.9\" and \"tcp://1.1.1.1\": bootstrap "
                                                 "resolvers are all asked by UDP, or all by TCP");
}
