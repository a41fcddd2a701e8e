#include "netlab/log.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "netlab/json.h"
#include "netlab/text.h"

namespace netlab {

std::string_view to_string(log_level level) {
  switch (level) {
  case log_level::trace: return "trace";
  case log_level::debug: return "debug";
  case log_level::info: return "info";
  case log_level::warn: return "warn";
  case log_level::error: return "error";
  }
  return "error";
}

void log::put(log_level level, std::string_view id, std::string_view text, const log_fields& fields) const {
  if (!enabled(level)) return;
  sink_->write(log_record{clock_->wall(), level, id, text, &fields});
}
void log::operator()(const message& m, std::string_view text, const log_fields& fields) const {
  put(m.level, m.id, text, fields);
}
void log::write(log_level level, std::string_view text, const log_fields& fields) const {
  put(level, {}, text, fields);
}

namespace {

class descriptor_sink final : public log_sink {
public:
  descriptor_sink(int descriptor, log_format format, log_level minimum)
      : descriptor_(descriptor), format_(format), minimum_(minimum) {}

  bool enabled(log_level level) const override { return level >= minimum_; }

  void write(const log_record& r) override {
    std::string line = format_ == log_format::json ? as_json(r) : as_text(r);
    line += '\n';
    // One write per line: lines of several threads do not interleave. What the descriptor refuses is lost
    // on purpose: a log that cannot be written must not stop DHCP.
    std::string_view rest = line;
    while (!rest.empty()) {
      auto n = ::write(descriptor_, rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return;
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
  }

private:
  static std::string as_json(const log_record& r) {
    json out = {{"time", format_time(r.time)}, {"level", to_string(r.level)}};
    if (!r.id.empty()) out["id"] = r.id;
    out["message"] = printable(r.text);
    for (const auto& [key, value] : *r.fields) out[std::string(key)] = printable(value);
    return out.dump();
  }

  std::string as_text(const log_record& r) const {
    bool colour = format_ == log_format::colour;
    auto paint = [&](std::string_view code, std::string_view text) {
      return colour ? "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m" : std::string(text);
    };
    static constexpr std::string_view level_colour[] = {"2", "2", "32", "33", "31;1"};
    auto stamp = format_time(r.time);
    std::string level(to_string(r.level));
    level.resize(5, ' ');
    // The date is in the file's or journal's own stamp; a boot evening needs the time of day.
    std::string out = paint("2", std::string_view(stamp).substr(11, 12)) + " " +
                      paint(level_colour[static_cast<std::size_t>(r.level)], level) + " " + printable(r.text);
    for (const auto& [key, value] : *r.fields) {
      auto shown = printable(value);
      bool quote = shown.empty() || shown.find_first_of(" =\"") != std::string::npos;
      out += " " + paint("2", std::string(key) + "=") + (quote ? "\"" + shown + "\"" : shown);
    }
    if (!r.id.empty()) out += " " + paint("2", "[" + std::string(r.id) + "]");
    return out;
  }

  int descriptor_;
  log_format format_;
  log_level minimum_;
};

} // namespace

std::unique_ptr<log_sink> make_log_sink(int descriptor, log_format format, log_level minimum) {
  return std::make_unique<descriptor_sink>(descriptor, format, minimum);
}

std::string format_time(wall_time time, bool fraction) {
  auto ms = std::chrono::floor<std::chrono::milliseconds>(time);
  auto day = std::chrono::floor<std::chrono::days>(ms);
  std::chrono::year_month_day date{day};
  std::chrono::hh_mm_ss clock{ms - day};
  char buffer[64];
  int n = std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
                        static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                        static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                        static_cast<int>(clock.seconds().count()));
  std::string out(buffer, static_cast<std::size_t>(n));
  if (fraction) {
    std::snprintf(buffer, sizeof buffer, ".%03d", static_cast<int>(clock.subseconds().count()));
    out += buffer;
  }
  return out + "Z";
}

} // namespace netlab
