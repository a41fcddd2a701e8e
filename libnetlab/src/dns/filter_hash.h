#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include "netlab/bytes.h"

namespace netlab::dns {

// SipHash-1-3 over a name's labels, the last one first, so that one walk gives the hash of every suffix.
// Keyed with a secret of the file: nobody can make two names meet who does not know it. What is hashed is
// each label with its length octet, padded with zeros to whole words, which no two names share.
class suffix_hash {
public:
  explicit suffix_hash(const std::uint8_t seed[16]) {
    std::uint64_t k0, k1;
    std::memcpy(&k0, seed, 8);
    std::memcpy(&k1, seed + 8, 8);
    v0_ = k0 ^ 0x736f6d6570736575ull;
    v1_ = k1 ^ 0x646f72616e646f6dull;
    v2_ = k0 ^ 0x6c7967656e657261ull;
    v3_ = k1 ^ 0x7465646279746573ull;
  }

  // `label`: the length octet and that many octets.
  void add(byte_view label) {
    const auto* at = label.data();
    auto left = label.size();
    for (; left >= 8; left -= 8, at += 8) {
      std::uint64_t word;
      std::memcpy(&word, at, 8);
      if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
      absorb(word);
    }
    if (left == 0) return;
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < left; ++i) word |= std::uint64_t{at[i]} << 8 * i;
    absorb(word);
  }

  std::uint64_t value() const {
    suffix_hash end = *this;
    end.v2_ ^= 0xff;
    for (int i = 0; i < 3; ++i) end.round();
    return end.v0_ ^ end.v1_ ^ end.v2_ ^ end.v3_;
  }

private:
  void absorb(std::uint64_t word) {
    v3_ ^= word;
    round();
    v0_ ^= word;
  }
  void round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }
  std::uint64_t v0_, v1_, v2_, v3_;
};

// The labels of a whole wire name, first to last: where each begins. False when it is no such name.
struct label_starts {
  std::uint8_t at[128];
  unsigned count = 0;

  bool find(byte_view wire) {
    if (wire.empty() || wire.size() > 255) return false;
    std::size_t i = 0;
    while (i < wire.size() && wire[i] != 0) {
      if (wire[i] > 63 || count == 127) return false;
      at[count++] = static_cast<std::uint8_t>(i);
      i += wire[i] + std::size_t{1};
    }
    return i + 1 == wire.size();
  }
};

} // namespace netlab::dns
