#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include "netlab/bytes.h"
#include "netlab/dns_query_note.h"

namespace netlab::dns {

// One query as it lies in a worker's ring and in a segment: this head, the client's address and the name,
// padded to whole words. Integers are little-endian.
struct query_row {
  std::int64_t at = 0;    // in a ring: boot time; in a segment: wall time; nanoseconds
  std::uint32_t took = 0; // microseconds
  std::uint16_t size = 0; // of the whole row; 0 in a ring: go on at its beginning
  std::uint16_t type = 0;
  std::uint16_t rcode = 0;
  std::uint16_t list = no_list;
  std::uint8_t outcome = 0, policy = 0, group = 0, upstream = no_upstream;
  std::uint8_t client_size = 0; // 0 (hidden), 4 or 16
  std::uint8_t name_size = 0;   // 0 (hidden), else of a whole wire name
  std::uint8_t stream = 0, spare = 0;
};
static_assert(sizeof(query_row) == 32);
static_assert(std::endian::native == std::endian::little, "segments hold rows as they are in memory");

inline constexpr std::size_t row_alignment = 8;
inline constexpr std::size_t max_row = 32 + 16 + 256;
inline std::size_t row_size(std::size_t client, std::size_t name) {
  return (sizeof(query_row) + client + name + row_alignment - 1) / row_alignment * row_alignment;
}
inline byte_view client_of(const query_row& head, const std::uint8_t* row) {
  return {row + sizeof(query_row), head.client_size};
}
inline byte_view name_of(const query_row& head, const std::uint8_t* row) {
  return {row + sizeof(query_row) + head.client_size, head.name_size};
}

} // namespace netlab::dns
