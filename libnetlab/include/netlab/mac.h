#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "netlab/bytes.h"
#include "netlab/result.h"

namespace netlab {

// A 48-bit Ethernet address.
struct mac_address {
  std::array<std::uint8_t, 6> octets{};

  // Takes 02:00:0a:14:0d:0b, 02-00-…, 0200.0a14.0d0b and 02000a140d0b in either case.
  static result<mac_address> parse(std::string_view text);
  // The first six bytes of `bytes`; zeros when there are fewer.
  static mac_address from(byte_view bytes);
  bool is_zero() const { return *this == mac_address{}; }
  bool is_multicast() const { return (octets[0] & 1) != 0; }
  // Lower case; `:` by default, `-` for iPXE's hexhyp form.
  std::string to_string(char separator = ':') const;

  friend bool operator==(const mac_address&, const mac_address&) = default;
  friend auto operator<=>(const mac_address&, const mac_address&) = default;
};

} // namespace netlab

template<>
struct std::hash<netlab::mac_address> {
  std::size_t operator()(const netlab::mac_address& m) const noexcept {
    std::uint64_t value = 0;
    for (auto o : m.octets) value = value << 8 | o;
    return static_cast<std::size_t>(value * 0x9e3779b97f4a7c15ull);
  }
};
