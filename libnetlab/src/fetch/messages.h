#pragma once
#include "netlab/log.h"

namespace netlab::fetch {

extern const message msg_begun, msg_progress, msg_fetched, msg_failed, msg_wrong_checksum, msg_no_room,
    msg_local_wrong, msg_not_offered;

} // namespace netlab::fetch
