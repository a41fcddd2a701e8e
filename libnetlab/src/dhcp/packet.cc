#include "netlab/dhcp_packet.h"

#include <algorithm>
#include <bitset>

namespace netlab::dhcp {

namespace {

constexpr std::size_t fixed_size = 236; // up to and including `file`
constexpr std::size_t sname_at = 44, sname_size = 64, file_at = 108, file_size = 128;
constexpr std::uint32_t magic_cookie = 0x63825363; // RFC 2131 §3

std::string_view until_nul(byte_view field) {
  auto text = as_text(field);
  return text.substr(0, text.find('\0'));
}

struct piece {
  std::uint8_t code;
  byte_view value;
};

// The options of one area (RFC 2132 §2).
result<void> scan(byte_view area, std::vector<piece>& out, const char* where) {
  std::size_t at = 0;
  while (at < area.size()) {
    auto code = area[at++];
    if (code == option::pad) continue;
    if (code == option::end) break;
    if (at == area.size() || area.size() - at - 1 < area[at])
      return fail(errc::protocol,
                  "option " + std::to_string(code) + " runs past the end of the " + std::string(where),
                  "dhcp.decode");
    std::size_t length = area[at++];
    out.push_back({code, area.subspan(at, length)});
    at += length;
  }
  return {};
}

// What must come first for the firmware that reads options in one pass; the rest keeps its order.
constexpr std::array<std::uint8_t, 256> make_ranks() {
  std::array<std::uint8_t, 256> rank{};
  for (auto& r : rank) r = 100;
  constexpr std::uint8_t first[] = {
      option::type,           option::server_id,    option::lease_time,      option::renewal_time,
      option::rebinding_time, option::subnet_mask,  option::router,          option::dns,
      option::domain_name,    option::vendor_class, option::vendor_specific, option::tftp_server,
      option::boot_file,      option::machine_id};
  std::uint8_t next = 0;
  for (auto code : first) rank[code] = next++;
  rank[option::relay_agent] = 255;
  return rank;
}
constexpr auto ranks = make_ranks();

std::size_t encoded_size(std::size_t length) {
  auto pieces = length == 0 ? 1 : (length + 254) / 255;
  return length + 2 * pieces;
}

void write_option(byte_writer& to, std::uint8_t code, byte_view value) {
  do {
    auto part = value.first(std::min<std::size_t>(value.size(), 255));
    to.u8(code);
    to.u8(static_cast<std::uint8_t>(part.size()));
    to.bytes(part);
    value = value.subspan(part.size());
  } while (!value.empty());
}

void write_field(byte_writer& to, std::string_view text, std::size_t width) {
  to.text(text);
  to.fill(0, width - text.size());
}

} // namespace

std::string_view to_string(message_type type) {
  static constexpr std::string_view names[] = {"BOOTP", "DISCOVER", "OFFER",   "REQUEST", "DECLINE",
                                               "ACK",   "NAK",      "RELEASE", "INFORM"};
  auto i = static_cast<std::size_t>(type);
  return i < std::size(names) ? names[i] : "unknown";
}

int option_list::index(std::uint8_t code) const {
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (entries_[i].code == code) return static_cast<int>(i);
  return -1;
}

void option_list::set(std::uint8_t code, byte_view value) {
  entry next{code, static_cast<std::uint32_t>(data_.size()), static_cast<std::uint32_t>(value.size())};
  // The value may be a view into this list's own buffer, which growing would move.
  if (!value.empty() && value.data() >= data_.data() && value.data() < data_.data() + data_.size()) {
    byte_vector copy(value.begin(), value.end());
    data_.insert(data_.end(), copy.begin(), copy.end());
  } else {
    data_.insert(data_.end(), value.begin(), value.end());
  }
  if (auto i = index(code); i >= 0)
    entries_[static_cast<std::size_t>(i)] = next;
  else
    entries_.push_back(next);
}

void option_list::set_u8(std::uint8_t code, std::uint8_t value) { set(code, byte_view(&value, 1)); }
void option_list::set_u16(std::uint8_t code, std::uint16_t value) {
  std::uint8_t raw[2] = {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
  set(code, raw);
}
void option_list::set_u32(std::uint8_t code, std::uint32_t value) {
  std::uint8_t raw[4] = {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
                         static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
  set(code, raw);
}

void option_list::erase(std::uint8_t code) {
  std::erase_if(entries_, [&](const entry& e) { return e.code == code; });
}

void option_list::clear() {
  entries_.clear();
  data_.clear();
}

std::optional<byte_view> option_list::find(std::uint8_t code) const {
  auto i = index(code);
  if (i < 0) return std::nullopt;
  return value_at(static_cast<std::size_t>(i));
}

std::optional<std::uint16_t> option_list::u16(std::uint8_t code) const {
  auto value = find(code);
  if (!value || value->size() != 2) return std::nullopt;
  return byte_reader(*value).u16();
}
std::optional<std::uint32_t> option_list::u32(std::uint8_t code) const {
  auto value = find(code);
  if (!value || value->size() != 4) return std::nullopt;
  return byte_reader(*value).u32();
}
std::optional<ip_address> option_list::address(std::uint8_t code) const {
  auto value = u32(code);
  if (!value) return std::nullopt;
  return ip_address::v4(*value);
}

std::string_view option_list::text(std::uint8_t code) const {
  auto value = find(code);
  if (!value) return {};
  auto text = as_text(*value);
  while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  return text;
}

message_type packet::type() const {
  auto value = options.find(option::type);
  if (!value || value->empty()) return message_type::none;
  return static_cast<message_type>((*value)[0]);
}

void packet::set_mac(const mac_address& mac) {
  htype = 1;
  hlen = 6;
  chaddr = {};
  std::copy(mac.octets.begin(), mac.octets.end(), chaddr.begin());
}

void packet::clear() {
  op = request_op;
  htype = 1;
  hlen = 6;
  hops = 0;
  xid = 0;
  secs = flags = 0;
  ciaddr = yiaddr = siaddr = giaddr = {};
  chaddr = {};
  sname.clear();
  file.clear();
  cookie = true;
  options.clear();
}

result<void> decode_into(byte_view datagram, packet& out) {
  out.clear();
  if (datagram.size() < fixed_size)
    return fail(errc::protocol,
                "a DHCP message has at least 236 bytes, this one " + std::to_string(datagram.size()),
                "dhcp.decode");
  if (datagram.size() > max_message_size)
    return fail(errc::limit, "a DHCP message of " + std::to_string(datagram.size()) + " bytes",
                "dhcp.decode");
  byte_reader r(datagram);
  out.op = r.u8();
  out.htype = r.u8();
  out.hlen = r.u8();
  out.hops = r.u8();
  out.xid = r.u32();
  out.secs = r.u16();
  out.flags = r.u16();
  out.ciaddr = ip_address::v4(r.u32());
  out.yiaddr = ip_address::v4(r.u32());
  out.siaddr = ip_address::v4(r.u32());
  out.giaddr = ip_address::v4(r.u32());
  auto hardware = r.bytes(16);
  std::copy(hardware.begin(), hardware.end(), out.chaddr.begin());
  auto sname = r.bytes(sname_size), file = r.bytes(file_size);
  if (out.op != packet::request_op && out.op != packet::reply_op)
    return fail(errc::protocol, "operation " + std::to_string(out.op) + " is neither request nor reply",
                "dhcp.decode");
  if (out.hlen > 16)
    return fail(errc::protocol, "a hardware address of " + std::to_string(out.hlen) + " bytes",
                "dhcp.decode");

  out.cookie = r.remaining() >= 4 && r.u32() == magic_cookie;
  thread_local std::vector<piece> pieces; // keeps its capacity: decoding is on the hot path
  pieces.clear();
  if (out.cookie) {
    if (auto ok = scan(r.rest(), pieces, "options"); !ok) return ok;
    // RFC 2131 §4.1: option 52 counts in the options field only; then `file`, then `sname`.
    std::uint8_t lent = 0;
    for (const auto& p : pieces)
      if (p.code == option::overload && p.value.size() == 1) {
        lent = p.value[0];
        break;
      }
    if (lent > 3)
      return fail(errc::protocol, "option overload has the value " + std::to_string(lent), "dhcp.decode");
    if ((lent & 1) != 0) {
      if (auto ok = scan(file, pieces, "file field"); !ok) return ok;
      file = {};
    }
    if ((lent & 2) != 0) {
      if (auto ok = scan(sname, pieces, "sname field"); !ok) return ok;
      sname = {};
    }
  }
  out.sname = until_nul(sname);
  out.file = until_nul(file);

  std::bitset<256> seen;
  bool repeated = false;
  for (const auto& p : pieces) {
    if (p.code == option::overload) continue; // says how the message was cut, not what it means
    if (seen[p.code]) {
      repeated = true;
      continue;
    }
    seen.set(p.code);
    out.options.set(p.code, p.value);
  }
  if (repeated) {
    // RFC 3396 §7: pieces of one code are one value, in the order in which they appear.
    std::bitset<256> joined;
    byte_vector whole;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      auto code = pieces[i].code;
      if (code == option::overload || joined[code]) continue;
      joined.set(code);
      whole.clear();
      unsigned count = 0;
      for (std::size_t k = i; k < pieces.size(); ++k)
        if (pieces[k].code == code) {
          whole.insert(whole.end(), pieces[k].value.begin(), pieces[k].value.end());
          ++count;
        }
      if (count > 1) out.options.set(code, whole);
    }
  }
  return {};
}

result<packet> decode(byte_view datagram) {
  packet out;
  if (auto ok = decode_into(datagram, out); !ok) return tl::unexpected(ok.error());
  return out;
}

result<encoded> encode(const packet& m, byte_span out, std::size_t limit) {
  limit = std::min(std::max(limit, min_message_size), out.size());
  if (limit < min_message_size)
    return fail(errc::limit, "the buffer for a DHCP message is too small", "dhcp.encode");
  if (m.sname.size() > sname_size || m.file.size() > file_size)
    return fail(errc::limit, "the boot file name is longer than the file field", "dhcp.encode");
  if (m.options.size() > 254) return fail(errc::limit, "too many options", "dhcp.encode");

  byte_writer w(out.first(limit));
  w.u8(m.op);
  w.u8(m.htype);
  w.u8(m.hlen);
  w.u8(m.hops);
  w.u32(m.xid);
  w.u16(m.secs);
  w.u16(m.flags);
  w.u32(m.ciaddr.v4_value());
  w.u32(m.yiaddr.v4_value());
  w.u32(m.siaddr.v4_value());
  w.u32(m.giaddr.v4_value());
  w.bytes(m.chaddr);
  write_field(w, m.sname, sname_size);
  write_field(w, m.file, file_size);
  encoded done;
  if (!m.cookie) {
    w.fill(0, min_message_size - w.position());
    done.size = w.position();
    return done;
  }
  w.u32(magic_cookie);

  std::array<std::uint8_t, 256> order;
  std::size_t count = 0, needed = 1;
  for (std::size_t i = 0; i < m.options.size(); ++i) {
    auto code = m.options.code_at(i);
    if (code == option::pad || code == option::end || code == option::overload) continue;
    auto at = count++;
    while (at > 0 && ranks[m.options.code_at(order[at - 1])] > ranks[code]) {
      order[at] = order[at - 1];
      --at;
    }
    order[at] = static_cast<std::uint8_t>(i);
    needed += encoded_size(m.options.value_at(i).size());
  }

  if (needed <= w.remaining()) {
    for (std::size_t k = 0; k < count; ++k)
      write_option(w, m.options.code_at(order[k]), m.options.value_at(order[k]));
  } else {
    // Too long: lend the unused fixed fields to options (RFC 2131 §4.1). Each option stays in one area.
    byte_writer file(out.subspan(file_at, m.file.empty() ? file_size - 1 : 0));
    byte_writer sname(out.subspan(sname_at, m.sname.empty() ? sname_size - 1 : 0));
    bool can_lend = m.file.empty() || m.sname.empty();
    std::size_t reserved = can_lend ? 1 + 3 : 1; // END and option 52
    for (std::size_t k = 0; k < count; ++k)
      if (m.options.code_at(order[k]) == option::relay_agent)
        reserved += encoded_size(m.options.value_at(order[k]).size());
    std::uint8_t* overload_value = nullptr;
    for (std::size_t k = 0; k < count; ++k) {
      auto code = m.options.code_at(order[k]);
      auto value = m.options.value_at(order[k]);
      auto size = encoded_size(value.size());
      bool last = code == option::relay_agent;
      if (size + (last ? 1 : reserved) <= w.remaining()) {
        write_option(w, code, value);
      } else if (!last && size <= file.remaining()) {
        write_option(file, code, value);
      } else if (!last && size <= sname.remaining()) {
        write_option(sname, code, value);
      } else {
        ++done.dropped;
      }
      if (!overload_value && can_lend && w.remaining() >= reserved) {
        w.u8(option::overload);
        w.u8(1);
        overload_value = out.data() + w.position();
        w.u8(0);
        reserved -= 3;
      }
    }
    auto lent = static_cast<std::uint8_t>((file.position() > 0 ? 1 : 0) | (sname.position() > 0 ? 2 : 0));
    if (file.position() > 0) out[file_at + file.position()] = option::end;
    if (sname.position() > 0) out[sname_at + sname.position()] = option::end;
    if (overload_value) {
      // Zero is no legal value: lend a field that holds nothing but END.
      if (lent == 0) {
        out[m.file.empty() ? file_at : sname_at] = option::end;
        lent = m.file.empty() ? 1 : 2;
      }
      *overload_value = lent;
    }
  }
  w.u8(option::end);
  if (w.failed()) return fail(errc::limit, "the message does not fit", "dhcp.encode");
  if (w.position() < min_message_size) w.fill(0, min_message_size - w.position());
  done.size = w.position();
  return done;
}

result<byte_vector> encode(const packet& message, std::size_t limit) {
  byte_vector out(std::max(limit, min_message_size));
  auto done = encode(message, out, limit);
  if (!done) return tl::unexpected(done.error());
  out.resize(done->size);
  return out;
}

} // namespace netlab::dhcp
