#pragma once
#include <span>

#include "netlab/log.h"

namespace netlab::dhcp {

// What the DHCP room says to the operator. The table feeds the reference in docs/.
namespace messages {
extern const message malformed;         // NL-DHCP-001
extern const message no_network;        // NL-DHCP-002
extern const message unknown_client;    // NL-DHCP-003
extern const message pool_exhausted;    // NL-DHCP-004
extern const message boot_refused;      // NL-DHCP-005
extern const message other_server;      // NL-DHCP-006
extern const message wrong_address;     // NL-DHCP-007
extern const message no_record;         // NL-DHCP-008
extern const message commit_failed;     // NL-DHCP-009
extern const message commit_conflict;   // NL-DHCP-010
extern const message address_in_use;    // NL-DHCP-011
extern const message declined;          // NL-DHCP-012
extern const message not_holder;        // NL-DHCP-013
extern const message reservation_taken; // NL-DHCP-014
extern const message name_refused;      // NL-DHCP-015
extern const message options_dropped;   // NL-DHCP-016
extern const message clock_stepped;     // NL-DHCP-017
extern const message foreign_reply;     // NL-DHCP-018
extern const message send_failed;       // NL-DHCP-019
extern const message lease_granted;     // NL-DHCP-020
extern const message listening;         // NL-DHCP-021
extern const message no_interface;      // NL-DHCP-022
extern const message bind_failed;       // NL-DHCP-023
extern const message bootp_refused;     // NL-DHCP-024
extern const message unsupported_type;  // NL-DHCP-025
extern const message lease_lines;       // NL-DHCP-026
extern const message mode_chosen;       // NL-DHCP-027
extern const message other_boot_server; // NL-DHCP-028
extern const message look_failed;       // NL-DHCP-029
extern const message arp_not_kept;      // NL-DHCP-030
} // namespace messages

std::span<const message* const> dhcp_messages();

} // namespace netlab::dhcp
