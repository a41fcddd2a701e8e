#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "netlab/result.h"

namespace netlab {

// Durations and sizes are words in netlab: a bare number is an error, because its unit would be a guess.

using duration = std::chrono::nanoseconds;

// "250ms", "30s", "5m", "12h", "7d", "1w", "1h30m", "infinite" (duration::max()). Fractions: "1.5h".
result<duration> parse_duration(std::string_view text);
// The shortest exact form, e.g. "1h30m"; "infinite" for duration::max().
std::string format_duration(duration value);
// For humans: two significant units at most, e.g. "31.3 s", "250 ms", "2h 5m".
std::string format_elapsed(duration value);

// "512", no: "512B", "64KiB", "20GiB", "1.5TiB", and the decimal "20GB". Result in bytes.
result<std::uint64_t> parse_size(std::string_view text);
// Binary units with at most one decimal: "33.9 MiB".
std::string format_size(std::uint64_t bytes);

} // namespace netlab
