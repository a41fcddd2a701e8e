#include "netlab/dns_name.h"

#include <algorithm>

#include "wire.h"

namespace netlab::dns {

namespace {

bool same_octets(byte_view a, byte_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && lower_octet(a[i]) != lower_octet(b[i])) return false;
  return true;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

} // namespace

void make_lower(byte_span wire) {
  std::size_t i = 0;
  // Eight octets at a time: bit 5 is set where an octet lies in 'A' … 'Z'.
  for (; i + 8 <= wire.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, wire.data() + i, 8);
    constexpr std::uint64_t ones = 0x0101010101010101ull;
    std::uint64_t low = word & (ones * 0x7f);
    std::uint64_t from_a = low + ones * (0x80 - 'A');
    std::uint64_t past_z = low + ones * (0x80 - 'Z' - 1);
    std::uint64_t upper = (from_a & ~past_z) & ~word & (ones * 0x80);
    word |= upper >> 2;
    std::memcpy(wire.data() + i, &word, 8);
  }
  for (; i < wire.size(); ++i) wire[i] = lower_octet(wire[i]);
}

bool name::append(byte_view label) {
  if (label.empty() || label.size() > max_label || size_ + label.size() + 1 > max_size) return false;
  bytes_[size_ - 1] = static_cast<std::uint8_t>(label.size());
  std::memcpy(bytes_.data() + size_, label.data(), label.size());
  size_ += label.size() + 1;
  bytes_[size_ - 1] = 0;
  return true;
}

result<name> name::parse(std::string_view text) {
  auto wrong = [&](const char* why) {
    return fail(errc::invalid, "\"" + std::string(text.substr(0, 260)) + "\" is no domain name: " + why,
                "dns.name");
  };
  name out;
  if (text.empty()) return wrong("it is empty");
  if (text == ".") return out;
  std::array<std::uint8_t, max_label> label;
  std::size_t length = 0;
  bool ended = false; // the last thing seen was a dot
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<std::uint8_t>(text[i]);
    ended = false;
    if (c == '.') {
      if (length == 0) return wrong("a label is empty");
      if (!out.append(byte_view(label).first(length))) return wrong("it is longer than 255 octets");
      length = 0;
      ended = true;
      continue;
    }
    if (c == '\\') {
      if (i + 3 < text.size() && is_digit(text[i + 1]) && is_digit(text[i + 2]) && is_digit(text[i + 3])) {
        int value = (text[i + 1] - '0') * 100 + (text[i + 2] - '0') * 10 + (text[i + 3] - '0');
        if (value > 255) return wrong("an escape is above \\255");
        c = static_cast<std::uint8_t>(value);
        i += 3;
      } else if (i + 1 < text.size() && !is_digit(text[i + 1])) {
        c = static_cast<std::uint8_t>(text[++i]);
      } else {
        return wrong("an escape is not whole");
      }
    } else if (c <= ' ' || c == 0x7f) {
      return wrong("it holds a blank or control character");
    }
    if (length == max_label) return wrong("a label is longer than 63 octets");
    label[length++] = c;
  }
  if (!ended && !out.append(byte_view(label).first(length))) return wrong("it is longer than 255 octets");
  return out;
}

std::optional<name> name::from_wire(byte_view wire) {
  if (wire.empty() || wire.size() > max_size) return std::nullopt;
  for (std::size_t at = 0; at < wire.size();) {
    if (wire[at] > max_label) return std::nullopt;
    if (wire[at] == 0) {
      if (at + 1 != wire.size()) return std::nullopt;
      name out;
      std::memcpy(out.bytes_.data(), wire.data(), wire.size());
      out.size_ = wire.size();
      return out;
    }
    at += wire[at] + std::size_t{1};
  }
  return std::nullopt;
}

