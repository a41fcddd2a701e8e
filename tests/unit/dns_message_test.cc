#include <doctest/doctest.h>

#include "netlab/dns_message.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

name named(std::string_view text) {
  auto out = name::parse(text);
  REQUIRE_MESSAGE(out.has_value(), text);
  return *out;
}

byte_vector hex(std::string_view digits) {
  byte_vector out;
  REQUIRE(from_hex(digits, out));
  return out;
}

// A response to www.example.org A whose records are the given bytes.
byte_vector response(std::string_view records, std::string_view counts) {
  return hex("1234 8180 0001" + std::string(counts) + "03777777 076578616d706c65 036f7267 00 0001 0001" +
             std::string(records));
}

const name origin = *name::parse("lab.internal");

byte_vector rdata(std::uint16_t type, std::string_view text) {
  auto out = parse_rdata(type, text, origin);
  REQUIRE_MESSAGE(out.has_value(), text);
  return *out;
}

} // namespace

TEST_CASE("names: presentation form and back") {
  for (auto text : {"www.example.org", "a", "xn--bcher-kva.example", "_tcp.x", "*.apps.lab", "a\\.b.c",
                    "sp\\032ace.x", "\\000.x", "\\255\\254.y", "semi\\;colon"})
    CHECK(named(text).to_string() == text);
  CHECK(named("www.example.org.").to_string() == "www.example.org");
  CHECK(named(".").is_root());
  CHECK(named("a.b").size() == 5);
  CHECK(named("WWW.Example.ORG") == named("www.example.org"));
  CHECK(named("WWW.Example.ORG").lower().to_string() == "www.example.org");
  CHECK(named("WWW.Example.ORG").to_string() == "WWW.Example.ORG");
  CHECK(named("a.b") != named("a.c"));
  std::string longest = std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') + "." +
                        std::string(61, 'd');
  CHECK(named(longest).size() == 255);
  for (auto bad : {std::string(), std::string(".a"), std::string("a..b"), std::string("a b"),
                   std::string("a\\"), std::string("a\\25"), std::string("a\\256"), std::string(64, 'x'),
                   longest + "d", std::string("a\nb")})
    CHECK_MESSAGE(!name::parse(bad), bad);
}

TEST_CASE("names: parents, zones, suffixes") {
  auto n = named("a.b.example.org");
  CHECK(n.labels() == 4);
  CHECK(n.parent() == named("b.example.org"));
  CHECK(n.is_within(named("Example.ORG")));
  CHECK(n.is_within(n));
  CHECK(n.is_within(name()));
  CHECK(!n.is_within(named("xample.org")));
  CHECK(!named("org").is_within(n));
  CHECK(!named("notexample.org").is_within(named("example.org")));
  CHECK(*named("talos-1").under(origin) == named("talos-1.lab.internal"));
  CHECK(!named(std::string(63, 'a') + "." + std::string(63, 'a') + "." + std::string(63, 'a') + "." +
               std::string(55, 'a'))
             .under(origin));
  CHECK(name().parent().is_root());
}

TEST_CASE("names: letters are lowered at every place of a word, other octets are not") {
  byte_vector all(256);
  for (std::size_t i = 0; i < 256; ++i) all[i] = static_cast<std::uint8_t>(i);
  auto lowered = all;
  make_lower(lowered);
  for (std::size_t i = 0; i < 256; ++i)
    CHECK(lowered[i] == (all[i] >= 'A' && all[i] <= 'Z' ? all[i] + 32 : all[i]));
}

