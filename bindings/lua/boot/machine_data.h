#pragma once
#include <optional>

#include "netlab/boot_profile.h"
#include "netlab/json.h"

namespace netlab::lua {

// A machine as every function of a recipe sees it, whether it chooses a group, answers a request or makes a
// document: what is known of name, mac, macs, uuid, serial, role, ip, address, arch, firmware, hostname,
// manufacturer, product, instance_id, tag, labels and query. `address` is the one that it has now, where
// somebody asked from it.
json machine_data(const boot::machine_facts& facts, const std::optional<ip_address>& address = {});

} // namespace netlab::lua
