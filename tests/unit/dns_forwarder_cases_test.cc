// What upstreams have been seen to say, each with what the client then gets. Beside dns_forwarder_test.cc,
// which has the ids, addresses, questions, timeouts and refusals.
#include <malloc.h>

#include <random>

#include "dns/wire.h"
#include "support/dns_lab.h"

using namespace netlab;
using namespace netlab::test;
namespace rtype = dns::rtype;
namespace rcode = dns::rcode;

namespace {

using records = std::vector<dns::record>;

dns::record cname(const std::string& from, const std::string& to) {
  return dns_record(from, rtype::cname, 300, to + ".");
}
dns::record address(const std::string& of, const std::string& value = "203.0.113.1") {
  return dns_record(of, rtype::a, 300, value);
}

// The client's answer after the only upstream said that; "waits" when it does not count.
std::string after(const std::function<void(dns::message&)>& say, std::uint16_t type = rtype::a) {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org", type));
  auto t = lab.sent.at(0);
  auto m = dns_lab::reply_to(dns_lab::query_of(t), {});
  say(m);
  lab.give(t, m);
  return lab.replies.empty() ? "waits" : dns_lab::text_of(lab.replies[0]);
}

// The same with bytes of a test's own behind a good header and question.
std::string after_bytes(const std::function<void(byte_vector&)>& spoil) {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org"));
  auto t = lab.sent.at(0);
  auto bytes = dns::encode(dns_lab::reply_to(dns_lab::query_of(t), {}));
  spoil(bytes);
  lab.give_bytes(t, bytes);
  if (lab.replies.empty()) {
    CHECK(lab.engine->counts().upstream_bad == 1);
    lab.give(t, dns_lab::address_of(dns_lab::query_of(t), "203.0.113.1"));
    REQUIRE(lab.replies.size() == 1);
    CHECK(dns_lab::text_of(lab.replies[0]) == "NOERROR A=203.0.113.1/300");
    return "waits";
  }
  return dns_lab::text_of(lab.replies[0]);
}

void add_record(byte_vector& m, const byte_vector& owner, std::uint16_t type, std::uint16_t length,
                const byte_vector& data) {
  m[7] = static_cast<std::uint8_t>(m[7] + 1);
  // Before the OPT record, which is the last eleven octets.
  byte_vector r = owner;
  for (unsigned v : {unsigned{type}, 1u}) {
    r.push_back(static_cast<std::uint8_t>(v >> 8));
    r.push_back(static_cast<std::uint8_t>(v));
  }
  r.insert(r.end(), {0, 0, 1, 44, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)});
  r.insert(r.end(), data.begin(), data.end());
  m.insert(m.end() - 11, r.begin(), r.end());
}

} // namespace

TEST_CASE("dns forwarder cases: aliases") {
  struct {
    const char* what;
    records answers;
    const char* expected;
  } cases[] = {
      {"one step",
       {cname("www.example.org", "a.example.net"), address("a.example.net")},
       "NOERROR CNAME=a.example.net./300 A=203.0.113.1/300"},
      {"in any order",
       {address("b.example.net"), cname("a.example.net", "b.example.net"),
        cname("www.example.org", "a.example.net")},
       "NOERROR CNAME=a.example.net./300 CNAME=b.example.net./300 A=203.0.113.1/300"},
      {"to itself", {cname("www.example.org", "www.example.org")}, "SERVFAIL"},
      {"in a circle",
       {cname("www.example.org", "a.example.net"), cname("a.example.net", "www.example.org")},
       "SERVFAIL"},
      {"in a circle further on",
       {cname("www.example.org", "a.example.net"), cname("a.example.net", "b.example.net"),
        cname("b.example.net", "a.example.net")},
       "SERVFAIL"},
      {"that leads nowhere", {cname("www.example.org", "a.example.net")}, "NOERROR CNAME=a.example.net./300"},
      {"of somebody else", {cname("www.example.com", "a.example.net"), address("a.example.net")}, "NOERROR"},
      {"two of one name",
       {cname("www.example.org", "a.example.net"), cname("www.example.org", "b.example.net"),
        address("a.example.net"), address("b.example.net", "203.0.113.2")},
       "NOERROR CNAME=a.example.net./300 A=203.0.113.1/300"},
      {"beside an address",
       {address("www.example.org"), cname("www.example.org", "a.example.net")},
       "NOERROR A=203.0.113.1/300"},
  };
  for (const auto& c : cases)
    CHECK_MESSAGE(after([&](dns::message& m) { m.answers = c.answers; }) == c.expected, c.what);
  for (int length : {16, 17}) {
    auto got = after([&](dns::message& m) {
      std::string at = "www.example.org";
      for (int i = 0; i < length; ++i) {
        auto next = "n" + std::to_string(i) + ".example.net";
        m.answers.push_back(cname(at, next));
        at = next;
      }
      m.answers.push_back(address(at));
    });
    CHECK(got.starts_with(length == 16 ? "NOERROR" : "SERVFAIL"));
  }
}

