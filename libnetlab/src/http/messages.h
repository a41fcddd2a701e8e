#pragma once
#include "netlab/log.h"

namespace netlab::http::messages {

extern const message bad_request;
extern const message header_limit;
extern const message header_timeout;
extern const message body_limit;
extern const message connection_limit;
extern const message client_limit;
extern const message source_refused;
extern const message reply_timeout;
extern const message stalled;
extern const message outside_folder;
extern const message unreadable_file;
extern const message bad_reply;

} // namespace netlab::http::messages
