#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "netlab/dns_message.h"

namespace netlab::dns {

// What of an upstream's reply answers the question, and nothing else: the CNAME chain from the asked name and
// the records at its end, or the proof that there are none. What a server adds beside it (other names'
// addresses, name servers) is not believed.
struct reply_chain {
  std::vector<record> answers, authorities;
  std::vector<name> targets; // of the CNAMEs, in order
  std::uint16_t rcode = 0;
  bool authentic = false; // the AD bit
  bool negative = false;  // no record of the asked type at the end
  std::uint32_t ttl = 0;  // seconds that all of it is good for; 0: not to be kept
};

// Nothing when the chain goes in circles or is longer than sixteen steps.
std::optional<reply_chain> extract_chain(const message& reply, const name& qname, std::uint16_t type,
                                         bool dnssec_ok);

} // namespace netlab::dns
