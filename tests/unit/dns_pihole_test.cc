#include <doctest/doctest.h>

#include <fstream>
#include <sqlite3.h>

#include "netlab/dns_pihole.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

// The tables of Pi-hole's gravity.db that matter, as versions 5 and 6 make them.
void make_gravity(const std::string& path, bool six) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  std::string sql = R"(
    CREATE TABLE "group" (id INTEGER PRIMARY KEY, enabled BOOLEAN NOT NULL DEFAULT 1, name TEXT UNIQUE NOT NULL);
    CREATE TABLE domainlist (id INTEGER PRIMARY KEY, type INTEGER NOT NULL, domain TEXT NOT NULL,
                             enabled BOOLEAN NOT NULL DEFAULT 1);
    CREATE TABLE client (id INTEGER PRIMARY KEY, ip TEXT NOT NULL UNIQUE);
    CREATE TABLE adlist_by_group (adlist_id INTEGER, group_id INTEGER);
    CREATE TABLE domainlist_by_group (domainlist_id INTEGER, group_id INTEGER);
    CREATE TABLE client_by_group (client_id INTEGER, group_id INTEGER);
    INSERT INTO "group" VALUES (0, 1, 'Default'), (1, 1, 'kids'), (2, 0, 'off');
    INSERT INTO domainlist VALUES (1, 0, 'good.example', 1), (2, 1, 'bad.example', 1), (3, 3, '^ad[0-9]', 1),
                                  (4, 1, 'kids.example', 1), (5, 1, 'unused.example', 0);
    INSERT INTO domainlist_by_group VALUES (1, 0), (1, 1), (2, 0), (3, 0), (4, 1), (5, 0);
    INSERT INTO client VALUES (1, '10.0.0.5'), (2, '02:00:00:00:00:01'), (3, '10.1.0.0/16'), (4, ':eth0'),
                              (5, 'tablet.lan'), (6, '10.0.0.6');
    INSERT INTO client_by_group VALUES (1, 1), (2, 1), (3, 0), (3, 1), (5, 1), (6, 2);
  )";
  sql +=
      six ? R"(CREATE TABLE adlist (id INTEGER PRIMARY KEY, address TEXT, enabled BOOLEAN DEFAULT 1, type INTEGER);
                  INSERT INTO adlist VALUES (1, 'https://lists.example/ads', 1, 0), (2, 'file:///etc/mine', 1, 0),
                                            (3, 'https://lists.example/off', 0, 0), (4, 'https://lists.example/ok', 1, 1);)"
          : R"(CREATE TABLE adlist (id INTEGER PRIMARY KEY, address TEXT, enabled BOOLEAN DEFAULT 1);
                  INSERT INTO adlist VALUES (1, 'https://lists.example/ads', 1), (2, 'file:///etc/mine', 1),
                                            (3, 'https://lists.example/off', 0);)";
  sql += "INSERT INTO adlist_by_group VALUES (1, 0), (1, 1), (2, 1), (3, 0), (4, 0);";
  char* wrong = nullptr;
  CHECK_MESSAGE(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &wrong) == SQLITE_OK, (wrong ? wrong : ""));
  sqlite3_close(db);
}

} // namespace

