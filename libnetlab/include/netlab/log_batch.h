#pragma once

namespace netlab {

// While it lives, what this thread says to a sink of make_log_sink() is collected, and leaves in one write
// when the outermost one ends. For a short piece of work that says many things, such as a turn in which a
// hundred leases are acknowledged: a line that was not written yet is lost when the process dies. Errors,
// and lines of other threads, take along what was collected at once.
class log_batch {
public:
  log_batch();
  ~log_batch();
  log_batch(const log_batch&) = delete;
  log_batch& operator=(const log_batch&) = delete;
};

} // namespace netlab
