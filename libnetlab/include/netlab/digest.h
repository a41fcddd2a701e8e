#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "netlab/bytes.h"

namespace netlab {

using sha256_digest = std::array<std::uint8_t, 32>;

// SHA-256 over bytes fed in pieces. Owns its hashing state; one thread at a time.
class sha256 {
public:
  sha256();
  ~sha256();
  sha256(sha256&&) noexcept;
  sha256& operator=(sha256&&) noexcept;

  void update(byte_view bytes);
  sha256_digest finish(); // call once

private:
  struct state;
  std::unique_ptr<state> state_;
};

sha256_digest sha256_of(byte_view bytes);

} // namespace netlab
