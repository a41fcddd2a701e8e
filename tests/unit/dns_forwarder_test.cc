// The resolver and its upstreams: who is asked, what counts as an answer, what happens when none comes.
#include "support/dns_lab.h"

using namespace netlab;
using namespace netlab::test;
namespace rtype = dns::rtype;
namespace rcode = dns::rcode;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

std::optional<dns::message> fine(const dns::message& q) { return dns_lab::address_of(q, "203.0.113.1"); }

std::string first_sent(const dns_lab& lab) { return lab.sent.empty() ? "" : lab.sent[0].to.text; }

} // namespace

TEST_CASE("dns forwarder: every query has another id and other letters") {
  dns_lab lab;
  std::map<std::uint16_t, int> ids;
  std::map<std::string, int> letters;
  for (int i = 0; i < 200; ++i) {
    auto n = "abcdefghij" + std::to_string(i) + ".example.org";
    CHECK(!lab.ask(n));
    auto q = dns_lab::query_of(lab.sent.back());
    ++ids[q.id];
    ++letters[q.questions[0].qname.to_string().substr(0, 10)];
    CHECK((q.flags & dns::flag::rd) != 0);
    CHECK(q.opt->udp_size == 1232);
    lab.answer(fine);
  }
  CHECK(ids.size() > 190);
  CHECK(letters.size() > 150);
}

TEST_CASE("dns forwarder: a wrong reply does not count, and does not end the wait") {
  struct {
    const char* what;
    std::function<void(dns::message&)> spoil;
  } cases[] = {
      {"another id", [](dns::message& m) { m.id ^= 1; }},
      {"a query", [](dns::message& m) { m.flags &= static_cast<std::uint16_t>(~dns::flag::qr); }},
      {"another opcode", [](dns::message& m) { m.flags |= 0x2000; }},
      {"another name", [](dns::message& m) { m.questions[0].qname = dns_name("www.example.com"); }},
      {"another type", [](dns::message& m) { m.questions[0].type = rtype::aaaa; }},
      {"another class", [](dns::message& m) { m.questions[0].klass = dns::class_chaos; }},
      {"no question", [](dns::message& m) { m.questions.clear(); }},
      {"two questions", [](dns::message& m) { m.questions.push_back(m.questions[0]); }},
  };
  for (const auto& c : cases) {
    dns_lab lab;
    CHECK(!lab.ask("www.example.org"));
    REQUIRE(lab.sent.size() == 1);
    auto t = lab.sent[0];
    auto m = *fine(dns_lab::query_of(t));
    c.spoil(m);
    lab.give(t, m);
    CHECK_MESSAGE(lab.replies.empty(), c.what);
    CHECK(lab.engine->counts().upstream_bad == 1);
    lab.give(t, *fine(dns_lab::query_of(t)));
    CHECK_MESSAGE(lab.replies.size() == 1, c.what);
  }
  dns_lab lab;
  CHECK(!lab.ask("www.example.org"));
  auto t = lab.sent[0];
  auto good = dns::encode(*fine(dns_lab::query_of(t)));
  for (auto from :
       {endpoint{*ip_address::parse("192.0.2.9"), 53}, endpoint{*ip_address::parse("192.0.2.1"), 54}})
    lab.give_bytes(t, good, from);
  for (std::size_t length = 0; length < good.size(); ++length)
    lab.give_bytes(t, byte_view(good).first(length));
  auto longer = good;
  longer.push_back(0);
  lab.give_bytes(t, longer);
  CHECK(lab.replies.empty());
  lab.give_bytes(t, good);
  CHECK(lab.replies.size() == 1);
  lab.give_bytes(t, good); // a second copy is nobody's
  CHECK(lab.replies.size() == 1);
}

TEST_CASE("dns forwarder: letters of another case are doubted over UDP and believed over TCP") {
  dns_lab lab;
  CHECK(!lab.ask("www.some-long-name.example.org"));
  auto t = lab.sent[0];
  auto m = *fine(dns_lab::query_of(t));
  m.questions[0].qname = m.questions[0].qname.lower();
  lab.give(t, m);
  CHECK(lab.replies.empty());
  REQUIRE(lab.sent.size() == 2);
  CHECK(lab.sent[1].over == dns::transport::tcp);
  lab.give(t, m); // again: no second connection
  CHECK(lab.sent.size() == 2);
  auto second = lab.sent[1];
  lab.give(second, *fine(dns_lab::query_of(second)));
  CHECK(lab.replies.size() == 1);
  // The server is known for it now: UDP is enough.
  CHECK(!lab.ask("www2.some-long-name.example.org"));
  auto third = lab.sent.back();
  auto low = *fine(dns_lab::query_of(third));
  low.questions[0].qname = low.questions[0].qname.lower();
  lab.give(third, low);
  CHECK(lab.replies.size() == 2);
}

