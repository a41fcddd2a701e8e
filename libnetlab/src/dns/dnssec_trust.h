#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "dnssec_denial.h"

namespace netlab::dns {

// What is known of the zones between a trust anchor and the names below it: their keys, that they are
// unsigned, or that a label begins no zone (RFC 4035 §5). Knows nothing by itself: find() says what has to be
// asked, and learn() takes what came. Owned by an engine, one for each group of upstreams, because what one
// group says is never told as another's.
class trust_store {
public:
  explicit trust_store(const dnssec_settings& settings) : settings_(settings) {}

  struct place {
    enum class state : std::uint8_t { secure, insecure, bogus, unknown } is = state::unknown;
    name zone;                       // secure: the zone that the name lies in, as far as the walk led
    const zone_keys* keys = nullptr; // secure: its keys, until the next learn()
    question need;                   // unknown: what to ask
    std::uint16_t extended = 0;      // bogus: why
    std::string why;
  };
  // Where `target` stands, by the anchors that lie within `limit`.
  place find(const name& target, const name& limit, boot_time now) const;
  // Whether an anchor within `limit` holds the name, so that it is validated at all.
  bool is_anchored(const name& target, const name& limit) const;
  // The reply to what was needed; none: it could not be had, for the reason `why`. Returns why the reply is
  // bogus, if it is; that is remembered only when it is the `last` word, and no other upstream is to be
  // asked.
  std::optional<std::string> learn(const question& asked, const message* reply, const std::string& why,
                                   const name& limit, bool last, boot_time now, wall_time wall);
  void clear() { facts_.clear(); }
  std::size_t size() const { return facts_.size(); }

private:
  struct fact {
    enum class kind : std::uint8_t { digests, secure, insecure, no_zone, bogus } is = kind::no_zone;
    boot_time until{};
    std::vector<trust_anchor> digests;
    zone_keys keys;
    std::uint16_t extended = 0;
    std::string why;
  };
  static std::string key_of(const name& n) {
    auto lower = n.lower();
    return std::string(as_text(lower.wire()));
  }
  const fact* known(const name& n, boot_time now) const;
  const name* anchor_of(const name& target, const name& limit) const;
  fact& remember(const name& n, fact f, boot_time now);
  fact from_keys(const name& zone, const message& reply, boot_time now, wall_time wall) const;
  fact from_digests(const name& child, const message& reply, const place& parent, boot_time now,
                    wall_time wall) const;

  const dnssec_settings& settings_;
  std::unordered_map<std::string, fact> facts_;
};

// Extended errors of validation (RFC 8914 §4).
namespace ede {
inline constexpr std::uint16_t dnssec_indeterminate = 5, dnssec_bogus = 6, signature_expired = 7,
                               signature_early = 8, dnskey_missing = 9, rrsigs_missing = 10,
                               nsec_missing = 12;
} // namespace ede

// What a state of signatures means to a client: the extended error, and words.
struct signature_trouble {
  std::uint16_t extended;
  std::string why;
};
signature_trouble describe(signature_state state, const signed_set& set, const name& zone);
// The NSEC and NSEC3 records of a reply that `zone` signed.
denial read_denial(const message& reply, const name& zone, const zone_keys& keys, wall_time wall,
                   proof_work& work, std::uint32_t& ttl);

} // namespace netlab::dns
