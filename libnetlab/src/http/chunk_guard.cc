#include "chunk_guard.h"

#include <algorithm>

#include "request.h"

namespace netlab::http {

void chunk_guard::reset(std::size_t body_limit, std::size_t line_limit) {
  *this = chunk_guard{};
  body_limit_ = body_limit;
  line_limit_ = line_limit;
}

chunk_guard::state chunk_guard::walk(std::string_view bytes, std::size_t& consumed) {
  consumed = 0;
  auto visible = [](unsigned char c) { return c == '\t' || (c >= 0x20 && c != 0x7f); };
  while (consumed < bytes.size()) {
    auto c = static_cast<unsigned char>(bytes[consumed]);
    if (at_ == at::data) { // the only state that is walked in strides
      auto step = std::min<std::uint64_t>(left_, bytes.size() - consumed);
      left_ -= step;
      consumed += static_cast<std::size_t>(step);
      if (left_ == 0) at_ = at::data_cr;
      continue;
    }
    ++consumed;
    switch (at_) {
    case at::size: {
      int value = c >= '0' && c <= '9'   ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                         : -1;
      if (value >= 0) {
        if (++digits_ > 16) return state::bad;
        left_ = left_ << 4 | static_cast<unsigned>(value);
        break;
      }
      if (digits_ == 0) return state::bad;
      if (left_ > body_limit_ || total_ + left_ > body_limit_) return state::too_large;
      total_ += left_;
      if (c == '\r')
        at_ = at::size_lf;
      else if (c == ';')
        at_ = at::extension;
      else
        return state::bad;
      break;
    }
    case at::extension:
      if (c == '\r')
        at_ = at::size_lf;
      else if (!visible(c) || ++overhead_ > line_limit_)
        return state::bad;
      break;
    case at::size_lf:
      if (c != '\n') return state::bad;
      digits_ = 0;
      at_ = left_ == 0 ? at::trailer_start : at::data;
      break;
    case at::data: break;
    case at::data_cr:
      if (c != '\r') return state::bad;
      at_ = at::data_lf;
      break;
    case at::data_lf:
      if (c != '\n') return state::bad;
      at_ = at::size;
      break;
    case at::trailer_start:
      if (c == '\r')
        at_ = at::end_lf;
      else if (is_token_char(c))
        at_ = at::trailer_name;
      else
        return state::bad;
      if (++overhead_ > line_limit_) return state::bad;
      break;
    case at::trailer_name:
      if (c == ':')
        at_ = at::trailer_value;
      else if (!is_token_char(c))
        return state::bad;
      if (++overhead_ > line_limit_) return state::bad;
      break;
    case at::trailer_value:
      if (c == '\r')
        at_ = at::trailer_lf;
      else if (!visible(c))
        return state::bad;
      if (++overhead_ > line_limit_) return state::bad;
      break;
    case at::trailer_lf:
      if (c != '\n') return state::bad;
      at_ = at::trailer_start;
      break;
    case at::end_lf: return c == '\n' ? state::done : state::bad;
    }
  }
  return state::more;
}

} // namespace netlab::http
