// The resolver's own side: what it knows, keeps, blocks and refuses.
#include "support/dns_lab.h"

using namespace netlab;
using namespace netlab::test;
namespace rtype = dns::rtype;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

std::shared_ptr<dns::snapshot> local_world() {
  auto out = std::make_shared<dns::snapshot>();
  out->generation = 1;
  dns::name_table_builder fixed({dns_name("lab.internal")});
  dns::add_standard_names(fixed);
  auto host = [&](const char* n, const char* address) {
    REQUIRE(fixed.add_host(dns_name(n), *ip_address::parse(address), 300));
  };
  auto add = [&](const char* n, std::uint16_t type, const char* data) {
    auto bytes = dns::parse_rdata(type, data, dns_name("lab.internal"));
    REQUIRE(bytes);
    REQUIRE(fixed.add(dns_name(n), type, 300, *bytes));
  };
  host("registry.lab.internal", "10.0.0.1");
  host("registry", "10.0.0.1");
  host("dual.lab.internal", "10.0.0.2");
  host("dual.lab.internal", "2001:db8::2");
  add("www.lab.internal", rtype::cname, "registry");
  add("out.lab.internal", rtype::cname, "cdn.example.org.");
  add("circle-a.lab.internal", rtype::cname, "circle-b");
  add("circle-b.lab.internal", rtype::cname, "circle-a");
  add("gone.lab.internal", rtype::cname, "nowhere");
  add("*.apps.lab.internal", rtype::a, "10.0.0.50");
  add("known.apps.lab.internal", rtype::txt, "here");
  add("_etcd._tcp.lab.internal", rtype::srv, "0 10 2379 registry");
  add("lab.internal", rtype::mx, "10 registry");
  out->fixed = fixed.build();
  auto routes = std::make_shared<dns::route_table>();
  dns::add_standard_routes(*routes, true);
  routes->add(dns_name("lab.internal"), dns::route_kind::local);
  out->routes = routes;
  return out;
}

dns::engine_config lab_config() {
  dns::engine_config c;
  c.domain = dns_name("lab.internal");
  return c;
}

} // namespace

TEST_CASE("dns engine: names of the recipe are answered here, and only here") {
  dns_lab lab(lab_config());
  lab.engine->use(local_world());
  auto text = [&](const char* n, std::uint16_t type) {
    auto got = lab.ask(n, type);
    REQUIRE_MESSAGE(got.has_value(), n);
    CHECK((got->flags & dns::flag::aa) != 0);
    return dns_lab::text_of(*got);
  };
  CHECK(text("registry.lab.internal", rtype::a) == "NOERROR A=10.0.0.1/300");
  CHECK(text("REGISTRY.Lab.Internal", rtype::a) == "NOERROR A=10.0.0.1/300");
  CHECK(text("registry", rtype::a) == "NOERROR A=10.0.0.1/300");
  // A name with an A record exists: the AAAA is not there, which is not the same as no such name.
  auto none = lab.ask("registry.lab.internal", rtype::aaaa);
  REQUIRE(none);
  CHECK(dns_lab::text_of(*none) == "NOERROR");
  CHECK(none->authorities.size() == 1);
  CHECK(none->authorities[0].type == rtype::soa);
  CHECK(none->authorities[0].owner == dns_name("lab.internal"));
  CHECK(text("dual.lab.internal", rtype::aaaa) == "NOERROR AAAA=2001:db8::2/300");
  CHECK(text("www.lab.internal", rtype::a) == "NOERROR CNAME=registry.lab.internal./300 A=10.0.0.1/300");
  CHECK(text("www.lab.internal", rtype::cname) == "NOERROR CNAME=registry.lab.internal./300");
  CHECK(text("gone.lab.internal", rtype::a) == "NXDOMAIN CNAME=nowhere.lab.internal./300");
  CHECK(text("any.thing.apps.lab.internal", rtype::a) == "NOERROR A=10.0.0.50/300");
  CHECK(text("any.apps.lab.internal", rtype::aaaa) == "NOERROR");
  // RFC 4592: a name that exists is not the wildcard's, nor is what lies below it.
  CHECK(text("known.apps.lab.internal", rtype::a) == "NOERROR");
  CHECK(text("below.known.apps.lab.internal", rtype::a) == "NXDOMAIN");
  CHECK(text("apps.lab.internal", rtype::a) == "NOERROR"); // exists, because something is below it
  CHECK(text("_tcp.lab.internal", rtype::a) == "NOERROR");
  CHECK(text("_etcd._tcp.lab.internal", rtype::srv) == "NOERROR SRV=0 10 2379 registry.lab.internal./300");
  CHECK(text("lab.internal", rtype::mx) == "NOERROR MX=10 registry.lab.internal./300");
  CHECK(text("nobody.lab.internal", rtype::a) == "NXDOMAIN");
  CHECK(text("nobody", rtype::a) == "NXDOMAIN");
  CHECK(text("1.0.0.10.in-addr.arpa", rtype::ptr) == "NOERROR PTR=registry.lab.internal./300");
  CHECK(text("9.9.0.10.in-addr.arpa", rtype::ptr) == "NXDOMAIN");
  CHECK(text("1.1.17.172.in-addr.arpa", rtype::ptr) == "NXDOMAIN");
  CHECK(text("localhost", rtype::a) == "NOERROR A=127.0.0.1/86400");
  CHECK(text("foo.localhost", rtype::aaaa) == "NOERROR AAAA=::1/86400");
  CHECK(text("use-application-dns.net", rtype::a) == "NXDOMAIN");
  CHECK(text("mask.icloud.com", rtype::a) == "NXDOMAIN");
  CHECK(text("_dns.resolver.arpa", rtype::svcb) == "NOERROR");
  CHECK(text("printer.local", rtype::a) == "NXDOMAIN");
  auto circle = lab.ask("circle-a.lab.internal");
  REQUIRE(circle);
  CHECK(circle->rcode == dns::rcode::server_failure);
  CHECK(lab.sent.empty());
}