TEST_CASE("dns forwarder cases: what a server adds is nobody's answer") {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org"));
  lab.answer([](const dns::message& q) {
    auto m = dns_lab::address_of(q, "203.0.113.1");
    m.answers.push_back(address("www.bank.example", "203.0.113.66"));
    m.authorities.push_back(dns_record("example.org", rtype::ns, 300, "ns.bank.example."));
    m.additionals.push_back(address("ns.bank.example", "203.0.113.66"));
    return m;
  });
  CHECK(dns_lab::text_of(lab.replies[0]) == "NOERROR A=203.0.113.1/300");
  CHECK(lab.replies[0].authorities.empty());
  CHECK(!lab.ask("www.bank.example"));
  CHECK(!lab.ask("ns.bank.example"));
}

TEST_CASE("dns forwarder cases: answers that are none, and times") {
  CHECK(after([](dns::message& m) { m.rcode = rcode::name_error; }) == "NXDOMAIN");
  CHECK(after([](dns::message&) {}) == "NOERROR"); // without an SOA: not kept
  CHECK(after([](dns::message& m) {
          m.answers = {dns_record("www.example.org", rtype::a, 0, "203.0.113.1")};
        }) == "NOERROR A=203.0.113.1/0");
  // Above 2^31 - 1 means zero (RFC 2181 §8); a week is cut to a day.
  CHECK(after([](dns::message& m) {
          auto r = address("www.example.org");
          r.ttl = 0x90000000;
          m.answers = {r};
        }) == "NOERROR A=203.0.113.1/0");
  CHECK(after([](dns::message& m) {
          m.answers = {dns_record("www.example.org", rtype::a, 604800, "203.0.113.1")};
        }) == "NOERROR A=203.0.113.1/86400");
  CHECK(after([](dns::message& m) {
          auto r = address("www.example.org");
          r.klass = dns::class_chaos;
          m.answers = {r};
        }) == "NOERROR");
  CHECK(after([](dns::message& m) {
          m.answers = {dns_record("www.example.org", rtype::aaaa, 300, "2001:db8::1")};
        }) == "NOERROR");
  // Unknown types pass untouched.
  CHECK(
      after(
          [](dns::message& m) { m.answers = {dns_record("www.example.org", 65280, 300, "\\# 4 c00c0102")}; },
          65280) == "NOERROR TYPE65280=\\# 4 c00c0102/300");
  // AA without RA and with its own delegation: an authority's answer is one.
  CHECK(after([](dns::message& m) {
          m.flags = dns::flag::qr | dns::flag::aa;
          m.answers = {address("www.example.org")};
          m.authorities = {dns_record("example.org", rtype::ns, 300, "ns.example.org.")};
        }) == "NOERROR A=203.0.113.1/300");
}

