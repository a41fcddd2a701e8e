#include "query.h"

#include <algorithm>

namespace netlab::dns {

namespace {

constexpr int max_options = 32; // of one query; more is no client's habit

query_problem read_opt(byte_view bytes, std::size_t at, query& out) {
  if (bytes.size() - at < 10) return query_problem::format;
  out.has_edns = true;
  out.udp_size = std::max(plain_udp_size, get16(bytes.data() + at + 2));
  auto ttl = get32(bytes.data() + at + 4);
  out.dnssec_ok = (ttl & 0x8000) != 0;
  std::size_t left = get16(bytes.data() + at + 8);
  at += 10;
  if (left > bytes.size() - at) return query_problem::format;
  if ((ttl >> 16 & 0xff) != 0) return query_problem::bad_version;
  for (int count = 0; left > 0; ++count) {
    if (left < 4 || count == max_options) return query_problem::format;
    auto code = get16(bytes.data() + at);
    std::size_t length = get16(bytes.data() + at + 2);
    at += 4;
    left -= 4;
    if (length > left) return query_problem::format;
    if (code == edns_code::cookie && out.client_cookie.empty()) {
      // RFC 7873 §5.2.2
      if (length != client_cookie_size && (length < 16 || length > 40)) return query_problem::format;
      out.client_cookie = bytes.subspan(at, client_cookie_size);
      out.server_cookie = bytes.subspan(at + client_cookie_size, length - client_cookie_size);
    }
    at += length;
    left -= length;
  }
  return query_problem::none;
}

} // namespace

query_problem read_query(byte_view bytes, query& out) {
  if (bytes.size() < header_size) return query_problem::drop;
  const auto* p = bytes.data();
  out.id = get16(p);
  out.flags = get16(p + 2);
  if (out.flags & flag::qr)
    return query_problem::drop; // answering answers would make two servers talk for ever
  if (out.flags & flag::opcode_mask) return query_problem::not_implemented;
  if (get16(p + 4) != 1 || get16(p + 6) != 0 || get16(p + 8) != 0) return query_problem::format;
  std::size_t at = header_size;
  for (;;) {
    if (at >= bytes.size()) return query_problem::format;
    auto length = p[at];
    if (length == 0) break;
    if (length > name::max_label) return query_problem::format; // no pointer can lead anywhere from here
    at += length + std::size_t{1};
  }
  auto size = at + 1 - header_size;
  if (size > name::max_size || bytes.size() - at - 1 < 4) return query_problem::format;
  out.lower_size = static_cast<std::uint8_t>(size);
  std::memcpy(out.lower, p + header_size, size);
  make_lower(byte_span(out.lower, size));
  at += 5;
  out.original = bytes.subspan(header_size, at - header_size);
  out.type = get16(p + at - 4);
  out.klass = get16(p + at - 2);
  for (auto left = get16(p + 10); left > 0; --left) {
    name owner;
    if (at < bytes.size() && p[at] == 0)
      ++at;
    else if (!name_reader::read(bytes, at, owner))
      return query_problem::format;
    if (bytes.size() - at < 10) return query_problem::format;
    if (get16(p + at) == rtype::opt) {
      if (out.has_edns || !owner.is_root()) return query_problem::format;
      if (auto problem = read_opt(bytes, at, out); problem != query_problem::none) return problem;
    }
    std::size_t length = get16(p + at + 8);
    if (length > bytes.size() - at - 10) return query_problem::format;
    at += 10 + length;
  }
  return query_problem::none;
}

std::size_t opt_size(const reply_context& c, const extended& why) {
  if (!c.asked.has_edns) return 0;
  return 11 + (c.asked.client_cookie.empty() ? 0 : 4 + client_cookie_size + server_cookie_size) +
         (why.set ? 6 + why.text.size() : 0);
}

std::size_t put_opt(const reply_context& c, byte_span out, std::size_t at, std::uint16_t rcode,
                    const extended& why) {
  if (!c.asked.has_edns) return at;
  auto* p = out.data() + at;
  std::size_t data = opt_size(c, why) - 11;
  p[0] = 0;
  put16(p + 1, rtype::opt);
  put16(p + 3, c.udp_size);
  p[5] = static_cast<std::uint8_t>(rcode >> 4);
  p[6] = 0;
  put16(p + 7, c.asked.dnssec_ok ? 0x8000 : 0);
  put16(p + 9, static_cast<std::uint16_t>(data));
  p += 11;
  if (!c.asked.client_cookie.empty()) {
    put16(p, edns_code::cookie);
    put16(p + 2, client_cookie_size + server_cookie_size);
    std::memcpy(p + 4, c.asked.client_cookie.data(), client_cookie_size);
    auto cookie = make_server_cookie(c.secret, c.asked.client_cookie, c.client, c.seconds);
    std::memcpy(p + 4 + client_cookie_size, cookie.data(), cookie.size());
    p += 4 + client_cookie_size + server_cookie_size;
  }
  if (why.set) {
    put16(p, edns_code::extended_error);
    put16(p + 2, static_cast<std::uint16_t>(2 + why.text.size()));
    put16(p + 4, why.code);
    if (!why.text.empty()) std::memcpy(p + 6, why.text.data(), why.text.size());
  }
  return at + 11 + data;
}

namespace {

std::size_t put_head(const reply_context& c, byte_span out, std::uint16_t flags) {
  auto* p = out.data();
  put16(p, c.asked.id);
  // What the client set and we give back: opcode, RD, CD (RFC 6840 §5.6, RFC 4035 §3.2.2).
  auto back = c.asked.flags & (flag::opcode_mask | flag::rd | flag::cd);
  put16(p + 2, static_cast<std::uint16_t>(flag::qr | flag::ra | back | flags));
  std::memset(p + 4, 0, 8);
  if (c.asked.original.empty()) return header_size;
  p[5] = 1;
  std::memcpy(p + header_size, c.asked.original.data(), c.asked.original.size());
  return header_size + c.asked.original.size();
}

} // namespace

std::size_t put_empty(const reply_context& c, byte_span out, std::uint16_t flags, std::uint16_t rcode,
                      const extended& why) {
  auto at = put_head(c, out, static_cast<std::uint16_t>(flags | (rcode & flag::rcode_mask)));
  extended said = why;
  if (at + opt_size(c, said) > c.limit) said = {};
  if (at + opt_size(c, said) > c.limit) return at;
  if (c.asked.has_edns) out[11] = 1;
  return put_opt(c, out, at, rcode, said);
}

std::size_t put_addresses(const reply_context& c, byte_span out, std::uint16_t rcode,
                          std::span<const ip_address> addresses, std::uint32_t ttl, const extended& why) {
  // Owners and names in data are pointers to the question, which every reply begins with.
  constexpr std::uint16_t asked_name = 0xc000 | header_size;
  static constexpr std::uint8_t mailbox[] = {10, 'h', 'o', 's', 't', 'm', 'a', 's', 't', 'e', 'r'};
  auto wanted = [&](const ip_address& a) { return c.asked.type == (a.is_v4() ? rtype::a : rtype::aaaa); };
  std::size_t count = 0, each = 12 + (c.asked.type == rtype::a ? 4 : 16);
  for (const auto& a : addresses) count += wanted(a);
  std::size_t soa_data = 2 + sizeof mailbox + 2 + 20;
  auto records = count > 0 ? count * each : 12 + soa_data;
  if (header_size + c.asked.original.size() + records + opt_size(c, why) > c.limit)
    return put_empty(c, out, flag::tc | flag::aa, rcode, why);
  auto at = put_head(c, out, static_cast<std::uint16_t>(flag::aa | (rcode & flag::rcode_mask)));
  auto* p = out.data() + at;
  auto begin = [&](std::uint16_t type, std::size_t size) {
    put16(p, asked_name);
    put16(p + 2, type);
    put16(p + 4, class_in);
    put32(p + 6, ttl);
    put16(p + 10, static_cast<std::uint16_t>(size));
    p += 12;
  };
  for (const auto& a : addresses) {
    if (!wanted(a)) continue;
    auto bytes = a.bytes();
    begin(c.asked.type, bytes.size());
    std::memcpy(p, bytes.data(), bytes.size());
    p += bytes.size();
  }
  if (count == 0) {
    begin(rtype::soa, soa_data);
    put16(p, asked_name);
    std::memcpy(p + 2, mailbox, sizeof mailbox);
    put16(p + 2 + sizeof mailbox, asked_name);
    p += 4 + sizeof mailbox;
    for (std::uint32_t number : {1u, 3600u, 600u, 86400u, ttl}) {
      put32(p, number);
      p += 4;
    }
  }
  put16(out.data() + 6, static_cast<std::uint16_t>(count));
  put16(out.data() + 8, count == 0 ? 1 : 0);
  if (c.asked.has_edns) put16(out.data() + 10, 1);
  return put_opt(c, out, at + records, rcode, why);
}

std::size_t put_cached(const reply_context& c, byte_span out, const cached_answer& answer, std::uint32_t age,
                       std::uint32_t stale_ttl) {
  extended why;
  auto rcode = static_cast<std::uint16_t>(answer.flags & flag::rcode_mask);
  if (stale_ttl > 0) {
    why.set = true;
    why.code = rcode == rcode::name_error ? ede::stale_nxdomain_answer : ede::stale_answer;
  }
  auto flags = answer.flags;
  // AD only for who understands it (RFC 6840 §5.8).
  if (!c.asked.dnssec_ok && !(c.asked.flags & flag::ad))
    flags = static_cast<std::uint16_t>(flags & ~flag::ad);
  auto whole = header_size + c.asked.original.size() + answer.body_size + opt_size(c, why);
  if (whole > c.limit) return put_empty(c, out, flags | flag::tc, rcode, why);
  auto at = put_head(c, out, flags);
  auto* p = out.data();
  for (std::size_t i = 0; i < 3; ++i) put16(p + 6 + 2 * i, answer.counts[i]);
  if (answer.body_size > 0) std::memcpy(p + at, answer.body().data(), answer.body_size);
  const auto* offsets = answer.ttl_offsets();
  for (std::size_t i = 0; i < answer.ttl_count; ++i) {
    auto* ttl = p + at + offsets[i];
    auto left = get32(ttl);
    put32(ttl, stale_ttl > 0 ? stale_ttl : left > age ? left - age : 0);
  }
  at += answer.body_size;
  if (c.asked.has_edns) put16(p + 10, static_cast<std::uint16_t>(answer.counts[2] + 1));
  return put_opt(c, out, at, rcode, why);
}

} // namespace netlab::dns