TEST_CASE("dns engine: a CNAME of the recipe that leads outside is followed by upstreams") {
  dns_lab lab(lab_config());
  lab.engine->use(local_world());
  CHECK(!lab.ask("out.lab.internal"));
  REQUIRE(lab.sent.size() == 1);
  CHECK(dns_lab::query_of(lab.sent[0]).questions[0].qname == dns_name("cdn.example.org"));
  lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "203.0.113.9"); });
  REQUIRE(lab.replies.size() == 1);
  CHECK(dns_lab::text_of(lab.replies[0]) == "NOERROR CNAME=cdn.example.org./300 A=203.0.113.9/300");
  CHECK(lab.replies[0].questions[0].qname == dns_name("out.lab.internal"));
  CHECK(lab.ask("out.lab.internal"));
  CHECK(lab.ask("out.lab.internal"));
  // With the record gone, so is what was kept under it.
  auto without = local_world();
  without->generation = 2;
  without->fixed = dns::name_table_builder({}).build();
  lab.engine->use(without);
  auto gone = lab.ask("out.lab.internal");
  REQUIRE(gone);
  CHECK(gone->rcode == dns::rcode::name_error);
}

TEST_CASE("dns engine: leases come second, and vanish") {
  dns_lab lab(lab_config());
  auto s = local_world();
  dns::name_table_builder leases({dns_name("lab.internal")});
  REQUIRE(leases.add_host(dns_name("laptop.lab.internal"), *ip_address::parse("10.0.0.77"), 60));
  REQUIRE(leases.add_host(dns_name("registry.lab.internal"), *ip_address::parse("10.0.0.66"), 60));
  s->dynamic = leases.build();
  lab.engine->use(s);
  CHECK(dns_lab::text_of(*lab.ask("laptop.lab.internal")) == "NOERROR A=10.0.0.77/60");
  CHECK(dns_lab::text_of(*lab.ask("77.0.0.10.in-addr.arpa", rtype::ptr)) ==
        "NOERROR PTR=laptop.lab.internal./60");
  CHECK(dns_lab::text_of(*lab.ask("registry.lab.internal")) == "NOERROR A=10.0.0.1/300");
  auto later = local_world();
  later->generation = 2;
  lab.engine->use(later);
  CHECK(dns_lab::text_of(*lab.ask("laptop.lab.internal")) == "NXDOMAIN");
}

TEST_CASE("dns engine: answers are kept for their time, counted down, with the asker's letters") {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org"));
  lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "203.0.113.1", 100); });
  REQUIRE(lab.replies.size() == 1);
  CHECK(dns_lab::text_of(lab.replies[0]) == "NOERROR A=203.0.113.1/100");
  lab.advance(seconds(40));
  auto kept = lab.ask("WWW.eXample.org", rtype::a, {.id = 99});
  REQUIRE(kept);
  CHECK(kept->id == 99);
  CHECK(dns_lab::text_of(*kept) == "NOERROR A=203.0.113.1/60");
  CHECK(kept->questions[0].qname.to_string() == "WWW.eXample.org");
  CHECK(kept->answers[0].owner.to_string() == "WWW.eXample.org");
  CHECK(lab.sent.empty());
  lab.advance(seconds(60));
  CHECK(!lab.ask("www.example.org"));
  CHECK(lab.sent.size() == 1);
}

