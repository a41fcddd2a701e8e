#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "request.h"

namespace netlab::http {

// What of a representation goes out: the whole (200), a part (206), or nothing (304, 412, 416).
struct selection {
  int status = 200;
  std::uint64_t offset = 0, length = 0;
};

struct validators {
  std::string_view etag;     // strong, quoted; empty: none
  std::int64_t modified = 0; // seconds since the epoch; 0: unknown
};

// Preconditions in the order of RFC 9110 §13.2.2, then Range (§14.2) with If-Range (§13.1.5), for a GET
// or HEAD of `size` bytes. Another unit than bytes, or several ranges, is as if there was none; a range
// that is malformed or holds no byte is 416.
selection select(const request& request, std::uint64_t size, const validators& v);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 §5.6.7).
std::string format_http_date(std::int64_t seconds);
// Reads all three forms that §5.6.7 obliges us to; seconds since the epoch.
std::optional<std::int64_t> parse_http_date(std::string_view text);

} // namespace netlab::http
