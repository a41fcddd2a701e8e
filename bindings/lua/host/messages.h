#pragma once
#include <vector>

#include "netlab/log.h"

namespace netlab::lua {

// The host's own messages. Rooms keep theirs; `netlab doc --messages` prints all that all_messages() lists.
namespace messages {
extern const message ready;
extern const message recipe_failed;
extern const message off_in_vpc;
extern const message task_failed;
extern const message handler_stopped;
extern const message loop_stalled;
extern const message stopping;
extern const message drain_late;
extern const message start_failed;
extern const message control_off;
extern const message address_awaited;
extern const message main_failed;
extern const message reloading;
extern const message reload_refused;
} // namespace messages

std::vector<const message*> all_messages();

} // namespace netlab::lua
