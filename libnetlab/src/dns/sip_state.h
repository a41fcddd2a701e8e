#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include "netlab/bytes.h"

namespace netlab::dns {

// The state of SipHash (Aumasson and Bernstein, 2012), without its rule for the end of a message: 2 and 4
// rounds are SipHash-2-4, 1 and 3 SipHash-1-3. Words are little-endian on every machine.
template<int compression_rounds, int finalization_rounds>
class sip_state {
public:
  explicit sip_state(const std::uint8_t key[16]) {
    auto k0 = word_at(key), k1 = word_at(key + 8);
    v0_ = k0 ^ 0x736f6d6570736575ull;
    v1_ = k1 ^ 0x646f72616e646f6dull;
    v2_ = k0 ^ 0x6c7967656e657261ull;
    v3_ = k1 ^ 0x7465646279746573ull;
  }

  void absorb(std::uint64_t word) {
    v3_ ^= word;
    for (int i = 0; i < compression_rounds; ++i) round();
    v0_ ^= word;
  }

  // Takes the whole words, and returns the octets that are left as one word padded with zeros.
  std::uint64_t absorb_words(byte_view bytes) {
    const auto* at = bytes.data();
    auto left = bytes.size();
    for (; left >= 8; left -= 8, at += 8) absorb(word_at(at));
    std::uint64_t rest = 0;
    for (std::size_t i = 0; i < left; ++i) rest |= std::uint64_t{at[i]} << 8 * i;
    return rest;
  }

  // The hash of what was absorbed; more may follow.
  std::uint64_t value() const {
    auto end = *this;
    end.v2_ ^= 0xff;
    for (int i = 0; i < finalization_rounds; ++i) end.round();
    return end.v0_ ^ end.v1_ ^ end.v2_ ^ end.v3_;
  }

private:
  static std::uint64_t word_at(const std::uint8_t* at) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    return word;
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

} // namespace netlab::dns
