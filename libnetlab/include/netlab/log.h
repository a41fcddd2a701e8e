#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "netlab/clock.h"

namespace netlab {

enum class log_level { trace, debug, info, warn, error };
std::string_view to_string(log_level level);

// A message that an operator may meet. `id` is stable ("NL-DHCP-003") and leads to its page in docs/;
// `explain` and `remedy` are that page's text. Declare one constexpr object per message in its room's
// messages.cc and list it in the room's message table.
struct message {
  const char* id;
  log_level level;
  const char* explain; // what happened and why, in general
  const char* remedy;  // what the operator does about it; "" when nothing
};

// What one log line carries beside its text. Values are printed escaped; never put a secret here.
using log_fields = std::vector<std::pair<std::string_view, std::string>>;

struct log_record {
  wall_time time;
  log_level level;
  std::string_view id;   // empty for lines without a catalogued message
  std::string_view text; // this occurrence: which node, which address, why
  const log_fields* fields;
};

// Where lines go. write() may be called from any thread.
class log_sink {
public:
  virtual ~log_sink() = default;
  virtual bool enabled(log_level level) const = 0;
  virtual void write(const log_record& record) = 0;
};

// The library's view of a sink; cheap to copy. A default-constructed log drops everything.
class log {
public:
  log() = default;
  log(log_sink& sink, const clock& clock) : sink_(&sink), clock_(&clock) {}
  bool enabled(log_level level) const { return sink_ && sink_->enabled(level); }
  void operator()(const message& m, std::string_view text, const log_fields& fields = {}) const;
  void write(log_level level, std::string_view text, const log_fields& fields = {}) const;

private:
  void put(log_level level, std::string_view id, std::string_view text, const log_fields& fields) const;
  log_sink* sink_ = nullptr;
  const clock* clock_ = nullptr;
};

enum class log_format { text, colour, json };
// Lines to a descriptor (not owned), written whole so that threads do not interleave.
std::unique_ptr<log_sink> make_log_sink(int descriptor, log_format format, log_level minimum);

} // namespace netlab
