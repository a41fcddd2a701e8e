#pragma once
#include <cstdint>

#include "netlab/bytes.h"

namespace netlab {

// Unpredictable bytes for ids, ports and cookies; seeded and repeatable in tests.
class random_source {
public:
  virtual ~random_source() = default;
  virtual void fill(byte_span out) = 0;
  std::uint32_t u32() {
    std::uint8_t b[4];
    fill(b);
    return (std::uint32_t{b[0]} << 24) | (std::uint32_t{b[1]} << 16) | (std::uint32_t{b[2]} << 8) | b[3];
  }
  std::uint16_t u16() { return static_cast<std::uint16_t>(u32()); }
};

} // namespace netlab
