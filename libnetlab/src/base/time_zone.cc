#include "netlab/time_zone.h"

#include <algorithm>

namespace netlab {

namespace {

using std::chrono::seconds;

constexpr std::size_t head_size = 44;
constexpr std::size_t most_transitions = 4096; // the database has up to about 250
// What RFC 8536 §3.2 lets an offset be.
constexpr std::int64_t least_offset = -89999, most_offset = 93599;

tl::unexpected<error> malformed(const char* what) { return fail(errc::invalid, what, "time_zone"); }

// Big-endian, two's complement.
std::int64_t number_at(byte_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t out = bytes[at] & 0x80 ? ~std::uint64_t{0} : 0;
  for (std::size_t i = 0; i < size; ++i) out = out << 8 | bytes[at + i];
  return static_cast<std::int64_t>(out);
}

// The counts of a head (RFC 8536 §3.1), and how long the data is that they tell.
struct block {
  std::size_t utc_marks, standard_marks, leaps, times, types, letters;
  std::size_t time_size; // octets of a time: 4, and 8 in the second block
  std::size_t size() const {
    return times * (time_size + 1) + types * 6 + letters + leaps * (time_size + 4) + standard_marks +
           utc_marks;
  }
};

std::optional<block> read_head(byte_view bytes, std::size_t at, std::size_t time_size) {
  if (bytes.size() < at || bytes.size() - at < head_size || as_text(bytes.subspan(at, 4)) != "TZif")
    return std::nullopt;
  auto count = [&](std::size_t i) {
    return static_cast<std::size_t>(number_at(bytes, at + 20 + 4 * i, 4) & 0xffffffff);
  };
  block out{count(0), count(1), count(2), count(3), count(4), count(5), time_size};
  if (out.size() > bytes.size() - at - head_size) return std::nullopt;
  return out;
}

} // namespace

// "CET-1CEST,M3.5.0,M10.5.0/3": POSIX's TZ, with the hours that RFC 8536 §3.3.1 adds to it.
class time_zone::rule_reader {
public:
  explicit rule_reader(std::string_view text) : rest_(text) {}

  std::optional<rule> read() {
    rule out;
    if (!skip_name()) return std::nullopt;
    auto standard = read_time(24);
    if (!standard) return std::nullopt;
    out.standard = out.summer = -*standard; // POSIX counts west of Greenwich
    if (rest_.empty()) return out;
    if (!skip_name()) return std::nullopt;
    out.summer = out.standard + std::chrono::hours(1);
    if (!rest_.empty() && rest_.front() != ',') {
      auto summer = read_time(24);
      if (!summer) return std::nullopt;
      out.summer = -*summer;
    }
    for (auto& c : out.change) {
      auto day = take(',') ? read_day() : std::nullopt;
      if (!day) return std::nullopt;
      c = *day;
    }
    out.has_summer = true;
    if (!rest_.empty()) return std::nullopt;
    return out;
  }

private:
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool skip_name() {
    if (take('<')) {
      auto end = rest_.find('>');
      if (end == std::string_view::npos) return false;
      rest_.remove_prefix(end + 1);
      return true;
    }
    std::size_t n = 0;
    while (n < rest_.size() && ((rest_[n] | 0x20) >= 'a' && (rest_[n] | 0x20) <= 'z')) ++n;
    rest_.remove_prefix(n);
    return n >= 3;
  }

  std::optional<unsigned> read_number(unsigned most) {
    unsigned out = 0;
    std::size_t n = 0;
    for (; n < rest_.size() && n < 3 && rest_[n] >= '0' && rest_[n] <= '9'; ++n)
      out = out * 10 + static_cast<unsigned>(rest_[n] - '0');
    if (n == 0 || out > most) return std::nullopt;
    rest_.remove_prefix(n);
    return out;
  }

  // [+-]hh[:mm[:ss]]
  std::optional<seconds> read_time(unsigned most_hours) {
    bool negative = take('-');
    if (!negative) take('+');
    auto hours = read_number(most_hours);
    if (!hours) return std::nullopt;
    auto out = seconds(std::chrono::hours(*hours));
    for (auto unit : {seconds(60), seconds(1)}) {
      if (!take(':')) break;
      auto more = read_number(59);
      if (!more) return std::nullopt;
      out += *more * unit;
    }
    return negative ? -out : out;
  }

