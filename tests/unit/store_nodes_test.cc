#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "netlab/memory_lease_store.h"
#include "netlab/nodes.h"
#include "netlab/simulation.h"
#include "netlab/store_messages.h"
#include "store_support.h"

using namespace netlab;
using namespace std::chrono_literals;

namespace {

mac_address mac(unsigned n) {
  return {{2, 0, 0, 0, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)}};
}
ip_address ip(unsigned n) { return ip_address::v4(0x0a000000u + n); }
uuid id(const char* tail) { return *uuid::parse(std::string("6d9d2c1e-0000-4000-8000-0000000000") + tail); }

node_identity with_mac(unsigned n) {
  node_identity who;
  who.mac = mac(n);
  return who;
}
node_identity with_address(unsigned n) {
  node_identity who;
  who.address = ip(n);
  return who;
}
node_identity with_uuid(const char* tail) {
  node_identity who;
  who.uuid = id(tail);
  return who;
}
node_identity with_serial(const char* serial) {
  node_identity who;
  who.serial = serial;
  return who;
}
node_identity with_name(const char* name) {
  node_identity who;
  who.name = name;
  return who;
}
node declared(std::string name, unsigned n) {
  node out;
  out.name = std::move(name);
  if (n) out.macs = {mac(n)};
  return out;
}

} // namespace

TEST_CASE("nodes: a declared node is found by each of its marks, best evidence first") {
  node_directory d;
  auto n = declared("Talos-1", 1);
  n.uuid = id("01");
  n.serial = "SN-1";
  n.ip = ip(11);
  auto* one = *d.declare(n);
  auto* two = *d.declare(declared("talos-2", 2));
  CHECK(d.find(with_mac(1)) == one);
  CHECK(d.find(with_uuid("01")) == one);
  CHECK(d.find(with_serial("SN-1")) == one);
  CHECK(d.find(with_name("talos-1")) == one);
  CHECK(d.find_name("TALOS-1") == one);
  CHECK(d.find(with_address(11)) == one);
  auto both = with_name("talos-1");
  both.mac = mac(2);
  CHECK(d.find(both) == two); // the MAC weighs more
  CHECK(d.find(with_mac(3)) == nullptr);
  CHECK(d.find({}) == nullptr);
  CHECK(d.find_name("") == nullptr);
}

TEST_CASE("nodes: what two declared nodes share is a conflict that names both") {
  node_directory d;
  auto n = declared("talos-1", 1);
  n.uuid = id("01");
  n.serial = "SN-1";
  n.ip = ip(11);
  REQUIRE(d.declare(n));
  auto clash = [&](node other, const char* what) {
    auto out = d.declare(std::move(other));
    REQUIRE_FALSE(out);
    CHECK(out.error().code == errc::conflict);
    CHECK(out.error().message.find("talos-1") != std::string::npos);
    CHECK(out.error().message.find("talos-9") != std::string::npos);
    CHECK(out.error().message.find(what) != std::string::npos);
  };
  auto with = [](auto change) {
    auto other = declared("talos-9", 9);
    change(other);
    return other;
  };
  clash(with([](node& o) { o.macs.push_back(mac(1)); }), "MAC 02:00:00:00:00:01");
  clash(with([](node& o) { o.uuid = id("01"); }), "UUID");
  clash(with([](node& o) { o.serial = "SN-1"; }), "serial SN-1");
  clash(with([](node& o) { o.ip = ip(11); }), "address 10.0.0.11");
  auto same_name = d.declare(declared("TALOS-1", 8));
  REQUIRE_FALSE(same_name);
  CHECK(same_name.error().code == errc::conflict);
  CHECK(d.declare(node{}).error().code == errc::invalid);
  auto bad = declared("talos-3", 3);
  bad.uuid = uuid{};
  CHECK(d.declare(bad).error().code == errc::invalid);
  CHECK(d.all().size() == 1); // a refused one leaves nothing behind
  CHECK(d.find(with_mac(9)) == nullptr);
}