TEST_CASE("dns engine: negative answers by RFC 2308") {
  dns_lab lab;
  for (auto code : {dns::rcode::name_error, dns::rcode::no_error}) {
    auto n = code == dns::rcode::name_error ? "none.example.org" : "empty.example.org";
    CHECK(!lab.ask(n));
    lab.answer([&](const dns::message& q) { return dns_lab::negative(q, code, 60); });
    CHECK(lab.replies.back().rcode == code);
    auto kept = lab.ask(n);
    REQUIRE(kept);
    CHECK(kept->rcode == code);
    REQUIRE(kept->authorities.size() == 1);
    CHECK(kept->authorities[0].ttl == 60);
    lab.advance(seconds(61));
    CHECK(!lab.ask(n));
    lab.answer([&](const dns::message& q) { return dns_lab::negative(q, code, 60); });
  }
  // Without an SOA nobody says for how long: not kept.
  CHECK(!lab.ask("bare.example.org"));
  lab.answer([](const dns::message& q) { return dns_lab::reply_to(q, {}, dns::rcode::name_error); });
  CHECK(!lab.ask("bare.example.org"));
}

TEST_CASE("dns engine: only the chain that was asked for is believed") {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org"));
  lab.answer([](const dns::message& q) {
    auto m = dns_lab::reply_to(q, {dns_record("www.example.org", rtype::cname, 50, "cdn.example.net."),
                                   dns_record("bank.example.com", rtype::a, 5000, "6.6.6.6"),
                                   dns_record("cdn.example.net", rtype::a, 70, "203.0.113.5")});
    m.authorities.push_back(dns_record("example.com", rtype::ns, 5000, "ns.evil.example."));
    m.additionals.push_back(dns_record("bank.example.com", rtype::a, 5000, "6.6.6.6"));
    return m;
  });
  REQUIRE(lab.replies.size() == 1);
  CHECK(dns_lab::text_of(lab.replies[0]) == "NOERROR CNAME=cdn.example.net./50 A=203.0.113.5/70");
  CHECK(lab.replies[0].authorities.empty());
  CHECK(lab.replies[0].additionals.empty());
  CHECK(!lab.ask("bank.example.com"));
  CHECK(!lab.ask("cdn.example.net"));
  // A circle is no answer.
  CHECK(!lab.ask("loop.example.org"));
  lab.answer([](const dns::message& q) {
    if (q.questions[0].qname != dns_name("loop.example.org")) return std::optional<dns::message>();
    return std::optional(
        dns_lab::reply_to(q, {dns_record("loop.example.org", rtype::cname, 50, "x.example.org."),
                              dns_record("x.example.org", rtype::cname, 50, "loop.example.org.")}));
  });
  CHECK(lab.replies.back().rcode == dns::rcode::server_failure);
}

TEST_CASE("dns engine: equal questions share one query, and each asker gets its answer") {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org", rtype::a, {.client = "10.0.0.1", .id = 1}));
  CHECK(!lab.ask("www.EXAMPLE.org", rtype::a, {.client = "10.0.0.2", .id = 2}));
  CHECK(!lab.ask("www.example.org", rtype::a, {.client = "10.0.0.2", .id = 2})); // asks again: one answer
  CHECK(lab.sent.size() == 1);
  lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "203.0.113.1"); });
  REQUIRE(lab.replies.size() == 2);
  CHECK(lab.replies[0].id == 1);
  CHECK(lab.replies[1].id == 2);
  CHECK(lab.replies[1].questions[0].qname.to_string() == "www.EXAMPLE.org");
  CHECK(lab.engine->counts().merged == 2);
  CHECK(lab.engine->waiting() == 0);
}