TEST_CASE("dns forwarder: a truncated answer is fetched by TCP") {
  dns_lab lab;
  CHECK(!lab.ask("big.example.org"));
  auto t = lab.sent[0];
  auto cut = dns_lab::reply_to(dns_lab::query_of(t), {});
  cut.flags |= dns::flag::tc;
  auto bytes = dns::encode(cut);
  bytes.push_back(1); // cut in the middle of a record, as some do
  lab.give_bytes(t, bytes);
  REQUIRE(lab.sent.size() == 1);
  CHECK(lab.sent[0].over == dns::transport::tcp);
  lab.answer(fine);
  CHECK(lab.replies.size() == 1);
}

TEST_CASE("dns forwarder: an upstream without EDNS is asked without") {
  for (auto code : {rcode::format_error, rcode::not_implemented}) {
    dns_lab lab;
    CHECK(!lab.ask("www.example.org"));
    lab.answer([&](const dns::message& q) {
      auto m = dns_lab::reply_to(q, {}, code);
      m.opt.reset();
      return m;
    });
    REQUIRE(lab.sent.size() == 1);
    CHECK(!dns_lab::query_of(lab.sent[0]).opt);
    lab.answer(fine);
    CHECK(lab.replies.size() == 1);
    CHECK(!lab.ask("other.example.org"));
    CHECK(!dns_lab::query_of(lab.sent[0]).opt);
  }
}

TEST_CASE("dns forwarder: a refusal sends the question to the next one, and only the last is told") {
  for (auto code : {rcode::server_failure, rcode::refused, rcode::not_implemented, std::uint16_t{9}}) {
    dns_lab lab({}, {"192.0.2.1", "192.0.2.2"});
    dns_client_options o;
    o.opt = dns::edns{};
    CHECK(!lab.ask("www.example.org", rtype::a, o));
    auto refuse = [&](const dns::message& q) { return dns_lab::reply_to(q, {}, code); };
    auto first = first_sent(lab);
    lab.answer(refuse);
    REQUIRE(lab.sent.size() == 1);
    CHECK(first_sent(lab) != first);
    lab.answer(fine);
    REQUIRE(lab.replies.size() == 1);
    CHECK(lab.replies[0].rcode == 0);
    CHECK(!lab.ask("bad.example.org", rtype::a, o));
    lab.answer(refuse);
    lab.answer(refuse);
    REQUIRE(lab.replies.size() == 2);
    CHECK(lab.replies[1].rcode == (code == rcode::refused ? rcode::refused : rcode::server_failure));
    // For a while it is not asked again.
    CHECK(lab.ask("bad.example.org", rtype::a, o)->rcode == lab.replies[1].rcode);
    lab.advance(seconds(6));
    CHECK(!lab.ask("bad.example.org", rtype::a, o));
  }
}

TEST_CASE("dns forwarder: a referral is no answer") {
  dns_lab lab({}, {"192.0.2.1", "192.0.2.2"});
  CHECK(!lab.ask("www.example.org"));
  lab.answer([](const dns::message& q) {
    auto m = dns_lab::reply_to(q, {});
    m.flags = dns::flag::qr;
    m.authorities.push_back(dns_record("example.org", rtype::ns, 300, "ns.example.org."));
    return m;
  });
  CHECK(lab.replies.empty());
  CHECK(lab.sent.size() == 1);
}

TEST_CASE("dns forwarder: silence moves the question on, and a late answer still counts") {
  dns_lab lab({}, {"192.0.2.1", "192.0.2.2"});
  CHECK(!lab.ask("www.example.org"));
  REQUIRE(lab.sent.size() == 1);
  auto first = lab.sent[0];
  lab.advance(milliseconds(500));
  REQUIRE(lab.sent.size() == 2);
  CHECK(lab.sent[1].to.text != first.to.text);
  CHECK(dns_lab::query_of(lab.sent[1]).id != dns_lab::query_of(first).id);
  lab.give(first, *fine(dns_lab::query_of(first)));
  CHECK(lab.replies.size() == 1);
  CHECK(lab.sent.empty()); // the second is not waited for any more
}