name name::reverse(const ip_address& address) {
  name out;
  auto bytes = address.bytes();
  if (address.is_v4()) {
    for (auto i = bytes.size(); i-- > 0;) out.append(as_bytes(std::to_string(bytes[i])));
    out.append(as_bytes("in-addr"));
  } else {
    constexpr std::string_view digits = "0123456789abcdef";
    for (auto i = bytes.size(); i-- > 0;) {
      out.append(as_bytes(digits.substr(bytes[i] & 15, 1)));
      out.append(as_bytes(digits.substr(bytes[i] >> 4, 1)));
    }
    out.append(as_bytes("ip6"));
  }
  out.append(as_bytes("arpa"));
  return out;
}

unsigned name::labels() const {
  unsigned count = 0;
  for (std::size_t at = 0; bytes_[at] != 0; at += bytes_[at] + std::size_t{1}) ++count;
  return count;
}

std::string name::to_string() const {
  if (is_root()) return ".";
  std::string out;
  out.reserve(size_ + 4);
  for (std::size_t at = 0; bytes_[at] != 0;) {
    if (at > 0) out += '.';
    auto length = bytes_[at++];
    for (unsigned i = 0; i < length; ++i, ++at) {
      auto c = bytes_[at];
      if (c == '.' || c == '\\' || c == '"' || c == ';' || c == '(' || c == ')' || c == '@' || c == '$') {
        out += '\\';
        out += static_cast<char>(c);
      } else if (c <= ' ' || c >= 0x7f) {
        out += '\\';
        out += static_cast<char>('0' + c / 100);
        out += static_cast<char>('0' + c / 10 % 10);
        out += static_cast<char>('0' + c % 10);
      } else {
        out += static_cast<char>(c);
      }
    }
  }
  return out;
}

std::optional<name> name::under(const name& suffix) const {
  if (size_ - 1 + suffix.size_ > max_size) return std::nullopt;
  name out = *this;
  std::memcpy(out.bytes_.data() + size_ - 1, suffix.bytes_.data(), suffix.size_);
  out.size_ = size_ - 1 + suffix.size_;
  return out;
}

name name::parent() const {
  if (is_root()) return *this;
  name out;
  auto skip = bytes_[0] + std::size_t{1};
  out.size_ = size_ - skip;
  std::memcpy(out.bytes_.data(), bytes_.data() + skip, out.size_);
  return out;
}

name name::lower() const {
  name out = *this;
  make_lower(byte_span(out.bytes_.data(), out.size_));
  return out;
}

bool name::is_within(const name& zone) const {
  if (zone.size_ > size_) return false;
  auto start = size_ - zone.size_;
  std::size_t at = 0;
  while (at < start) at += bytes_[at] + std::size_t{1};
  return at == start && same_octets(wire().subspan(start), zone.wire());
}

bool operator==(const name& a, const name& b) { return same_octets(a.wire(), b.wire()); }

std::optional<ip_address> address_of_reverse(const name& n) {
  auto text = n.lower();
  static const name v4_zone = *name::parse("in-addr.arpa"), v6_zone = *name::parse("ip6.arpa");
  std::array<std::uint8_t, 16> bytes{};
  auto wire = text.wire();
  if (text.labels() == 6 && text.is_within(v4_zone)) {
    std::size_t at = 0;
    for (int i = 3; i >= 0; --i) {
      auto length = wire[at++];
      if (length > 3 || (length > 1 && wire[at] == '0')) return std::nullopt;
      int value = 0;
      for (unsigned k = 0; k < length; ++k, ++at) {
        if (wire[at] < '0' || wire[at] > '9') return std::nullopt;
        value = value * 10 + (wire[at] - '0');
      }
      if (value > 255) return std::nullopt;
      bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(value);
    }
    return ip_address::v4(bytes[0], bytes[1], bytes[2], bytes[3]);
  }
  if (text.labels() == 34 && text.is_within(v6_zone)) {
    for (std::size_t i = 0; i < 32; ++i) {
      if (wire[i * 2] != 1) return std::nullopt;
      auto c = wire[i * 2 + 1];
      int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
      if (digit < 0) return std::nullopt;
      auto& byte = bytes[15 - i / 2];
      byte = static_cast<std::uint8_t>(byte | (i % 2 == 0 ? digit : digit << 4));
    }
    return ip_address::v6(bytes);
  }
  return std::nullopt;
}

} // namespace netlab::dns
