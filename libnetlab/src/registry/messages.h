#pragma once
#include "netlab/log.h"

namespace netlab::registry {

extern const message msg_listening, msg_repaired, msg_damaged, msg_upstream_down, msg_upstream_back,
    msg_too_many, msg_wrong_digest, msg_bad_upstream, msg_broken, msg_no_room, msg_disk_trouble, msg_stale,
    msg_unknown_registry, msg_denied, msg_pull, msg_pushed, msg_job, msg_listen_failed;

} // namespace netlab::registry
