#pragma once
#include "netlab/clock.h"
#include "netlab/files.h"
#include "netlab/http_client.h"
#include "netlab/log.h"
#include "netlab/metrics.h"
#include "netlab/net.h"
#include "netlab/process.h"
#include "netlab/random.h"

namespace netlab {

// Everything that a room needs from the world, injected. Production gives an event_loop's; tests and
// simulated runs give their own. The parts outlive every server made with them.
struct runtime {
  const netlab::clock& clock;
  netlab::scheduler& scheduler;
  netlab::random_source& random;
  netlab::net& net;
  netlab::files& files;
  netlab::processes& processes;
  netlab::http_client& http;
  netlab::log log;
  netlab::metrics& metrics;
};

} // namespace netlab