TEST_CASE("nodes: strangers known by MAC, by address and by UUID become one when they turn out to be") {
  node_directory d;
  d.observe(with_mac(1));
  d.observe(with_address(50));
  d.observe(with_uuid("0a"));
  CHECK(d.all().size() == 3);
  auto who = with_mac(1);
  who.address = ip(50);
  d.observe(who);
  CHECK(d.all().size() == 2);
  CHECK(d.find(with_address(50)) == d.find(with_mac(1)));
  // An HTTP request names its UUID from that address.
  who = with_uuid("0a");
  who.address = ip(50);
  auto& n = d.observe(who);
  CHECK(d.all().size() == 1);
  CHECK(n.macs.size() == 1);
  CHECK(d.find(with_uuid("0a")) == &n);
  CHECK(d.find(with_address(50)) == &n);
}

TEST_CASE("nodes: an address that moved to another machine joins nothing") {
  node_directory d;
  auto who = with_mac(1);
  who.address = ip(50);
  d.observe(who);
  who.mac = mac(2);
  d.observe(who);
  CHECK(d.all().size() == 2);
  CHECK(d.find(with_address(50)) == d.find(with_mac(2)));
  CHECK_FALSE(d.find(with_mac(1))->address);
  d.forget_address(ip(50));
  CHECK(d.find(with_address(50)) == nullptr);
  d.forget_address(ip(50));
  d.observe(with_address(77)); // known by nothing else: gone with its address
  d.forget_address(ip(77));
  CHECK(d.all().size() == 2);
}

TEST_CASE("nodes: runtime facts complete a declared node and overwrite nothing") {
  node_directory d;
  auto n = declared("talos-1", 1);
  n.uuid = id("01");
  auto* one = *d.declare(n);
  auto who = with_mac(1);
  who.uuid = id("99");
  who.serial = "SN-7";
  who.name = "localhost";
  who.address = ip(11);
  CHECK(&d.observe(who) == one);
  CHECK(one->uuid == id("01"));
  CHECK(one->name == "talos-1");
  CHECK(one->serial == "SN-7");
  CHECK(one->address == ip(11));
  CHECK(d.find(with_serial("SN-7")) == one);
  // Its second network card shows the same UUID.
  who = with_mac(5);
  who.uuid = id("01");
  CHECK(&d.observe(who) == one);
  CHECK(d.find(with_mac(5)) == one);
  CHECK(one->macs.front() == mac(1));
}

TEST_CASE("nodes: a stranger does not become a declared node by its name or address") {
  node_directory d;
  auto n = declared("talos-1", 0);
  n.ip = ip(11);
  auto* one = *d.declare(n);
  auto who = with_mac(66);
  who.name = "talos-1";
  who.address = ip(11);
  auto& stranger = d.observe(who);
  CHECK(&stranger != one);
  CHECK(stranger.name.empty());
  CHECK(d.find_name("talos-1") == one);
  CHECK(one->macs.empty());
  // A request that shows nothing but the address does mean it, when nobody else has it.
  d.forget_address(ip(11));
  CHECK(&d.observe(with_address(11)) == one);
}

TEST_CASE("nodes: what vendors leave in every board identifies nobody") {
  node_directory d;
  for (unsigned i = 1; i <= 3; ++i) {
    auto who = with_mac(i);
    who.uuid = *uuid::parse("03000200-0400-0500-0006-000700080009");
    who.serial = i == 1 ? "To Be Filled By O.E.M." : "Default string";
    d.observe(who);
  }
  CHECK(d.all().size() == 3);
  CHECK_FALSE(is_telling_serial("000000"));
  CHECK_FALSE(is_telling_serial(""));
  CHECK(is_telling_serial("7CE1"));
  CHECK(d.observe({}).macs.empty());
  CHECK(d.all().size() == 3);
}

