#pragma once
#include <span>

#include "netlab/log.h"

namespace netlab::dns {

// Messages about what an operator sees and changes of a DNS server: its log, its overlays, its zone files,
// its hook.
extern const netlab::message msg_log_stopped, msg_log_goes_on, msg_log_dropped, msg_overlay_made,
    msg_overlay_ended, msg_overlays_unread, msg_overlays_unwritten, msg_zone_refused, msg_hook_failed,
    msg_cache_unsaved;

// NL-DNS-150 and up, for the reference in docs/.
std::span<const netlab::message* const> dns_operator_messages();

} // namespace netlab::dns
