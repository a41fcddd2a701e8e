#pragma once
#include <functional>
#include <optional>
#include <string>

#include "netlab/asset.h"
#include "netlab/boot_event.h"
#include "netlab/boot_profile.h"

namespace netlab::boot {

// Somebody else's idea of what machines boot: an inventory, another program's folder. A boot service asks its
// sources before its own profiles and groups, for everything but what its own DHCP answers name (loaders and
// assembled images).

struct source_request {
  asset_request asked;
  text_map query; // first value of each parameter, decoded
  // Who asks, joined with what DHCP and the lab's nodes told of it.
  node_identity node;
  machine_facts facts;
  std::string boot_url; // of the boot service as this client reaches it, without a slash at the end
};

struct source_answer {
  asset content;
  std::optional<boot_stage> stage; // what it is to the boot, for the timeline; empty: nothing
  std::string shown;               // how the timeline calls it; empty: the path
};

// errc::not_found: this source has nothing to say, the next is asked. errc::closed: everything stops. Any
// other error ends it: the client gets 404, the log and the node's timeline the reason.
using source_reply_fn = std::function<void(result<source_answer>)>;

struct source {
  std::string name; // for messages
  // Called on the control loop; `reply` runs once, there, now or later.
  std::function<void(const source_request&, source_reply_fn reply)> answer;
};

} // namespace netlab::boot
