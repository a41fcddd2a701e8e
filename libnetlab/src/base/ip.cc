#include "netlab/ip.h"

#include <arpa/inet.h>
#include <charconv>
#include <cstring>

namespace netlab {

namespace {

result<std::uint32_t> parse_number(std::string_view text, std::uint32_t max, const char* what) {
  std::uint32_t value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || text.empty() || value > max)
    return fail(errc::invalid, std::string(what) + " \"" + std::string(text) +
                                   "\" is not a number from 0 to " + std::to_string(max));
  return value;
}

ip_address masked(const ip_address& address, std::uint8_t prefix, bool ones) {
  std::array<std::uint8_t, 16> out{};
  auto in = address.bytes();
  for (std::size_t i = 0; i < in.size(); ++i) {
    int bits = static_cast<int>(prefix) - static_cast<int>(i) * 8;
    auto mask = static_cast<std::uint8_t>(bits >= 8 ? 0xff : bits <= 0 ? 0 : 0xff << (8 - bits));
    out[i] = static_cast<std::uint8_t>(ones ? (in[i] | static_cast<std::uint8_t>(~mask)) : (in[i] & mask));
  }
  return address.is_v4() ? ip_address::v4(out[0], out[1], out[2], out[3]) : ip_address::v6(out);
}

} // namespace

ip_address ip_address::v6(const std::array<std::uint8_t, 16>& bytes) {
  ip_address out;
  out.v6_ = true;
  out.bytes_ = bytes;
  return out;
}

result<ip_address> ip_address::parse(std::string_view text) {
  char buffer[64];
  if (text.size() < sizeof buffer && text.find('\0') == std::string_view::npos) {
    buffer[text.copy(buffer, sizeof buffer - 1)] = 0;
    std::array<std::uint8_t, 16> raw{};
    if (inet_pton(AF_INET, buffer, raw.data()) == 1) return v4(raw[0], raw[1], raw[2], raw[3]);
    if (inet_pton(AF_INET6, buffer, raw.data()) == 1) return v6(raw);
  }
  return fail(errc::invalid, "\"" + std::string(text) + "\" is not an IP address");
}

bool ip_address::is_loopback() const {
  if (!v6_) return bytes_[0] == 127;
  for (int i = 0; i < 15; ++i)
    if (bytes_[i] != 0) return false;
  return bytes_[15] == 1;
}

bool ip_address::is_multicast() const { return v6_ ? bytes_[0] == 0xff : (bytes_[0] & 0xf0) == 0xe0; }

bool ip_address::is_link_local() const {
  return v6_ ? bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80 : bytes_[0] == 169 && bytes_[1] == 254;
}

std::string ip_address::to_string() const {
  char buffer[INET6_ADDRSTRLEN];
  inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), buffer, sizeof buffer);
  return buffer;
}

result<endpoint> endpoint::parse(std::string_view text) {
  auto complain = [&](std::string_view why) {
    return fail(errc::invalid,
                "\"" + std::string(text) + "\" is not address:port (" + std::string(why) + ")");
  };
  std::string_view host, port;
  if (!text.empty() && text.front() == '[') {
    auto close = text.find("]:");
    if (close == std::string_view::npos) return complain("an IPv6 address is written [::1]:port");
    host = text.substr(1, close - 1);
    port = text.substr(close + 2);
  } else {
    auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return complain("the port is missing");
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  endpoint out;
  if (!host.empty()) {
    auto address = ip_address::parse(host);
    if (!address) return complain(address.error().message);
    out.address = *address;
  }
  auto number = parse_number(port, 65535, "port");
  if (!number) return complain(number.error().message);
  out.port = static_cast<std::uint16_t>(*number);
  return out;
}

std::string endpoint::to_string() const {
  return (address.is_v6() ? "[" + address.to_string() + "]" : address.to_string()) + ":" +
         std::to_string(port);
}

result<cidr> cidr::parse(std::string_view text) {
  auto slash = text.find('/');
  if (slash == std::string_view::npos)
    return fail(errc::invalid,
                "\"" + std::string(text) + "\" has no prefix length; write it like 10.20.13.0/24");
  auto address = ip_address::parse(text.substr(0, slash));
  if (!address) return tl::unexpected(address.error());
  auto prefix = parse_number(text.substr(slash + 1), address->is_v4() ? 32 : 128, "prefix length");
  if (!prefix) return tl::unexpected(prefix.error());
  return cidr{*address, static_cast<std::uint8_t>(*prefix)};
}

bool cidr::contains(const ip_address& other) const {
  return other.is_v4() == address.is_v4() && masked(other, prefix, false) == network();
}
ip_address cidr::network() const { return masked(address, prefix, false); }
ip_address cidr::broadcast() const { return masked(address, prefix, true); }
ip_address cidr::netmask() const {
  std::array<std::uint8_t, 16> ones;
  ones.fill(0xff);
  return masked(address.is_v4() ? ip_address::v4(0xffffffffu) : ip_address::v6(ones), prefix, false);
}
std::string cidr::to_string() const { return address.to_string() + "/" + std::to_string(prefix); }

result<ip_range> ip_range::parse(std::string_view text) {
  auto dash = text.find('-');
  if (dash == std::string_view::npos)
    return fail(errc::invalid,
                "\"" + std::string(text) + "\" is not a range; write it like 10.0.0.100-10.0.0.199");
  auto first = ip_address::parse(text.substr(0, dash));
  if (!first) return tl::unexpected(first.error());
  auto last = ip_address::parse(text.substr(dash + 1));
  if (!last) return tl::unexpected(last.error());
  if (first->is_v4() != last->is_v4())
    return fail(errc::invalid, "\"" + std::string(text) + "\" mixes IPv4 and IPv6");
  if (*last < *first) return fail(errc::invalid, "\"" + std::string(text) + "\" ends before it begins");
  return ip_range{*first, *last};
}

std::uint64_t ip_range::size() const {
  constexpr std::uint64_t cap = std::uint64_t{1} << 32;
  if (first.is_v4()) return std::uint64_t{last.v4_value()} - first.v4_value() + 1;
  auto a = first.bytes(), b = last.bytes();
  if (std::memcmp(a.data(), b.data(), 8) != 0) return cap;
  std::uint64_t low = 0, high = 0;
  for (int i = 8; i < 16; ++i) {
    low = low << 8 | a[static_cast<std::size_t>(i)];
    high = high << 8 | b[static_cast<std::size_t>(i)];
  }
  return high - low >= cap ? cap : high - low + 1;
}

std::string ip_range::to_string() const { return first.to_string() + "-" + last.to_string(); }

} // namespace netlab

std::size_t std::hash<netlab::ip_address>::operator()(const netlab::ip_address& a) const noexcept {
  if (a.is_v4()) return static_cast<std::size_t>(a.v4_value() * 0x9e3779b97f4a7c15ull >> 16);
  std::uint64_t high, low;
  std::memcpy(&high, a.bytes().data(), 8);
  std::memcpy(&low, a.bytes().data() + 8, 8);
  return static_cast<std::size_t>((high ^ (low * 0x9e3779b97f4a7c15ull)) * 0xbf58476d1ce4e5b9ull >> 8);
}
