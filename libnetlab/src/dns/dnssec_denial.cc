#include "dnssec_denial.h"

#include <algorithm>

#include "wire.h"

namespace netlab::dns {

namespace {

constexpr unsigned most_iterations = 50; // RFC 9276 §3.2 leaves it to resolvers; this is what others take
constexpr std::size_t most_records = 16; // of one proof; four are the most that one needs
constexpr std::uint16_t nxname = 128;    // RFC 9824 §2: the bit of a name that does not exist

std::optional<byte_vector> base32hex_octets(byte_view text) {
  byte_vector out;
  std::uint32_t bits = 0;
  int held = 0;
  for (auto c : text) {
    int value = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'v' ? c - 'a' + 10
                : c >= 'A' && c <= 'V' ? c - 'A' + 10
                                       : -1;
    if (value < 0) return std::nullopt;
    bits = bits << 5 | static_cast<std::uint32_t>(value);
    held += 5;
    if (held >= 8) {
      held -= 8;
      out.push_back(static_cast<std::uint8_t>(bits >> held));
    }
  }
  return out;
}

name wildcard_below(const name& n) {
  static constexpr std::uint8_t star[] = {'*'};
  name out;
  out.append(star);
  return out.under(n).value_or(n);
}

// Data below such a name is not this zone's: it says nothing about what is there (RFC 6840 §4.1).
bool leads_away(byte_view types) {
  return (has_type(types, rtype::ns) && !has_type(types, rtype::soa)) || has_type(types, rtype::dname);
}

// The bits of a name that exists, but not with this type: the parent's side of a delegation speaks for DS
// only, the child's for everything else (RFC 6840 §4.4).
bool lacks(byte_view types, std::uint16_t type, bool is_root) {
  if (has_type(types, type) || has_type(types, rtype::cname)) return false;
  bool parent_side = has_type(types, rtype::ns) && !has_type(types, rtype::soa);
  if (type == rtype::ds) return !has_type(types, rtype::soa) || is_root;
  return !parent_side;
}

} // namespace

bool has_type(byte_view types, std::uint16_t type) {
  for (std::size_t at = 0; at + 2 <= types.size();) {
    std::size_t length = types[at + 1];
    if (length == 0 || length > 32 || at + 2 + length > types.size()) return false;
    if (types[at] == type >> 8) {
      std::size_t octet = (type & 0xff) / 8;
      return octet < length && (types[at + 2 + octet] & (0x80 >> (type & 7))) != 0;
    }
    at += 2 + length;
  }
  return false;
}

void denial::add(const record& r) {
  if (!r.owner.is_within(zone_) || plain_.size() + hashed_.size() >= most_records) return;
  if (r.type == rtype::nsec) {
    plain_record p;
    std::size_t at = 0;
    if (!name_reader::read(r.data, at, p.next)) return;
    p.owner = r.owner;
    p.types = byte_view(r.data).subspan(at);
    plain_.push_back(std::move(p));
    return;
  }
  const auto& d = r.data;
  if (d.size() < 6 || d[0] != 1) return; // SHA-1 is the only hash that there is
  std::size_t salt = d[4];
  if (d.size() < 6 + salt) return;
  std::size_t length = d[5 + salt];
  if (length != 20 || d.size() < 6 + salt + length) return;
  if (r.owner.parent() != zone_) return;
  auto iterations = unsigned{get16(d.data() + 2)};
  auto its_salt = byte_view(d).subspan(5, salt);
  if (!hashed_.empty() && (iterations != iterations_ || !std::ranges::equal(its_salt, salt_))) {
    mixed_ = true; // RFC 5155 §8.2
    return;
  }
  iterations_ = iterations;
  salt_ = its_salt;
  auto wire = r.owner.wire();
  auto hash = base32hex_octets(wire.subspan(1, wire[0]));
  if (!hash || hash->size() != 20) return;
  hashed_.push_back({std::move(*hash), byte_view(d).subspan(6 + salt, length),
                     byte_view(d).subspan(6 + salt + length), (d[1] & 1) != 0});
}

// --- NSEC

const denial::plain_record* denial::matching(const name& n) const {
  for (const auto& p : plain_)
    if (p.owner == n) return &p;
  return nullptr;
}

const denial::plain_record* denial::covering(const name& n) const {
  for (const auto& p : plain_) {
    if (compare_canonical(p.owner, n) >= 0) continue;
    // The last one leads back to the zone's own name.
    bool last = p.next == zone_;
    if (!last && compare_canonical(n, p.next) >= 0) continue;
    if (n.is_within(p.owner) && leads_away(p.types)) continue;
    return &p;
  }
  return nullptr;
}

// --- NSEC3

byte_vector denial::hash_of(const name& n) const {
  auto cost = iterations_ + 1;
  if (work_.hashes < cost) return {};
  work_.hashes -= cost;
  return nsec3_hash(n, salt_, iterations_);
}

const denial::hashed_record* denial::hashed_matching(const name& n) const {
  auto hash = hash_of(n);
  for (const auto& h : hashed_)
    if (h.hash == hash) return &h;
  return nullptr;
}

const denial::hashed_record* denial::hashed_covering(const name& n) const {
  auto hash = hash_of(n);
  if (hash.empty()) return nullptr;
  auto less = [](byte_view a, byte_view b) { return std::ranges::lexicographical_compare(a, b); };
  for (const auto& h : hashed_) {
    bool last = !less(h.hash, h.next); // leads back to the first
    bool above = less(h.hash, hash), below = less(hash, h.next);
    if (last ? above || below : above && below) return &h;
  }
  return nullptr;
}

// RFC 5155 §8.3
bool denial::closest_encloser(const name& qname, hashed_place& out) const {
  auto labels = qname.labels();
  for (auto count = labels; count-- > zone_.labels();) {
    auto candidate = last_labels(qname, count);
    const auto* found = hashed_matching(candidate);
    if (!found) continue;
    if (leads_away(found->types)) return false;
    out.encloser = found;
    out.closest = candidate;
    out.next_closer = hashed_covering(last_labels(qname, count + 1));
    return out.next_closer != nullptr;
  }
  return false;
}

// --- what they prove

denial::proof denial::no_name(const name& qname) const {
  if (!qname.is_within(zone_)) return proof::none;
  if (!plain_.empty()) {
    // A name made to not exist on the fly (RFC 9824 §3.1).
    if (const auto* same = matching(qname); same && has_type(same->types, nxname)) return proof::proven;
    const auto* cover = covering(qname);
    if (!cover || cover->next.is_within(qname)) return proof::none; // it exists, with names below it only
    auto count = std::max(common_labels(qname, cover->owner), common_labels(qname, cover->next));
    auto wildcard = wildcard_below(last_labels(qname, count));
    return covering(wildcard) ? proof::proven : proof::none;
  }
  if (hashed_.empty() || mixed_) return proof::none;
  if (iterations_ > most_iterations) return proof::too_much;
  hashed_place place;
  if (!closest_encloser(qname, place)) return proof::none;
  if (place.next_closer->opt_out) return proof::opted_out;
  return hashed_covering(wildcard_below(place.closest)) ? proof::proven : proof::none;
}

denial::proof denial::no_data(const name& qname, std::uint16_t type) const {
  if (!qname.is_within(zone_)) return proof::none;
  if (!plain_.empty()) {
    if (const auto* same = matching(qname))
      return lacks(same->types, type, qname.is_root()) ? proof::proven : proof::none;
    const auto* cover = covering(qname);
    if (!cover) return proof::none;
    if (cover->next.is_within(qname)) return proof::proven;
    auto count = std::max(common_labels(qname, cover->owner), common_labels(qname, cover->next));
    const auto* wildcard = matching(wildcard_below(last_labels(qname, count)));
    return wildcard && lacks(wildcard->types, type, false) ? proof::proven : proof::none;
  }
  if (hashed_.empty() || mixed_) return proof::none;
  if (iterations_ > most_iterations) return proof::too_much;
  if (const auto* same = hashed_matching(qname))
    return lacks(same->types, type, qname.is_root()) ? proof::proven : proof::none;
  hashed_place place;
  if (!closest_encloser(qname, place)) return proof::none;
  if (const auto* wildcard = hashed_matching(wildcard_below(place.closest)))
    return lacks(wildcard->types, type, false) ? proof::proven : proof::none;
  return place.next_closer->opt_out ? proof::opted_out : proof::none;
}

denial::proof denial::no_closer(const name& qname, unsigned wildcard_labels) const {
  auto next_closer = last_labels(qname, wildcard_labels + 1);
  if (!plain_.empty()) {
    const auto* cover = covering(next_closer);
    return cover && !cover->next.is_within(next_closer) ? proof::proven : proof::none;
  }
  if (hashed_.empty() || mixed_) return proof::none;
  if (iterations_ > most_iterations) return proof::too_much;
  const auto* cover = hashed_covering(next_closer);
  if (!cover) return proof::none;
  return cover->opt_out ? proof::opted_out : proof::proven;
}

denial::delegation denial::at(const name& child) const {
  auto by_types = [](byte_view types) {
    if (has_type(types, rtype::ds) || has_type(types, rtype::soa)) return delegation::unproven;
    return has_type(types, rtype::ns) ? delegation::unsigned_zone : delegation::none;
  };
  if (!child.is_within(zone_) || child == zone_) return delegation::unproven;
  if (!plain_.empty()) {
    if (const auto* same = matching(child)) return by_types(same->types);
    return covering(child) ? delegation::none : delegation::unproven;
  }
  if (hashed_.empty() || mixed_) return delegation::unproven;
  if (iterations_ > most_iterations) return delegation::unsigned_zone;
  if (const auto* same = hashed_matching(child)) return by_types(same->types);
  hashed_place place;
  if (!closest_encloser(child, place)) return delegation::unproven;
  return place.next_closer->opt_out ? delegation::unsigned_zone : delegation::none;
}

} // namespace netlab::dns
