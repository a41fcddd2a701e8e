#pragma once
#include "netlab/log.h"

namespace netlab::dns {

extern const netlab::message msg_list_updated;     // NL-DNS-101
extern const netlab::message msg_list_kept;        // NL-DNS-102
extern const netlab::message msg_list_unreachable; // NL-DNS-103
extern const netlab::message msg_lists_compiled;   // NL-DNS-104
extern const netlab::message msg_compile_failed;   // NL-DNS-105
extern const netlab::message msg_filter_damaged;   // NL-DNS-106
extern const netlab::message msg_lines_refused;    // NL-DNS-107
extern const netlab::message msg_list_missing;     // NL-DNS-108

} // namespace netlab::dns
