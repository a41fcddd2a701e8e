#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace netlab {

using byte_view = std::span<const std::uint8_t>;
using byte_span = std::span<std::uint8_t>;
using byte_vector = std::vector<std::uint8_t>;

inline byte_view as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(byte_view bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads network-order fields from a buffer that it does not own. A read past the end sets `failed()`,
// returns zeros and stays failed, so that a decoder may check once after a run of reads.
class byte_reader {
public:
  explicit byte_reader(byte_view bytes) : bytes_(bytes) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  // The next `count` bytes; empty and failed when fewer are left.
  byte_view bytes(std::size_t count);
  byte_view rest() { return bytes(remaining()); }
  void skip(std::size_t count) { (void)bytes(count); }

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }
  bool failed() const { return failed_; }

private:
  std::uint64_t number(std::size_t width);

  byte_view bytes_;
  std::size_t position_ = 0;
  bool failed_ = false;
};

// Writes network-order fields into a caller's buffer. A write past the end sets `failed()` and writes
// nothing.
class byte_writer {
public:
  explicit byte_writer(byte_span buffer) : buffer_(buffer) {}

  void u8(std::uint8_t value) { number(value, 1); }
  void u16(std::uint16_t value) { number(value, 2); }
  void u32(std::uint32_t value) { number(value, 4); }
  void u64(std::uint64_t value) { number(value, 8); }
  void bytes(byte_view source);
  void text(std::string_view source) { bytes(as_bytes(source)); }
  void fill(std::uint8_t value, std::size_t count);

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return buffer_.size() - position_; }
  bool failed() const { return failed_; }
  byte_view written() const { return buffer_.first(position_); }

private:
  void number(std::uint64_t value, std::size_t width);

  byte_span buffer_;
  std::size_t position_ = 0;
  bool failed_ = false;
};

std::string to_hex(byte_view bytes, std::string_view separator = {});
// Hex digits with optional `:`, `-` or blank separators; false when it is anything else.
bool from_hex(std::string_view text, byte_vector& out);

} // namespace netlab
