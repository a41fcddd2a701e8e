#include "civil_time.h"

#include <array>
#include <charconv>

#include "netlab/text.h"

namespace netlab::aws {

namespace {

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return std::nullopt;
  int out = 0;
  auto [end, problem] = std::from_chars(text.data() + at, text.data() + at + count, out);
  if (problem != std::errc{} || end != text.data() + at + count || out < 0) return std::nullopt;
  return out;
}

std::optional<wall_time> civil(int year, int month, int day, int hour, int minute, int second) {
  std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                   std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60 || year < 1970 || year > 2200)
    return std::nullopt;
  return wall_time{std::chrono::sys_days{date}} + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

} // namespace

std::optional<wall_time> parse_time(std::string_view text) {
  text = trim(text);
  auto year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2),
       hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  auto out = civil(*year, *month, *day, *hour, *minute, *second);
  if (!out) return out;
  auto rest = text.substr(19);
  if (rest.starts_with('.'))
    rest = rest.substr(std::min(rest.find_first_not_of("0123456789", 1), rest.size()));
  if (rest.empty() || rest == "Z" || rest == "UTC") return out;
  auto hours = digits(rest, 1, 2), minutes = digits(rest, rest.size() == 6 ? 4 : 3, 2);
  if ((rest[0] != '+' && rest[0] != '-') || !hours || !minutes) return std::nullopt;
  auto offset = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  return rest[0] == '+' ? *out - offset : *out + offset;
}

std::optional<wall_time> parse_http_date(std::string_view text) {
  static constexpr std::array months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  auto day = digits(text, 5, 2), year = digits(text, 12, 4), hour = digits(text, 17, 2),
       minute = digits(text, 20, 2), second = digits(text, 23, 2);
  if (!day || !year || !hour || !minute || !second) return std::nullopt;
  for (std::size_t i = 0; i < months.size(); ++i)
    if (text.substr(8, 3) == months[i])
      return civil(*year, static_cast<int>(i) + 1, *day, *hour, *minute, *second);
  return std::nullopt;
}

} // namespace netlab::aws
