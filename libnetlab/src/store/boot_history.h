#pragma once
#include <memory>
#include <string>

#include "netlab/timeline.h"

namespace netlab {

// The timeline's past, in SQLite on a thread of its own. Takes events without waiting: what the disk
// cannot keep up with is dropped and counted. Called by the control loop's thread; the destructor writes
// what waits and joins. Callbacks run on the scheduler's thread, and not after the destructor.
class boot_history {
public:
  // `scheduler` and what the others refer to must outlive it.
  boot_history(const timeline_options& options, const netlab::clock& clock, netlab::scheduler& scheduler,
               netlab::log log, metrics& counters);
  ~boot_history();

  void add(history_event event);
  void query(std::string node, std::size_t limit, timeline::history_fn fn);
  void drain(std::function<void()> fn);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace netlab