TEST_CASE("pihole: version 5, its lists, domains, groups, clients and records") {
  test::temporary_folder dir;
  make_gravity(dir / "gravity.db", false);
  std::ofstream(dir / "custom.list") << "10.0.0.9 nas.lan nas # upstairs\nnonsense line\nfd00::9\tnas.lan\n";
  std::ofstream(dir / "05-pihole-custom-cname.conf")
      << "cname=www.lan,nas.lan\ncname=a.lan,b.lan,nas.lan,300\n";
  auto got = read_pihole(dir.path());
  REQUIRE_MESSAGE(got, (got ? "" : got.error().message));
  REQUIRE(got->lists.size() == 5);
  CHECK(got->lists[0].url == "https://lists.example/ads");
  CHECK(got->lists[1].path == "/etc/mine");
  auto by_text = [&](const std::string& text) -> int {
    for (std::size_t i = 0; i < got->lists.size(); ++i)
      if (got->lists[i].text == text) return static_cast<int>(i);
    return -1;
  };
  int denied = by_text("|bad.example^\n/^ad[0-9]/\n"), kids = by_text("|kids.example^\n"),
      allowed = by_text("|good.example^\n");
  REQUIRE(denied >= 0);
  REQUIRE(kids >= 0);
  REQUIRE(allowed >= 0);
  CHECK(got->lists[static_cast<std::size_t>(allowed)].allow);
  auto bit = [](int i) { return list_mask{1} << i; };
  CHECK(got->everybody == (bit(0) | bit(denied) | bit(allowed)));
  CHECK(check({"dns", "/x", got->lists, std::chrono::hours(24), "", {}, {}}));

  auto groups = filter_groups::make(got->everybody, got->groups);
  REQUIRE(groups);
  auto lists = groups->lists(0);
  auto given = groups->assignments(
      {{*ip_address::parse("10.9.9.9"), mac_address::parse("02:00:00:00:00:01").value(), ""},
       {*ip_address::parse("10.9.9.8"), {}, "tablet"}});
  auto mask_of = [&](const char* address) {
    for (const auto& [network, group] : given)
      if (network.contains(*ip_address::parse(address))) return lists[group];
    return lists[0];
  };
  auto for_kids = bit(0) | bit(1) | bit(kids) | bit(allowed);
  CHECK(mask_of("10.0.0.5") == for_kids);
  CHECK(mask_of("10.9.9.9") == for_kids);
  CHECK(mask_of("10.9.9.8") == for_kids);
  CHECK(mask_of("10.1.2.3") == (for_kids | got->everybody));
  CHECK(mask_of("10.0.0.6") == 0); // in a group that is off, so in none
  CHECK(mask_of("10.0.0.7") == got->everybody);
  CHECK(got->hosts.size() == 3);
  CHECK(got->cnames.size() == 3);
  CHECK(got->cnames[2] == std::pair<std::string, std::string>("b.lan", "nas.lan"));
  CHECK(got->warnings.size() == 2);
}

TEST_CASE("pihole: version 6 keeps its records in pihole.toml and has lists that allow") {
  test::temporary_folder dir;
  make_gravity(dir / "gravity.db", true);
  std::ofstream(dir / "pihole.toml") << R"(# Pi-hole configuration
[dns]
  # Array of upstream DNS servers
  upstreams = [
    "9.9.9.9", # [a bracket]
    "127.0.0.1#5335"
  ] ### CHANGED
  hosts = [ "10.0.0.9 nas.lan" , '10.0.0.8 printer' ]
  cnameRecords = [
    "www.lan,nas.lan",
  ]
  port = 53
[dhcp]
  hosts = [ "02:00:00:00:00:01,10.0.0.77" ]
)";
  auto got = read_pihole(dir.path());
  REQUIRE(got);
  CHECK(got->lists[2].allow);
  CHECK(got->lists[2].url == "https://lists.example/ok");
  CHECK(got->upstreams == std::vector<std::string>{"9.9.9.9", "127.0.0.1#5335"});
  REQUIRE(got->hosts.size() == 2);
  CHECK(got->hosts[1].second == "printer");
  CHECK(got->cnames.size() == 1);
}

TEST_CASE("pihole: what is no Pi-hole is an error, and broken text is left out") {
  test::temporary_folder dir;
  CHECK(read_pihole(dir.path()).error().code == errc::not_found);
  std::ofstream(dir / "gravity.db")
      << "this is no database, and long enough to be looked at by somebody who reads";
  CHECK(read_pihole(dir.path()).error().code == errc::invalid);
  pihole_setup out;
  read_pihole_toml("[dns]\nhosts = [ \"unfinished\n\"10.0.0.1 x\" ]\n[\n=\nupstreams = [", out);
  CHECK(out.hosts.size() <= 1);
}
