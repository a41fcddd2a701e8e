#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "netlab/dns_name.h"
#include "netlab/result.h"

namespace netlab::dns {

// A key of a zone that is believed without proof, by its digest (RFC 4034 §5.1).
struct trust_anchor {
  name zone;
  std::uint16_t tag = 0;
  std::uint8_t algorithm = 0, digest_type = 0;
  byte_vector digest;

  // The data of a DS record ("20326 8 2 e06d…") or of a DNSKEY record ("257 3 8 AwEAA…"), as `text`.
  static result<trust_anchor> parse(const name& zone, std::string_view text);
};

// The keys of the root zone that IANA publishes: those of 2017 and 2024.
std::vector<trust_anchor> root_anchors();

// Whether and by what answers are validated (RFC 4035 §5).
struct dnssec_settings {
  bool validate = false;
  std::vector<trust_anchor> anchors;
  std::vector<name> negative; // zones whose signatures are not looked at (RFC 7646)
};

} // namespace netlab::dns