TEST_CASE("dns forwarder cases: malformed replies do not count, and the wait goes on") {
  const byte_vector asked{0xc0, 12};
  CHECK(after_bytes([&](byte_vector& m) {
          add_record(m, asked, rtype::a, 4, {203, 0, 113, 1});
        }) == "NOERROR A=203.0.113.1/300");
  struct {
    const char* what;
    std::function<void(byte_vector&)> spoil;
  } cases[] = {
      {"a name that points at itself",
       [&](byte_vector& m) {
         add_record(m, {0xc0, static_cast<std::uint8_t>(m.size() - 11)}, rtype::a, 4, {1, 2, 3, 4});
       }},
      {"a name that points forward",
       [&](byte_vector& m) {
         add_record(m, {0xc0, static_cast<std::uint8_t>(m.size() + 4)}, rtype::a, 4, {1, 2, 3, 4});
       }},
      {"a name that points into the header",
       [&](byte_vector& m) {
         add_record(m, {0xc0, 4}, rtype::a, 4, {1, 2, 3, 4});
       }},
      {"a label of the reserved kinds",
       [&](byte_vector& m) {
         add_record(m, {0x80, 12}, rtype::a, 4, {1, 2, 3, 4});
       }},
      {"an address of five octets",
       [&](byte_vector& m) {
         add_record(m, asked, rtype::a, 5, {1, 2, 3, 4, 5});
       }},
      {"an address of three octets",
       [&](byte_vector& m) {
         add_record(m, asked, rtype::a, 3, {1, 2, 3});
       }},
      {"data that reaches past the end",
       [&](byte_vector& m) {
         add_record(m, asked, rtype::a, 400, {1, 2, 3, 4});
       }},
      {"an alias with octets behind it",
       [&](byte_vector& m) {
         add_record(m, asked, rtype::cname, 4, {1, 'a', 0, 0});
       }},
      {"an alias that is cut off",
       [&](byte_vector& m) {
         add_record(m, asked, rtype::cname, 2, {5, 'a'});
       }},
      {"more answers than there are", [](byte_vector& m) { m[7] = 9; }},
      {"fewer than there are",
       [&](byte_vector& m) {
         add_record(m, asked, rtype::a, 4, {1, 2, 3, 4});
         m[7] = 0;
       }},
      {"two OPT records",
       [](byte_vector& m) {
         byte_vector opt(m.end() - 11, m.end());
         m.insert(m.end(), opt.begin(), opt.end());
         m[11] = 2;
       }},
      {"an OPT record among the answers",
       [](byte_vector& m) {
         m[7] = 1;
         m[11] = 0;
       }},
      {"65,535 answers", [](byte_vector& m) { m[6] = m[7] = 255; }},
  };
  for (const auto& c : cases) CHECK_MESSAGE(after_bytes(c.spoil) == "waits", c.what);
}

