#pragma once
#include <memory>
#include <string>
#include <vector>

#include "dnssec_rrset.h"
#include "netlab/clock.h"
#include "netlab/dns_trust.h"

namespace netlab::dns {

// What one reply may cost. Keys of equal tags and long proofs are how a zone makes a resolver work for it
// (KeyTrap, CVE-2023-50387, CVE-2023-50868): past a limit the reply counts as bogus.
struct proof_work {
  unsigned checks = 32;    // of signatures
  unsigned hashes = 10000; // rounds of NSEC3's hash
};

// One DNSKEY of a zone (RFC 4034 §2) that may sign records.
class zone_key {
public:
  // Nothing for one that may not sign zone data, is revoked (RFC 5011 §2.1), of an unknown algorithm, or of a
  // size that would be no protection or too much work.
  static std::shared_ptr<const zone_key> read(byte_view dnskey);
  ~zone_key();
  std::uint16_t tag() const { return tag_; }
  std::uint8_t algorithm() const { return algorithm_; }
  bool verifies(byte_view bytes, byte_view signature) const;

private:
  zone_key() = default;
  std::uint16_t tag_ = 0;
  std::uint8_t algorithm_ = 0;
  void* key_ = nullptr; // EVP_PKEY
};
using zone_keys = std::vector<std::shared_ptr<const zone_key>>;

std::uint16_t key_tag(byte_view dnskey); // RFC 4034 appendix B
bool known_algorithm(std::uint8_t algorithm);
bool known_digest(std::uint8_t digest_type);
// The digest that a DS record of this key has; empty for an unknown digest type.
byte_vector key_digest(const name& zone, byte_view dnskey, std::uint8_t digest_type);

enum class signature_state : std::uint8_t { good, missing, bad, expired, early, no_key, too_much };
// Whether one of the signatures by `zone` holds over the set. `ttl` is lowered to the time for which it does.
signature_state check_signatures(const signed_set& set, const name& zone, const zone_keys& keys,
                                 wall_time now, proof_work& work, std::uint32_t& ttl,
                                 const rr_signature** by = nullptr);

// SHA-1 of NSEC3 (RFC 5155 §5): the hash of a name as octets.
byte_vector nsec3_hash(const name& n, byte_view salt, unsigned iterations);

} // namespace netlab::dns