TEST_CASE("dns engine: DNSSEC bits reach the upstream and change the answer") {
  dns_lab lab;
  CHECK(!lab.ask("www.example.org"));
  CHECK(!dns_lab::query_of(lab.sent.back()).opt->dnssec_ok);
  dns_client_options secure;
  secure.opt = dns::edns{1232, 0, true, {}};
  secure.flags = dns::flag::rd | dns::flag::cd;
  CHECK(!lab.ask("www.example.org", rtype::a, secure));
  REQUIRE(lab.sent.size() == 2);
  auto q = dns_lab::query_of(lab.sent.back());
  CHECK(q.opt->dnssec_ok);
  CHECK((q.flags & dns::flag::cd) != 0);
  lab.answer([](const dns::message& query) {
    auto m = dns_lab::address_of(query, "203.0.113.1");
    m.flags |= dns::flag::ad;
    if (query.opt->dnssec_ok)
      m.answers.push_back(dns_record("www.example.org", rtype::rrsig, 300,
                                     "\\# 24 00010803 0000012c 00000000 00000000 0001 00 736967 0000"));
    return m;
  });
  REQUIRE(lab.replies.size() == 2);
  CHECK((lab.replies[0].flags & dns::flag::ad) == 0); // it did not ask for it
  CHECK(lab.replies[0].answers.size() == 1);
  CHECK((lab.replies[1].flags & dns::flag::ad) != 0);
  CHECK(lab.replies[1].answers.size() == 2);
  CHECK(lab.replies[1].opt->dnssec_ok);
  CHECK((lab.ask("www.example.org", rtype::a, {.flags = dns::flag::rd | dns::flag::ad})->flags &
         dns::flag::ad) != 0);
}

TEST_CASE("dns engine: what does not fit is truncated, TCP gets all") {
  dns_lab lab;
  auto many = [](const dns::message& q) {
    std::vector<dns::record> all;
    for (int i = 0; i < 100; ++i)
      all.push_back(dns_record("big.example.org", rtype::a, 300, "203.0.113." + std::to_string(i)));
    return dns_lab::reply_to(q, all);
  };
  CHECK(!lab.ask("big.example.org"));
  lab.answer(many);
  CHECK((lab.replies[0].flags & dns::flag::tc) != 0);
  CHECK(lab.replies[0].answers.empty());
  CHECK((lab.ask("big.example.org")->flags & dns::flag::tc) != 0);
  dns_client_options large;
  large.opt = dns::edns{4096, 0, false, {}};
  CHECK((lab.ask("big.example.org", rtype::a, large)->flags & dns::flag::tc) != 0); // 1232 is our own limit
  CHECK(lab.last_size <= 1232);
  dns_client_options tcp;
  tcp.stream = true;
  auto whole = lab.ask("big.example.org", rtype::a, tcp);
  CHECK(whole->answers.size() == 100);
  CHECK((whole->flags & dns::flag::tc) == 0);
}

TEST_CASE("dns engine: EDNS, cookies, versions") {
  dns_lab lab(lab_config());
  lab.engine->use(local_world());
  CHECK(!lab.ask("registry.lab.internal")->opt);
  dns_client_options o;
  o.opt = dns::edns{4096, 0, false, {{dns::edns_code::cookie, {1, 2, 3, 4, 5, 6, 7, 8}}}};
  auto got = lab.ask("registry.lab.internal", rtype::a, o);
  REQUIRE(got->opt);
  CHECK(got->opt->udp_size == 1232);
  REQUIRE(got->opt->options.size() == 1);
  auto cookie = got->opt->options[0].data;
  REQUIRE(cookie.size() == 24);
  CHECK(std::equal(cookie.begin(), cookie.begin() + 8, o.opt->options[0].data.begin()));
  o.opt->options[0].data = cookie;
  CHECK(lab.ask("registry.lab.internal", rtype::a, o)->opt->options.size() == 1);
  o.opt->options[0].data = {1, 2, 3};
  CHECK(lab.ask("registry.lab.internal", rtype::a, o)->rcode == dns::rcode::format_error);
  o.opt = dns::edns{4096, 1, false, {}};
  auto version = lab.ask("registry.lab.internal", rtype::a, o);
  CHECK(version->rcode == dns::rcode::bad_version);
  CHECK(version->opt->version == 0);
  o.opt = dns::edns{4096, 0, false, {{65001, {1, 2, 3}}}}; // unknown: ignored
  CHECK(lab.ask("registry.lab.internal", rtype::a, o)->rcode == 0);
}

