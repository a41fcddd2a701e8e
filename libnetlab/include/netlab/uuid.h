#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "netlab/bytes.h"
#include "netlab/result.h"

namespace netlab {

// A UUID in text (RFC 4122) byte order. SMBIOS and DHCP option 97 carry the first three fields
// little-endian: see from_guid().
struct uuid {
  std::array<std::uint8_t, 16> bytes{};

  static result<uuid> parse(std::string_view text); // with or without hyphens or braces
  // From the mixed-endian form of SMBIOS and RFC 4578 §2.3 (16 bytes, without the type byte).
  static uuid from_guid(byte_view guid);
  std::array<std::uint8_t, 16> to_guid() const;
  bool is_nil() const { return *this == uuid{}; }
  std::string to_string() const; // lower case, hyphens

  friend bool operator==(const uuid&, const uuid&) = default;
  friend auto operator<=>(const uuid&, const uuid&) = default;
};

} // namespace netlab
