#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/result.h"

namespace netlab {

std::string_view trim(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);
std::string to_lower(std::string_view text);
bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);

// The candidate nearest to `word` by edit distance, when it is near enough to be a likely typo.
std::optional<std::string_view> nearest_name(std::string_view word,
                                             std::span<const std::string_view> candidates);
// What a message about an unknown word ends with: ` (did you mean "…"?)`, or nothing.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

// Safe to print on a terminal or in a log line: control bytes, DEL and invalid UTF-8 become \xNN.
std::string printable(std::string_view text);

// Percent-decoding per RFC 3986; `plus_is_space` for query strings. A broken escape is an error.
result<std::string> url_decode(std::string_view text, bool plus_is_space = false);
// Percent-encodes everything but RFC 3986's unreserved characters (and '/' when `keep_slash`).
std::string url_encode(std::string_view text, bool keep_slash = false);

// "*" and "?" wildcards, case-insensitive; used for MAC and name globs.
bool glob_match(std::string_view pattern, std::string_view text);

} // namespace netlab
