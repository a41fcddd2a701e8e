#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace netlab::http {

// Walks chunked framing (RFC 9112 §7.1) strictly: CRLF only, plain hex sizes, no fold in trailers. The
// parser library is lenient where proxies in front of us may not be, and a length that two parties read
// differently is how requests are smuggled. It finds the body's end and refuses; it does not decode.
class chunk_guard {
public:
  enum class state { more, done, bad, too_large };
  void reset(std::size_t body_limit, std::size_t line_limit);
  // Walks over `bytes` until the body ends; `consumed` counts the bytes that belong to it.
  state walk(std::string_view bytes, std::size_t& consumed);

private:
  enum class at {
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf
  };
  at at_ = at::size;
  std::uint64_t left_ = 0;
  std::uint64_t total_ = 0;
  unsigned digits_ = 0;
  std::size_t overhead_ = 0; // bytes of extensions and trailers, bounded
  std::size_t body_limit_ = 0, line_limit_ = 0;
};

} // namespace netlab::http
