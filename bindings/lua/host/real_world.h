#pragma once
#include <memory>

#include "netlab/event_loop.h"
#include "netlab/http_client.h"
#include "netlab/log.h"
#include "netlab/metrics.h"
#include "netlab/runtime.h"

namespace netlab::lua {

// The world of a command: the control loop on the caller's thread, and bytes loops on threads of their own,
// each made when the first service asks for it. Outlives every host made with it.
class real_world {
public:
  real_world(int log_descriptor, log_format format, log_level minimum);
  ~real_world();

  event_loop& loop();
  runtime control();
  // Its objects are used on that bytes loop's thread only, but scheduler.post(); see runtime.h.
  runtime& bytes(std::size_t which = 0);
  // Ends the bytes loops' threads: what lives on those loops has been destroyed or never runs again.
  void stop_bytes();

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace netlab::lua
