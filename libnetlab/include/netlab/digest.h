#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "netlab/bytes.h"
#include "netlab/result.h"

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

enum class digest_algorithm { sha256, sha512 };
std::string_view to_string(digest_algorithm algorithm); // "sha256"

// The digest that a file must have.
struct checksum {
  digest_algorithm algorithm = digest_algorithm::sha256;
  std::string hex; // lower case, 64 or 128 digits
  // "sha256:<64 digits>", "sha512:<128 digits>", or the digits alone. errc::invalid says what is wrong.
  static result<checksum> parse(std::string_view text);
  std::string to_string() const; // "sha256:…"
  bool operator==(const checksum&) const = default;
};

// A checksum over bytes fed in pieces. Owns its hashing state; one thread at a time.
class hasher {
public:
  explicit hasher(digest_algorithm algorithm);
  ~hasher();
  hasher(hasher&&) noexcept;
  hasher& operator=(hasher&&) noexcept;

  void update(byte_view bytes);
  checksum finish(); // call once

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace netlab