  std::optional<yearly> read_day() {
    yearly out;
    out.time = std::chrono::hours(2);
    if (take('M')) {
      out.by = yearly::kind::weekday;
      auto month = read_number(12);
      auto week = month && take('.') ? read_number(5) : std::nullopt;
      auto day = week && take('.') ? read_number(6) : std::nullopt;
      if (!day || *month == 0 || *week == 0) return std::nullopt;
      out.month = *month;
      out.week = *week;
      out.day = *day;
    } else {
      if (take('J')) out.by = yearly::kind::day_without_leap;
      auto day = read_number(365);
      if (!day || (*day == 0 && out.by == yearly::kind::day_without_leap)) return std::nullopt;
      out.day = *day;
    }
    if (take('/')) {
      auto time = read_time(167);
      if (!time) return std::nullopt;
      out.time = *time;
    }
    return out;
  }

  std::string_view rest_;
};

std::chrono::sys_seconds time_zone::yearly::in(std::chrono::year y) const {
  using namespace std::chrono;
  auto new_year = sys_days(y / January / 1);
  if (by == kind::day) return new_year + days(day) + time;
  if (by == kind::day_without_leap) // 60 is the first of March in every year
    return new_year + days(day - 1 + (y.is_leap() && day >= 60 ? 1 : 0)) + time;
  auto in_month = y / std::chrono::month(month);
  auto found = week == 5 ? sys_days(in_month / weekday(day)[last]) : sys_days(in_month / weekday(day)[week]);
  return found + time;
}

seconds time_zone::rule::offset(std::chrono::sys_seconds at) const {
  using namespace std::chrono;
  if (!has_summer) return standard;
  auto year = year_month_day(floor<days>(at + standard)).year();
  auto begins = change[0].in(year)-standard, ends = change[1].in(year)-summer;
  // South of the equator the year begins in summer.
  bool is_summer = begins < ends ? begins <= at && at < ends : at < ends || begins <= at;
  return is_summer ? summer : standard;
}

result<time_zone> time_zone::parse(byte_view bytes) {
  auto head = read_head(bytes, 0, 4);
  if (!head) return malformed("this is no file of the time zone database");
  bool wide = bytes[4] >= '2'; // RFC 8536 §3: then all is said again, in 64 bits
  std::size_t at = head_size;
  if (wide) {
    at += head->size();
    head = read_head(bytes, at, 8);
    if (!head) return malformed("the second part is cut off");
    at += head_size;
  }
  if (head->types == 0 || head->types > 256 || head->times > most_transitions)
    return malformed("no time zone has so many changes or kinds of time");
  auto kinds = at + head->times * head->time_size, types = kinds + head->times;
  std::vector<seconds> offsets;
  for (std::size_t i = 0; i < head->types; ++i) {
    auto offset = number_at(bytes, types + 6 * i, 4);
    if (offset < least_offset || offset > most_offset) return malformed("an offset is longer than a day");
    offsets.emplace_back(offset);
  }
  time_zone out;
  out.first_ = offsets[0];
  for (std::size_t i = 0; i < head->times; ++i) {
    auto when = number_at(bytes, at + i * head->time_size, head->time_size);
    auto kind = bytes[kinds + i];
    if (kind >= offsets.size()) return malformed("a change is to a kind of time that is not there");
    if (i > 0 && when <= out.transitions_.back().at) return malformed("the changes are not in order");
    out.transitions_.push_back({when, offsets[kind]});
  }
  if (!wide) return out;
  at += head->size();
  auto footer = as_text(bytes.subspan(at));
  auto end = footer.find('\n', 1);
  if (footer.empty() || footer[0] != '\n' || end == std::string_view::npos)
    return malformed("the rule for later years is missing");
  if (auto text = footer.substr(1, end - 1); !text.empty()) {
    out.after_ = rule_reader(text).read();
    if (!out.after_) return malformed("the rule for later years cannot be read");
  }
  return out;
}

std::optional<std::string> time_zone::path_of(std::string_view name) {
  bool fine = !name.empty() && name.size() < 100 && name.front() != '/' && name.back() != '/' &&
              std::all_of(name.begin(), name.end(), [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || c == '+' || c == '/';
              });
  if (!fine) return std::nullopt;
  return "/usr/share/zoneinfo/" + std::string(name);
}

seconds time_zone::offset(wall_time at) const {
  auto t = std::chrono::floor<seconds>(at.time_since_epoch());
  auto next = std::upper_bound(transitions_.begin(), transitions_.end(), t.count(),
                               [](std::int64_t when, const transition& x) { return when < x.at; });
  if (next == transitions_.end() && after_) return after_->offset(std::chrono::sys_seconds(t));
  return next == transitions_.begin() ? first_ : std::prev(next)->offset;
}

} // namespace netlab
