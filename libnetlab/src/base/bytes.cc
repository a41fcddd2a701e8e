#include "netlab/bytes.h"

namespace netlab {

std::uint64_t byte_reader::number(std::size_t width) {
  if (failed_ || remaining() < width) {
    failed_ = true;
    return 0;
  }
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value = value << 8 | bytes_[position_ + i];
  position_ += width;
  return value;
}

byte_view byte_reader::bytes(std::size_t count) {
  if (failed_ || remaining() < count) {
    failed_ = true;
    return {};
  }
  auto out = bytes_.subspan(position_, count);
  position_ += count;
  return out;
}

void byte_writer::number(std::uint64_t value, std::size_t width) {
  if (failed_ || remaining() < width) {
    failed_ = true;
    return;
  }
  for (std::size_t i = 0; i < width; ++i)
    buffer_[position_ + i] = static_cast<std::uint8_t>(value >> (8 * (width - 1 - i)));
  position_ += width;
}

void byte_writer::bytes(byte_view source) {
  if (failed_ || remaining() < source.size()) {
    failed_ = true;
    return;
  }
  if (!source.empty()) std::memcpy(buffer_.data() + position_, source.data(), source.size());
  position_ += source.size();
}

void byte_writer::fill(std::uint8_t value, std::size_t count) {
  if (failed_ || remaining() < count) {
    failed_ = true;
    return;
  }
  std::memset(buffer_.data() + position_, value, count);
  position_ += count;
}

std::string to_hex(byte_view bytes, std::string_view separator) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * (2 + separator.size()));
  for (auto b : bytes) {
    if (!out.empty()) out += separator;
    out += digits[b >> 4];
    out += digits[b & 15];
  }
  return out;
}

bool from_hex(std::string_view text, byte_vector& out) {
  out.clear();
  int high = -1;
  for (char c : text) {
    int value;
    if (c >= '0' && c <= '9')
      value = c - '0';
    else if (c >= 'a' && c <= 'f')
      value = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F')
      value = c - 'A' + 10;
    else if ((c == ':' || c == '-' || c == ' ') && high < 0)
      continue;
    else
      return false;
    if (high < 0) {
      high = value;
    } else {
      out.push_back(static_cast<std::uint8_t>(high << 4 | value));
      high = -1;
    }
  }
  return high < 0;
}

} // namespace netlab