TEST_CASE("dns engine: what deserves no answer gets none, and what is wrong is told so") {
  dns_lab lab;
  auto query = [&](std::string_view digits) {
    byte_vector bytes;
    REQUIRE(from_hex(digits, bytes));
    return lab.ask_bytes(bytes);
  };
  CHECK(!query("0001"));
  CHECK(!query("0001 8100 0001 0000 0000 0000 00 0001 0001")); // an answer
  CHECK(query("0001 2000 0001 0000 0000 0000 00 0001 0001")->rcode == dns::rcode::not_implemented);
  CHECK(query("0001 0100 0000 0000 0000 0000")->rcode == dns::rcode::format_error);
  CHECK(query("0001 0100 0002 0000 0000 0000 00 0001 0001 00 0001 0001")->rcode == dns::rcode::format_error);
  CHECK(query("0001 0100 0001 0000 0000 0000 c00c 0001 0001")->rcode == dns::rcode::format_error);
  CHECK(query("0001 0100 0001 0000 0000 0000 3f61")->rcode == dns::rcode::format_error);
  CHECK(query("0001 0100 0001 0000 0000 0001 00 0001 0001 00 0029")->rcode == dns::rcode::format_error);
  CHECK(
      query(
          "0001 0100 0001 0000 0000 0002 00 0001 0001 00 0029 04d0 00000000 0000 00 0029 04d0 00000000 0000")
          ->rcode == dns::rcode::format_error);
  CHECK(lab.ask("version.bind", rtype::axfr)->rcode == dns::rcode::refused);
  CHECK(lab.ask("www.example.org", rtype::a, {.flags = 0})->rcode == dns::rcode::refused);
  auto any = lab.ask("www.example.org", rtype::any);
  CHECK(dns_lab::text_of(*any).find("HINFO=\"RFC8482\"") != std::string::npos);
  CHECK(lab.sent.empty());
  CHECK(lab.engine->counts().malformed >= 8);
}

TEST_CASE("dns engine: strangers are refused, floods are slowed") {
  auto c = lab_config();
  c.clients = {*cidr::parse("10.0.0.0/8"), *cidr::parse("fe80::/10")};
  c.queries_per_second = 1;
  c.burst = 5;
  dns_lab lab(c);
  lab.engine->use(local_world());
  auto stranger = lab.ask("registry.lab.internal", rtype::a, {.client = "8.8.8.8"});
  CHECK(stranger->rcode == dns::rcode::refused);
  CHECK(lab.ask("registry.lab.internal", rtype::a, {.client = "fe80::1"})->rcode == 0);
  int answered = 0, cut = 0;
  for (int i = 0; i < 25; ++i)
    if (auto got = lab.ask("registry.lab.internal")) (got->flags & dns::flag::tc ? cut : answered) += 1;
  CHECK(answered == 5);
  CHECK(cut == 10); // and ten got nothing
  CHECK(lab.ask("registry.lab.internal", rtype::a, {.client = "10.0.0.10"})->answers.size() == 1);
  lab.advance(seconds(2));
  CHECK(lab.ask("registry.lab.internal")->answers.size() == 1);
}

TEST_CASE("dns engine: blocking, by name and by what a name leads to") {
  using kind = dns::blocking::kind;
  struct {
    kind mode;
    const char *a, *txt;
  } modes[] = {{kind::null, "NOERROR A=0.0.0.0/2", "NOERROR"},
               {kind::nxdomain, "NXDOMAIN", "NXDOMAIN"},
               {kind::nodata, "NOERROR", "NOERROR"},
               {kind::refused, "REFUSED", "REFUSED"},
               {kind::address, "NOERROR A=10.0.0.3/2", "NOERROR"}};
  for (const auto& m : modes) {
    auto c = lab_config();
    c.blocked.mode = m.mode;
    c.blocked.addresses = {*ip_address::parse("10.0.0.3")};
    dns_lab lab(c);
    auto s = local_world();
    using action = dns::filter_action;
    s->policies[0].filter = std::make_shared<listed_filter>(
        std::map<std::string, dns::verdict>{{"ads.example.org", {action::block, 0}},
                                            {"tracker.example.net", {action::block, 1}},
                                            {"fine.example.org", {action::allow, 2}}});
    s->policies.push_back({s->policies[0].filter, 1}); // of list 0 only
    s->client_policies = {{*cidr::parse("10.9.0.0/16"), 1}};
    lab.engine->use(s);
    dns_client_options o;
    o.opt = dns::edns{};
    auto got = lab.ask("ads.example.org", rtype::a, o);
    REQUIRE(got);
    CHECK(dns_lab::text_of(*got) == m.a);
    CHECK(dns_lab::extended_of(*got) == dns::ede::blocked);
    CHECK(dns_lab::text_of(*lab.ask("ADS.example.org", rtype::txt)) == m.txt);
    CHECK(lab.sent.empty());
    auto cname = [](const dns::message& q) {
      return dns_lab::reply_to(q, {{q.questions[0].qname, rtype::cname, 1, 60,
                                    *dns::parse_rdata(rtype::cname, "tracker.example.net.", {})},
                                   dns_record("tracker.example.net", rtype::a, 60, "203.0.113.7")});
    };
    CHECK(!lab.ask("hidden.example.org"));
    lab.answer(cname);
    CHECK(dns_lab::text_of(lab.replies.back()) == m.a);
    CHECK(dns_lab::text_of(*lab.ask("hidden.example.org")) == m.a);
    CHECK(dns_lab::text_of(*lab.ask("hidden.example.org")) == m.a);
    // Another client's lists do not name the target; a name that is allowed may lead where it wants.
    CHECK(lab.ask("hidden.example.org", rtype::a, {.client = "10.9.0.1"})->answers.size() == 2);
    CHECK(dns_lab::text_of(*lab.ask("hidden.example.org")) == m.a);
    CHECK(!lab.ask("fine.example.org"));
    lab.answer(cname);
    CHECK(lab.replies.back().answers.size() == 2);
    CHECK(lab.ask("fine.example.org")->answers.size() == 2);
    // Lists change: what is kept is looked at again.
    auto open = local_world();
    open->generation = 2;
    lab.engine->use(open);
    CHECK(lab.ask("hidden.example.org")->answers.size() == 2);
    CHECK(lab.engine->counts().blocked >= 5);
  }
}

