#pragma once
#include <cstdint>
#include <string_view>

#include "netlab/dns_message.h"

namespace netlab::dns {

inline std::uint16_t get16(const std::uint8_t* at) { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); }
inline std::uint32_t get32(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}
// Names are compared without regard to ASCII case (RFC 4343 §3).
inline std::uint8_t lower_octet(std::uint8_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }
inline void put16(std::uint8_t* at, std::uint16_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}
inline void put32(std::uint8_t* at, std::uint32_t value) {
  put16(at, static_cast<std::uint16_t>(value >> 16));
  put16(at + 2, static_cast<std::uint16_t>(value));
}

// Reads names out of messages.
class name_reader {
public:
  // The name at `at`, which moves behind it. False when it is malformed: a pointer that does not lead
  // strictly backward, a reserved label type, a limit passed, or the message's end (RFC 9267 §2).
  static bool read(byte_view message, std::size_t& at, name& out);
};

// How a type's RDATA is laid out, as far as names are in it (RFC 1035 §3.3, RFC 3597 §4): "c" a name that
// may be compressed on the wire, "n" one that is not compressed when written, a digit that many octets,
// "s" a character string, "*" whatever is left. Types without a layout are copied as they are.
std::string_view rdata_layout(std::uint16_t type);

// Takes one record's RDATA from a message, with the names in it uncompressed; false when it is malformed.
bool read_rdata(byte_view message, std::size_t at, std::size_t length, std::uint16_t type, byte_vector& out);

} // namespace netlab::dns
