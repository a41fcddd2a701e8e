#pragma once
#include <cstdint>

#include "netlab/clock.h"

namespace netlab {

// What this process costs its machine, as the kernel tells it (getrusage(2), proc(5)). What the kernel does
// not tell is 0.
struct process_usage {
  std::uint64_t resident_bytes = 0;
  std::uint64_t open_files = 0, open_files_limit = 0;
  duration processor_time{}; // of all threads, user and system
  wall_time started{};       // by the clock as it was at the first call
};

// Any thread.
process_usage read_process_usage();

} // namespace netlab
