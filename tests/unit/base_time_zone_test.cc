#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "netlab/time_zone.h"

using namespace netlab;
using std::chrono::seconds;

namespace {

wall_time at(std::int64_t unix_time) { return wall_time(seconds(unix_time)); }

void put(std::string& out, std::int64_t value, int size) {
  for (int i = size - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
}

struct tz_change {
  std::int64_t at;
  int kind;
};

// One part of a TZif file: changes to kinds of time with these offsets.
std::string tz_part(char version, int time_size, const std::vector<tz_change>& changes,
                    const std::vector<int>& offsets) {
  std::string out = "TZif";
  out += version;
  out.append(15, '\0');
  for (auto count :
       {std::size_t{0}, std::size_t{0}, std::size_t{0}, changes.size(), offsets.size(), std::size_t{4}})
    put(out, static_cast<std::int64_t>(count), 4);
  for (const auto& c : changes) put(out, c.at, time_size);
  for (const auto& c : changes) put(out, c.kind, 1);
  for (auto offset : offsets) {
    put(out, offset, 4);
    put(out, 0, 2);
  }
  return out + std::string("LMT\0", 4);
}

std::string tz_file(const std::vector<tz_change>& changes, const std::vector<int>& offsets,
                    const std::string& rule) {
  return tz_part('2', 4, {}, {0}) + tz_part('2', 8, changes, offsets) + "\n" + rule + "\n";
}

std::optional<time_zone> by_rule(const std::string& rule) {
  auto got = time_zone::parse(as_bytes(tz_file({}, {0}, rule)));
  return got ? std::optional(*got) : std::nullopt;
}

} // namespace

TEST_CASE("time zone: changes, and the rule for later years") {
  auto got = time_zone::parse(as_bytes(tz_file({{1000, 1}, {2000, 2}}, {60, 3600, -7200}, "<+03>-3")));
  REQUIRE(got);
  CHECK(got->offset(at(-99999)) == seconds(60));
  CHECK(got->offset(at(999)) == seconds(60));
  CHECK(got->offset(at(1000)) == seconds(3600));
  CHECK(got->offset(at(1999)) == seconds(3600));
  CHECK(got->offset(at(2000)) == std::chrono::hours(3));
  auto without = time_zone::parse(as_bytes(tz_file({{1000, 1}, {2000, 2}}, {60, 3600, -7200}, "")));
  REQUIRE(without);
  CHECK(without->offset(at(2000)) == seconds(-7200));
  // The first version has 32 bits and no rule.
  auto old = time_zone::parse(as_bytes(tz_part('\0', 4, {{-5, 1}}, {0, 1800})));
  REQUIRE(old);
  CHECK(old->offset(at(-6)) == seconds(0));
  CHECK(old->offset(at(-5)) == seconds(1800));
}

TEST_CASE("time zone: rules by weekday, by day, north and south, with negative hours") {
  auto prague = by_rule("CET-1CEST,M3.5.0,M10.5.0/3");
  REQUIRE(prague);
  CHECK(prague->offset(at(1774745999)) == seconds(3600)); // 2026-03-29 00:59:59Z
  CHECK(prague->offset(at(1774746000)) == seconds(7200));
  CHECK(prague->offset(at(1792889999)) == seconds(7200)); // 2026-10-25 00:59:59Z
  CHECK(prague->offset(at(1792890000)) == seconds(3600));
  auto sydney = by_rule("AEST-10AEDT,M10.1.0,M4.1.0/3");
  REQUIRE(sydney);
  CHECK(sydney->offset(at(1767225600)) == std::chrono::hours(11)); // New Year
  CHECK(sydney->offset(at(1782864000)) == std::chrono::hours(10)); // 1 July
  auto nuuk = by_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0");
  REQUIRE(nuuk);
  CHECK(nuuk->offset(at(1774745999)) == std::chrono::hours(-2));
  CHECK(nuuk->offset(at(1774746000)) == std::chrono::hours(-1));
  auto odd = by_rule("AAA3:30:15BBB2,J60/0,300/12");
  REQUIRE(odd);
  CHECK(odd->offset(at(1767225600)) == -seconds(3 * 3600 + 30 * 60 + 15));
  CHECK(odd->offset(at(1772323200 + 12 * 3600)) == std::chrono::hours(-2)); // 2026-03-01
  for (auto bad :
       {"C-1", "CET", "CET-25", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,J0,J300", "CET-1CEST,366,J300",
        "CET-1CEST,M3.5.0/168,M10.5.0", "CET-1CEST,M3.5.0,M10.5.0x", "<CET-1", "CET-1:60"})
    CHECK_MESSAGE(!by_rule(bad), bad);
}

TEST_CASE("time zone: what is no file of the database") {
  auto good = tz_file({{1000, 1}}, {0, 3600}, "UTC0");
  for (std::size_t n = 0; n < good.size(); ++n) CHECK(!time_zone::parse(as_bytes(good.substr(0, n))));
  CHECK(!time_zone::parse(as_bytes(tz_file({{1000, 2}}, {0, 3600}, "UTC0"))));
  CHECK(!time_zone::parse(as_bytes(tz_file({{1000, 1}, {1000, 0}}, {0, 3600}, "UTC0"))));
  CHECK(!time_zone::parse(as_bytes(tz_file({}, {100000}, "UTC0"))));
  CHECK(!time_zone::parse(as_bytes(tz_file({}, {}, "UTC0"))));
  auto many = good; // changes, as the second part counts them
  many[good.rfind("TZif") + 32] = '\x7f';
  CHECK(!time_zone::parse(as_bytes(many)));
}

TEST_CASE("time zone: names that may be files") {
  CHECK(time_zone::path_of("Europe/Prague") == "/usr/share/zoneinfo/Europe/Prague");
  CHECK(time_zone::path_of("Etc/GMT+5"));
  for (auto bad : {"", "/etc/passwd", "../localtime", "Europe/", "Europe/Pra gue", "a.b"})
    CHECK(!time_zone::path_of(bad));
}

TEST_CASE("time zone: agrees with the C library") {
  const char* before = std::getenv("TZ");
  std::string kept = before ? before : "";
  for (auto name : {"Europe/Prague", "America/New_York", "Australia/Sydney", "Asia/Kolkata",
                    "America/Sao_Paulo", "Africa/Casablanca", "Pacific/Chatham", "America/Nuuk", "UTC"}) {
    std::ifstream in(*time_zone::path_of(name), std::ios::binary);
    if (!in) continue; // without tzdata there is nothing to compare
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    auto zone = time_zone::parse(as_bytes(bytes));
    REQUIRE_MESSAGE(zone, name);
    ::setenv("TZ", name, 1);
    ::tzset();
    int different = 0;
    for (std::int64_t t = -1500000000; t < 4000000000; t += 86400 * 3 + 1234) {
      auto when = static_cast<time_t>(t);
      tm local{};
      ::localtime_r(&when, &local);
      different += zone->offset(at(t)) != seconds(local.tm_gmtoff);
    }
    CHECK_MESSAGE(different == 0, name);
  }
  if (before)
    ::setenv("TZ", kept.c_str(), 1);
  else
    ::unsetenv("TZ");
  ::tzset();
}
