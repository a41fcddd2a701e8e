#pragma once
#include <string>

#include "dnssec_trust.h"

namespace netlab::dns {

// What became of validating one reply.
struct validation {
  enum class state : std::uint8_t { secure, insecure, bogus, unknown } is = state::unknown;
  question need;              // unknown: what the trust store has to learn first
  std::uint16_t extended = 0; // bogus
  std::string why;
  std::uint32_t ttl = 0x7fffffff; // secure: seconds for which the signatures allow it to be kept
};

// Validates the answer to a question in a reply that was asked for with DO and CD: the CNAME chain, what is
// at its end, or the proof that nothing is there. Run again after each learn() that it needs; the work of a
// run that ends as `unknown` is small, because signatures are looked at only when all keys are known.
validation validate(const message& reply, const name& qname, std::uint16_t type, const trust_store& trust,
                    const name& limit, boot_time now, wall_time wall);

} // namespace netlab::dns