TEST_CASE("dns forwarder cases: replies that are as large as can be cost little") {
  dns_lab lab;
  // A chain of pointers, each to the one before it, again and again: the classic bomb.
  dns_client_options o;
  o.stream = true;
  CHECK(!lab.ask("www.example.org", rtype::a, o));
  auto t = lab.sent.at(0);
  auto bytes = dns::encode(dns_lab::reply_to(dns_lab::query_of(t), {}));
  bytes.resize(bytes.size() - 11);
  bytes[11] = 0;
  std::uint16_t count = 0;
  auto previous = std::size_t{12};
  while (bytes.size() + 20 < 65000) {
    auto at = bytes.size();
    byte_vector owner{1, 'a', static_cast<std::uint8_t>(0xc0 | previous >> 8),
                      static_cast<std::uint8_t>(previous)};
    bytes.insert(bytes.end(), owner.begin(), owner.end());
    bytes.insert(bytes.end(), {0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4});
    if (at < 0x3ff0 && count % 100 != 99)
      previous = at;
    else
      previous = 12;
    ++count;
  }
  dns::put16(bytes.data() + 6, count);
  auto began = std::chrono::steady_clock::now();
  lab.give_bytes(t, bytes);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(2));
  // As many addresses as fit: whole by TCP, and told to come by TCP otherwise.
  CHECK(!lab.ask("big.example.org", rtype::a, o));
  lab.answer([](const dns::message& q) {
    auto m = dns_lab::reply_to(q, {});
    for (int i = 0; i < 900; ++i)
      m.answers.push_back(dns_record(q.questions[0].qname.to_string(), rtype::a, 300,
                                     "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
    return m;
  });
  CHECK(lab.replies.back().answers.size() == 900);
  auto cut = lab.ask("big.example.org");
  REQUIRE(cut);
  CHECK((cut->flags & dns::flag::tc) != 0);
  CHECK(cut->answers.empty());
  CHECK(lab.last_size <= 512);
}

TEST_CASE("dns forwarder cases: an extended error of the upstream reaches the client") {
  dns_lab lab;
  dns_client_options o;
  o.opt = dns::edns{};
  CHECK(!lab.ask("www.example.org", rtype::a, o));
  lab.answer([](const dns::message& q) {
    auto m = dns_lab::reply_to(q, {}, rcode::server_failure);
    m.opt->options.push_back({dns::edns_code::extended_error, {0, 9}});
    return m;
  });
  CHECK(dns_lab::extended_of(lab.replies[0]) == 9);
}

TEST_CASE("dns forwarder cases: answers in different cases, ids and orders for a crowd of questions") {
  dns_lab lab({}, {"192.0.2.1", "192.0.2.2"});
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i) {
    names.push_back("n" + std::to_string(i) + ".example.org");
    CHECK(!lab.ask(names.back()));
  }
  // In reverse, every third twice, every fifth never.
  auto all = lab.sent;
  std::reverse(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto q = dns_lab::query_of(all[i]);
    if (i % 5 == 4) continue;
    for (int times = 0; times < (i % 3 == 0 ? 2 : 1); ++times)
      lab.give(all[i], dns_lab::address_of(q, "203.0.113.1"));
  }
  CHECK(lab.replies.size() == 160);
  lab.advance(std::chrono::seconds(10));
  CHECK(lab.replies.size() == 200);
  CHECK(lab.engine->waiting() == 0);
}

// A day of a household: names come and go, answers expire, lists change every hour, the uplink fails for a
// while.
TEST_CASE("dns engine: a day takes no more memory than an hour") {
  dns::engine_config c;
  c.cache_bytes = 256 << 10;
  dns_lab lab(c, {"192.0.2.1", "192.0.2.2"});
  std::mt19937 chosen(3);
  std::size_t early = 0, answered = 0;
  std::uint64_t generation = 0;
  for (int minute = 0; minute < 24 * 60; ++minute) {
    if (minute % 60 == 0) {
      std::map<std::string, dns::verdict> rules;
      for (int i = 0; i < 200; ++i)
        rules["n" + std::to_string(chosen() % 5000) + ".example.org"] = {dns::filter_action::block, 0};
      auto s = std::make_shared<dns::snapshot>();
      s->generation = ++generation;
      s->policies = {{std::make_shared<listed_filter>(std::move(rules)), dns::all_lists}};
      lab.engine->use(s);
    }
    bool uplink = minute % 240 < 230;
    for (int i = 0; i < 10; ++i) {
      dns_client_options o;
      o.client = "10.0.0." + std::to_string(1 + chosen() % 200);
      o.id = static_cast<std::uint16_t>(chosen());
      (void)lab.ask("n" + std::to_string(chosen() % 5000) + ".example.org", rtype::a, o);
      if (uplink)
        lab.answer([&](const dns::message& q) {
          return dns_lab::address_of(q, "203.0.113.1", 30 + chosen() % 7200);
        });
      answered += lab.replies.size();
      lab.replies.clear();
      lab.reply_clients.clear();
      lab.health.clear();
      lab.advance(std::chrono::seconds(6));
    }
    CHECK(lab.engine->cached_bytes() <= c.cache_bytes);
    if (minute == 300) early = mallinfo2().uordblks;
  }
  lab.advance(std::chrono::minutes(1));
  CHECK(lab.engine->waiting() == 0);
  CHECK(answered > 1000);
  CHECK(mallinfo2().uordblks < early + (64 << 10));
}
