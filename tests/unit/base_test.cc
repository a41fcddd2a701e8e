#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "netlab/bytes.h"
#include "netlab/digest.h"
#include "netlab/ip.h"
#include "netlab/json.h"
#include "netlab/mac.h"
#include "netlab/text.h"
#include "netlab/units.h"
#include "netlab/uuid.h"

using namespace netlab;
using namespace std::chrono_literals;

TEST_CASE("bytes: a reader that ran past the end stays failed and returns zeros") {
  const std::uint8_t raw[] = {1, 2, 3};
  byte_reader r(raw);
  CHECK(r.u16() == 0x0102);
  CHECK(r.u32() == 0);
  CHECK(r.failed());
  CHECK(r.u8() == 0);
  CHECK(r.bytes(1).empty());
}

TEST_CASE("bytes: a writer never writes past its buffer") {
  std::uint8_t raw[4] = {};
  byte_writer w(raw);
  w.u16(0xabcd);
  w.u32(1);
  CHECK(w.failed());
  CHECK(w.position() == 2);
  CHECK(to_hex(w.written()) == "abcd");
}

TEST_CASE("hex: separators between bytes only") {
  byte_vector out;
  CHECK(from_hex("02:00-0A ff", out));
  CHECK(to_hex(out, ":") == "02:00:0a:ff");
  CHECK_FALSE(from_hex("0:2", out));
  CHECK_FALSE(from_hex("abc", out));
  CHECK_FALSE(from_hex("zz", out));
}

