#include "filter_tail.h"

namespace netlab::dns {

namespace {

void put(byte_vector& out, std::uint64_t value, int octets) {
  while (octets-- > 0) out.push_back(static_cast<std::uint8_t>(value >> 8 * octets));
}

void put_text(byte_vector& out, std::string_view text) {
  text = text.substr(0, 0xffff);
  put(out, text.size(), 2);
  out.insert(out.end(), text.begin(), text.end());
}

} // namespace

sha256_digest digest_of(filter_header header) {
  header.header_digest = {};
  return sha256_of({reinterpret_cast<const std::uint8_t*>(&header), sizeof header});
}

byte_vector write_tail(const filter_tail& tail) {
  byte_vector out;
  for (const auto& l : tail.lists) {
    put(out, l.allow ? 1 : 0, 1);
    put(out, l.rules, 8);
    put_text(out, l.name);
  }
  for (const auto& r : tail.regexes) {
    put(out, r.list, 1);
    put(out, r.allow ? 1 : 0, 1);
    put_text(out, r.pattern);
  }
  return out;
}

result<filter_tail> read_tail(byte_view bytes, std::uint32_t lists, std::uint32_t regexes) {
  auto damaged = [] { return fail(errc::invalid, "its tables are damaged", "dns.filter"); };
  if (lists > 64 || regexes > bytes.size()) return damaged();
  byte_reader in(bytes);
  filter_tail out;
  for (std::uint32_t i = 0; i < lists && !in.failed(); ++i) {
    filter_list_info l;
    l.allow = in.u8() != 0;
    l.rules = in.u64();
    l.name = as_text(in.bytes(in.u16()));
    out.lists.push_back(std::move(l));
  }
  for (std::uint32_t i = 0; i < regexes && !in.failed(); ++i) {
    regex_rule r;
    r.list = in.u8();
    r.allow = in.u8() != 0;
    r.pattern = as_text(in.bytes(in.u16()));
    if (r.list >= lists) return damaged();
    out.regexes.push_back(std::move(r));
  }
  if (in.failed() || in.remaining() != 0) return damaged();
  return out;
}

} // namespace netlab::dns