TEST_CASE("dns forwarder: when nobody answers the client is told so, with the reason") {
  dns_lab lab({}, {"192.0.2.1", "192.0.2.2"});
  dns_client_options o;
  o.opt = dns::edns{};
  CHECK(!lab.ask("www.example.org", rtype::a, o));
  lab.advance(seconds(7));
  REQUIRE(lab.replies.size() == 1);
  CHECK(lab.replies[0].rcode == rcode::server_failure);
  CHECK(dns_lab::extended_of(lab.replies[0]) == dns::ede::no_reachable_authority);
  CHECK(lab.engine->waiting() == 0);
  CHECK(lab.sent.empty());
}

TEST_CASE("dns forwarder: failures of the network are told at once") {
  dns_lab lab({}, {"192.0.2.1"});
  dns_client_options o;
  o.opt = dns::edns{};
  CHECK(!lab.ask("www.example.org", rtype::a, o));
  for (int i = 0; i < 3; ++i) {
    REQUIRE(lab.sent.size() == 1);
    lab.engine->on_upstream_failure(lab.sent[0].attempt, "Network is unreachable", lab.now());
    lab.collect();
  }
  REQUIRE(lab.replies.size() == 1);
  CHECK(dns_lab::extended_of(lab.replies[0]) == dns::ede::network_error);
  REQUIRE(lab.health.size() == 1);
  CHECK(!lab.health[0].up);
  // The uplink is back: the first question after the second of grace gets its answer.
  lab.advance(milliseconds(1100));
  CHECK(!lab.ask("www.example.org", rtype::a, o));
  lab.answer(fine);
  CHECK(lab.replies.back().rcode == 0);
  REQUIRE(lab.health.size() == 2);
  CHECK(lab.health[1].up);
}

TEST_CASE("dns forwarder: the quicker upstream is preferred, a dead one left alone and tried again") {
  dns_lab lab({}, {"192.0.2.1", "192.0.2.2"});
  bool first_dead = false;
  std::map<std::string, int> asked;
  int number = 0;
  auto one = [&] {
    CHECK(!lab.ask("n" + std::to_string(++number) + ".example.org"));
    for (int step = 0; step < 200 && lab.engine->waiting() > 0; ++step) {
      lab.advance(milliseconds(10));
      lab.answer([&](const dns::message&) { return std::optional<dns::message>(); });
      auto all = lab.sent;
      for (const auto& t : all) {
        bool slow = t.to.text == "192.0.2.2";
        if (!slow && first_dead) continue;
        if (slow && step < 8) continue;
        ++asked[t.to.text];
        lab.give(t, *fine(dns_lab::query_of(t)));
      }
    }
    CHECK(lab.engine->waiting() == 0);
  };
  for (int i = 0; i < 60; ++i) one();
  CHECK(asked["192.0.2.1"] > 45);
  CHECK(asked["192.0.2.2"] >= 2); // looked at now and then
  first_dead = true;
  asked.clear();
  for (int i = 0; i < 30; ++i) one();
  CHECK(asked["192.0.2.2"] == 30);
  auto health = lab.engine->health();
  CHECK(!health[0].up);
  CHECK(health[1].up);
  CHECK(!health[0].last_trouble.empty());
  first_dead = false;
  asked.clear();
  lab.advance(seconds(11));
  for (int i = 0; i < 20; ++i) one();
  CHECK(lab.engine->health()[0].up);
  CHECK(asked["192.0.2.1"] > 5);
}

TEST_CASE("dns forwarder: an upstream that takes three seconds still answers") {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org"));
  auto first = lab.sent[0];
  lab.advance(seconds(3));
  CHECK(lab.replies.empty());
  lab.give(first, *fine(dns_lab::query_of(first)));
  CHECK(lab.replies.size() == 1);
}

