#include "dnssec_trust.h"

#include <algorithm>

#include "wire.h"

namespace netlab::dns {

namespace {

constexpr std::size_t most_facts = 4096;
constexpr std::size_t most_zone_keys = 32, most_digests = 16;                                // of one zone
constexpr std::uint32_t least_fact_ttl = 60, most_fact_ttl = 86400, most_absence_ttl = 3600; // seconds
constexpr duration bogus_fact_life = std::chrono::seconds(30); // so that a mended zone comes back soon
constexpr duration missing_fact_life = std::chrono::seconds(2);

boot_time fact_end(boot_time now, std::uint32_t ttl, std::uint32_t most) {
  return now + std::chrono::seconds(std::clamp(ttl, least_fact_ttl, most));
}

} // namespace

signature_trouble describe(signature_state state, const signed_set& set, const name& zone) {
  auto what = type_name(set.type) + " of " + set.owner.to_string();
  auto of_zone = " of " + (zone.is_root() ? std::string("the root") : zone.to_string());
  switch (state) {
  case signature_state::missing: return {ede::rrsigs_missing, what + " is not signed by" + of_zone.substr(3)};
  case signature_state::expired:
    return {ede::signature_expired, "the signature over " + what + " has expired"};
  case signature_state::early:
    return {ede::signature_early, "the signature over " + what + " is not valid yet; is the clock right?"};
  case signature_state::no_key:
    return {ede::dnskey_missing, "no key" + of_zone + " made the signature over " + what};
  case signature_state::too_much: return {ede::dnssec_bogus, what + " takes too many signature checks"};
  case signature_state::good:
  case signature_state::bad: break;
  }
  return {ede::dnssec_bogus, "the signature over " + what + " is wrong"};
}

denial read_denial(const message& reply, const name& zone, const zone_keys& keys, wall_time wall,
                   proof_work& work, std::uint32_t& ttl) {
  denial out(zone, work);
  for (auto type : {rtype::nsec, rtype::nsec3})
    for (const auto& set : find_sets(reply.authorities, type)) {
      const rr_signature* by = nullptr;
      if (check_signatures(set, zone, keys, wall, work, ttl, &by) != signature_state::good) continue;
      // A record made from a wildcard is not the record of the name that it claims.
      if (is_expanded(set, *by)) continue;
      for (const auto* r : set.records) out.add(*r);
    }
  return out;
}

const trust_store::fact* trust_store::known(const name& n, boot_time now) const {
  auto found = facts_.find(key_of(n));
  return found == facts_.end() || found->second.until <= now ? nullptr : &found->second;
}

const name* trust_store::anchor_of(const name& target, const name& limit) const {
  const name* best = nullptr;
  for (const auto& a : settings_.anchors)
    if (target.is_within(a.zone) && a.zone.is_within(limit) && (!best || a.zone.size() > best->size()))
      best = &a.zone;
  return best;
}

bool trust_store::is_anchored(const name& target, const name& limit) const {
  if (std::any_of(settings_.negative.begin(), settings_.negative.end(),
                  [&](const name& zone) { return target.is_within(zone); }))
    return false;
  return anchor_of(target, limit) != nullptr;
}

trust_store::place trust_store::find(const name& target, const name& limit, boot_time now) const {
  place out;
  if (!is_anchored(target, limit)) {
    out.is = place::state::insecure;
    return out;
  }
  auto ask = [&](const name& n, std::uint16_t type) {
    out.is = place::state::unknown;
    out.need = {n, type, class_in};
    return out;
  };
  out.zone = *anchor_of(target, limit);
  auto labels = target.labels();
  for (auto count = out.zone.labels(); count <= labels; ++count) {
    auto child = last_labels(target, count);
    const auto* f = known(child, now);
    if (!f) return ask(child, count == out.zone.labels() && !out.keys ? rtype::dnskey : rtype::ds);
    switch (f->is) {
    case fact::kind::digests: return ask(child, rtype::dnskey);
    case fact::kind::secure:
      out.zone = child;
      out.keys = &f->keys;
      break;
    case fact::kind::no_zone: break;
    case fact::kind::insecure: out.is = place::state::insecure; return out;
    case fact::kind::bogus:
      out.is = place::state::bogus;
      out.extended = f->extended;
      out.why = f->why;
      return out;
    }
  }
  out.is = place::state::secure;
  return out;
}

trust_store::fact& trust_store::remember(const name& n, fact f, boot_time now) {
  if (facts_.size() >= most_facts)
    std::erase_if(facts_, [&](const auto& each) { return each.second.until <= now; });
  if (facts_.size() >= most_facts) facts_.clear(); // it is learned again when it is needed
  return facts_[key_of(n)] = std::move(f);
}

std::optional<std::string> trust_store::learn(const question& asked, const message* reply,
                                              const std::string& why, const name& limit, bool last,
                                              boot_time now, wall_time wall) {
  fact f;
  if (!reply) {
    f.is = fact::kind::bogus;
    f.until = now + missing_fact_life;
    f.extended = ede::dnskey_missing;
    f.why = type_name(asked.type) + " of " + asked.qname.to_string() + " could not be had: " + why;
    remember(asked.qname, std::move(f), now);
    return std::nullopt;
  }
  if (asked.type == rtype::dnskey) {
    f = from_keys(asked.qname, *reply, now, wall);
  } else {
    auto parent = find(asked.qname.parent(), limit, now);
    if (parent.is != place::state::secure) return std::nullopt; // its keys ran out meanwhile: asked again
    f = from_digests(asked.qname, *reply, parent, now, wall);
  }
  if (f.is != fact::kind::bogus) {
    remember(asked.qname, std::move(f), now);
    return std::nullopt;
  }
  if (!last) return f.why;
  if (f.extended == 0) f.extended = ede::dnssec_bogus;
  f.until = now + bogus_fact_life;
  return remember(asked.qname, std::move(f), now).why;
}

trust_store::fact trust_store::from_keys(const name& zone, const message& reply, boot_time now,
                                         wall_time wall) const {
  fact out;
  out.is = fact::kind::bogus;
  out.extended = ede::dnskey_missing;
  std::vector<trust_anchor> digests;
  if (const auto* f = known(zone, now); f && f->is == fact::kind::digests) {
    digests = f->digests;
  } else {
    for (const auto& a : settings_.anchors)
      if (a.zone == zone) digests.push_back(a);
  }
  auto set = find_set(reply.answers, zone, rtype::dnskey);
  if (set.empty() || set.records.size() > most_zone_keys) {
    out.why = zone.to_string() +
              (set.empty() ? " has no keys, though its parent has digests of them" : " has too many keys");
    return out;
  }
  bool strong = std::any_of(digests.begin(), digests.end(), [](const auto& d) { return d.digest_type != 1; });
  zone_keys trusted;
  for (const auto& d : digests) {
    if (strong && d.digest_type == 1) continue; // RFC 4509 §3
    for (const auto* r : set.records) {
      if (r->data.size() < 5 || r->data[3] != d.algorithm || key_tag(r->data) != d.tag ||
          key_digest(zone, r->data, d.digest_type) != d.digest)
        continue;
      if (auto key = zone_key::read(r->data)) trusted.push_back(std::move(key));
    }
  }
  if (trusted.empty()) {
    out.why = "no key of " + zone.to_string() + " has a digest that its parent or the recipe knows";
    return out;
  }
  proof_work work;
  auto ttl = set.ttl;
  auto state = check_signatures(set, zone, trusted, wall, work, ttl);
  if (state != signature_state::good) {
    auto trouble = describe(state, set, zone);
    out.extended = trouble.extended;
    out.why = std::move(trouble.why);
    return out;
  }
  for (const auto* r : set.records)
    if (auto key = zone_key::read(r->data)) out.keys.push_back(std::move(key));
  out.is = fact::kind::secure;
  out.until = fact_end(now, ttl, most_fact_ttl);
  return out;
}

trust_store::fact trust_store::from_digests(const name& child, const message& reply, const place& parent,
                                            boot_time now, wall_time wall) const {
  fact out;
  out.is = fact::kind::bogus;
  proof_work work;
  auto set = find_set(reply.answers, child, rtype::ds);
  if (!set.empty()) {
    auto ttl = set.ttl;
    auto state = check_signatures(set, parent.zone, *parent.keys, wall, work, ttl);
    if (state != signature_state::good) {
      auto trouble = describe(state, set, parent.zone);
      out.extended = trouble.extended;
      out.why = std::move(trouble.why);
      return out;
    }
    for (const auto* r : set.records) {
      if (r->data.size() < 5 || out.digests.size() >= most_digests) continue;
      const auto* p = r->data.data();
      if (!known_algorithm(p[2]) || !known_digest(p[3])) continue;
      out.digests.push_back({child, get16(p), p[2], p[3], byte_vector(r->data.begin() + 4, r->data.end())});
    }
    // Signed in a way that nobody here can check is as good as unsigned (RFC 4035 §5.2).
    out.is = out.digests.empty() ? fact::kind::insecure : fact::kind::digests;
    out.until = fact_end(now, ttl, most_fact_ttl);
    return out;
  }
  // An alias begins no zone.
  if (!find_set(reply.answers, child, rtype::cname).empty()) {
    out.is = fact::kind::no_zone;
    out.until = fact_end(now, least_fact_ttl, most_absence_ttl);
    return out;
  }
  std::uint32_t ttl = most_absence_ttl;
  auto absent = read_denial(reply, parent.zone, *parent.keys, wall, work, ttl);
  auto found = absent.at(child);
  if (found == denial::delegation::unproven && absent.no_name(child) == denial::proof::proven)
    found = denial::delegation::none;
  if (found == denial::delegation::unproven) {
    out.extended = ede::nsec_missing;
    out.why = "nothing proves that " + child.to_string() + " is unsigned";
    return out;
  }
  out.is = found == denial::delegation::unsigned_zone ? fact::kind::insecure : fact::kind::no_zone;
  out.until = fact_end(now, ttl, most_absence_ttl);
  return out;
}

} // namespace netlab::dns
