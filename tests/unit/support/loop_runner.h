#pragma once
#include <doctest/doctest.h>

#include "netlab/event_loop.h"

namespace netlab::test {

// Runs `loop` until `done()` holds; a test that waits for what never comes fails after `limit`.
template<class F>
bool run_until(event_loop& loop, F done, duration limit = std::chrono::seconds(10)) {
  bool late = false;
  auto deadline = loop.scheduler().after(limit, [&] {
    late = true;
    loop.stop();
  });
  // The condition is looked at after every turn in which something happened, and each millisecond.
  auto look = loop.scheduler().every(std::chrono::milliseconds(1), [&] {
    if (done()) loop.stop();
  });
  if (!done()) loop.run();
  CHECK_MESSAGE(!late, "waited in vain");
  return !late;
}

} // namespace netlab::test
