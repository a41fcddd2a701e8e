#include <doctest/doctest.h>

#include "netlab/dns_filter_groups.h"
#include "netlab/dns_name.h"
#include "netlab/dns_safe_search.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

week_minute at(unsigned day, unsigned hour, unsigned minute = 0) {
  return static_cast<week_minute>(day * 24 * 60 + hour * 60 + minute);
}

} // namespace

TEST_CASE("filter groups: windows of the week, past midnight too") {
  auto night = weekly_window::parse("sun-thu", "20:30", "07:00");
  REQUIRE(night);
  CHECK(night->contains(at(6, 20, 30)));
  CHECK_FALSE(night->contains(at(6, 20, 29)));
  CHECK(night->contains(at(0, 6, 59))); // Monday morning belongs to Sunday
  CHECK_FALSE(night->contains(at(0, 7)));
  CHECK_FALSE(night->contains(at(4, 21))); // Friday
  CHECK(night->contains(at(4, 1)));
  CHECK(weekly_window::parse("daily", "00:00", "24:00")->contains(at(3, 23, 59)));
  CHECK(weekly_window::parse("Monday", "08:00", "08:00")->contains(at(1, 7, 59)));
  CHECK(weekly_window::parse("sat, sun", "00:00", "12:00")->days == 0x60);
  for (auto [days, from, to] : {std::tuple{"", "1:00", "02:00"},
                                {"day", "01:00", "02:00"},
                                {"mon", "25:00", "02:00"},
                                {"mon", "24:00", "02:00"},
                                {"mon", "01:60", "02:00"},
                                {"mon-", "01:00", "02:00"},
                                {"mon", "01:00", "24:01"}})
    CHECK_FALSE(weekly_window::parse(days, from, to));
}

TEST_CASE("filter groups: lists by time, and when they change next") {
  filter_group kids{"kids", {}, 0b001, {}};
  kids.schedule.push_back({*weekly_window::parse("mon-fri", "20:00", "22:00"), 0b011});
  kids.schedule.push_back({*weekly_window::parse("daily", "19:00", "06:00"), 0b111});
  auto groups = filter_groups::make(0b100, {kids, {"servers", {}, 0, {}}});
  REQUIRE(groups);
  CHECK(groups->lists(at(0, 12)) == std::vector<list_mask>{0b100, 0b001, 0});
  CHECK(groups->lists(at(0, 19)) == std::vector<list_mask>{0b100, 0b111, 0});
  CHECK(groups->lists(at(0, 21)) == std::vector<list_mask>{0b100, 0b011, 0});
  CHECK(groups->lists(at(5, 21)) == std::vector<list_mask>{0b100, 0b111, 0});
  CHECK(groups->until_change(at(0, 12)) == 7u * 60);
  CHECK(groups->until_change(at(0, 21, 30)) == 30u);
  CHECK(groups->until_change(at(6, 23)) == 7u * 60); // into the next week
  CHECK_FALSE(filter_groups::make(all_lists, {{"a", {}, 1, {}}})->until_change(0));
  filter_group same{"same", {}, 1, {{*weekly_window::parse("daily", "10:00", "11:00"), 1}}};
  CHECK_FALSE(filter_groups::make(all_lists, {same})->until_change(at(0, 9)));
}

TEST_CASE("filter groups: who belongs where, the nearest word first") {
  auto mac = *mac_address::parse("02:00:00:00:00:07");
  auto groups = filter_groups::make(
      all_lists, {{"house", {*cidr::parse("10.0.0.0/8"), *cidr::parse("fd00::/8")}, 1, {}},
                  {"kids", {*cidr::parse("10.1.0.0/16"), mac, std::string("tablet")}, 2, {}},
                  {"desk", {*cidr::parse("10.1.0.9/32")}, 3, {}}});
  REQUIRE(groups);
  CHECK(groups->names_machines());
  auto given = groups->assignments({{*ip_address::parse("10.1.0.9"), mac, "desk"},
                                    {*ip_address::parse("10.2.0.7"), mac, ""},
                                    {*ip_address::parse("fd00::7"), mac, ""},
                                    {*ip_address::parse("10.2.0.8"), {}, "Tablet"},
                                    {*ip_address::parse("10.2.0.9"), {}, "other"}});
  auto group_of = [&](const char* text) {
    auto a = *ip_address::parse(text);
    for (const auto& [network, group] : given)
      if (network.contains(a)) return int{group};
    return 0;
  };
  CHECK(group_of("10.1.0.9") == 3);
  CHECK(group_of("10.2.0.7") == 2);
  CHECK(group_of("fd00::7") == 2);
  CHECK(group_of("10.2.0.8") == 2);
  CHECK(group_of("10.2.0.9") == 1);
  CHECK(group_of("10.1.3.3") == 2);
  CHECK(group_of("fd00::1") == 1);
  CHECK(group_of("192.168.0.1") == 0);
  CHECK_FALSE(filter_groups::make(all_lists, {{"a", {mac}, 1, {}}, {"b", {mac}, 1, {}}}));
  CHECK_FALSE(filter_groups::make(all_lists, {{"a", {}, 1, {}}, {"a", {}, 1, {}}}));
  std::vector<filter_group> many(filter_groups::most + 1);
  for (std::size_t i = 0; i < many.size(); ++i) many[i].name = std::to_string(i);
  CHECK_FALSE(filter_groups::make(all_lists, many));
}

TEST_CASE("safe search: the engines' own names, and nobody else's") {
  auto target = [](const char* text, safe_search how = safe_search::strict) {
    auto n = *name::parse(text);
    return safe_search_target(n.wire(), how);
  };
  CHECK(target("www.google.com") == "forcesafesearch.google.com");
  CHECK(target("google.co.uk") == "forcesafesearch.google.com");
  CHECK(target("www.youtube.com") == "restrict.youtube.com");
  CHECK(target("www.youtube.com", safe_search::moderate) == "restrictmoderate.youtube.com");
  CHECK(target("www.bing.com", safe_search::moderate) == "strict.bing.com");
  CHECK(target("duckduckgo.com") == "safe.duckduckgo.com");
  for (auto other :
       {"mail.google.com", "google.example", "google.com.evil.org", "notgoogle.com", "www.google", ".",
        "youtube.com.", "a-very-long-name-that-is-no-search-engine.example.org"})
    CHECK_MESSAGE(target(other).empty(), other);
  CHECK(target("www.google.com", safe_search::off).empty());
}