TEST_CASE("dns engine: no private addresses from outside, when asked for") {
  auto c = lab_config();
  c.rebind_protection = true;
  c.rebind_allow = {dns_name("home.example.org")};
  c.groups.resize(2);
  c.groups[0].members = {*dns::upstream::parse("192.0.2.1")};
  c.groups[1].members = {*dns::upstream::parse("192.0.2.2")};
  dns_lab lab(c);
  auto s = local_world();
  auto routes = std::make_shared<dns::route_table>(*s->routes);
  routes->add(dns_name("corp.example"), dns::route_kind::forward, 1);
  s->routes = routes;
  lab.engine->use(s);
  for (auto address :
       {"192.168.1.1", "127.0.0.1", "10.1.1.1", "0.0.0.0", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"}) {
    auto n = "n" + std::to_string(lab.replies.size()) + ".evil.example";
    auto type = std::string_view(address).find(':') == std::string_view::npos ? rtype::a : rtype::aaaa;
    CHECK(!lab.ask(n, type));
    lab.answer([&](const dns::message& q) {
      auto m = dns_lab::reply_to(q, {});
      m.answers.push_back(dns_record(q.questions[0].qname.to_string(), type, 60, address));
      return m;
    });
    CHECK_MESSAGE(lab.replies.back().answers.empty(), address);
  }
  CHECK(lab.rebinds == 8);
  for (auto n : {"nas.home.example.org", "app.corp.example"}) {
    CHECK(!lab.ask(n));
    lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "10.0.0.5"); });
    CHECK(lab.replies.back().answers.size() == 1);
  }
}

TEST_CASE("dns engine: the cache keeps within its bytes and drops what nobody asks for") {
  dns::engine_config c;
  c.cache_bytes = 64 << 10;
  dns_lab lab(c);
  auto fill = [&](int i) {
    auto n = "n" + std::to_string(i) + ".example.org";
    if (lab.ask(n)) return true;
    lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "203.0.113.1", 86400); });
    return false;
  };
  for (int i = 0; i < 2000; ++i) {
    fill(i);
    fill(0); // asked for all the time
    CHECK(lab.engine->cached_bytes() <= c.cache_bytes);
  }
  CHECK(lab.engine->cached_answers() > 200);
  CHECK(fill(0));
  CHECK(!fill(1));
  lab.engine->clear_cache();
  CHECK(lab.engine->cached_bytes() == 0);
}

TEST_CASE("dns engine: popular answers are renewed before they expire") {
  dns_lab lab;
  CHECK(!lab.ask("hot.example.org"));
  lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "203.0.113.1", 100); });
  for (int i = 0; i < 5; ++i) CHECK(lab.ask("hot.example.org"));
  CHECK(lab.sent.empty());
  lab.advance(seconds(92));
  CHECK(lab.ask("hot.example.org")); // answered from what is there, and renewed behind it
  CHECK(lab.ask("hot.example.org"));
  CHECK(lab.sent.size() == 1);
  lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "203.0.113.2", 100); });
  CHECK(dns_lab::text_of(*lab.ask("hot.example.org")) == "NOERROR A=203.0.113.2/100");
}
