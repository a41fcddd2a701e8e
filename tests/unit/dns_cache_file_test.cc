// Answers that outlive the process, and DNS over HTTPS's requests: both are read from strangers' bytes.
#include "netlab/dns_over_https.h"
#include "support/dns_lab.h"

using namespace netlab;
using namespace netlab::test;
namespace rtype = dns::rtype;

namespace {

const wall_time noon{std::chrono::seconds(1'790'000'000)};

byte_vector saved_answers(dns_lab& lab) {
  for (auto n : {"a.example.org", "b.example.org", "nobody.example.org", "short.example.org"}) {
    CHECK(!lab.ask(n));
    lab.answer([&](const dns::message& q) {
      std::string_view name = n;
      if (name.starts_with("nobody")) return dns_lab::negative(q, dns::rcode::name_error);
      auto m = dns_lab::address_of(q, "203.0.113.1", name.starts_with("short") ? 20 : 600);
      if (name.starts_with("b")) {
        m.answers.insert(m.answers.begin(), dns_record("b.example.org", rtype::cname, 500, "c.example.org."));
        m.answers[1].owner = dns_name("c.example.org");
      }
      return m;
    });
  }
  return lab.engine->save_cache(lab.now(), noon);
}

} // namespace

TEST_CASE("dns cache file: answers come back with the time that is left") {
  dns_lab before;
  auto saved = saved_answers(before);
  dns_lab after;
  after.time = boot_time(std::chrono::seconds(3)); // booted anew
  CHECK(after.engine->load_cache(saved, after.now(), noon + std::chrono::seconds(30)) == 3);
  CHECK(dns_lab::text_of(*after.ask("a.example.org")) == "NOERROR A=203.0.113.1/570");
  CHECK(dns_lab::text_of(*after.ask("B.example.org")) ==
        "NOERROR CNAME=c.example.org./470 A=203.0.113.1/570");
  CHECK(after.ask("nobody.example.org")->rcode == dns::rcode::name_error);
  CHECK(!after.ask("short.example.org"));
  CHECK(after.engine->cached_answers() == 3);
  // And once more: nothing is lost on the way.
  dns_lab third;
  CHECK(third.engine->load_cache(after.engine->save_cache(after.now(), noon), third.now(), noon) == 3);
  // What a list blocks now is blocked, whatever was kept.
  dns_lab filtered;
  auto s = std::make_shared<dns::snapshot>();
  s->generation = 1;
  std::map<std::string, dns::verdict> rules{{"c.example.org", {dns::filter_action::block, 0}}};
  s->policies = {{std::make_shared<listed_filter>(rules), dns::all_lists}};
  filtered.engine->use(s);
  CHECK(filtered.engine->load_cache(saved, filtered.now(), noon) == 4);
  CHECK(dns_lab::text_of(*filtered.ask("b.example.org")) == "NOERROR A=0.0.0.0/2");
}

TEST_CASE("dns cache file: what is damaged, foreign, old or from the future is left alone") {
  dns_lab lab;
  auto saved = saved_answers(lab);
  auto takes = [&](byte_view bytes, wall_time wall = noon, const char* upstream = "192.0.2.1") {
    dns_lab other({}, {upstream});
    return other.engine->load_cache(bytes, other.now(), wall);
  };
  CHECK(takes(saved) == 4);
  CHECK(takes(saved, noon, "192.0.2.2") == 0);
  CHECK(takes(saved, noon - std::chrono::seconds(1)) == 0);
  CHECK(takes(saved, noon + std::chrono::hours(2)) == 0);
  CHECK(takes({}) == 0);
  for (std::size_t i = 0; i < saved.size(); ++i) {
    auto changed = saved;
    changed[i] ^= 0x10;
    CHECK(takes(changed) == 0);
    CHECK(takes(byte_view(saved).first(i)) == 0);
  }
}

TEST_CASE("dns over https: what a request asks") {
  const byte_vector query{0,   0,   1,   0,   0,   1,   0,   0, 0,   0,   0,   0, 3, 'w', 'w', 'w', 7,
                          'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'c', 'o', 'm', 0, 0, 1,   0,   1};
  // The example of RFC 8484 §4.1.1.
  auto got = dns::read_doh("GET", "dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB", "", "");
  CHECK(got.refusal == 0);
  CHECK(got.bytes == query);
  CHECK(dns::read_doh("GET", "x=1&dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB&y", "", "").bytes ==
        query);
  auto posted = dns::read_doh("POST", "", "Application/DNS-message; charset=x", as_text(query));
  CHECK(posted.refusal == 0);
  CHECK(posted.bytes == query);
  struct {
    const char *method, *query, *type, *body;
    int status;
  } wrong[] = {
      {"GET", "", "", "", 400},
      {"GET", "dns=", "", "", 400},
      {"GET", "dns=AAA", "", "", 400},
      {"GET", "dns=AAABAAABAAAAAAAAA3d3dw==", "", "", 400},
      {"GET", "dns=AAAB+AAB", "", "", 400},
      {"GET", "DNS=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB", "", "", 400},
      {"POST", "", "", "x", 415},
      {"POST", "", "text/plain", "x", 415},
      {"POST", "", "application/dns-message", "short", 400},
      {"PUT", "", "application/dns-message", "x", 405},
      {"GET", "dns=AACBAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB", "", "", 400}, // an answer
  };
  for (const auto& w : wrong) CHECK(dns::read_doh(w.method, w.query, w.type, w.body).refusal == w.status);
  CHECK(dns::read_doh("POST", "", "application/dns-message", std::string(70000, 'x')).refusal == 413);
  CHECK(dns::read_doh("GET", "dns=" + std::string(100000, 'A'), "", "").refusal == 400);
  dns::message m;
  m.flags = dns::flag::qr;
  m.questions = {{dns_name("www.example.com"), rtype::a, dns::class_in}};
  CHECK(dns::doh_max_age(dns::encode(m)) == 0);
  m.answers = {dns_record("www.example.com", rtype::a, 300, "192.0.2.1"),
               dns_record("www.example.com", rtype::a, 60, "192.0.2.2")};
  CHECK(dns::doh_max_age(dns::encode(m)) == 60);
  m.rcode = dns::rcode::server_failure;
  CHECK(dns::doh_max_age(dns::encode(m)) == 0);
  CHECK(dns::doh_max_age({}) == 0);
}
