#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "netlab/bytes.h"
#include "netlab/ip.h"
#include "netlab/result.h"

namespace netlab::dns {

// A domain name in its wire form, uncompressed (RFC 1035 §3.1): labels of 1 to 63 octets, then the root's
// zero octet, 255 octets in all at most. Default: the root. A plain value; compared without regard to the
// case of ASCII letters (RFC 4343), which it keeps.
class name {
public:
  static constexpr std::size_t max_size = 255;
  static constexpr std::size_t max_label = 63;

  name() { bytes_[0] = 0; }
  name(const name& other) : size_(other.size_) { std::memcpy(bytes_.data(), other.bytes_.data(), size_); }
  name& operator=(const name& other) {
    size_ = other.size_;
    std::memmove(bytes_.data(), other.bytes_.data(), size_);
    return *this;
  }

  // Presentation form: "www.example.org", with or without the final dot, "\." and "\DDD" escapes
  // (RFC 1035 §5.1). "." is the root; the empty text is an error.
  static result<name> parse(std::string_view text);
  // Exactly one whole uncompressed name; nothing else may follow.
  static std::optional<name> from_wire(byte_view wire);
  // The name under in-addr.arpa or ip6.arpa that stands for an address (RFC 1035 §3.5, RFC 3596 §2.5).
  static name reverse(const ip_address& address);

  byte_view wire() const& { return {bytes_.data(), size_}; }
  byte_view wire() const&& = delete; // the view would outlive the name
  std::size_t size() const { return size_; }
  bool is_root() const { return size_ == 1; }
  unsigned labels() const; // the root's not counted
  // Without the final dot, "." for the root; what is not printable is escaped, so that it is safe anywhere.
  std::string to_string() const;

  // Adds a label at the end, before the root; false when a limit is passed and nothing was changed.
  bool append(byte_view label);
  // This name with `suffix` in the root's place; nothing when it is too long.
  std::optional<name> under(const name& suffix) const;
  name parent() const; // without the first label; the root's parent is the root
  name lower() const;
  // The same name or below it. Everything is within the root.
  bool is_within(const name& zone) const;

  friend bool operator==(const name& a, const name& b);

private:
  friend class name_reader;
  std::array<std::uint8_t, 256> bytes_; // one spare octet: work on whole words may touch it
  std::size_t size_ = 1;
};

// Makes ASCII letters lower case. Lengths of labels are below 64, so that a whole wire name may be given.
void make_lower(byte_span wire);

// The address that a name under in-addr.arpa or ip6.arpa stands for, when it is a whole one.
std::optional<ip_address> address_of_reverse(const name& n);

} // namespace netlab::dns