TEST_CASE("dns forwarder: an old answer is given while nobody has a new one") {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org"));
  lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "203.0.113.1", 60); });
  lab.replies.clear();
  lab.advance(minutes(10));
  dns_client_options o;
  o.opt = dns::edns{};
  CHECK(!lab.ask("www.example.org", rtype::a, o));
  lab.advance(milliseconds(1700));
  CHECK(lab.replies.empty());
  lab.advance(milliseconds(200)); // RFC 8767 §5: 1.8 s
  REQUIRE(lab.replies.size() == 1);
  CHECK(dns_lab::text_of(lab.replies[0]) == "NOERROR A=203.0.113.1/30");
  CHECK(dns_lab::extended_of(lab.replies[0]) == dns::ede::stale_answer);
  lab.advance(seconds(10));
  REQUIRE(!lab.health.empty());
  // Everybody is known to be silent: at once, and one question looks for who is back.
  auto at_once = lab.ask("www.example.org", rtype::a, o);
  REQUIRE(at_once);
  CHECK(dns_lab::text_of(*at_once) == "NOERROR A=203.0.113.1/30");
  CHECK(lab.sent.size() == 1);
  lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "203.0.113.2", 60); });
  CHECK(dns_lab::text_of(*lab.ask("www.example.org", rtype::a, o)) == "NOERROR A=203.0.113.2/60");
  // Not for ever.
  lab.advance(std::chrono::hours(30));
  CHECK(!lab.ask("www.example.org", rtype::a, o));
  lab.advance(seconds(10));
  CHECK(lab.replies.back().rcode == rcode::server_failure);
}

TEST_CASE("dns forwarder: a refusal by the upstream does not take the old answer away") {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org"));
  lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "203.0.113.1", 60); });
  lab.advance(minutes(2));
  CHECK(!lab.ask("www.example.org"));
  lab.answer([](const dns::message& q) { return dns_lab::reply_to(q, {}, rcode::server_failure); });
  CHECK(dns_lab::text_of(lab.replies.back()) == "NOERROR A=203.0.113.1/30");
}

TEST_CASE("dns forwarder: zones of their own go to upstreams of their own, and answers do not mix") {
  dns::engine_config c;
  c.groups.resize(3);
  c.groups[0].members = {*dns::upstream::parse("192.0.2.1")};
  c.groups[1].members = {*dns::upstream::parse("192.0.2.2")};
  c.groups[2].members = {*dns::upstream::parse("192.0.2.3")};
  dns_lab lab(c);
  auto s = std::make_shared<dns::snapshot>();
  s->generation = 1;
  auto routes = std::make_shared<dns::route_table>();
  dns::add_standard_routes(*routes, true);
  routes->add(dns_name("corp.example"), dns::route_kind::forward, 1);
  routes->add(dns_name("lab.corp.example"), dns::route_kind::local);
  routes->add(dns_name("20.10.in-addr.arpa"), dns::route_kind::forward, 2);
  s->routes = routes;
  lab.engine->use(s);
  auto goes_to = [&](const char* n, std::uint16_t type) {
    auto got = lab.ask(n, type);
    if (got) return dns::rcode_name(got->rcode);
    auto out = lab.sent.back().to.text;
    lab.answer(fine);
    return out;
  };
  CHECK(goes_to("www.example.org", rtype::a) == "192.0.2.1");
  CHECK(goes_to("corp.example", rtype::a) == "192.0.2.2");
  CHECK(goes_to("a.b.CORP.example", rtype::a) == "192.0.2.2");
  CHECK(goes_to("notcorp.example", rtype::a) == "192.0.2.1");
  CHECK(goes_to("x.lab.corp.example", rtype::a) == "NXDOMAIN");
  CHECK(goes_to("1.0.20.10.in-addr.arpa", rtype::ptr) == "192.0.2.3");
  CHECK(goes_to("1.0.21.10.in-addr.arpa", rtype::ptr) == "NXDOMAIN");
  CHECK(lab.ask("corp.example")); // kept
  auto without = std::make_shared<dns::snapshot>(*s);
  without->generation = 2;
  without->routes = std::make_shared<dns::route_table>();
  lab.engine->use(without);
  CHECK(!lab.ask("corp.example")); // but not for the group that never said it
}