TEST_CASE("ip: addresses, endpoints, networks and ranges read and print alike") {
  for (auto text : {"0.0.0.0", "10.20.13.140", "255.255.255.255", "::", "fe80::1", "2001:db8::ff"})
    CHECK(ip_address::parse(text).value().to_string() == text);
  for (auto text : {"", "10.20.13", "10.20.13.256", "1.2.3.4 ", "fe80::1%eth0", "::g", "10.0.0.1\n"})
    CHECK_FALSE(ip_address::parse(text).has_value());
  CHECK_FALSE(ip_address::parse(std::string_view("10.0.0.1\0x", 10)).has_value());

  CHECK(endpoint::parse("[fe80::1]:53").value().to_string() == "[fe80::1]:53");
  CHECK(endpoint::parse(":8080").value() == endpoint{ip_address{}, 8080});
  for (auto text : {"10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1", "[::1]", "10.0.0.1:80x"})
    CHECK_FALSE(endpoint::parse(text).has_value());

  auto net = cidr::parse("10.20.13.140/24").value();
  CHECK(net.network().to_string() == "10.20.13.0");
  CHECK(net.broadcast().to_string() == "10.20.13.255");
  CHECK(net.netmask().to_string() == "255.255.255.0");
  CHECK(net.contains(ip_address::v4(10, 20, 13, 1)));
  CHECK_FALSE(net.contains(ip_address::v4(10, 20, 14, 1)));
  CHECK_FALSE(net.contains(ip_address::parse("::1").value()));
  CHECK(cidr::parse("0.0.0.0/0").value().contains(ip_address::v4(8, 8, 8, 8)));
  CHECK(cidr::parse("2001:db8::1/33").value().network().to_string() == "2001:db8::");
  for (auto text : {"10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "::/129"})
    CHECK_FALSE(cidr::parse(text).has_value());

  auto range = ip_range::parse("10.0.0.100-10.0.0.199").value();
  CHECK(range.size() == 100);
  CHECK(range.contains(ip_address::v4(10, 0, 0, 199)));
  CHECK(ip_range::parse("0.0.0.0-255.255.255.255").value().size() == (std::uint64_t{1} << 32));
  for (auto text : {"10.0.0.2-10.0.0.1", "10.0.0.1", "10.0.0.1-::1"})
    CHECK_FALSE(ip_range::parse(text).has_value());
}

TEST_CASE("ip: IPv4 sorts numerically and before IPv6") {
  CHECK(ip_address::v4(9, 0, 0, 1) < ip_address::v4(10, 0, 0, 0));
  CHECK(ip_address::v4(255, 0, 0, 1) < ip_address::parse("::").value());
}

TEST_CASE("mac: every common notation") {
  for (auto text : {"02:00:0a:14:0d:0b", "02-00-0A-14-0D-0B", "0200.0a14.0d0b", "02000a140d0b"})
    CHECK(mac_address::parse(text).value().to_string() == "02:00:0a:14:0d:0b");
  CHECK(mac_address::parse("02:00:0a:14:0d:0b").value().to_string('-') == "02-00-0a-14-0d-0b");
  for (auto text : {"", "02:00:0a:14:0d", "02:00:0a:14:0d:0b:0c", "02:00:0a:14:0d:0g"})
    CHECK_FALSE(mac_address::parse(text).has_value());
}

TEST_CASE("uuid: text and the SMBIOS form") {
  auto u = uuid::parse("00112233-4455-6677-8899-aabbccddeeff").value();
  CHECK(u.to_string() == "00112233-4455-6677-8899-aabbccddeeff");
  CHECK(to_hex(u.to_guid()) == "33221100554477668899aabbccddeeff");
  CHECK(uuid::from_guid(u.to_guid()) == u);
  CHECK_FALSE(uuid::parse("00112233").has_value());
}

TEST_CASE("units: words in, words out, bare numbers refused") {
  CHECK(parse_duration("12h").value() == 12h);
  CHECK(parse_duration("1h30m").value() == 90min);
  CHECK(parse_duration("1.5s").value() == 1500ms);
  CHECK(parse_duration("infinite").value() == duration::max());
  for (auto text : {"", "12", "h", "-1s", "1 h", "1y", "1e3s", "inf", "300000w"})
    CHECK_FALSE(parse_duration(text).has_value());
  CHECK(format_duration(90min) == "1h30m");
  CHECK(format_duration(0s) == "0s");
  CHECK(format_duration(duration::max()) == "infinite");
  CHECK(format_elapsed(31300ms) == "31.3 s");
  CHECK(format_elapsed(125min) == "2h 5m");
  CHECK(parse_size("20GiB").value() == 20ull << 30);
  CHECK(parse_size("1.5KiB").value() == 1536);
  CHECK(parse_size("20GB").value() == 20000000000ull);
  for (auto text : {"", "20", "20G", "GiB", "-1B", "99999999TiB"}) CHECK_FALSE(parse_size(text).has_value());
  CHECK(format_size(512) == "512 B");
  CHECK(format_size(35546726) == "33.9 MiB");
}

TEST_CASE("text: the nearest name helps and does not guess wildly") {
  const std::string_view names[] = {"range", "lease", "router", "domain"};
  CHECK(nearest_name("rang", names).value() == "range");
  CHECK(nearest_name("lease_time", names).value() == "lease");
  CHECK_FALSE(nearest_name("xyzzy", names).has_value());
}

TEST_CASE("text: nothing hostile reaches a terminal") {
  CHECK(printable("ok \xc3\xa9") == "ok \xc3\xa9");
  CHECK(printable("a\x1b[31m\n") == "a\\x1b[31m\\x0a");
  CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");
  CHECK(printable("\xc0\xaf\xed\xa0\x80") == "\\xc0\\xaf\\xed\\xa0\\x80");
}

TEST_CASE("text: url escapes") {
  CHECK(url_decode("a%20b+c", true).value() == "a b c");
  CHECK(url_decode("a+b").value() == "a+b");
  CHECK_FALSE(url_decode("%4").has_value());
  CHECK_FALSE(url_decode("%zz").has_value());
  CHECK(url_encode("02:00/x y") == "02%3A00%2Fx%20y");
}

TEST_CASE("text: globs are linear and ignore case") {
  CHECK(glob_match("02:00:*", "02:00:0A:14:0d:0b"));
  CHECK(glob_match("talos-?", "Talos-1"));
  CHECK_FALSE(glob_match("talos-?", "talos-12"));
  CHECK_FALSE(glob_match("*a*a*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

TEST_CASE("json: errors name line and column, depth is bounded") {
  auto bad = parse_json("{\n  \"a\": 1,\n}");
  REQUIRE_FALSE(bad.has_value());
  CHECK(bad.error().message.starts_with("line 3, column 1"));
  CHECK(parse_json("{\"b\":1,\"a\":[2]}").value().dump() == "{\"b\":1,\"a\":[2]}");
  CHECK(parse_json(std::string(100000, '[')).error().code == errc::limit);
  CHECK(parse_json("2E2611").error().code == errc::invalid);              // a number that no double holds
  CHECK(parse_json("{\"a\":17e90003600}").error().code == errc::invalid); // no exception leaves
}

TEST_CASE("digest: SHA-256 of RFC 6234's abc") {
  CHECK(to_hex(sha256_of(as_bytes("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
