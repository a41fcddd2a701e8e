#pragma once
#include "netlab/log.h"

namespace netlab::tftp {

extern const message msg_sent, msg_not_found, msg_refused_path, msg_write_refused, msg_client_error,
    msg_timeout, msg_limit, msg_malformed, msg_content_failed, msg_no_socket, msg_probe, msg_asked_again,
    msg_stopped;

} // namespace netlab::tftp
