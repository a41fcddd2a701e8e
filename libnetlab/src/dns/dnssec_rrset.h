#pragma once
#include <optional>
#include <vector>

#include "netlab/dns_message.h"

namespace netlab::dns {

// An RRSIG record (RFC 4034 §3.1). The views look into the record that it was read from.
struct rr_signature {
  std::uint16_t covered = 0, tag = 0;
  std::uint8_t algorithm = 0, labels = 0;
  std::uint32_t original_ttl = 0, expires = 0, inception = 0;
  name signer;
  byte_view fields; // the data in front of the signer's name
  byte_view value;  // the signature itself
  static std::optional<rr_signature> read(const record& r);
};

// The records of one name and type, with their signatures. Looks into the message that it was taken from.
struct signed_set {
  name owner;
  std::uint16_t type = 0;
  std::uint32_t ttl = 0; // the least of the records'
  std::vector<const record*> records;
  std::vector<rr_signature> signatures;
  bool empty() const { return records.empty(); }
};
// The set of that name and type in a section; empty when it is not there.
signed_set find_set(const std::vector<record>& section, const name& owner, std::uint16_t type);
// All sets of that type, in the order of their first records.
std::vector<signed_set> find_sets(const std::vector<record>& section, std::uint16_t type);

// Whether `labels` in a signature says that the set was made from a wildcard (RFC 4035 §5.3.4).
bool is_expanded(const signed_set& set, const rr_signature& by);
// What a signature was made over (RFC 4034 §3.1.8.1): the set in canonical form and order.
byte_vector signed_bytes(const signed_set& set, const rr_signature& by);

// The last `count` labels of a name.
name last_labels(const name& n, unsigned count);
// How many labels two names have in common at their ends.
unsigned common_labels(const name& a, const name& b);
// Canonical order (RFC 4034 §6.1): below, at or above zero.
int compare_canonical(const name& a, const name& b);

} // namespace netlab::dns
