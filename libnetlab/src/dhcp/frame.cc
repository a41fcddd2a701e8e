#include "frame.h"

namespace netlab::dhcp {

namespace {

// RFC 1071: sum of 16-bit words; an odd last byte counts as the high half.
std::uint32_t add_words(byte_view bytes, std::uint32_t sum) {
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += std::uint32_t{bytes[i]} << 8 | bytes[i + 1];
  if (bytes.size() % 2 != 0) sum += std::uint32_t{bytes.back()} << 8;
  return sum;
}

std::uint16_t fold(std::uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put16(byte_span at, std::size_t offset, std::uint16_t value) {
  at[offset] = static_cast<std::uint8_t>(value >> 8);
  at[offset + 1] = static_cast<std::uint8_t>(value);
}

} // namespace

byte_vector make_udp_frame(const endpoint& from, const endpoint& to, byte_view payload) {
  byte_vector out;
  append_udp_frame(out, from, to, payload);
  return out;
}

void append_udp_frame(byte_vector& to_buffer, const endpoint& from, const endpoint& to, byte_view payload) {
  constexpr std::size_t ip_size = 20, udp_size = 8;
  auto begin = to_buffer.size();
  to_buffer.resize(begin + ip_size + udp_size + payload.size());
  auto out = byte_span(to_buffer).subspan(begin);
  byte_writer w(out);
  w.u8(0x45);
  w.u8(0x10); // low delay, as DHCP software has always marked it
  w.u16(static_cast<std::uint16_t>(out.size()));
  w.u16(0);
  w.u16(0x4000); // never fragmented, hence no identification (RFC 6864)
  w.u8(64);
  w.u8(17);
  w.u16(0);
  w.u32(from.address.v4_value());
  w.u32(to.address.v4_value());
  w.u16(from.port);
  w.u16(to.port);
  w.u16(static_cast<std::uint16_t>(udp_size + payload.size()));
  w.u16(0);
  w.bytes(payload);
  byte_view all(out);
  put16(out, 10, fold(add_words(all.first(ip_size), 0)));
  auto sum = add_words(all.subspan(12, 8), 17 + static_cast<std::uint32_t>(udp_size + payload.size()));
  auto checksum = fold(add_words(all.subspan(ip_size), sum));
  put16(out, ip_size + 6, checksum == 0 ? 0xffff : checksum); // zero means "none" (RFC 768)
}

std::optional<udp_frame> parse_udp_frame(byte_view frame) {
  if (frame.size() < 28 || frame[0] >> 4 != 4) return std::nullopt;
  std::size_t header = (frame[0] & 15u) * 4u;
  std::size_t total = std::size_t{frame[2]} << 8 | frame[3];
  // The link pads short frames, so the packet's own length rules.
  if (header < 20 || total < header + 8 || frame.size() < total) return std::nullopt;
  auto fragment = static_cast<unsigned>(frame[6]) << 8 | frame[7];
  if ((fragment & 0x3fff) != 0 || frame[9] != 17) return std::nullopt;
  if (fold(add_words(frame.first(header), 0)) != 0) return std::nullopt;
  byte_reader r(frame.first(total).subspan(12));
  udp_frame out;
  out.from.address = ip_address::v4(r.u32());
  out.to.address = ip_address::v4(r.u32());
  r.skip(header - 20);
  out.from.port = r.u16();
  out.to.port = r.u16();
  std::size_t length = r.u16();
  r.skip(2);
  if (r.failed() || length < 8 || r.remaining() < length - 8) return std::nullopt;
  out.payload = r.bytes(length - 8);
  return out;
}

namespace {
byte_vector make_arp(std::uint16_t operation, const mac_address& sender, const ip_address& from,
                     const mac_address& to, const ip_address& target) {
  byte_vector out(28);
  byte_writer w(out);
  w.u16(1);
  w.u16(ethertype_ipv4);
  w.u8(6);
  w.u8(4);
  w.u16(operation);
  w.bytes(sender.octets);
  w.u32(from.v4_value());
  w.bytes(to.octets);
  w.u32(target.v4_value());
  return out;
}
} // namespace

byte_vector make_arp_probe(const mac_address& sender, const ip_address& target) {
  return make_arp(1, sender, {}, {}, target);
}

byte_vector make_arp_reply(const mac_address& sender, const ip_address& address, const mac_address& to,
                           const ip_address& to_address) {
  return make_arp(2, sender, address, to, to_address);
}

std::optional<arp_frame> parse_arp(byte_view frame) {
  byte_reader r(frame);
  if (r.u16() != 1 || r.u16() != ethertype_ipv4 || r.u8() != 6 || r.u8() != 4) return std::nullopt;
  auto operation = r.u16();
  arp_frame out;
  out.sender = mac_address::from(r.bytes(6));
  out.sender_address = ip_address::v4(r.u32());
  r.skip(6);
  out.target_address = ip_address::v4(r.u32());
  if (r.failed() || (operation != 1 && operation != 2)) return std::nullopt;
  out.reply = operation == 2;
  return out;
}

} // namespace netlab::dhcp
