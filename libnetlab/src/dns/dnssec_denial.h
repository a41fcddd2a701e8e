#pragma once
#include <vector>

#include "dnssec_key.h"

namespace netlab::dns {

// The NSEC or NSEC3 records of one zone whose signatures hold, and what they prove not to exist (RFC 4035
// §5.4, RFC 5155 §8). Looks into the message that the records are from.
class denial {
public:
  denial(const name& zone, proof_work& work) : zone_(zone), work_(work) {}
  // A record of a set whose signature was found good.
  void add(const record& r);
  bool empty() const { return plain_.empty() && hashed_.empty(); }

  enum class proof : std::uint8_t {
    none,
    proven,
    opted_out, // it may exist, in an unsigned zone (RFC 5155 §6)
    too_much,  // an NSEC3 chain of more rounds than anybody needs (RFC 9276 §3.2): taken for unsigned
  };
  // The name does not exist, nor a wildcard that would stand for it.
  proof no_name(const name& qname) const;
  // The name, or the wildcard that stands for it, has no such records.
  proof no_data(const name& qname, std::uint16_t type) const;
  // No name closer to `qname` than the wildcard, which has `wildcard_labels` labels without its star.
  proof no_closer(const name& qname, unsigned wildcard_labels) const;

  // Why there is no DS record at a name.
  enum class delegation : std::uint8_t { unproven, none, unsigned_zone };
  delegation at(const name& child) const;

private:
  struct plain_record {
    name owner, next;
    byte_view types;
  };
  struct hashed_record {
    byte_vector hash;
    byte_view next, types;
    bool opt_out = false;
  };
  struct hashed_place {
    const hashed_record* encloser = nullptr;    // matches the closest encloser
    const hashed_record* next_closer = nullptr; // covers the name one label longer
    name closest;
  };
  const plain_record* matching(const name& n) const;
  const plain_record* covering(const name& n) const;
  const hashed_record* hashed_matching(const name& n) const;
  const hashed_record* hashed_covering(const name& n) const;
  bool closest_encloser(const name& qname, hashed_place& out) const;
  byte_vector hash_of(const name& n) const;

  name zone_;
  proof_work& work_;
  std::vector<plain_record> plain_;
  std::vector<hashed_record> hashed_;
  byte_view salt_;
  unsigned iterations_ = 0;
  bool mixed_ = false;
};

// Whether a type is in the bitmap of NSEC and NSEC3 (RFC 4034 §4.1.2).
bool has_type(byte_view types, std::uint16_t type);

} // namespace netlab::dns
