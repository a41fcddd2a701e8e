#pragma once
#include <optional>
#include <string_view>

#include "netlab/clock.h"

namespace netlab::aws {

// "2026-11-21T11:36:00Z", with a fraction or an offset such as "+01:00" if any.
std::optional<wall_time> parse_time(std::string_view text);
// "Sat, 21 Nov 2026 11:36:00 GMT" (RFC 9110 §5.6.7).
std::optional<wall_time> parse_http_date(std::string_view text);

} // namespace netlab::aws
