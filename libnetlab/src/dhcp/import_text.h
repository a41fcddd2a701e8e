#pragma once
#include <charconv>
#include <map>
#include <optional>
#include <string_view>

#include "netlab/dhcp_import.h"
#include "netlab/text.h"

namespace netlab::dhcp {

// Calls fn(number, line) for every line, from 1, without its line end.
template<class Fn>
void each_line(std::string_view text, Fn fn) {
  std::size_t number = 0;
  while (!text.empty()) {
    auto end = text.find('\n');
    auto line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    fn(++number, line);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
}

inline std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Seconds since 1970, bounded to what the clock's nanoseconds can say (the year 2262).
inline std::optional<wall_time> epoch_time(std::int64_t seconds) {
  if (seconds < 0 || seconds > 9'000'000'000) return std::nullopt;
  return wall_time{std::chrono::seconds(seconds)};
}

inline void add_warning(std::vector<import_warning>& out, std::size_t line, std::string text) {
  if (out.size() < 1000) out.push_back({line, std::move(text)});
}

inline byte_vector hardware_client(const mac_address& mac) {
  byte_vector out{1};
  out.insert(out.end(), mac.octets.begin(), mac.octets.end());
  return out;
}

// A non-empty file of which no line could be read is another kind of file.
inline result<imported_leases> finish_import(std::map<ip_address, lease> found,
                                             std::vector<import_warning> warnings, std::size_t lines,
                                             std::size_t understood, const char* kind) {
  if (lines > 0 && understood == 0)
    return fail(
        errc::invalid,
        std::string("this is not a ") + kind +
            (warnings.empty() ? "" : ": line " + std::to_string(warnings[0].line) + ": " + warnings[0].text),
        "dhcp.import");
  imported_leases out;
  out.warnings = std::move(warnings);
  for (auto& [address, l] : found) out.leases.push_back(std::move(l));
  return out;
}

} // namespace netlab::dhcp
