#include "wire.h"

namespace netlab::dns {

bool name_reader::read(byte_view message, std::size_t& at, name& out) {
  std::size_t position = at, filled = 0;
  // Every pointer must lead before all that was read of this name, so that the work is bounded.
  std::size_t earliest = at;
  bool jumped = false;
  int jumps = 0;
  for (;;) {
    if (position >= message.size()) return false;
    auto length = message[position];
    if (length == 0) {
      out.bytes_[filled++] = 0;
      out.size_ = filled;
      if (!jumped) at = position + 1;
      return true;
    }
    if ((length & 0xc0) == 0xc0) {
      if (position + 1 >= message.size()) return false;
      std::size_t target = (length & 0x3fu) << 8 | message[position + 1];
      if (target >= earliest || target < header_size || ++jumps > 127) return false;
      if (!jumped) at = position + 2;
      jumped = true;
      earliest = position = target;
      continue;
    }
    if (length > name::max_label) return false; // the label types 01 and 10 are not in use (RFC 6891 §5)
    std::size_t whole = length + std::size_t{1};
    if (position + whole > message.size() || filled + whole + 1 > name::max_size) return false;
    std::memcpy(out.bytes_.data() + filled, message.data() + position, whole);
    filled += whole;
    position += whole;
  }
}

std::string_view rdata_layout(std::uint16_t type) {
  switch (type) {
  case rtype::ns:
  case 3: // MD
  case 4: // MF
  case rtype::cname:
  case 7: // MB
  case 8: // MG
  case 9: // MR
  case rtype::ptr: return "c";
  case rtype::soa: return "cc992"; // two names and five numbers of four octets
  case 14: return "cc";            // MINFO
  case rtype::mx: return "2c";
  case rtype::rp: return "nn";
  case rtype::afsdb:
  case 21: // RT
  case rtype::kx: return "2n";
  case 26: return "2nn"; // PX
  case rtype::srv: return "6n";
  case rtype::naptr: return "4sssn";
  case rtype::dname: return "n";
  case rtype::sig:
  case rtype::rrsig: return "99n*";
  case 30: // NXT
  case rtype::nsec: return "n*";
  default: return {};
  }
}

bool read_rdata(byte_view message, std::size_t at, std::size_t length, std::uint16_t type, byte_vector& out) {
  out.clear();
  if (at + length > message.size()) return false;
  const auto end = at + length;
  auto layout = rdata_layout(type);
  if (layout.empty()) {
    if (type == rtype::a && length != 4) return false;
    if (type == rtype::aaaa && length != 16) return false;
    out.assign(message.begin() + static_cast<std::ptrdiff_t>(at),
               message.begin() + static_cast<std::ptrdiff_t>(end));
    return true;
  }
  auto take = [&](std::size_t count) {
    if (count > end - at) return false;
    out.insert(out.end(), message.begin() + static_cast<std::ptrdiff_t>(at),
               message.begin() + static_cast<std::ptrdiff_t>(at + count));
    at += count;
    return true;
  };
  // Nothing of the message behind this record may be read as part of it.
  auto visible = message.first(end);
  name n;
  for (char c : layout) {
    if (c == 'c' || c == 'n') {
      if (!name_reader::read(visible, at, n)) return false;
      out.insert(out.end(), n.wire().begin(), n.wire().end());
    } else if (c == 's') {
      if (at >= end || !take(message[at] + std::size_t{1})) return false;
    } else if (c == '*') {
      if (!take(end - at)) return false;
    } else if (!take(static_cast<std::size_t>(c - '0'))) {
      return false;
    }
  }
  return at == end && out.size() <= max_message;
}

} // namespace netlab::dns
