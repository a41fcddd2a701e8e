#pragma once
#include <map>
#include <string>
#include <string_view>

#include "netlab/aws.h"
#include "netlab/clock.h"
#include "netlab/random.h"

namespace netlab::aws {

enum class verdict { final, throttled, transient };
// What an error response asks for: AWS' codes, as its own libraries read them.
verdict judge(int status, std::string_view code);
// The word of errc for an error of AWS.
errc code_of(int status, std::string_view code);
// Whether asking twice does no harm: reading, deleting, and what sets a state rather than adding to it.
bool is_repeatable(std::string_view action, bool has_token);

// The pause before the attempt after `attempt` (1, 2, …): random from nothing to backoff × 2^(attempt-1).
duration pause_before(int attempt, const client_options& o, random_source& random);

// One bucket for each API of each region: the server's refusals slow us down, its answers speed us up again.
class pacer {
public:
  explicit pacer(duration backoff);
  // How long to wait before this request; zero: now. Takes a token either way.
  duration take(const std::string& api, boot_time now);
  void throttled(const std::string& api, boot_time now);
  void answered(const std::string& api, boot_time now);

private:
  struct bucket {
    double tokens, rate;
    boot_time filled;
    bool limited = false; // no refusal so far: no limit
  };
  void fill(bucket& b, boot_time now) const;
  double least_rate_;
  std::map<std::string, bucket> buckets_;
};

} // namespace netlab::aws