TEST_CASE("dns forwarder: upstreams by name wait for their address") {
  dns::engine_config c;
  c.groups.resize(1);
  c.groups[0].members = {*dns::upstream::parse("tls://dns.example.net")};
  dns_lab lab(c);
  CHECK(!lab.ask("www.example.org"));
  CHECK(lab.sent.empty());
  lab.advance(milliseconds(1));
  REQUIRE(lab.replies.size() == 1);
  CHECK(lab.replies[0].rcode == rcode::server_failure);
  REQUIRE(lab.engine->health().size() == 1);
  CHECK_FALSE(lab.engine->health()[0].up);
  CHECK(lab.engine->health()[0].last_trouble == "its name has not been resolved yet");
  lab.engine->set_upstream_address("dns.example.net", *ip_address::parse("203.0.113.1"));
  CHECK(lab.engine->health()[0].up);
  lab.advance(seconds(2));
  CHECK(!lab.ask("www.example.org"));
  REQUIRE(lab.sent.size() == 1);
  CHECK(lab.sent[0].to.address.to_string() == "203.0.113.1:853");
  CHECK(lab.sent[0].over == dns::transport::tls);
  CHECK(lab.sent[0].bytes.size() % 128 == 0); // padded, RFC 8467
}

TEST_CASE("dns forwarder: upstreams as recipes write them") {
  struct {
    const char *text, *address, *server_name, *url;
    dns::transport over;
  } good[] = {
      {"1.1.1.1", "1.1.1.1:53", "1.1.1.1", "", dns::transport::udp},
      {"1.1.1.1:5353", "1.1.1.1:5353", "1.1.1.1", "", dns::transport::udp},
      {"[2606:4700::1111]:54", "[2606:4700::1111]:54", "2606:4700::1111", "", dns::transport::udp},
      {"2606:4700::1111", "[2606:4700::1111]:53", "2606:4700::1111", "", dns::transport::udp},
      {"tcp://9.9.9.9", "9.9.9.9:53", "9.9.9.9", "", dns::transport::tcp},
      {"tls://1.1.1.1", "1.1.1.1:853", "1.1.1.1", "", dns::transport::tls},
      {"tls://1.1.1.1:8853#one.one.one.one", "1.1.1.1:8853", "one.one.one.one", "", dns::transport::tls},
      {"tls://dns.quad9.net", "0.0.0.0:853", "dns.quad9.net", "", dns::transport::tls},
      {"https://dns.google/dns-query", "0.0.0.0:443", "dns.google", "https://dns.google/dns-query",
       dns::transport::https},
      {"https://1.1.1.1", "1.1.1.1:443", "1.1.1.1", "https://1.1.1.1/dns-query", dns::transport::https},
  };
  for (const auto& g : good) {
    auto u = dns::upstream::parse(g.text);
    REQUIRE_MESSAGE(u.has_value(), g.text);
    CHECK(u->address.to_string() == g.address);
    CHECK(u->server_name == g.server_name);
    CHECK(u->url == g.url);
    CHECK(u->over == g.over);
  }
  for (auto bad :
       {"", "dns.google", "udp://dns.google", "ftp://1.1.1.1", "1.1.1.1#name", "tls://", "tls://a b",
        "1.1.1.1:0", "1.1.1.1:99999", "tls://1.1.1.1#", "https://", "tls://dns.google:x"})
    CHECK_MESSAGE(!dns::upstream::parse(bad), bad);
  dns::upstream_group mixed;
  mixed.members = {*dns::upstream::parse("1.1.1.1"), *dns::upstream::parse("tls://9.9.9.9")};
  CHECK(!mixed.check());
}

TEST_CASE("dns forwarder: crowds are bounded") {
  dns::engine_config c;
  c.max_flights = 50;
  c.max_waiting_per_client = 10;
  dns_lab lab(c);
  for (int i = 0; i < 30; ++i) CHECK(!lab.ask("n" + std::to_string(i) + ".example.org"));
  CHECK(lab.replies.size() == 20); // refused: one client's share
  CHECK(lab.engine->waiting() == 10);
  for (int i = 0; i < 100; ++i)
    CHECK(!lab.ask("m" + std::to_string(i) + ".example.org", rtype::a,
                   {.client = "10.0.1." + std::to_string(i)}));
  CHECK(lab.engine->waiting() == 50);
  lab.advance(seconds(10));
  CHECK(lab.engine->waiting() == 0);
  CHECK(lab.replies.size() == 130);
  CHECK(lab.sent.empty());
  CHECK(!lab.ask("again.example.org"));
}