TEST_CASE("names: reverse zones") {
  auto v4 = *ip_address::parse("10.20.13.140"), v6 = *ip_address::parse("2001:db8::567:89ab");
  CHECK(name::reverse(v4).to_string() == "140.13.20.10.in-addr.arpa");
  CHECK(name::reverse(v6).to_string() ==
        "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  CHECK(address_of_reverse(name::reverse(v4)) == v4);
  CHECK(address_of_reverse(name::reverse(v6)) == v6);
  for (auto text : {"13.20.10.in-addr.arpa", "256.1.1.1.in-addr.arpa", "01.1.1.1.in-addr.arpa",
                    "x.1.1.1.in-addr.arpa", "1.2.3.4.example.org"})
    CHECK(!address_of_reverse(named(text)));
}

TEST_CASE("a message keeps its values over encode and decode") {
  message m;
  m.id = 4711;
  m.flags = flag::qr | flag::rd | flag::ra | flag::ad;
  m.questions = {{named("www.example.org"), rtype::a, class_in}};
  m.answers = {
      {named("www.example.org"), rtype::cname, class_in, 60, rdata(rtype::cname, "cdn.example.org")},
      {named("cdn.example.org"), rtype::a, class_in, 300, rdata(rtype::a, "10.0.0.1")},
      {named("cdn.example.org"), rtype::txt, class_in, 300, rdata(rtype::txt, "\"a b\" \"c\"")},
      {named("_x._tcp.example.org"), rtype::srv, class_in, 5, rdata(rtype::srv, "1 2 443 www.example.org")}};
  m.authorities = {{named("example.org"), 65280, class_in, 9, hex("c00cff")}};
  m.additionals = {
      {named("mail.example.org"), rtype::mx, class_in, 1, rdata(rtype::mx, "10 mail.example.org")}};
  m.opt = edns{4096, 0, true, {{edns_code::cookie, hex("0102030405060708")}, {65001, {}}}};
  auto bytes = encode(m);
  auto back = decode(bytes);
  REQUIRE(back);
  CHECK(*back == m);
  // Names are compressed: the second owner is a pointer, the target of SRV is not one (RFC 2782).
  CHECK(bytes.size() < 260);
  m.rcode = rcode::bad_version;
  CHECK(decode(encode(m))->rcode == rcode::bad_version);
}

TEST_CASE("what does not fit is left out whole, and TC says so") {
  message m;
  m.flags = flag::qr;
  m.questions = {{named("example.org"), rtype::a, class_in}};
  for (int i = 0; i < 100; ++i)
    m.answers.push_back({named("example.org"), rtype::a, class_in, 60, hex("0a000001")});
  m.opt = edns{};
  auto bytes = encode(m, 512);
  CHECK(bytes.size() <= 512);
  auto back = decode(bytes);
  REQUIRE(back);
  CHECK((back->flags & flag::tc) != 0);
  CHECK(back->answers.size() < 100);
  CHECK(back->answers.size() > 20);
  CHECK(back->opt.has_value());
  // Additional records are a help only.
  m.additionals = std::move(m.answers);
  m.answers.clear();
  back = decode(encode(m, 512));
  REQUIRE(back);
  CHECK((back->flags & flag::tc) == 0);
}

TEST_CASE("RFC 9267: what a hostile message tries is refused") {
  CHECK(decode(response("c00c 0001 0001 00000e10 0004 0a000001", "0001 0000 0000")));
  struct {
    const char *why, *records, *counts;
  } cases[] = {
      {"a pointer to itself", "c021 0001 0001 00000e10 0004 0a000001", "0001 0000 0000"},
      {"a pointer forward", "c0ff 0001 0001 00000e10 0004 0a000001", "0001 0000 0000"},
      {"a pointer into the header", "c004 0001 0001 00000e10 0004 0a000001", "0001 0000 0000"},
      {"half a pointer", "c0", "0000 0000 0000"},
      {"two pointers at each other", "c023 c021 0001 0001 00000e10 0004 0a000001", "0001 0000 0000"},
      {"a reserved label type", "4161 0001 0001 00000e10 0004 0a000001", "0001 0000 0000"},
      {"a label past the end", "3f61", "0001 0000 0000"},
      {"RDLENGTH past the end", "c00c 0001 0001 00000e10 0005 0a000001", "0001 0000 0000"},
      {"an address of three octets", "c00c 0001 0001 00000e10 0003 0a0000", "0001 0000 0000"},
      {"more records promised than are there", "c00c 0001 0001 00000e10 0004 0a000001", "0002 0000 0000"},
      {"65535 records promised", "c00c 0001 0001 00000e10 0004 0a000001", "ffff ffff ffff"},
      {"bytes after the end", "c00c 0001 0001 00000e10 0004 0a000001 00", "0001 0000 0000"},
      {"a name in RDATA past RDLENGTH", "c00c 0005 0001 00000e10 0002 0361 6263 00", "0001 0000 0000"},
      {"octets after the name in RDATA", "c00c 0005 0001 00000e10 0003 c00c 00", "0001 0000 0000"},
      {"an SOA that is cut off", "c00c 0006 0001 00000e10 0006 c00c c00c 0001", "0001 0000 0000"},
      {"two OPT records", "00 0029 04d0 00000000 0000 00 0029 04d0 00000000 0000", "0000 0000 0002"},
      {"OPT among the answers", "00 0029 04d0 00000000 0000", "0001 0000 0000"},
      {"OPT with a name", "c00c 0029 04d0 00000000 0000", "0000 0000 0001"},
      {"an EDNS option past its end", "00 0029 04d0 00000000 0005 000a 0008 01", "0000 0000 0001"},
  };
  for (const auto& c : cases) CHECK_MESSAGE(!decode(response(c.records, c.counts)), c.why);
  CHECK(!decode({}));
  CHECK(!decode(hex("1234 0100 0001 0000 0000 00")));
  CHECK(!decode(hex("1234 0100 0001 0000 0000 0000")));
  // A name that pointers make longer than 255 octets.
  std::string longer = "1234 8180 0001 0001 0000 0000 ";
  for (int i = 0; i < 3; ++i) longer += "3f" + std::string(126, '6');
  longer += "3a" + std::string(116, '6') + "00 0001 0001 ";
  CHECK(decode(hex(longer.replace(15, 4, "0000"))));
  longer.replace(15, 4, "0001");
  CHECK(!decode(hex(longer + "0461616161 c00c 0001 0001 00000e10 0004 0a000001")));
}

TEST_CASE("a bomb of pointers costs bounded work") {
  // Every record's owner is a pointer to the pointer before it, as many as fit.
  byte_vector bomb = response("", "0000 0000 0000");
  std::uint16_t count = 0;
  auto previous = header_size;
  while (bomb.size() + 12 < 16000) {
    auto here = bomb.size();
    for (auto b : {0xc0 | static_cast<int>(previous >> 8), static_cast<int>(previous & 0xff)})
      bomb.push_back(static_cast<std::uint8_t>(b));
    for (int b : {0, 1, 0, 1, 0, 0, 0, 9, 0, 0}) bomb.push_back(static_cast<std::uint8_t>(b));
    previous = here;
    ++count;
  }
  bomb[6] = static_cast<std::uint8_t>(count >> 8);
  bomb[7] = static_cast<std::uint8_t>(count);
  CHECK(!decode(bomb));
}

TEST_CASE("record data from text and back") {
  struct {
    std::uint16_t type;
    const char *in, *out;
  } good[] = {
      {rtype::a, "10.1.2.3", "10.1.2.3"},
      {rtype::aaaa, "2001:db8::1", "2001:db8::1"},
      {rtype::cname, "registry", "registry.lab.internal."},
      {rtype::cname, "a.example.org.", "a.example.org."},
      {rtype::ns, ".", "."},
      {rtype::mx, "10 mail", "10 mail.lab.internal."},
      {rtype::srv, "0 10 2379 talos-1", "0 10 2379 talos-1.lab.internal."},
      {rtype::txt, "v=spf1 -all", "\"v=spf1 -all\""},
      {rtype::txt, "\"a\" \"b \\\"c\\009\"", "\"a\" \"b \\\"c\\009\""},
      {rtype::caa, "0 issue \"ca.example\"", "0 issue \"ca.example\""},
      {65280, "\\# 3 0102ff", "\\# 3 0102ff"},
      {rtype::a, "\\# 4 0a000001", "10.0.0.1"},
  };
  for (const auto& g : good) {
    auto data = parse_rdata(g.type, g.in, origin);
    REQUIRE_MESSAGE(data.has_value(), g.in);
    CHECK(rdata_text(g.type, *data) == g.out);
  }
  struct {
    std::uint16_t type;
    const char* in;
  } bad[] = {{rtype::a, "2001:db8::1"}, {rtype::aaaa, "10.0.0.1"}, {rtype::mx, "mail"},
             {rtype::mx, "70000 mail"}, {rtype::srv, "1 2 3"},     {rtype::cname, "a b"},
             {rtype::caa, "0 issue"},   {rtype::txt, "\"open"},    {rtype::a, "\\# 3 0a0000"},
             {65280, "\\# 2 01"},       {65280, "what"},           {rtype::a, "\\# x 01"}};
  for (const auto& b : bad) CHECK_MESSAGE(!parse_rdata(b.type, b.in, origin), b.in);
  CHECK(type_name(rtype::https) == "HTTPS");
  CHECK(type_name(65280) == "TYPE65280");
  CHECK(parse_type("aaaa") == rtype::aaaa);
  CHECK(parse_type("TYPE28") == rtype::aaaa);
  CHECK(!parse_type("TYPE99999"));
  CHECK(!parse_type("nonsense"));
}