TEST_CASE("nodes: strangers are bounded, the longest unseen goes first; declared ones stay") {
  node_directory d;
  d.max_strangers = 3;
  REQUIRE(d.declare(declared("talos-1", 100)));
  for (unsigned i = 1; i <= 3; ++i) d.observe(with_mac(i));
  d.observe(with_mac(1));
  d.observe(with_mac(4));
  CHECK(d.all().size() == 4);
  CHECK(d.find(with_mac(1)));
  CHECK_FALSE(d.find(with_mac(2)));
  CHECK(d.find(with_mac(100)));
  // One machine that shows ever new MACs under one UUID is bounded as well.
  for (unsigned i = 1000; i < 1100; ++i) {
    auto who = with_mac(i);
    who.uuid = id("0b");
    d.observe(who);
  }
  CHECK(d.find(with_uuid("0b"))->macs.size() <= 8);
  CHECK(d.find(with_mac(1099)) == d.find(with_uuid("0b")));
  CHECK_FALSE(d.find(with_mac(1000)));
}

TEST_CASE("nodes: declaring a machine that was met before takes over what is known of it") {
  node_directory d;
  auto who = with_mac(1);
  who.address = ip(50);
  who.name = "talos-1";
  d.observe(who);
  auto* one = *d.declare(declared("talos-1", 1));
  CHECK(d.all().size() == 1);
  CHECK(one->address == ip(50));
  CHECK(d.find(with_address(50)) == one);
  auto shown = to_json(*one);
  CHECK(shown["name"] == "talos-1");
  CHECK(shown["macs"][0] == "02:00:00:00:00:01");
  CHECK(shown["declared"] == true);
}

TEST_CASE("memory leases: the store's version rule, with delay, intercept and another server's hand") {
  manual_time time;
  memory_lease_store store(time);
  using kind = lease_store::outcome::kind;
  std::string seen;
  auto note = [&](lease_store::outcome o) {
    seen += o.what == kind::stored ? "+" : o.what == kind::conflict ? "!" : "-";
    seen += std::to_string(o.current.version);
  };
  store.claim(store_test::make_lease(1, "a"), note);
  store.claim(store_test::make_lease(1, "b"), note);
  store.drain([&] { seen += "|"; });
  CHECK(seen.empty());
  time.settle();
  CHECK(seen == "+1!1|");
  seen.clear();
  store.put(store_test::make_lease(1, "other server"));
  store.delay = 5ms;
  auto l = store_test::make_lease(1, "a");
  l.version = 1;
  store.claim(l, note);
  time.advance(4ms);
  CHECK(seen.empty());
  time.advance(1ms);
  CHECK(seen == "!2");
  seen.clear();
  store.intercept = [](const lease&) { return lease_store::outcome{kind::failed, {}, "disk full"}; };
  store.claim(store_test::make_lease(2, "c"), note);
  time.advance(5ms);
  CHECK(seen == "-0");
  CHECK(store.load()->size() == 1);
  CHECK(store.find(ip_address::v4(10, 0, 0, 2)) == nullptr);
  {
    memory_lease_store ended(time);
    ended.claim(store_test::make_lease(1, "a"), note);
    ended.delay = 1ms;
    ended.claim(store_test::make_lease(2, "a"), note);
  }
  time.advance(1s);
  CHECK(seen == "-0");
}

TEST_CASE("store messages: every id is unique, explained and in order of its series") {
  std::string_view before;
  for (const auto* m : store_messages()) {
    std::string_view now = m->id;
    CHECK((now.starts_with("NL-STORE-") || now.starts_with("NL-BOOT-1")));
    CHECK(std::string_view(m->explain).size() > 20);
    if (m->level >= log_level::warn && now != "NL-STORE-001") CHECK(std::string_view(m->remedy).size() > 10);
    if (!before.empty() && before.substr(0, 7) == now.substr(0, 7)) CHECK(before < now);
    before = now;
  }
  CHECK(to_string(lease_state::declined) == "declined");
}
