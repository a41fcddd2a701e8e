// What an operator changes at run time, and safe search: rules before the lists.
#include "netlab/dns_overlay.h"
#include "support/dns_lab.h"

using namespace netlab;
using namespace netlab::test;
using namespace std::chrono_literals;
using dns::filter_action;

namespace {

dns::overlay change(dns::overlay::kind what, const char* target = nullptr) {
  dns::overlay o;
  o.what = what;
  if (target) o.target = dns_name(target);
  o.origin = "ops on /dev/pts/1";
  o.made = wall_time{1'790'000'000s};
  return o;
}

} // namespace

TEST_CASE("dns overlay: the most specific rule of an operator decides, before the lists") {
  auto base = std::make_shared<listed_filter>(std::map<std::string, dns::verdict>{
      {"ads.example", {filter_action::block, 0}}, {"good.example", {filter_action::allow, 1}}});
  using kind = dns::overlay::kind;
  dns::overlaid_filter f(base, {change(kind::allow, "ads.example"), change(kind::block, "example"),
                                change(kind::block, "x.ads.example"), change(kind::pause)});
  auto action_of = [](const dns::filter_set& set, const char* text) {
    auto n = dns_name(text).lower();
    return set.match(n.wire(), dns::all_lists).action;
  };
  auto match = [&](const char* n) { return action_of(f, n); };
  CHECK(match("ads.example") == filter_action::allow);
  CHECK(match("sub.ads.example") == filter_action::allow);
  CHECK(match("y.x.ADS.example") == filter_action::block);
  CHECK(match("good.example") == filter_action::block); // the operator's "example" comes first
  CHECK(match("elsewhere.test") == filter_action::none);
  CHECK(f.list_name(dns::operator_block_list) == "netlab dns block");
  CHECK(f.list_name(0) == "list 0");
  REQUIRE(f.deciding(dns_name("sub.ads.example")));
  CHECK(f.deciding(dns_name("sub.ads.example"))->first == dns_name("ads.example"));
  CHECK(!f.deciding(dns_name("elsewhere.test")));
  dns::overlaid_filter alone(nullptr, {change(kind::block, "bad.example")});
  CHECK(action_of(alone, "bad.example") == filter_action::block);
  CHECK(action_of(alone, "fine.example") == filter_action::none);
}

TEST_CASE("dns overlay: kept as text, and read back with what is no record left out") {
  using kind = dns::overlay::kind;
  std::vector<dns::overlay> all{change(kind::allow, "a\\.b.example"), change(kind::pause)};
  all[1].expires = all[1].made + 5min;
  auto back = dns::read_overlays(dns::write_overlays(all));
  REQUIRE(back);
  CHECK(back->refused == 0);
  REQUIRE(back->all.size() == 2);
  CHECK(back->all[0].target == dns_name("a\\.b.example"));
  CHECK(back->all[0].origin == "ops on /dev/pts/1");
  CHECK(!back->all[0].expires);
  CHECK(back->all[1].what == kind::pause);
  CHECK(*back->all[1].expires == all[1].made + 5min);
  for (auto bad : {"", "{}", "[", "\"x\""}) CHECK_MESSAGE(!dns::read_overlays(bad), bad);
  auto partly = dns::read_overlays(R"([1, {}, {"what":"allow"}, {"what":"allow","name":"a..b","made":1},
    {"what":"pause","made":-1}, {"what":"block","name":"x.example","made":1,"expires":"soon"},
    {"what":"block","name":"y.example","made":1,"origin":"\u001b[31m"}])");
  REQUIRE(partly);
  CHECK(partly->refused == 6);
  REQUIRE(partly->all.size() == 1);
  CHECK(partly->all[0].origin.find('\x1b') == std::string::npos);
}

TEST_CASE("dns engine: safe search answers for another name, for whom it is on") {
  dns_lab lab;
  auto s = std::make_shared<dns::snapshot>();
  s->generation = 1;
  s->policies = {{}, {nullptr, dns::all_lists, dns::safe_search::strict}};
  s->client_policies = {{*cidr::parse("10.0.0.20/32"), 1}};
  lab.engine->use(s);
  auto upstream = [](const dns::message& q) {
    bool safe = q.questions[0].qname == dns_name("forcesafesearch.google.com");
    return dns_lab::address_of(q, safe ? "192.0.2.2" : "192.0.2.1");
  };
  auto ask = [&](const char* client, std::uint16_t type = dns::rtype::a) {
    lab.replies.clear();
    auto got = lab.ask("www.google.com", type, {.client = client});
    if (!got) {
      lab.answer(upstream);
      REQUIRE(lab.replies.size() == 1);
      got = lab.replies[0];
    }
    return dns_lab::text_of(*got);
  };
  const std::string safe = "NOERROR CNAME=forcesafesearch.google.com./300 A=192.0.2.2/300";
  // Each gets its own answer, in any order, asked or kept.
  CHECK(ask("10.0.0.9") == "NOERROR A=192.0.2.1/300");
  CHECK(ask("10.0.0.20") == safe);
  CHECK(ask("10.0.0.9") == "NOERROR A=192.0.2.1/300");
  CHECK(ask("10.0.0.20") == safe);
  CHECK(lab.engine->kept(dns_name("www.google.com"), dns::rtype::a, 0, dns::safe_search::off, lab.now()));
  auto kept =
      lab.engine->kept(dns_name("www.google.com"), dns::rtype::a, 0, dns::safe_search::strict, lab.now());
  REQUIRE(kept);
  REQUIRE(kept->aliases.size() == 1);
  CHECK(kept->aliases[0] == dns_name("forcesafesearch.google.com"));
  CHECK(!lab.engine->kept(dns_name("www.example.org"), dns::rtype::a, 0, dns::safe_search::off, lab.now()));
}
