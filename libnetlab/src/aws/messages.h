#pragma once
#include "netlab/log.h"

namespace netlab::aws {

extern const message msg_throttled, msg_repeated, msg_expired, msg_denied, msg_clock;

} // namespace netlab::aws
