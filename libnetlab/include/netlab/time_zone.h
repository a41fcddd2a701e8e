#pragma once
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/clock.h"
#include "netlab/result.h"

namespace netlab {

// How far a place's civil time is from UTC, now and in any other year, from the tz database. A value.
class time_zone {
public:
  // A file of the database (TZif, RFC 8536), with its rule for the years after its last transition. Errors:
  // malformed.
  static result<time_zone> parse(byte_view tzif);
  // Where the system keeps the zone "Europe/Prague"; nothing when this cannot be the name of one.
  static std::optional<std::string> path_of(std::string_view name);

  // East of Greenwich, summer time included.
  std::chrono::seconds offset(wall_time at) const;

private:
  using seconds = std::chrono::seconds;
  // A day of each year and the second of it, by the clock that holds until then.
  struct yearly {
    enum class kind : std::uint8_t { weekday, day_without_leap, day } by = kind::day;
    unsigned month = 0, week = 0; // by weekday
    unsigned day = 0;             // of the week from Sunday, or of the year
    seconds time{};
    std::chrono::sys_seconds in(std::chrono::year y) const;
  };
  struct rule {
    seconds standard{}, summer{};
    bool has_summer = false;
    std::array<yearly, 2> change; // to summer time, and back
    seconds offset(std::chrono::sys_seconds at) const;
  };
  class rule_reader;
  struct transition {
    std::int64_t at; // Unix time
    seconds offset;
  };

  seconds first_{}; // before the first transition
  std::vector<transition> transitions_;
  std::optional<rule> after_;
};

} // namespace netlab
