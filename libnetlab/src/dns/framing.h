#pragma once
#include <string>

#include "wire.h"

namespace netlab::dns {

// Cuts a byte stream into messages by their two-octet lengths (RFC 1035 §4.2.2).
class frame_reader {
public:
  void add(byte_view bytes) { held_.insert(held_.end(), bytes.begin(), bytes.end()); }
  // The next whole message, valid until add() or the next call; empty when there is none yet.
  byte_view next() {
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ = 0;
    if (held_.size() < 2) return {};
    std::size_t length = get16(held_.data());
    if (held_.size() < 2 + length) return {};
    used_ = 2 + length;
    if (length == 0) {
      broken_ = true; // a message has a header at least
      return {};
    }
    return byte_view(held_).subspan(2, length);
  }
  bool broken() const { return broken_; }

private:
  byte_vector held_;
  std::size_t used_ = 0;
  bool broken_ = false;
};

inline std::string framed(byte_view message) {
  std::string out;
  out.reserve(2 + message.size());
  out += static_cast<char>(message.size() >> 8);
  out += static_cast<char>(message.size() & 0xff);
  out += as_text(message);
  return out;
}

} // namespace netlab::dns
