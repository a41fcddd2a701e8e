#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "netlab/clock.h"
#include "netlab/dhcp_config.h"
#include "netlab/lease.h"
#include "netlab/result.h"

namespace netlab::dhcp {

// Leases and reservations of the server that netlab replaces, so that a switch gives no address twice.

struct import_warning {
  std::size_t line = 0; // from 1
  std::string text;
};

struct imported_leases {
  std::vector<lease> leases; // one an address
  std::vector<import_warning> warnings;
};

struct imported_hosts {
  std::vector<fixed_host> hosts;
  std::vector<import_warning> warnings;
};

// dnsmasq.leases, which is Pi-hole's dhcp.leases too: "expiry mac address name client-id", expiry 0 for a
// lease without end. Leases over before `now` are left out; IPv6 lines (after "duid") are skipped. `lease`
// is how long leases lasted, which the file does not say: it dates their start.
result<imported_leases> import_dnsmasq(std::string_view text, wall_time now,
                                       duration lease = std::chrono::hours(24));

// Kea's memfile (kea-leases4.csv): columns by the header, the last line of an address counts, states 0
// (given), 1 (declined) and 2 (reclaimed); "&#x2c" stands for a comma.
result<imported_leases> import_kea(std::string_view text, wall_time now);

// ISC dhcpd.leases: the last block of an address counts.
result<imported_leases> import_isc(std::string_view text, wall_time now);

// dnsmasq's dhcp-host lines (Pi-hole's 04-pihole-static-dhcp.conf), with or without "dhcp-host=", and the
// entries of `hosts = [ … ]` in the dhcp section of Pi-hole 6's pihole.toml.
result<imported_hosts> import_dnsmasq_hosts(std::string_view text);
result<imported_hosts> import_pihole_toml(std::string_view text);

} // namespace netlab::dhcp
