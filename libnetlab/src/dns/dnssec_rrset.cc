#include "dnssec_rrset.h"

#include <algorithm>
#include <array>

#include "wire.h"

namespace netlab::dns {

namespace {

constexpr std::size_t fixed_fields = 18; // of an RRSIG, before the signer's name

// Lower-case names inside RDATA (RFC 4034 §6.2, without the types that RFC 6840 §5.1 takes out).
byte_vector canonical_data(const record& r) {
  byte_vector out = r.data;
  if (r.type == rtype::nsec || r.type == rtype::rrsig) return out;
  std::size_t at = 0;
  for (char c : rdata_layout(r.type)) {
    if (c == 'c' || c == 'n') {
      std::size_t length = 0;
      while (at + length < out.size() && out[at + length] != 0) length += out[at + length] + std::size_t{1};
      ++length;
      if (at + length > out.size()) break;
      make_lower(byte_span(out).subspan(at, length));
      at += length;
    } else if (c == 's') {
      if (at >= out.size()) break;
      at += out[at] + std::size_t{1};
    } else if (c == '*') {
      break;
    } else {
      at += static_cast<std::size_t>(c - '0');
    }
    if (at >= out.size()) break;
  }
  return out;
}

// Where each label begins.
struct label_starts {
  std::array<std::uint8_t, 128> at{};
  unsigned count = 0;
  explicit label_starts(const name& n) {
    auto wire = n.wire();
    for (std::size_t i = 0; wire[i] != 0; i += wire[i] + std::size_t{1})
      at[count++] = static_cast<std::uint8_t>(i);
  }
};

std::uint8_t lowered(std::uint8_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

int compare_labels(const name& a, std::size_t at_a, const name& b, std::size_t at_b) {
  auto x = a.wire().subspan(at_a), y = b.wire().subspan(at_b);
  auto n = std::min(x[0], y[0]);
  for (unsigned i = 1; i <= n; ++i)
    if (auto d = int{lowered(x[i])} - int{lowered(y[i])}; d != 0) return d;
  return int{x[0]} - int{y[0]};
}

} // namespace

std::optional<rr_signature> rr_signature::read(const record& r) {
  if (r.type != rtype::rrsig || r.data.size() <= fixed_fields) return std::nullopt;
  const auto* p = r.data.data();
  rr_signature out;
  out.covered = get16(p);
  out.algorithm = p[2];
  out.labels = p[3];
  out.original_ttl = get32(p + 4);
  out.expires = get32(p + 8);
  out.inception = get32(p + 12);
  out.tag = get16(p + 16);
  std::size_t at = fixed_fields;
  if (!name_reader::read(r.data, at, out.signer)) return std::nullopt;
  out.fields = byte_view(r.data).first(fixed_fields);
  out.value = byte_view(r.data).subspan(at);
  return out;
}

namespace {

void add_to(signed_set& set, const record& r) {
  if (r.type == rtype::rrsig && set.type != rtype::rrsig) {
    if (r.data.size() >= 2 && get16(r.data.data()) == set.type)
      if (auto s = rr_signature::read(r)) set.signatures.push_back(*s);
    return;
  }
  if (r.type != set.type) return;
  set.ttl = set.records.empty() ? r.ttl : std::min(set.ttl, r.ttl);
  set.records.push_back(&r);
}

} // namespace

signed_set find_set(const std::vector<record>& section, const name& owner, std::uint16_t type) {
  signed_set out;
  out.owner = owner;
  out.type = type;
  for (const auto& r : section)
    if (r.klass == class_in && r.owner == owner) add_to(out, r);
  return out;
}

std::vector<signed_set> find_sets(const std::vector<record>& section, std::uint16_t type) {
  std::vector<signed_set> out;
  for (const auto& r : section) {
    if (r.type != type || r.klass != class_in) continue;
    bool known = std::any_of(out.begin(), out.end(), [&](const signed_set& s) { return s.owner == r.owner; });
    if (!known) out.push_back(find_set(section, r.owner, type));
  }
  return out;
}

bool is_expanded(const signed_set& set, const rr_signature& by) {
  auto wire = set.owner.wire();
  bool star = wire[0] == 1 && wire[1] == '*';
  return by.labels + (star ? 1u : 0u) < set.owner.labels();
}

byte_vector signed_bytes(const signed_set& set, const rr_signature& by) {
  byte_vector out(by.fields.begin(), by.fields.end());
  auto signer = by.signer.lower();
  out.insert(out.end(), signer.wire().begin(), signer.wire().end());
  auto owner = set.owner.lower();
  if (is_expanded(set, by)) {
    static constexpr std::uint8_t star[] = {'*'};
    name wildcard;
    wildcard.append(star);
    if (auto whole = wildcard.under(last_labels(owner, by.labels))) owner = *whole;
  }
  std::vector<byte_vector> data;
  for (const auto* r : set.records) data.push_back(canonical_data(*r));
  std::sort(data.begin(), data.end());
  data.erase(std::unique(data.begin(), data.end()), data.end());
  for (const auto& d : data) {
    out.insert(out.end(), owner.wire().begin(), owner.wire().end());
    std::uint8_t head[10];
    put16(head, set.type);
    put16(head + 2, class_in);
    put32(head + 4, by.original_ttl);
    put16(head + 8, static_cast<std::uint16_t>(d.size()));
    out.insert(out.end(), head, head + sizeof head);
    out.insert(out.end(), d.begin(), d.end());
  }
  return out;
}

name last_labels(const name& n, unsigned count) {
  auto out = n;
  for (auto have = n.labels(); have > count; --have) out = out.parent();
  return out;
}

unsigned common_labels(const name& a, const name& b) {
  label_starts x(a), y(b);
  unsigned same = 0;
  while (same < x.count && same < y.count &&
         compare_labels(a, x.at[x.count - 1 - same], b, y.at[y.count - 1 - same]) == 0)
    ++same;
  return same;
}

int compare_canonical(const name& a, const name& b) {
  label_starts x(a), y(b);
  for (unsigned i = 0; i < x.count && i < y.count; ++i)
    if (auto d = compare_labels(a, x.at[x.count - 1 - i], b, y.at[y.count - 1 - i]); d != 0) return d;
  return static_cast<int>(x.count) - static_cast<int>(y.count);
}

} // namespace netlab::dns
