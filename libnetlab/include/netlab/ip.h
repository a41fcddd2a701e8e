#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "netlab/bytes.h"
#include "netlab/result.h"

namespace netlab {

// An IPv4 or IPv6 address. Default: IPv4 0.0.0.0. Ordered: every IPv4 before every IPv6, then numerically.
class ip_address {
public:
  constexpr ip_address() = default;
  static constexpr ip_address v4(std::uint32_t host_order) {
    ip_address out;
    for (int i = 0; i < 4; ++i) out.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
    return out;
  }
  static constexpr ip_address v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return v4((std::uint32_t{a} << 24) | (std::uint32_t{b} << 16) | (std::uint32_t{c} << 8) | d);
  }
  static ip_address v6(const std::array<std::uint8_t, 16>& bytes);
  static result<ip_address> parse(std::string_view text);

  constexpr bool is_v4() const { return !v6_; }
  constexpr bool is_v6() const { return v6_; }
  // 0.0.0.0 or ::
  constexpr bool is_unspecified() const {
    for (auto b : bytes_)
      if (b != 0) return false;
    return true;
  }
  bool is_loopback() const;
  bool is_multicast() const;
  bool is_link_local() const;
  bool is_broadcast() const { return !v6_ && v4_value() == 0xffffffffu; }
  // The IPv4 value in host order; 0 for IPv6.
  constexpr std::uint32_t v4_value() const {
    if (v6_) return 0;
    return (std::uint32_t{bytes_[0]} << 24) | (std::uint32_t{bytes_[1]} << 16) |
           (std::uint32_t{bytes_[2]} << 8) | bytes_[3];
  }
  byte_view bytes() const& { return {bytes_.data(), v6_ ? std::size_t{16} : std::size_t{4}}; }
  byte_view bytes() const&& = delete; // the view would outlive the address
  std::string to_string() const;

  friend constexpr bool operator==(const ip_address&, const ip_address&) = default;
  friend constexpr std::strong_ordering operator<=>(const ip_address&, const ip_address&) = default;

private:
  bool v6_ = false;
  std::array<std::uint8_t, 16> bytes_{}; // IPv4 uses the first four
};

// Address and port. Text: "10.0.0.1:53", "[fe80::1]:53"; parse also takes ":53" (any IPv4 address).
struct endpoint {
  ip_address address;
  std::uint16_t port = 0;

  static result<endpoint> parse(std::string_view text);
  std::string to_string() const;
  friend constexpr bool operator==(const endpoint&, const endpoint&) = default;
  friend constexpr auto operator<=>(const endpoint&, const endpoint&) = default;
};

// An address with its prefix length, host bits kept: "10.20.13.140/24".
struct cidr {
  ip_address address;
  std::uint8_t prefix = 0;

  static result<cidr> parse(std::string_view text);
  bool contains(const ip_address& other) const;
  ip_address network() const;
  ip_address broadcast() const; // highest address; for IPv6 the last of the prefix
  ip_address netmask() const;
  std::string to_string() const;
  friend constexpr bool operator==(const cidr&, const cidr&) = default;
};

// Two addresses of one family, both included: "10.0.0.100-10.0.0.199".
struct ip_range {
  ip_address first, last;

  static result<ip_range> parse(std::string_view text);
  bool contains(const ip_address& a) const { return first <= a && a <= last; }
  // Number of addresses, capped at 2^32.
  std::uint64_t size() const;
  std::string to_string() const;
  friend constexpr bool operator==(const ip_range&, const ip_range&) = default;
};

} // namespace netlab

template<>
struct std::hash<netlab::ip_address> {
  std::size_t operator()(const netlab::ip_address& a) const noexcept;
};
template<>
struct std::hash<netlab::endpoint> {
  std::size_t operator()(const netlab::endpoint& e) const noexcept {
    return std::hash<netlab::ip_address>{}(e.address) * 31 + e.port;
  }
};
