#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

// Offsets and options of a DHCP message (RFC 2131 §2, RFC 2132) for the benchmark's reflector and client,
// which patch bytes and must not cost what a codec costs.
namespace bench::dhcp {

inline constexpr std::size_t op = 0, hops = 3, xid = 4, flags = 10, ciaddr = 12, yiaddr = 16, giaddr = 24,
                             chaddr = 28, cookie = 236, options = 240;
inline constexpr std::uint8_t discover = 1, offer = 2, request = 3, ack = 5, nak = 6;
inline constexpr std::array<std::uint8_t, 4> magic = {99, 130, 83, 99};
inline constexpr std::size_t ip_udp_headers = 28;

// Where the option's value starts, or 0 when it is not there or does not fit.
inline std::size_t find_option(std::span<const std::uint8_t> message, std::uint8_t code, std::size_t length) {
  std::size_t at = options;
  while (at < message.size() && message[at] != 255) {
    if (message[at] == 0) {
      ++at;
      continue;
    }
    if (at + 1 >= message.size()) return 0;
    std::size_t size = message[at + 1];
    if (at + 2 + size > message.size()) return 0;
    if (message[at] == code) return size == length ? at + 2 : 0;
    at += 2 + size;
  }
  return 0;
}

// The type of a message with the magic cookie, 0 for anything else.
inline std::uint8_t message_type(std::span<const std::uint8_t> message) {
  if (message.size() < options || std::memcmp(&message[cookie], magic.data(), 4) != 0) return 0;
  auto at = find_option(message, 53, 1);
  return at ? message[at] : 0;
}

// IPv4 and UDP headers for a packet socket; the UDP checksum may be absent in IPv4 (RFC 768).
inline void put_headers(std::uint8_t* out, const std::uint8_t* from, const std::uint8_t* to,
                        std::uint16_t from_port, std::uint16_t to_port, std::size_t payload) {
  auto put16 = [](std::uint8_t* at, std::size_t value) {
    at[0] = static_cast<std::uint8_t>(value >> 8);
    at[1] = static_cast<std::uint8_t>(value);
  };
  std::memset(out, 0, ip_udp_headers);
  out[0] = 0x45;
  put16(out + 2, ip_udp_headers + payload);
  out[8] = 64;
  out[9] = 17;
  std::memcpy(out + 12, from, 4);
  std::memcpy(out + 16, to, 4);
  std::uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += static_cast<std::uint32_t>(out[i] << 8 | out[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  put16(out + 10, ~sum & 0xffff);
  put16(out + 20, from_port);
  put16(out + 22, to_port);
  put16(out + 24, 8 + payload);
}

} // namespace bench::dhcp
