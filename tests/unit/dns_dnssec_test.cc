// DNSSEC validation: what is proven, what is proven to be unsigned, and what is neither.
#include "dns/dnssec_check.h"
#include "support/dns_signer.h"

using namespace netlab;
using namespace netlab::test;
namespace rtype = dns::rtype;
namespace rcode = dns::rcode;

namespace {

using records = std::vector<dns::record>;

class wall_at final : public netlab::clock {
public:
  boot_time now() const override { return {}; }
  wall_time wall() const override { return wall_time(std::chrono::seconds(seconds)); }
  std::int64_t seconds = signed_at;
};

// The root, "example" with a signed and an unsigned zone below it, and a resolver that knows all of them.
struct signed_world {
  zone_signer root{"."}, example{"example"}, zone{"zone.example", 13};
  wall_at clock;
  std::map<std::pair<std::string, std::uint16_t>, dns::message> said; // by lower-case name and type
  // Applied to every answer of the server of that number before it leaves.
  std::function<void(const dns::question&, dns::message&)> spoil;

  void say(std::string_view n, std::uint16_t type, records answers, records authorities = {},
           std::uint16_t code = 0) {
    dns::message m;
    m.rcode = code;
    m.answers = std::move(answers);
    m.authorities = std::move(authorities);
    said[{dns_name(n).to_string(), type}] = std::move(m);
  }
  static records signed_by(const zone_signer& by, records set, zone_signer::validity v = {}) {
    auto signature = by.sign(set, v);
    set.push_back(signature);
    return set;
  }
  static records both(records a, const records& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
  records soa(const zone_signer& by) const {
    auto data = byte_vector(22, 0);
    data[21] = 60;
    return signed_by(by, {{by.zone(), rtype::soa, dns::class_in, 300, data}});
  }

  signed_world() {
    for (const auto* z : {&root, &example, &zone})
      say(z->zone().to_string(), rtype::dnskey, signed_by(*z, {z->key_record()}));
    say("example", rtype::ds, signed_by(root, {example.ds_record()}));
    say("zone.example", rtype::ds, signed_by(example, {zone.ds_record()}));
    say("plain.example", rtype::ds, {},
        both(soa(example),
             signed_by(example, {zone_signer::nsec("plain.example", "zone.example", {rtype::ns})})));
    say("www.zone.example", rtype::a,
        signed_by(zone, {dns_record("www.zone.example", rtype::a, 300, "192.0.2.1")}));
    say("www.plain.example", rtype::a, {dns_record("www.plain.example", rtype::a, 300, "192.0.2.2")});
    // Names that begin no zone.
    for (auto n : {"www.zone.example", "a.zone.example", "alias.zone.example"})
      say(n, rtype::ds, {},
          both(soa(zone), signed_by(zone, {zone_signer::nsec(n, "x.zone.example", {rtype::a})})));
  }

  std::optional<dns::message> answer(const dns::message& q) const {
    const auto& asked = q.questions.at(0);
    auto found = said.find({asked.qname.lower().to_string(), asked.type});
    auto out = dns_lab::reply_to(q, {});
    if (found == said.end()) {
      out.rcode = rcode::server_failure;
      return out;
    }
    out.answers = found->second.answers;
    out.authorities = found->second.authorities;
    out.rcode = found->second.rcode;
    if (spoil) spoil(asked, out);
    return out;
  }

  dns::engine_config config() const {
    dns::engine_config c;
    c.dnssec.validate = true;
    c.dnssec.anchors = {root.anchor()};
    c.clock = &clock;
    return c;
  }

  // Asks, and lets the upstream answer until nothing is open.
  dns::message ask(dns_lab& lab, std::string_view n, std::uint16_t type = rtype::a, std::uint16_t flags = 0) {
    dns_client_options o;
    o.flags = static_cast<std::uint16_t>(dns::flag::rd | flags);
    o.opt = dns::edns{1232, 0, true, {}};
    if (auto now = lab.ask(n, type, o)) return *now;
    for (int step = 0; step < 200 && lab.engine->waiting() > 0; ++step)
      lab.answer([&](const dns::message& q) { return answer(q); });
    REQUIRE(lab.engine->waiting() == 0);
    REQUIRE(!lab.replies.empty());
    auto out = lab.replies.back();
    lab.replies.clear();
    return out;
  }
};

bool authentic(const dns::message& m) { return (m.flags & dns::flag::ad) != 0; }

// A fresh resolver's verdict: "secure", "insecure", or the extended error of its SERVFAIL.
std::string verdict(signed_world& w, std::string_view n, std::uint16_t type = rtype::a) {
  dns_lab lab(w.config());
  auto got = w.ask(lab, n, type);
  if (got.rcode == rcode::server_failure) return "bogus " + std::to_string(dns_lab::extended_of(got));
  return authentic(got) ? "secure" : "insecure";
}

} // namespace

TEST_CASE("dnssec: the keys that IANA publishes are the ones that are built in") {
  auto anchors = dns::root_anchors();
  REQUIRE(anchors.size() == 2);
  auto key = dns::trust_anchor::parse(
      dns::name(),
      "257 3 8 "
      "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQ"
      "lNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/"
      "b58Da+sqql"
      "s3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/"
      "ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihyl"
      "Ga8subX2Nn6UwNR1AkUTV74bU=");
  REQUIRE(key);
  CHECK(key->tag == anchors[0].tag);
  CHECK(key->digest == anchors[0].digest);
  for (auto wrong : {"", "1 2", "20326 8 2", "20326 8 2 zz", "20326 8 2 abcd",
                     "20326 99 2 "
                     "00",
                     "70000 8 2 00", "257 3 8 !!!", "257 3 8 AwEA", "385 3 8 AwEAAaz"})
    CHECK_MESSAGE(!dns::trust_anchor::parse(dns::name(), wrong), wrong);
}

TEST_CASE("dnssec: every algorithm that is in use") {
  for (std::uint8_t algorithm : {5, 7, 8, 10, 13, 14, 15, 16}) {
    zone_signer z("zone.example", algorithm);
    records set{dns_record("b.Zone.example", rtype::mx, 300, "10 MAIL.zone.example."),
                dns_record("b.zone.example", rtype::mx, 300, "5 mail.zone.example.")};
    set.push_back(z.sign(set));
    auto key = dns::zone_key::read(z.key_data());
    REQUIRE_MESSAGE(key, int{algorithm});
    auto state = [&] {
      dns::proof_work work;
      std::uint32_t ttl = 86400;
      auto taken = dns::find_set(set, dns_name("b.zone.example"), rtype::mx);
      return dns::check_signatures(taken, z.zone(), {key}, wall_time(std::chrono::seconds(signed_at)), work,
                                   ttl);
    };
    CHECK(state() == dns::signature_state::good);
    // Letters of names inside data do not count, nor does the order.
    std::swap(set[0], set[1]);
    set[0].data = *dns::parse_rdata(rtype::mx, "5 MaIl.zone.example.", dns::name());
    CHECK(state() == dns::signature_state::good);
    set[2].data.back() ^= 1;
    CHECK(state() == dns::signature_state::bad);
    set[2].data.pop_back();
    CHECK(state() == dns::signature_state::bad);
  }
}

TEST_CASE("dnssec: a proven answer has the AD bit, and its zone is walked to once") {
  signed_world w;
  dns_lab lab(w.config());
  auto got = w.ask(lab, "www.zone.example");
  CHECK(got.rcode == 0);
  CHECK(authentic(got));
  CHECK(got.answers.size() == 2); // with its signature, because DO was set
  CHECK(lab.engine->counts().secure == 1);
  auto lookups = lab.engine->counts().lookups;
  CHECK(lookups == 5); // ". DNSKEY", "example DS", "example DNSKEY", "zone.example DS", "zone.example DNSKEY"
  w.say("a.zone.example", rtype::a,
        w.signed_by(w.zone, {dns_record("a.zone.example", rtype::a, 300, "192.0.2.7")}));
  CHECK(authentic(w.ask(lab, "a.zone.example")));
  CHECK(lab.engine->counts().lookups == lookups);
  // From the cache as well; without DO and AD nobody asked for the bit (RFC 6840 §5.8).
  CHECK(authentic(w.ask(lab, "www.zone.example")));
  auto plain = lab.ask("www.zone.example");
  if (!plain) {
    for (int i = 0; i < 9 && lab.engine->waiting() > 0; ++i)
      lab.answer([&](const dns::message& q) { return w.answer(q); });
    plain = lab.replies.back();
  }
  CHECK(!authentic(*plain));
  CHECK(plain->answers.size() == 1);
}

TEST_CASE("dnssec: upstreams are asked with DO and CD, whatever the client set") {
  signed_world w;
  dns_lab lab(w.config());
  CHECK(!lab.ask("www.zone.example"));
  auto q = dns_lab::query_of(lab.sent.at(0));
  CHECK(q.opt->dnssec_ok);
  CHECK((q.flags & dns::flag::cd) != 0);
}

TEST_CASE("dnssec: what does not verify is SERVFAIL, with the reason") {
  signed_world w;
  auto good = w.said.at({"www.zone.example", rtype::a});
  auto with = [&](records answers) {
    w.say("www.zone.example", rtype::a, std::move(answers));
    return verdict(w, "www.zone.example");
  };
  auto changed = good.answers;
  changed[0].data[3] ^= 1;
  CHECK(with(changed) == "bogus 6");
  CHECK(with({good.answers[0]}) == "bogus 10");
  records one{dns_record("www.zone.example", rtype::a, 300, "192.0.2.1")};
  CHECK(with(w.signed_by(w.zone, one, {-20 * 86400, -3 * 86400})) == "bogus 7");
  CHECK(with(w.signed_by(w.zone, one, {3 * 86400, 20 * 86400})) == "bogus 8");
  zone_signer stranger("zone.example", 13);
  CHECK(with(w.signed_by(stranger, one)) == "bogus 9");
  // The signer must be the zone itself, or one above that is a zone.
  CHECK(with(w.signed_by(zone_signer("www.zone.example"), one)) == "bogus 10");
  CHECK(with(w.signed_by(zone_signer("other.example"), one)) == "bogus 10");
  w.say("www.zone.example", rtype::a, good.answers);
  CHECK(verdict(w, "www.zone.example") == "secure");
  // Keys that no digest knows.
  w.say("zone.example", rtype::dnskey, w.signed_by(stranger, {stranger.key_record()}));
  CHECK(verdict(w, "www.zone.example") == "bogus 9");
  w.say("zone.example", rtype::dnskey, {});
  CHECK(verdict(w, "www.zone.example") == "bogus 9");
}

TEST_CASE("dnssec: an unsigned zone needs a proof that it is") {
  signed_world w;
  CHECK(verdict(w, "www.plain.example") == "insecure");
  auto proof = w.said.at({"plain.example", rtype::ds});
  auto ds = [&](records authorities) {
    w.say("plain.example", rtype::ds, {}, std::move(authorities));
    return verdict(w, "www.plain.example");
  };
  CHECK(ds({}) == "bogus 12");
  auto changed = proof.authorities;
  changed[2].data.back() ^= 1;
  CHECK(ds(changed) == "bogus 12");
  // An NSEC that says that DS is there, one of the child's side, one of another name.
  for (auto types :
       {std::vector<std::uint16_t>{rtype::ns, rtype::ds}, std::vector<std::uint16_t>{rtype::ns, rtype::soa}})
    CHECK(ds(w.signed_by(w.example, {zone_signer::nsec("plain.example", "zone.example", types)})) ==
          "bogus 12");
  CHECK(ds(w.signed_by(w.example, {zone_signer::nsec("q.example", "zone.example", {rtype::ns})})) ==
        "bogus 12");
  // NSEC3 with opt-out: the delegation may be there, unsigned.
  auto matched = w.example.nsec3("example", {rtype::soa, rtype::ns}),
       covered = w.example.nsec3("plain.example", {}, true, true);
  CHECK(ds(w.both(w.signed_by(w.example, {matched}), w.signed_by(w.example, {covered}))) == "insecure");
  // The same without opt-out says that there is no such name: then its address cannot be.
  auto closed = w.example.nsec3("plain.example", {}, true, false);
  w.say("www.plain.example", rtype::ds, {}, {});
  CHECK(ds(w.both(w.signed_by(w.example, {matched}), w.signed_by(w.example, {closed}))).starts_with("bogus"));
  CHECK(ds(w.signed_by(w.example, {w.example.nsec3("plain.example", {rtype::ns})})) == "insecure");
  // Signed by a way that nobody knows yet is as good as unsigned.
  auto unknown = w.zone.ds_record();
  unknown.owner = dns_name("plain.example");
  unknown.data[2] = 200;
  w.say("plain.example", rtype::ds, w.signed_by(w.example, {unknown}));
  CHECK(verdict(w, "www.plain.example") == "insecure");
}

TEST_CASE("dnssec: what is not there is proven") {
  signed_world w;
  auto soa = w.soa(w.zone);
  auto sign = [&](const dns::record& r) { return w.signed_by(w.zone, {r}); };
  auto says = [&](records proof, std::uint16_t code, std::uint16_t type = rtype::a) {
    w.say("nobody.zone.example", type, {}, w.both(soa, proof), code);
    return verdict(w, "nobody.zone.example", type);
  };
  auto covers = sign(zone_signer::nsec("mail.zone.example", "www.zone.example", {rtype::a}));
  auto no_wildcard = sign(zone_signer::nsec("zone.example", "a.zone.example", {rtype::soa}));
  CHECK(says(w.both(covers, no_wildcard), rcode::name_error) == "secure");
  CHECK(says(covers, rcode::name_error) == "bogus 12");
  CHECK(says(no_wildcard, rcode::name_error) == "bogus 12");
  CHECK(says({}, rcode::name_error).starts_with("bogus"));
  CHECK(says(w.both(covers, no_wildcard), rcode::no_error) == "bogus 12"); // not what it proves
  // NODATA: by itself, below, by a wildcard, made on the fly.
  CHECK(says(sign(zone_signer::nsec("nobody.zone.example", "www.zone.example", {rtype::mx})),
             rcode::no_error) == "secure");
  CHECK(says(sign(zone_signer::nsec("nobody.zone.example", "www.zone.example", {rtype::a})),
             rcode::no_error) == "bogus 12");
  CHECK(says(sign(zone_signer::nsec("nobody.zone.example", "www.zone.example", {rtype::cname})),
             rcode::no_error) == "bogus 12");
  CHECK(says(sign(zone_signer::nsec("nobody.zone.example", "www.zone.example", {rtype::ns})),
             rcode::no_error) == "bogus 12");
  CHECK(says(sign(zone_signer::nsec("mail.zone.example", "b.nobody.zone.example", {rtype::a})),
             rcode::no_error) == "secure");
  auto wildcard = sign(zone_signer::nsec("*.zone.example", "a.zone.example", {rtype::mx}));
  CHECK(says(w.both(covers, wildcard), rcode::no_error) == "secure");
  CHECK(says(sign(zone_signer::nsec("nobody.zone.example", "\\000.nobody.zone.example",
                                    {rtype::rrsig, rtype::nsec, 128})),
             rcode::name_error) == "secure");
  // A delegation says nothing about what is below it.
  CHECK(says(w.both(sign(zone_signer::nsec("zone.example", "\\255.zone.example", {rtype::ns})), no_wildcard),
             rcode::name_error) == "bogus 12");

  // NSEC3
  auto encloser = sign(w.zone.nsec3("zone.example", {rtype::soa, rtype::ns}));
  auto next = sign(w.zone.nsec3("nobody.zone.example", {}, true)),
       star = sign(w.zone.nsec3("*.zone.example", {}, true));
  CHECK(says(w.both(w.both(encloser, next), star), rcode::name_error) == "secure");
  CHECK(says(w.both(encloser, next), rcode::name_error) == "bogus 12");
  CHECK(says(w.both(encloser, star), rcode::name_error) == "bogus 12");
  CHECK(says(w.both(next, star), rcode::name_error) == "bogus 12");
  CHECK(says(sign(w.zone.nsec3("nobody.zone.example", {rtype::mx})), rcode::no_error) == "secure");
  CHECK(says(sign(w.zone.nsec3("nobody.zone.example", {rtype::a})), rcode::no_error) == "bogus 12");
  auto star_exists = sign(w.zone.nsec3("*.zone.example", {rtype::mx}));
  CHECK(says(w.both(w.both(encloser, next), star_exists), rcode::no_error) == "secure");
  auto opted = sign(w.zone.nsec3("nobody.zone.example", {}, true, true));
  CHECK(says(w.both(w.both(encloser, opted), star), rcode::name_error) == "insecure");
  // More rounds than anybody needs: nobody computes them (RFC 9276 §3.2).
  CHECK(says(sign(w.zone.nsec3("nobody.zone.example", {rtype::mx}, false, false, 2000)), rcode::no_error) ==
        "insecure");
  // Two chains at once (RFC 5155 §8.2).
  CHECK(says(w.both(w.both(encloser, next), sign(w.zone.nsec3("*.zone.example", {}, true, false, 3))),
             rcode::name_error) == "bogus 12");
}

TEST_CASE("dnssec: a wildcard's answer needs the proof that nothing closer exists") {
  signed_world w;
  records of_wildcard{dns_record("*.zone.example", rtype::a, 300, "192.0.2.9")};
  auto signature = w.zone.sign(of_wildcard);
  auto expanded = dns_record("nobody.zone.example", rtype::a, 300, "192.0.2.9");
  signature.owner = expanded.owner;
  auto says = [&](records proof) {
    w.say("nobody.zone.example", rtype::a, {expanded, signature}, std::move(proof));
    return verdict(w, "nobody.zone.example");
  };
  auto covers = w.signed_by(w.zone, {zone_signer::nsec("mail.zone.example", "www.zone.example", {rtype::a})});
  CHECK(says(covers) == "secure");
  CHECK(says({}) == "bogus 12");
  CHECK(says(w.signed_by(w.zone, {zone_signer::nsec("nobody.zone.example", "www.zone.example",
                                                    {rtype::mx})})) == "bogus 12");
  CHECK(says(w.signed_by(w.zone, {w.zone.nsec3("nobody.zone.example", {}, true)})) == "secure");
  // Who asked with DO gets the proof.
  says(covers);
  dns_lab lab(w.config());
  CHECK(w.ask(lab, "nobody.zone.example").authorities.size() == 2);
}

TEST_CASE("dnssec: chains of names are as good as their weakest part") {
  signed_world w;
  records alias{dns_record("alias.zone.example", rtype::cname, 300, "www.zone.example.")};
  auto secure_end = w.said.at({"www.zone.example", rtype::a}).answers;
  w.say("alias.zone.example", rtype::a, w.both(w.signed_by(w.zone, alias), secure_end));
  CHECK(verdict(w, "alias.zone.example") == "secure");
  w.say("alias.zone.example", rtype::a, w.both(alias, secure_end));
  CHECK(verdict(w, "alias.zone.example") == "bogus 10");
  records outward{dns_record("alias.zone.example", rtype::cname, 300, "www.plain.example.")};
  w.say("alias.zone.example", rtype::a,
        w.both(w.signed_by(w.zone, outward), w.said.at({"www.plain.example", rtype::a}).answers));
  CHECK(verdict(w, "alias.zone.example") == "insecure");
  // From the unsigned into the signed: what is forged there is still found out.
  auto forged = secure_end;
  forged[0].data[0] ^= 1;
  w.say("www.plain.example", rtype::a,
        w.both({dns_record("www.plain.example", rtype::cname, 300, "www.zone.example.")}, forged));
  CHECK(verdict(w, "www.plain.example") == "bogus 6");
  // A DNAME's alias has no signature of its own, but must be what the DNAME makes.
  records tree{dns_record("tree.zone.example", rtype::dname, 300, "\\# 14 047a6f6e65076578616d706c6500")};
  auto made = dns_record("www.tree.zone.example", rtype::cname, 300, "www.zone.example.");
  w.say("www.tree.zone.example", rtype::a, w.both(w.both(w.signed_by(w.zone, tree), {made}), secure_end));
  CHECK(verdict(w, "www.tree.zone.example") == "secure");
  auto elsewhere = dns_record("www.tree.zone.example", rtype::cname, 300, "a.zone.example.");
  w.say("www.tree.zone.example", rtype::a,
        w.both(w.both(w.signed_by(w.zone, tree), {elsewhere}), secure_end));
  w.say("tree.zone.example", rtype::ds, {},
        w.signed_by(w.zone, {zone_signer::nsec("tree.zone.example", "x.zone.example", {rtype::dname})}));
  w.say("www.tree.zone.example", rtype::ds, {},
        w.signed_by(w.zone, {zone_signer::nsec("www.tree.zone.example", "x.zone.example", {rtype::a})}));
  CHECK(verdict(w, "www.tree.zone.example") == "bogus 10");
}

TEST_CASE("dnssec: exceptions, zones of others, clients that validate by themselves") {
  signed_world w;
  auto forged = w.said.at({"www.zone.example", rtype::a}).answers;
  forged[0].data[3] ^= 1;
  w.say("www.zone.example", rtype::a, forged);
  CHECK(verdict(w, "www.zone.example") == "bogus 6");
  {
    dns_lab lab(w.config());
    auto got = w.ask(lab, "www.zone.example", rtype::a, dns::flag::cd);
    CHECK(got.rcode == 0);
    CHECK(!authentic(got));
    CHECK(w.ask(lab, "www.zone.example").rcode == rcode::server_failure); // the two do not share an answer
  }
  auto negative = w.config();
  negative.dnssec.negative = {dns_name("zone.example")};
  dns_lab excepted(negative);
  CHECK(w.ask(excepted, "www.zone.example").rcode == 0);
  // A forwarded zone is not part of the root's tree, until it has an anchor of its own.
  for (bool anchored : {false, true}) {
    auto c = w.config();
    c.groups.resize(2);
    c.groups[0].members = {*dns::upstream::parse("192.0.2.1")};
    c.groups[1].members = {*dns::upstream::parse("192.0.2.2")};
    if (anchored) c.dnssec.anchors.push_back(w.zone.anchor());
    dns_lab lab(c);
    auto s = std::make_shared<dns::snapshot>();
    s->generation = 1;
    auto routes = std::make_shared<dns::route_table>();
    routes->add(dns_name("zone.example"), dns::route_kind::forward, 1);
    s->routes = routes;
    lab.engine->use(s);
    auto got = w.ask(lab, "www.zone.example");
    CHECK(got.rcode == (anchored ? rcode::server_failure : rcode::no_error));
    CHECK(!authentic(got));
  }
}

TEST_CASE("dnssec: one upstream that lies does not spoil the other's word") {
  signed_world w;
  auto c = w.config();
  c.groups.resize(1);
  c.groups[0].members = {*dns::upstream::parse("192.0.2.1"), *dns::upstream::parse("192.0.2.2")};
  for (auto lie : {rtype::a, rtype::dnskey, rtype::ds}) {
    dns_lab lab(c);
    dns_client_options o;
    o.opt = dns::edns{1232, 0, true, {}};
    CHECK(!lab.ask("www.zone.example", rtype::a, o));
    for (int step = 0; step < 100 && lab.engine->waiting() > 0; ++step) {
      auto all = std::exchange(lab.sent, {});
      for (const auto& t : all) {
        auto q = dns_lab::query_of(t);
        auto m = *w.answer(q);
        if (t.to.text == "192.0.2.1" && q.questions[0].type == lie && !m.answers.empty())
          m.answers[0].data.back() ^= 1;
        lab.give(t, m);
      }
    }
    REQUIRE(lab.replies.size() == 1);
    CHECK_MESSAGE(lab.replies[0].rcode == 0, dns::type_name(lie));
    CHECK(authentic(lab.replies[0]));
  }
}

TEST_CASE("dnssec: a clock that was never set does not take the network down") {
  signed_world w;
  w.say("www.zone.example", rtype::a,
        w.signed_by(w.zone, {dns_record("www.zone.example", rtype::a, 300, "192.0.2.1")},
                    {-20 * 86400, -10 * 86400}));
  CHECK(verdict(w, "www.zone.example") == "bogus 7");
  w.clock.seconds = 100'000; // January 1970, as a Raspberry Pi wakes up
  CHECK(verdict(w, "www.zone.example") == "secure");
}

TEST_CASE("dnssec: a proven answer is kept no longer than its signatures allow") {
  signed_world w;
  auto answer = dns_record("www.zone.example", rtype::a, 300, "192.0.2.1");
  auto set = w.signed_by(w.zone, {answer}, {-86400, 50});
  w.say("www.zone.example", rtype::a, set);
  dns_lab lab(w.config());
  auto got = w.ask(lab, "www.zone.example");
  CHECK(authentic(got));
  CHECK(got.answers.at(0).ttl <= 50);
  // A TTL that was made longer on the way does not count.
  w.say("a.zone.example", rtype::a,
        w.signed_by(w.zone, {dns_record("a.zone.example", rtype::a, 30, "192.0.2.1")}));
  for (auto& r : w.said[{"a.zone.example", rtype::a}].answers) r.ttl = 80000;
  CHECK(w.ask(lab, "a.zone.example").answers.at(0).ttl == 30);
}

TEST_CASE("dnssec: keys of equal tags and heaps of signatures cost a bounded amount of work") {
  zone_signer real("zone.example");
  records set{dns_record("www.zone.example", rtype::a, 300, "192.0.2.1")};
  auto good = real.sign(set);
  // Keys that are nobody's, with the real one's tag.
  dns::zone_keys keys;
  auto wanted = dns::key_tag(real.key_data());
  for (std::uint8_t k = 1; keys.size() < 200 && k < 250; ++k) {
    auto data = real.key_data();
    for (std::size_t i = 4; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(data[i] ^ (k * 7 + i));
    for (std::uint32_t tweak = 0; tweak < 65536; ++tweak) {
      dns::put16(data.data() + data.size() - 2, static_cast<std::uint16_t>(tweak));
      if (dns::key_tag(data) == wanted) break;
    }
    if (auto key = dns::zone_key::read(data); key && key->tag() == wanted) keys.push_back(key);
  }
  REQUIRE(keys.size() > 100);
  for (int i = 0; i < 100; ++i) {
    auto bad = good;
    bad.data.back() ^= static_cast<std::uint8_t>(i + 1);
    set.push_back(bad);
  }
  dns::proof_work work;
  std::uint32_t ttl = 300;
  auto taken = dns::find_set(set, dns_name("www.zone.example"), rtype::a);
  CHECK(dns::check_signatures(taken, real.zone(), keys, wall_time(std::chrono::seconds(signed_at)), work,
                              ttl) == dns::signature_state::too_much);
  CHECK(work.checks == 28);
  // A zone without end: every label a zone of its own.
  signed_world w;
  std::string deep = "zone.example";
  for (int i = 0; i < 60; ++i) deep = "a." + deep;
  w.say(deep, rtype::a, {dns_record(deep, rtype::a, 300, "192.0.2.1")});
  auto n = std::string("zone.example");
  for (int i = 0; i < 60; ++i) {
    n = "a." + n;
    w.say(n, rtype::ds, {},
          w.both(w.soa(w.zone), w.signed_by(w.zone, {zone_signer::nsec(n, "b." + n, {rtype::a})})));
  }
  dns_lab lab(w.config());
  CHECK(w.ask(lab, deep).rcode == rcode::server_failure);
  CHECK(lab.engine->counts().lookups <= 65);
}

TEST_CASE("dnssec: upstreams that fail in the middle of a proof") {
  signed_world w;
  w.said.erase({"zone.example", rtype::dnskey});
  CHECK(verdict(w, "www.zone.example") == "bogus 9");
  // Nobody answers: the client is told in bounded time, and nothing is left behind.
  dns_lab lab(w.config());
  dns_client_options o;
  o.opt = dns::edns{1232, 0, true, {}};
  CHECK(!lab.ask("www.zone.example", rtype::a, o));
  lab.answer([&](const dns::message& q) { return w.answer(q); });
  CHECK(lab.replies.empty());
  lab.advance(std::chrono::seconds(20));
  REQUIRE(lab.replies.size() == 1);
  CHECK(lab.replies[0].rcode == rcode::server_failure);
  CHECK(lab.engine->waiting() == 0);
  CHECK(lab.sent.empty());
}
