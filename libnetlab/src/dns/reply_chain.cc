#include "reply_chain.h"

#include <algorithm>

#include "dnssec_rrset.h"
#include "wire.h"

namespace netlab::dns {

namespace {

constexpr std::size_t max_steps = 16;
constexpr std::size_t max_records = 1000;

std::uint16_t covered_by(const record& r) {
  return r.type == rtype::rrsig && r.data.size() >= 2 ? get16(r.data.data()) : 0;
}

std::optional<name> name_in(const record& r) {
  name out;
  std::size_t at = 0;
  if (!name_reader::read(r.data, at, out)) return std::nullopt;
  return out;
}

// Where a signature says that records were made from a wildcard, the proof that nothing closer exists belongs
// to the answer (RFC 4035 §3.1.3.3): whoever asked with DO looks for it.
void keep_wildcard_proofs(const message& reply, reply_chain& out) {
  std::vector<name> signers;
  for (const auto& r : out.answers)
    if (auto s = rr_signature::read(r); s && s->labels < r.owner.labels()) signers.push_back(s->signer);
  if (signers.empty()) return;
  for (const auto& r : reply.authorities) {
    auto kind = r.type == rtype::rrsig ? covered_by(r) : r.type;
    if ((kind != rtype::nsec && kind != rtype::nsec3) || out.authorities.size() >= max_records) continue;
    if (std::any_of(signers.begin(), signers.end(), [&](const name& s) { return r.owner.is_within(s); }))
      out.authorities.push_back(r);
  }
}

} // namespace

std::optional<reply_chain> extract_chain(const message& reply, const name& qname, std::uint16_t type,
                                         bool dnssec_ok) {
  reply_chain out;
  out.rcode = reply.rcode;
  out.authentic = (reply.flags & flag::ad) != 0;
  std::uint32_t ttl = 0x7fffffff;
  auto keep = [&](std::vector<record>& into, const record& r) {
    ttl = std::min(ttl, r.ttl);
    into.push_back(r);
  };
  name current = qname;
  bool found = false;
  for (std::size_t step = 0;; ++step) {
    const record* alias = nullptr;
    for (const auto& r : reply.answers) {
      if (r.klass != class_in) continue;
      if ((r.type == rtype::dname || covered_by(r) == rtype::dname) && dnssec_ok &&
          current.is_within(r.owner) && current != r.owner)
        keep(out.answers, r);
      if (r.owner != current) continue;
      bool signature = dnssec_ok && (covered_by(r) == type || covered_by(r) == rtype::cname);
      if (r.type == type || (signature && r.type == rtype::rrsig)) {
        found = found || r.type == type;
        if (out.answers.size() < max_records) keep(out.answers, r);
      } else if (r.type == rtype::cname && !alias) {
        alias = &r;
      }
    }
    if (found || !alias) break;
    auto target = name_in(*alias);
    if (!target || step == max_steps) return std::nullopt;
    bool circle = *target == qname || std::any_of(out.targets.begin(), out.targets.end(),
                                                  [&](const name& seen) { return seen == *target; });
    if (circle) return std::nullopt;
    keep(out.answers, *alias);
    out.targets.push_back(*target);
    current = *target;
  }
  out.negative = !found;
  if (!found) {
    const record* soa = nullptr;
    for (const auto& r : reply.authorities)
      if (r.type == rtype::soa && r.klass == class_in && current.is_within(r.owner)) soa = &r;
    if (soa && soa->data.size() >= 4) {
      // RFC 2308 §5: the lesser of the SOA's own TTL and its MINIMUM.
      auto minimum = std::min(soa->ttl, get32(soa->data.data() + soa->data.size() - 4));
      record kept = *soa;
      kept.ttl = minimum;
      keep(out.authorities, kept);
      if (dnssec_ok)
        for (const auto& r : reply.authorities)
          if ((r.type == rtype::nsec || r.type == rtype::nsec3 || r.type == rtype::rrsig) &&
              r.owner.is_within(soa->owner) && out.authorities.size() < max_records)
            keep(out.authorities, r);
    } else {
      ttl = 0; // RFC 2308 §5: without an SOA nobody knows for how long
    }
  } else if (out.answers.empty()) {
    ttl = 0;
  } else if (dnssec_ok) {
    keep_wildcard_proofs(reply, out);
  }
  out.ttl = ttl == 0x7fffffff ? 0 : ttl;
  return out;
}

} // namespace netlab::dns
