#pragma once
#include <cstdint>
#include <cstring>

#include "netlab/bytes.h"
#include "sip_state.h"

namespace netlab::dns {

// SipHash-1-3 over a name's labels, the last one first, so that one walk gives the hash of every suffix.
// Keyed with a secret of the file: nobody can make two names meet who does not know it. What is hashed is
// each label with its length octet, padded with zeros to whole words, which no two names share.
class suffix_hash {
public:
  explicit suffix_hash(const std::uint8_t seed[16]) : state_(seed) {}

  // `label`: the length octet and that many octets.
  void add(byte_view label) {
    auto rest = state_.absorb_words(label);
    if (label.size() % 8 != 0) state_.absorb(rest);
  }

  std::uint64_t value() const { return state_.value(); }

private:
  sip_state<1, 3> state_;
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
