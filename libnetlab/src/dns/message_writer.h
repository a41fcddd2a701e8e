#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "wire.h"

namespace netlab::dns {

// Writes a message into a caller's buffer, names compressed (RFC 1035 §4.1.4). A part that does not fit is
// not written at all. The suffixes that later names may point to are bounded, so that no message makes the
// search for them long.
class message_writer {
public:
  explicit message_writer(byte_span out) : out_(out), at_(header_size) {}

  // `reserve` bytes at the end stay free, for what is written last (the OPT record).
  void keep_free(std::size_t bytes) { reserved_ = bytes; }
  bool question(const name& qname, std::uint16_t type, std::uint16_t klass);
  enum class section { answer, authority, additional };
  bool add(section where, const name& owner, std::uint16_t type, std::uint16_t klass, std::uint32_t ttl,
           byte_view data);
  bool add(section where, const record& r) { return add(where, r.owner, r.type, r.klass, r.ttl, r.data); }
  // The OPT record of a message whose whole response code is `code`.
  bool opt(const edns& value, std::uint16_t code);
  // Puts the header in front; `flags` with opcode and rcode. Returns the whole size.
  std::size_t finish(std::uint16_t id, std::uint16_t flags);

  std::size_t position() const { return at_; }
  const std::array<std::uint16_t, 4>& counts() const { return counts_; }
  // When set, gets the offset of every TTL that is written.
  std::vector<std::uint16_t>* ttl_offsets = nullptr;

private:
  bool put(byte_view bytes);
  bool put_name(byte_view wire, bool compress);
  bool put_data(std::uint16_t type, byte_view data);

  static constexpr std::size_t max_suffixes = 64;
  byte_span out_;
  std::size_t at_, reserved_ = 0;
  std::array<std::uint16_t, 4> counts_{};
  std::array<std::uint16_t, max_suffixes> offsets_;
  std::array<std::uint16_t, max_suffixes> hashes_;
  std::size_t suffixes_ = 0;
};

} // namespace netlab::dns
