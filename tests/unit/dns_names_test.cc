#include <doctest/doctest.h>

#include "netlab/dns_names.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

dns::name named(const char* text) { return dns::name::parse(text).value(); }

} // namespace

TEST_CASE("dns names: what ends in a label that is not ours is nobody's, whatever else is there") {
  name_table_builder b({named("lab.internal")});
  REQUIRE(b.add_host(named("a.lab.internal"), ip_address::v4(10, 0, 0, 1), 60));
  REQUIRE(b.add_host(named("*.apps.lab.internal"), ip_address::v4(10, 0, 0, 2), 60));
  REQUIRE(b.add_host(named("bare"), ip_address::v4(10, 0, 0, 3), 60));
  auto table = b.build();
  CHECK(table->find(named("a.lab.internal")));
  CHECK(table->find(named("bare")));
  CHECK(table->find(named("1.0.0.10.in-addr.arpa")));
  CHECK(table->find_wildcard(named("x.y.apps.lab.internal")));
  CHECK_FALSE(table->find_wildcard(named("x.lab.internal")));
  for (auto text : {"a.lab.internet", "a.lab.example", "internal.com", "b", "."}) {
    CHECK_FALSE(table->find(named(text)));
    CHECK_FALSE(table->find_wildcard(named(text)));
  }
}

TEST_CASE("dns names: the root's wildcard stands for every name") {
  name_table_builder b({});
  REQUIRE(b.add_host(named("*"), ip_address::v4(10, 0, 0, 9), 60));
  auto table = b.build();
  for (auto text : {"example.org", "x", "a.b.c.d.e"}) CHECK(table->find_wildcard(named(text)));
}

TEST_CASE("dns names: routes for the longest zone, and the rest for all others") {
  route_table routes;
  add_standard_routes(routes, true);
  routes.add(named("compute.internal"), route_kind::forward, 1);
  CHECK(routes.find(named("ip-10-0-0-1.compute.internal")).group == 1);
  CHECK(routes.find(named("other.internal")).group == 0);
  CHECK(routes.find(named("a.local")).kind == route_kind::nxdomain);
  CHECK(routes.find(named("4.3.2.10.in-addr.arpa")).kind == route_kind::local);
  CHECK(routes.find(named("mask.icloud.com")).kind == route_kind::nxdomain);
  CHECK(routes.find(named("icloud.com")).kind == route_kind::forward);
  routes.add(named("."), route_kind::forward, 2);
  CHECK(routes.find(named("anything.at.all")).group == 2);
  CHECK(routes.find(named(".")).group == 2);
}
