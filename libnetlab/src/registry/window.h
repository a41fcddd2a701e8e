#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "netlab/bytes.h"

namespace netlab::registry {

// What is held of a blob that is not kept: the bytes between who reads it slowest and what has come. One
// thread's plain data; who fills it makes the sender wait while it is full.
class window {
public:
  static constexpr std::size_t most = 1u << 20; // beyond that, what the sender had under way already

  explicit window(std::uint64_t begin = 0) : begin_(begin) {}
  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return begin_ + held_.size(); }
  bool full() const { return held_.size() >= most; }
  bool low() const { return held_.size() < most / 2; }

  void take(byte_view bytes) { held_.append(as_text(bytes)); }
  // Not before begin().
  std::string read(std::uint64_t offset, std::uint64_t bytes) const {
    return held_.substr(static_cast<std::size_t>(offset - begin_), static_cast<std::size_t>(bytes));
  }
  // Nobody wants what is before that.
  void let_go(std::uint64_t offset) {
    if (offset <= begin_) return;
    auto gone = std::min<std::uint64_t>(offset - begin_, held_.size());
    held_.erase(0, static_cast<std::size_t>(gone));
    begin_ += gone;
  }

private:
  std::uint64_t begin_;
  std::string held_;
};

} // namespace netlab::registry
