#include "netlab/process_usage.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>

namespace netlab {

namespace {

// proc(5): what follows the program's name in parentheses, which may hold anything; field 22 is the start, in
// ticks since the machine's.
std::optional<std::uint64_t> start_ticks() {
  std::ifstream in("/proc/self/stat");
  std::string all((std::istreambuf_iterator<char>(in)), {});
  auto name_end = all.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream rest(all.substr(name_end + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i)
    if (!(rest >> field)) return std::nullopt;
  return std::strtoull(field.c_str(), nullptr, 10);
}

wall_time process_start() {
  auto ticks = start_ticks();
  timespec up{};
  if (!ticks || ::clock_gettime(CLOCK_BOOTTIME, &up) != 0) return {};
  auto nanoseconds_per_tick = 1'000'000'000ull / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  auto age = std::chrono::seconds(up.tv_sec) + std::chrono::nanoseconds(up.tv_nsec) -
             std::chrono::nanoseconds(*ticks * nanoseconds_per_tick);
  return std::chrono::time_point_cast<wall_time::duration>(std::chrono::system_clock::now() - age);
}

duration of(const timeval& t) {
  return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

} // namespace

process_usage read_process_usage() {
  process_usage out;
  std::uint64_t pages = 0, resident = 0;
  if (std::ifstream in("/proc/self/statm"); in >> pages >> resident)
    out.resident_bytes = resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  rusage used{};
  if (::getrusage(RUSAGE_SELF, &used) == 0) out.processor_time = of(used.ru_utime) + of(used.ru_stime);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) out.open_files_limit = files.rlim_cur;
  std::error_code bad;
  for (std::filesystem::directory_iterator it("/proc/self/fd", bad), end; !bad && it != end;
       it.increment(bad))
    ++out.open_files;
  // Once: a step of the clock must not look like a new process.
  static const wall_time started = process_start();
  out.started = started;
  return out;
}

} // namespace netlab
