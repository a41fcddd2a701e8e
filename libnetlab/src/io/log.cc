#include "netlab/log.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

#include "netlab/log_batch.h"
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

class descriptor_sink;

// The batches of one thread, and the sinks that hold lines of them.
struct batch_state {
  int depth = 0;
  std::vector<descriptor_sink*> holding;
};
thread_local batch_state batches;

class descriptor_sink final : public log_sink {
public:
  descriptor_sink(int descriptor, log_format format, log_level minimum)
      : descriptor_(descriptor), format_(format), minimum_(minimum) {}
  ~descriptor_sink() override {
    std::erase(batches.holding, this);
    put(held_);
  }

  bool enabled(log_level level) const override { return level >= minimum_; }

  void write(const log_record& r) override {
    std::lock_guard lock(mutex_);
    if (format_ == log_format::json)
      append_json(r);
    else
      append_text(r);
    held_ += '\n';
    // An error may be the last thing that is said.
    if (batches.depth == 0 || held_.size() > most_held || r.level >= log_level::error) return put_held();
    auto& all = batches.holding;
    if (std::find(all.begin(), all.end(), this) == all.end()) all.push_back(this);
  }

  void flush() {
    std::lock_guard lock(mutex_);
    put_held();
  }

private:
  static constexpr std::size_t most_held = 32u << 10;

  void put_held() {
    put(held_);
    held_.clear();
  }

  // One write for what is there: lines of several threads do not interleave. What the descriptor refuses is
  // lost on purpose: a log that cannot be written must not stop DHCP.
  void put(std::string_view rest) const {
    while (!rest.empty()) {
      auto n = ::write(descriptor_, rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return;
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  void append_printable(std::string_view text) {
    if (std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; }))
      held_ += text;
    else
      held_ += printable(text);
  }

  void append_quoted(std::string_view text) {
    held_ += '"';
    auto begin = held_.size();
    append_printable(text);
    // What is printable has no control bytes and is UTF-8: only these two are left to escape (RFC 8259 §7).
    for (auto at = begin; (at = held_.find_first_of("\"\\", at)) != std::string::npos; at += 2)
      held_.insert(at, 1, '\\');
    held_ += '"';
  }

  void append_json(const log_record& r) {
    held_ += "{\"time\":\"";
    held_ += stamp(r.time);
    held_ += "\",\"level\":\"";
    held_ += to_string(r.level);
    held_ += '"';
    if (!r.id.empty()) {
      held_ += ",\"id\":";
      append_quoted(r.id);
    }
    held_ += ",\"message\":";
    append_quoted(r.text);
    for (const auto& [key, value] : *r.fields) {
      held_ += ',';
      append_quoted(key);
      held_ += ':';
      append_quoted(value);
    }
    held_ += '}';
  }

  void paint(std::string_view code, std::string_view text) {
    if (format_ != log_format::colour) {
      held_ += text;
      return;
    }
    held_ += "\x1b[";
    held_ += code;
    held_ += 'm';
    held_ += text;
    held_ += "\x1b[0m";
  }

  void append_text(const log_record& r) {
    static constexpr std::string_view colours[] = {"2", "2", "32", "33", "31;1"};
    static constexpr std::string_view names[] = {"trace", "debug", "info ", "warn ", "error"};
    auto level = static_cast<std::size_t>(r.level);
    // The date is in the file's or journal's own stamp; a boot evening needs the time of day.
    paint("2", stamp(r.time).substr(11, 12));
    held_ += ' ';
    paint(colours[level], names[level]);
    held_ += ' ';
    append_printable(r.text);
    for (const auto& [key, value] : *r.fields) {
      auto shown = printable(value);
      bool quote = shown.empty() || shown.find_first_of(" =\"") != std::string::npos;
      held_ += ' ';
      paint("2", std::string(key) + "=");
      if (quote) held_ += '"';
      held_ += shown;
      if (quote) held_ += '"';
    }
    if (!r.id.empty()) {
      held_ += ' ';
      paint("2", "[" + std::string(r.id) + "]");
    }
  }

  // Many lines are of one millisecond.
  std::string_view stamp(wall_time time) {
    auto ms = std::chrono::floor<std::chrono::milliseconds>(time);
    if (ms != stamp_of_) {
      stamp_of_ = ms;
      stamp_ = format_time(time);
    }
    return stamp_;
  }

  const int descriptor_;
  const log_format format_;
  const log_level minimum_;

  std::mutex mutex_; // of everything below
  std::string held_;
  std::chrono::sys_time<std::chrono::milliseconds> stamp_of_{std::chrono::milliseconds::min()};
  std::string stamp_;
};

} // namespace

log_batch::log_batch() { ++batches.depth; }
log_batch::~log_batch() {
  if (--batches.depth > 0) return;
  for (auto* sink : batches.holding) sink->flush();
  batches.holding.clear();
}

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
