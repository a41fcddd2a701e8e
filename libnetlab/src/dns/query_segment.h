#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "netlab/dns_query_log.h"
#include "query_row.h"

namespace netlab::dns {

// A segment is blocks in a row; each begins with a head and holds either rows or the names that the numbers
// of the rows behind it stand for. The checksum covers the payload, so that a block that was cut short or
// written over is found and skipped.
struct segment_block {
  enum class kind : std::uint32_t { rows = 1, names = 2 };
  kind what = kind::rows;
  byte_view payload;
};
inline constexpr std::size_t block_head_size = 24;
inline constexpr std::size_t max_block = 1u << 20;

// The head of a block for that payload, which follows it.
void put_block_head(std::uint8_t* out, segment_block::kind what, byte_view payload);
// The next whole block at or behind `at`, which moves behind it; `skipped` is set when something else was in
// between. Nothing when none is left: `at` is then where a later block would begin.
std::optional<segment_block> next_block(byte_view segment, std::size_t& at, bool& skipped);

std::string names_payload(const query_log_names& names);
query_log_names parse_names_payload(byte_view payload); // what is damaged is left out

// Calls `fn` for every row of a block until it returns false; false when it did, or when a row is none.
bool for_rows(byte_view payload, const std::function<bool(const query_row&, const std::uint8_t*)>& fn);

struct segment_file {
  std::uint64_t number = 0, bytes = 0;
  std::int64_t modified = 0; // seconds since the epoch
};
std::string segment_name(std::uint64_t number); // "queries-00000001.log"
// The segments of a folder, the oldest first.
result<std::vector<segment_file>> list_segments(const std::string& folder);

} // namespace netlab::dns
