#include "netlab/units.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace netlab {

namespace {

struct unit {
  std::string_view name;
  double factor;
};

constexpr unit duration_units[] = {{"ns", 1},   {"us", 1e3},   {"ms", 1e6},    {"s", 1e9},
                                   {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}, {"w", 604800e9}};
constexpr unit size_units[] = {{"B", 1},
                               {"KiB", 1024},
                               {"MiB", 1024. * 1024},
                               {"GiB", 1024. * 1024 * 1024},
                               {"TiB", 1024. * 1024 * 1024 * 1024},
                               {"KB", 1e3},
                               {"MB", 1e6},
                               {"GB", 1e9},
                               {"TB", 1e12}};

template<std::size_t n>
std::optional<double> factor_of(std::string_view name, const unit (&units)[n]) {
  for (const auto& u : units)
    if (u.name == name) return u.factor;
  return std::nullopt;
}

// Reads one "<number><unit>" from the front of `text`; nothing when it is not there.
template<std::size_t n>
std::optional<double> take(std::string_view& text, const unit (&units)[n]) {
  double number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (ec != std::errc{} || number < 0 || text.front() == '-') return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  std::size_t letters = 0;
  while (letters < text.size() && ((text[letters] | 0x20) >= 'a' && (text[letters] | 0x20) <= 'z')) ++letters;
  auto factor = factor_of(text.substr(0, letters), units);
  if (!factor) return std::nullopt;
  text.remove_prefix(letters);
  return number * *factor;
}

std::string one_decimal(double value) {
  char buffer[64];
  auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, 1);
  (void)ec;
  std::string out(buffer, end);
  if (out.ends_with(".0")) out.resize(out.size() - 2);
  return out;
}

} // namespace

result<duration> parse_duration(std::string_view text) {
  if (text == "infinite") return duration::max();
  double total = 0;
  auto rest = text;
  while (!rest.empty()) {
    auto part = take(rest, duration_units);
    if (!part) {
      total = -1;
      break;
    }
    total += *part;
  }
  if (text.empty() || total < 0)
    return fail(errc::invalid, "\"" + std::string(text) +
                                   "\" is not a duration; write it like \"30s\", \"12h\" or \"1h30m\"");
  if (total >= 9.2e18)
    return fail(errc::invalid, "\"" + std::string(text) + "\" is longer than 292 years; say \"infinite\"");
  return duration(static_cast<std::int64_t>(std::llround(total)));
}

std::string format_duration(duration value) {
  if (value == duration::max()) return "infinite";
  if (value.count() == 0) return "0s";
  std::string out = value.count() < 0 ? "-" : "";
  auto left = value.count() < 0 ? 0 - static_cast<std::uint64_t>(value.count())
                                : static_cast<std::uint64_t>(value.count());
  constexpr std::pair<std::uint64_t, const char*> steps[] = {
      {604800000000000ull, "w"}, {86400000000000ull, "d"}, {3600000000000ull, "h"}, {60000000000ull, "m"},
      {1000000000ull, "s"},      {1000000ull, "ms"},       {1000ull, "us"},         {1ull, "ns"}};
  for (auto [size, name] : steps) {
    if (left < size) continue;
    out += std::to_string(left / size) + name;
    left %= size;
  }
  return out;
}

std::string format_elapsed(duration value) {
  double ns = static_cast<double>(value.count());
  if (ns < 1e3) return std::to_string(value.count()) + " ns";
  if (ns < 1e6) return one_decimal(ns / 1e3) + " us";
  if (ns < 1e9) return one_decimal(ns / 1e6) + " ms";
  if (ns < 60e9) return one_decimal(ns / 1e9) + " s";
  auto seconds = value.count() / 1000000000;
  auto pair = [](std::int64_t a, const char* an, std::int64_t b, const char* bn) {
    return std::to_string(a) + an + (b ? " " + std::to_string(b) + bn : std::string());
  };
  if (seconds < 3600) return pair(seconds / 60, "m", seconds % 60, "s");
  if (seconds < 86400) return pair(seconds / 3600, "h", seconds / 60 % 60, "m");
  return pair(seconds / 86400, "d", seconds / 3600 % 24, "h");
}

result<std::uint64_t> parse_size(std::string_view text) {
  auto rest = text;
  auto value = text.empty() ? std::nullopt : take(rest, size_units);
  if (!value || !rest.empty())
    return fail(errc::invalid, "\"" + std::string(text) +
                                   "\" is not a size; write it like \"64KiB\", \"20GiB\" or \"512B\"");
  if (*value >= 1.8e19) return fail(errc::invalid, "\"" + std::string(text) + "\" is larger than any disk");
  return static_cast<std::uint64_t>(std::llround(*value));
}

std::string format_size(std::uint64_t bytes) {
  constexpr const char* names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t at = 0;
  while (value >= 1023.95 && at + 1 < std::size(names)) {
    value /= 1024;
    ++at;
  }
  return (at == 0 ? std::to_string(bytes) : one_decimal(value)) + " " + names[at];
}

} // namespace netlab
