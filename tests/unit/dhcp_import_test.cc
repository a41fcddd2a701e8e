#include <doctest/doctest.h>

#include "netlab/dhcp_import.h"

using namespace netlab;
using namespace netlab::dhcp;
using namespace std::chrono_literals;

namespace {
const wall_time now{1767225600s}; // 2026-01-01
}

TEST_CASE("dhcp import: dnsmasq and Pi-hole leases") {
  auto got = import_dnsmasq("1767268800 02:00:00:00:00:01 10.0.0.100 talos-1 01:02:00:00:00:00:01\n"
                            "0 02:00:00:00:00:02 10.0.0.101 * *\r\n"
                            "1767225599 02:00:00:00:00:03 10.0.0.102 gone *\n"
                            "1767268800 02:00:00:00:00:04 10.0.0.103 dup *\n"
                            "1767268800 02:00:00:00:00:05 10.0.0.103 Dup_2 ff:00:00:00:05:00:01\n"
                            "what is this\n"
                            "duid 00:01:00:01:2a\n"
                            "1767268800 33554433 fd00::5 v6 00:01\n",
                            now)
                 .value();
  REQUIRE(got.leases.size() == 3);
  CHECK(got.leases[0].hostname == "talos-1");
  CHECK(to_hex(got.leases[0].client) == "01020000000001");
  CHECK(got.leases[0].expires == now + 12h);
  CHECK(got.leases[0].starts < got.leases[0].expires);
  CHECK(got.leases[1].expires == wall_time::max());
  CHECK(to_hex(got.leases[1].client) == "01020000000002");
  CHECK(got.leases[1].hostname.empty());
  CHECK(got.leases[2].mac.to_string() == "02:00:00:00:00:05");
  CHECK(got.leases[2].hostname == "dup-2");
  REQUIRE(got.warnings.size() == 2);
  CHECK(got.warnings[0].line == 5);
  CHECK(got.warnings[1].line == 6);
  CHECK(import_dnsmasq("", now).value().leases.empty());
  CHECK_FALSE(import_dnsmasq("{\"not\": \"a lease file\"}", now).has_value());
  CHECK_FALSE(import_dnsmasq("99999999999999999999 02:00:00:00:00:01 10.0.0.1 * *", now).has_value());
}

TEST_CASE("dhcp import: Kea's memfile") {
  auto got = import_kea("address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,"
                        "state,user_context,pool_id\n"
                        "10.0.0.1,02:00:00:00:00:01,01:02:00:00:00:00:01,3600,1767226600,1,0,0,one,0,,0\n"
                        "10.0.0.1,02:00:00:00:00:02,,3600,1767229000,1,0,0,two&#x2cb.lab,0,,0\n"
                        "10.0.0.2,02:00:00:00:00:03,,3600,1767229000,1,0,0,,0,,0\n"
                        "10.0.0.2,02:00:00:00:00:03,,0,1767225600,1,0,0,,0,,0\n"
                        "10.0.0.3,,,86400,1767229000,1,0,0,,1,,0\n"
                        "10.0.0.4,02:00:00:00:00:04,,4294967295,1767225600,1,0,0,,0,,0\n"
                        "10.0.0.5,02:00:00:00:00:05,,3600,soon,1,0,0,,0,,0\n"
                        "10.0.0.6,02:00:00:00:00:05,,3600,1767229000,1,0,0,,9,,0\n",
                        now)
                 .value();
  REQUIRE(got.leases.size() == 3);
  CHECK(got.leases[0].mac.to_string() == "02:00:00:00:00:02"); // the last line of an address
  CHECK(got.leases[0].hostname == "twob");
  CHECK(got.leases[1].state == lease_state::declined);
  CHECK(got.leases[2].expires == wall_time::max());
  REQUIRE(got.warnings.size() == 2);
  CHECK(got.warnings[0].line == 8);
  // Columns by name, not by place.
  auto old = import_kea("hwaddr,address,expire\n02:00:00:00:00:09,10.0.0.9,1767229000\n", now).value();
  REQUIRE(old.leases.size() == 1);
  CHECK(old.leases[0].address == ip_address::v4(10, 0, 0, 9));
  CHECK(import_kea("a,b,c\n1,2,3\n", now).error().message.find("column") != std::string::npos);
}

TEST_CASE("dhcp import: ISC dhcpd.leases") {
  auto got = import_isc(R"(# comment
lease 10.0.0.7 {
  starts 4 2026/01/01 00:00:00;
  ends 4 2026/01/01 12:00:00;
  binding state active;
  hardware ethernet 02:00:00:00:00:07;
  uid "\001\002\000\000\000\000\007";
  client-hostname "Seven";
}
lease 10.0.0.8 {
  ends epoch 1767229000; # Thu
  binding state active;
  hardware ethernet 02:00:00:00:00:08;
}
lease 10.0.0.8 {
  ends 4 2026/01/01 12:00:00;
  binding state free;
  hardware ethernet 02:00:00:00:00:08;
}
lease 10.0.0.9 {
  ends never;
  binding state active;
  hardware ethernet 02:00:00:00:00:09;
}
lease 10.0.0.10 {
  ends 4 2026/99/01 12:00:00;
)",
                        now)
                 .value();
  REQUIRE(got.leases.size() == 2);
  CHECK(to_hex(got.leases[0].client) == "01020000000007");
  CHECK(got.leases[0].hostname == "seven");
  CHECK(got.leases[0].expires == now + 12h);
  CHECK(got.leases[1].expires == wall_time::max());
  CHECK(got.warnings.size() == 2); // the broken date, and the block without an end
  CHECK(import_isc("lease nonsense {\n", now).error().code == errc::invalid);
}

TEST_CASE("dhcp import: Pi-hole's reservations, old and new") {
  auto old = import_dnsmasq_hosts("# static\n"
                                  "dhcp-host=02:00:00:00:00:01,10.0.0.11,talos-1\n"
                                  "dhcp-host=02:00:00:00:00:02,set:pxe,10.0.0.12,infinite\n"
                                  "02:00:00:00:00:03,id:ff:00:01,printer,24h\n"
                                  "dhcp-host=nobody,10.0.0.13\n"
                                  "dhcp-range=10.0.0.100,10.0.0.200\n")
                 .value();
  REQUIRE(old.hosts.size() == 3);
  CHECK(old.hosts[0].address == ip_address::v4(10, 0, 0, 11));
  CHECK(old.hosts[0].name == "talos-1");
  CHECK(old.hosts[1].options.lease == duration::max());
  CHECK(to_hex(old.hosts[2].client_id) == "ff0001");
  CHECK(old.hosts[2].options.lease == 24h);
  CHECK(old.warnings.size() == 3);

  auto toml = import_pihole_toml("[dns]\n  hosts = [ \"10.0.0.1 not.this\" ]\n[dhcp]\n  active = true\n"
                                 "  hosts = [\n    \"02:00:00:00:00:01,10.0.0.11,talos-1\", # one\n"
                                 "    '02:00:00:00:00:02,10.0.0.12'\n  ] ### CHANGED\n  end = 1\n")
                  .value();
  REQUIRE(toml.hosts.size() == 2);
  CHECK(toml.hosts[1].macs[0].to_string() == "02:00:00:00:00:02");
  CHECK(toml.warnings.empty());
  CHECK_FALSE(import_pihole_toml("[dhcp]\nhosts = [ \"02:00:00:00:00:01,10.0.0.11\"\n").has_value());
}
