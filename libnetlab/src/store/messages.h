#pragma once
#include "netlab/log.h"
#include "netlab/store_messages.h"

namespace netlab::messages {

extern const message journal_torn_tail;      // NL-STORE-001
extern const message journal_damaged;        // NL-STORE-002
extern const message journal_write_failed;   // NL-STORE-003
extern const message journal_recovered;      // NL-STORE-004
extern const message journal_compact_failed; // NL-STORE-005
extern const message journal_clock_rebased;  // NL-STORE-006
extern const message journal_locked;         // NL-STORE-007
extern const message journal_newer;          // NL-STORE-008
extern const message journal_overloaded;     // NL-STORE-009
extern const message history_failed;         // NL-STORE-010
extern const message history_recovered;      // NL-STORE-011
extern const message journal_foreign;        // NL-STORE-012

extern const message boot_refused;           // NL-BOOT-101
extern const message boot_no_offer;          // NL-BOOT-102
extern const message boot_other_offer_won;   // NL-BOOT-103
extern const message boot_offer_ignored;     // NL-BOOT-104
extern const message boot_nak;               // NL-BOOT-105
extern const message boot_no_boot_file;      // NL-BOOT-106
extern const message boot_file_not_fetched;  // NL-BOOT-107
extern const message boot_other_server_file; // NL-BOOT-108
extern const message boot_transfer_aborted;  // NL-BOOT-109
extern const message boot_file_not_run;      // NL-BOOT-110
extern const message boot_script_no_kernel;  // NL-BOOT-111
extern const message boot_kernel_silent;     // NL-BOOT-112
extern const message boot_config_not_ready;  // NL-BOOT-113
extern const message boot_upstream_down;     // NL-BOOT-114
extern const message boot_error_reported;    // NL-BOOT-115
extern const message boot_images_not_ready;  // NL-BOOT-116
extern const message boot_no_address;        // NL-BOOT-117
extern const message boot_proxy_not_asked;   // NL-BOOT-118
extern const message boot_program_returned;  // NL-BOOT-120

} // namespace netlab::messages
