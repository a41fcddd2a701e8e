// Master files: what they may hold, and where exactly each mistake is.
#include "netlab/dns_zone_file.h"

#include "support/dns_lab.h"

using namespace netlab;
using namespace netlab::test;

namespace {

result<std::vector<dns::zone_record>> parse(std::string_view text) {
  dns::zone_options o;
  o.file = "z";
  o.origin = dns_name("example.org");
  return dns::parse_zone(text, o);
}

std::string shown(const dns::zone_record& r) {
  return r.owner.to_string() + " " + std::to_string(r.ttl) + " " + dns::type_name(r.type) + " " +
         dns::rdata_text(r.type, r.data);
}

} // namespace

TEST_CASE("dns zone file: every usual form") {
  auto got = parse(R"($TTL 1h
@   IN SOA ns hostmaster (
        2026112101 ; serial
        1h 10m 1w  ; times as people write them
        60 )
    NS ns
    MX 10 mail
    600 IN TXT "v=spf1 -all" "two \"three\" \; four"
ns  A 192.0.2.53
mail 5m A 192.0.2.25
     AAAA 2001:db8::25
www.sub IN 60 CNAME www.example.net.
_sip._tcp SRV 1 2 5060 mail
$ORIGIN deep.example.org.
@ A 192.0.2.9
a CAA 0 issue "ca.example.net"
*.wild A 192.0.2.77
a\.b A 192.0.2.78
odd TYPE65280 \# 4 c00c0102
ssh SSHFP 1 1 0123456789abcdef0123456789abcdef01234567
tls TLSA 3 1 1 ( 0123456789abcdef 0123456789abcdef
                 0123456789abcdef 0123456789abcdef )
web HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.80
ptr PTR host.example.net.
na NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.org!" .
hi HINFO "a" b
txt TXT plain words
)");
  REQUIRE_MESSAGE(got.has_value(), (got ? std::string() : got.error().message));
  std::vector<std::string> all;
  for (const auto& r : *got) all.push_back(shown(r));
  std::vector<std::string> expected{
      "example.org 3600 SOA ns.example.org. hostmaster.example.org. 2026112101 3600 600 604800 60",
      "example.org 3600 NS ns.example.org.",
      "example.org 3600 MX 10 mail.example.org.",
      "example.org 600 TXT \"v=spf1 -all\" \"two \\\"three\\\" ; four\"",
      "ns.example.org 3600 A 192.0.2.53",
      "mail.example.org 300 A 192.0.2.25",
      "mail.example.org 3600 AAAA 2001:db8::25",
      "www.sub.example.org 60 CNAME www.example.net.",
      "_sip._tcp.example.org 3600 SRV 1 2 5060 mail.example.org.",
      "deep.example.org 3600 A 192.0.2.9",
      "a.deep.example.org 3600 CAA 0 issue \"ca.example.net\"",
      "*.wild.deep.example.org 3600 A 192.0.2.77",
      "a\\.b.deep.example.org 3600 A 192.0.2.78",
      "odd.deep.example.org 3600 TYPE65280 \\# 4 c00c0102",
      "ssh.deep.example.org 3600 SSHFP \\# 22 01010123456789abcdef0123456789abcdef01234567",
      "tls.deep.example.org 3600 TLSA \\# 35 "
      "0301010123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
      "web.deep.example.org 3600 HTTPS \\# 26 0001000001000602683202683300030002"
      "20fb00040004c0000250",
      "ptr.deep.example.org 3600 PTR host.example.net.",
      "na.deep.example.org 3600 NAPTR \\# 52 0064000a0175074532552b7369701b215e2e2a24217369703a696e666f40"
      "6578616d706c652e6f72672100",
      "hi.deep.example.org 3600 HINFO \"a\" \"b\"",
      "txt.deep.example.org 3600 TXT \"plain\" \"words\"",
  };
  REQUIRE(all.size() == expected.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].find("NAPTR") != std::string::npos || all[i].find("HTTPS") != std::string::npos) {
      CHECK(all[i].substr(0, 30) == expected[i].substr(0, 30));
      continue;
    }
    CHECK(all[i] == expected[i]);
  }
  CHECK((*got)[3].line == 8);
  CHECK((*got)[15].line == 21);
}

TEST_CASE("dns zone file: each mistake at its line") {
  struct {
    const char* text;
    const char* expected;
  } cases[] = {
      {" A 192.0.2.1", "z:1: the first record needs a name"},
      {"www A 192.0.2.1\nwww A 192.0.2.300", "z:2: A record: \"192.0.2.300\" is no IPv4 address"},
      {"www A", "z:1: A record: \"\" is no IPv4 address"},
      {"www", "z:1: a record needs a type and data"},
      {"www 300", "z:1: a record needs a type and data"},
      {"www CH TXT x", "z:1: the class is IN, not CH"},
      {"www NOPE x", "z:1: \"NOPE\" is no record type"},
      {"www ANY x", "z:1: ANY is no type of a record that a zone has"},
      {"www.example.net. A 192.0.2.1", "z:1: www.example.net is outside the zone example.org"},
      {"\n\n$INCLUDE other", "z:3: $INCLUDE is not followed"},
      {"$GENERATE 1-9 h$ A 192.0.2.$", "z:1: \"$GENERATE\" is no directive"},
      {"$TTL soon", "z:1: $TTL is followed by seconds"},
      {"$ORIGIN", "z:1: $ORIGIN is followed by one name"},
      {"a..b A 192.0.2.1", "a label is empty"},
      {"www TXT \"open", "z:1: a quotation mark is missing"},
      {"www TXT (a\nb", "\"(\" without \")\""},
      {"www TXT a)", "z:1: \")\" without \"(\""},
      {"www TXT ((a))", "a parenthesis within another"},
      {"www CNAME a\nwww A 192.0.2.1", "z:2: www.example.org has a CNAME"},
      {"www A 192.0.2.1\n\nwww CNAME a", "z:3: www.example.org has a CNAME"},
      {"@ SOA a b 1 2 3 4 5\n@ SOA a b 1 2 3 4 5", "z:2: a second SOA; the first is in line 1"},
      {"x SOA a b 1 2 3 4 5", "z:1: the SOA belongs to example.org"},
      {"sub NS ns.example.net.", "z:1: netlab does not delegate"},
      {"sub DNAME x", "z:1: netlab does not follow DNAME"},
      {"www MX mail", "z:1: MX record: "},
      {"www SSHFP 1 1 xyz", "z:1: SSHFP record: \"xyz\" is not hex digits"},
      {"www HTTPS 1 . port=99999", "z:1: HTTPS record: \"99999\" is no number up to 65535"},
      {"www HTTPS 1 . port=1 port=2", "z:1: HTTPS record: a parameter is given twice"},
      {"www TYPE65280 x", "write its data as"},
      {"www TYPE65280 \\# 3 00", "the hex digits are not 3 octets"},
  };
  for (const auto& c : cases) {
    auto got = parse(c.text);
    REQUIRE_MESSAGE(!got, c.text);
    CHECK_MESSAGE(got.error().message.find(c.expected) != std::string::npos, got.error().message);
  }
  CHECK(parse("").has_value());
  CHECK(parse("; nothing\n\n   \n").has_value());
  dns::zone_options small;
  small.file = "z";
  small.origin = dns_name("example.org");
  small.max_records = 1;
  CHECK(!dns::parse_zone("a A 192.0.2.1\nb A 192.0.2.2\n", small));
  small.max_bytes = 3;
  CHECK(!dns::parse_zone("a A 192.0.2.1\n", small));
}
