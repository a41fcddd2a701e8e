#pragma once
#include "netlab/log.h"

namespace netlab::dns {

extern const netlab::message msg_upstream_down, msg_upstream_up, msg_rebind, msg_bootstrap_failed, msg_bogus;

} // namespace netlab::dns
