#include "conditional.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "netlab/text.h"

namespace netlab::http {

namespace {

constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// RFC 9110 §8.8.3.2. If-None-Match compares weakly, If-Match and If-Range strongly.
bool etag_listed(std::string_view list, std::string_view etag, bool weak) {
  if (trim(list) == "*") return true;
  if (etag.empty()) return false;
  while (true) {
    list = trim(list);
    while (!list.empty() && list.front() == ',') list = trim(list.substr(1));
    if (list.empty()) return false;
    bool is_weak = list.starts_with("W/");
    if (is_weak) list.remove_prefix(2);
    if (list.empty() || list.front() != '"') return false;
    auto end = list.find('"', 1);
    if (end == std::string_view::npos) return false;
    if ((weak || !is_weak) && list.substr(0, end + 1) == etag) return true;
    list.remove_prefix(end + 1);
  }
}

enum class range_verdict { none, part, unsatisfiable };

// One byte range (RFC 9110 §14.1.2): "bytes=500-999", "bytes=500-", "bytes=-500".
range_verdict read_range(std::string_view text, std::uint64_t size, selection& out) {
  auto equals = text.find('=');
  if (equals == std::string_view::npos || !iequals(trim(text.substr(0, equals)), "bytes"))
    return range_verdict::none;
  auto spec = trim(text.substr(equals + 1));
  if (spec.find(',') != std::string_view::npos) return range_verdict::none;
  auto dash = spec.find('-');
  if (dash == std::string_view::npos) return range_verdict::unsatisfiable;
  auto first_text = trim(spec.substr(0, dash)), last_text = trim(spec.substr(dash + 1));
  auto number = [](std::string_view digits, std::uint64_t& value) {
    auto [end, e] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (e == std::errc::result_out_of_range) value = UINT64_MAX; // past any file
    return all_digits(digits);
  };
  std::uint64_t first = 0, last = UINT64_MAX;
  if (first_text.empty()) {
    std::uint64_t suffix = 0;
    if (!number(last_text, suffix) || suffix == 0 || size == 0) return range_verdict::unsatisfiable;
    first = suffix >= size ? 0 : size - suffix;
  } else {
    if (!number(first_text, first) || (!last_text.empty() && !number(last_text, last)))
      return range_verdict::unsatisfiable;
    if (last < first || first >= size) return range_verdict::unsatisfiable;
  }
  last = std::min(last, size - 1);
  out = {206, first, last - first + 1};
  return range_verdict::part;
}

} // namespace

selection select(const request& request, std::uint64_t size, const validators& v) {
  const std::string_view* range = nullptr;
  const std::string_view* if_range = nullptr;
  const std::string_view* if_match = nullptr;
  const std::string_view* if_none_match = nullptr;
  const std::string_view* if_modified = nullptr;
  const std::string_view* if_unmodified = nullptr;
  for (const auto& f : request.fields) {
    char first = static_cast<char>(f.name[0] | 0x20);
    if (first == 'r' && iequals(f.name, "range")) range = range ? range : &f.value;
    if (first != 'i' || f.name.size() < 8) continue;
    if (iequals(f.name, "if-range"))
      if_range = &f.value;
    else if (iequals(f.name, "if-match"))
      if_match = &f.value;
    else if (iequals(f.name, "if-none-match"))
      if_none_match = &f.value;
    else if (iequals(f.name, "if-modified-since"))
      if_modified = &f.value;
    else if (iequals(f.name, "if-unmodified-since"))
      if_unmodified = &f.value;
  }

  if (if_match) {
    if (!etag_listed(*if_match, v.etag, false)) return {412};
  } else if (if_unmodified && v.modified != 0) {
    auto since = parse_http_date(*if_unmodified);
    if (since && v.modified > *since) return {412};
  }
  if (if_none_match) {
    if (etag_listed(*if_none_match, v.etag, true)) return {304};
  } else if (if_modified && v.modified != 0) {
    auto since = parse_http_date(*if_modified);
    if (since && v.modified <= *since) return {304};
  }

  selection out{200, 0, size};
  if (!range || !request.is_get()) return out; // §14.2: Range means something for GET alone
  if (if_range) {
    bool same;
    if (if_range->starts_with('"') || if_range->starts_with("W/")) {
      same = !v.etag.empty() && *if_range == v.etag;
    } else {
      auto date = parse_http_date(*if_range);
      same = date && v.modified != 0 && *date == v.modified;
    }
    if (!same) return out;
  }
  if (read_range(*range, size, out) == range_verdict::unsatisfiable) return {416};
  return out;
}

std::string format_http_date(std::int64_t seconds) {
  using namespace std::chrono;
  auto time = sys_seconds{std::chrono::seconds{seconds}};
  auto day = floor<std::chrono::days>(time);
  year_month_day date{day};
  hh_mm_ss clock{time - day};
  char out[48];
  int n = std::snprintf(out, sizeof out, "%s, %02u %s %04d %02d:%02d:%02d GMT",
                        days[weekday{day}.c_encoding()].data(), static_cast<unsigned>(date.day()),
                        months[static_cast<unsigned>(date.month()) - 1].data(), static_cast<int>(date.year()),
                        static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                        static_cast<int>(clock.seconds().count()));
  return std::string(out, static_cast<std::size_t>(n));
}

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  using namespace std::chrono;
  auto number = [](std::string_view digits) { // blank-padded day of asctime included
    digits = trim(digits);
    int value = -1;
    if (all_digits(digits)) std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  };
  auto month_of = [](std::string_view name) {
    auto it = std::find(months.begin(), months.end(), name);
    return it == months.end() ? 0u : static_cast<unsigned>(it - months.begin()) + 1;
  };
  text = trim(text);
  int day, year;
  unsigned month;
  std::string_view time;
  auto comma = text.find(',');
  if (comma == 3 && text.size() == 29 && text.ends_with(" GMT")) { // IMF-fixdate
    day = number(text.substr(5, 2));
    month = month_of(text.substr(8, 3));
    year = number(text.substr(12, 4));
    time = text.substr(17, 8);
  } else if (comma != std::string_view::npos && text.size() == comma + 24 &&
             text.ends_with(" GMT")) { // RFC 850
    auto rest = text.substr(comma + 2);
    day = number(rest.substr(0, 2));
    month = month_of(rest.substr(3, 3));
    year = number(rest.substr(7, 2));
    if (year < 0) return std::nullopt;
    year += year < 70 ? 2000 : 1900;
    time = rest.substr(10, 8);
  } else if (comma == std::string_view::npos && text.size() == 24) { // asctime
    month = month_of(text.substr(4, 3));
    day = number(text.substr(8, 2));
    time = text.substr(11, 8);
    year = number(text.substr(20, 4));
  } else {
    return std::nullopt;
  }
  if (time[2] != ':' || time[5] != ':') return std::nullopt;
  int h = number(time.substr(0, 2)), m = number(time.substr(3, 2)), s = number(time.substr(6, 2));
  if (day < 1 || month == 0 || year < 0 || h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 60)
    return std::nullopt;
  year_month_day date{std::chrono::year{year}, std::chrono::month{month},
                      std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  auto at = sys_days{date} + hours{h} + minutes{m} + seconds{s};
  return duration_cast<seconds>(at.time_since_epoch()).count();
}

} // namespace netlab::http
