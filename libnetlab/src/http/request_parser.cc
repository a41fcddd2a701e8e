#include "request_parser.h"

#include <llhttp.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "chunk_guard.h"
#include "netlab/text.h"

namespace netlab::http {

struct request_parser::grammar {
  llhttp_t parser;
  llhttp_settings_t settings;
  struct request* out = nullptr;
  taker take; // of the body, when it is not kept
  std::size_t field_limit = 0;
  bool value_began = false, too_many = false, head_done = false, done = false;
  chunk_guard chunks;

  static grammar& of(llhttp_t* p) { return *static_cast<grammar*>(p->data); }
  static std::string_view joined(std::string_view before, const char* at, std::size_t length) {
    // The header is handed over in one piece, so that the parts of one token lie side by side.
    return before.empty() ? std::string_view(at, length)
                          : std::string_view(before.data(), before.size() + length);
  }

  explicit grammar(struct request& target, std::size_t most_fields) : out(&target), field_limit(most_fields) {
    llhttp_settings_init(&settings);
    settings.on_url = [](llhttp_t* p, const char* at, std::size_t n) {
      auto& g = of(p);
      g.out->target = joined(g.out->target, at, n);
      return 0;
    };
    settings.on_method = [](llhttp_t* p, const char* at, std::size_t n) {
      auto& g = of(p);
      g.out->method = joined(g.out->method, at, n);
      return 0;
    };
    settings.on_header_field = [](llhttp_t* p, const char* at, std::size_t n) {
      auto& g = of(p);
      auto& fields = g.out->fields;
      if (g.head_done) return 0; // trailers are checked by the guard and belong to nobody
      if (fields.empty() || g.value_began) {
        if (fields.size() == g.field_limit) {
          g.too_many = true;
          return -1;
        }
        fields.push_back({});
        g.value_began = false;
      }
      fields.back().name = joined(fields.back().name, at, n);
      return 0;
    };
    settings.on_header_field_complete = [](llhttp_t* p) {
      of(p).value_began = true;
      return 0;
    };
    settings.on_header_value = [](llhttp_t* p, const char* at, std::size_t n) {
      auto& g = of(p);
      if (!g.head_done && !g.out->fields.empty())
        g.out->fields.back().value = joined(g.out->fields.back().value, at, n);
      return 0;
    };
    settings.on_headers_complete = [](llhttp_t* p) {
      of(p).head_done = true;
      p->upgrade = 0; // an upgrade is an offer that we do not take (RFC 9110 §7.8)
      return 0;
    };
    settings.on_body = [](llhttp_t* p, const char* at, std::size_t n) {
      auto& g = of(p);
      if (g.take)
        g.take(std::string_view(at, n));
      else
        g.out->body.append(at, n);
      return 0;
    };
    settings.on_message_complete = [](llhttp_t* p) {
      of(p).done = true;
      return 0;
    };
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = this;
  }

  void reset() {
    llhttp_reset(&parser);
    value_began = too_many = head_done = done = false;
    take = nullptr;
  }
};

request_parser::request_parser(const http_limits& limits, choose_taker choose)
    : limits_(limits), choose_(std::move(choose)),
      grammar_(std::make_unique<grammar>(request_, limits.header_fields)) {}
request_parser::~request_parser() = default;

bool request_parser::started() const { return !head_.empty(); }
bool request_parser::in_body() const { return in_body_; }

void request_parser::next() {
  grammar_->reset();
  request_.method = request_.target = request_.host = request_.query = {};
  request_.path.clear();
  request_.fields.clear();
  request_.keep_alive = true;
  request_.expects_continue = false;
  // Keep the buffers of ordinary requests; give back what a large one needed.
  if (request_.body.capacity() > 4096) request_.body = {};
  request_.body.clear();
  if (head_.capacity() > 4096) head_ = {};
  head_.clear();
  line_start_ = 0;
  empty_line_skipped_ = in_body_ = chunked_ = false;
  length_left_ = 0;
}

request_parser::state request_parser::refuse(int status, std::string why) {
  status_ = status;
  why_ = std::move(why);
  return state::refused;
}

request_parser::state request_parser::parse(std::string_view input, std::size_t& consumed) {
  consumed = 0;
  if (status_ != 0) return state::refused;
  while (!in_body_) {
    auto rest = input.substr(consumed);
    auto newline = rest.find('\n');
    auto piece = rest.substr(0, newline == std::string_view::npos ? rest.size() : newline + 1);
    if (head_.size() + piece.size() > limits_.header_bytes)
      return refuse(431, "the header is larger than " + std::to_string(limits_.header_bytes) + " bytes");
    head_ += piece;
    consumed += piece.size();
    if (line_start_ == 0 && head_.starts_with('\x16'))
      return refuse(400, "it speaks TLS, and this port does not");
    if (newline == std::string_view::npos) {
      // Refuse garbage that never ends its line at its first bytes.
      if (line_start_ == 0 && !head_.empty() && !is_token_char(static_cast<unsigned char>(head_[0])) &&
          head_ != "\r")
        return refuse(400, "this is no HTTP request");
      return state::more;
    }
    std::string_view line(head_.data() + line_start_, head_.size() - line_start_ - 1);
    if (line.empty() || line.back() != '\r') return refuse(400, "a line ends in a bare LF");
    line.remove_suffix(1);
    if (line_start_ == 0) {
      if (line.empty()) { // RFC 9112 §2.2: one empty line before the request line is ignored
        if (empty_line_skipped_) return refuse(400, "empty lines before the request line");
        empty_line_skipped_ = true;
        head_.clear();
        continue;
      }
      if (!check_request_line(line)) return state::refused;
    } else if (line.empty()) {
      if (auto s = end_of_header(); s != state::more) return s;
      break;
    } else if (!check_line(line)) {
      return state::refused;
    }
    line_start_ = head_.size();
  }
  if (consumed == input.size() && (chunked_ || length_left_ > 0)) return state::more;
  std::size_t taken = 0;
  auto out = parse_body(input.substr(consumed), taken);
  consumed += taken;
  return out;
}

// RFC 9112 §3: method SP request-target SP HTTP-version, single blanks, nothing else.
bool request_parser::check_request_line(std::string_view line) {
  auto first = line.find(' ');
  auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || !is_token(line.substr(0, first)))
    return refuse(400, "malformed request line"), false;
  auto target = line.substr(first + 1, last - first - 1);
  for (unsigned char c : target)
    if (c <= 0x20 || c == 0x7f) return refuse(400, "a blank or control byte in the request target"), false;
  if (target.empty()) return refuse(400, "no request target"), false;
  auto version = line.substr(last + 1);
  if (version == "HTTP/1.1" || version == "HTTP/1.0") {
    request_.minor_version = version.back() - '0';
    return true;
  }
  bool shaped = version.size() == 8 && version.starts_with("HTTP/") && version[6] == '.';
  return refuse(shaped ? 505 : 400,
                shaped ? "only HTTP/1.0 and HTTP/1.1 are spoken here" : "malformed request line"),
         false;
}

// RFC 9112 §5: field-name ":" OWS field-value OWS; no blank before the colon (§5.1), no folding (§5.2).
bool request_parser::check_line(std::string_view line) {
  auto colon = line.find(':');
  if (line[0] == ' ' || line[0] == '\t') return refuse(400, "a folded header field"), false;
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
    return refuse(400, "a malformed header field name"), false;
  if (!is_field_value(line.substr(colon + 1)))
    return refuse(400, "a control byte in a header field value"), false;
  return true;
}

bool request_parser::feed(std::string_view bytes) {
  auto e = llhttp_execute(&grammar_->parser, bytes.data(), bytes.size());
  if (e == HPE_OK) return true;
  if (grammar_->too_many)
    return refuse(431, "more than " + std::to_string(limits_.header_fields) + " header fields"), false;
  if (e == HPE_INVALID_METHOD) return refuse(501, "unknown method"), false;
  if (e == HPE_PAUSED_H2_UPGRADE) return refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"), false;
  const char* reason = llhttp_get_error_reason(&grammar_->parser);
  return refuse(400, reason && *reason ? reason : llhttp_errno_name(e)), false;
}

request_parser::state request_parser::end_of_header() {
  if (!feed(head_)) return state::refused;
  if (!grammar_->head_done) return refuse(400, "malformed header");
  for (auto& f : request_.fields) f.value = trim(f.value);
  if (!check_meaning() || !read_target()) return state::refused;
  if (choose_ && (chunked_ || length_left_ > 0)) grammar_->take = choose_(request_);
  if (!grammar_->take && length_left_ > limits_.body_bytes)
    return refuse(413, "the body is larger than " + std::to_string(limits_.body_bytes) + " bytes");
  if (chunked_)
    grammar_->chunks.reset(grammar_->take ? std::numeric_limits<std::size_t>::max() : limits_.body_bytes,
                           limits_.header_bytes);
  in_body_ = true;
  return state::more;
}

bool request_parser::check_meaning() {
  const std::string_view* length = nullptr;
  const std::string_view* coding = nullptr;
  const std::string_view* host = nullptr;
  const std::string_view* expect = nullptr;
  bool close = false, keep = false;
  for (const auto& f : request_.fields) {
    switch (f.name.size()) { // most fields fall out by their length alone
    case 4:
      if (iequals(f.name, "host")) {
        if (host) return refuse(400, "more than one Host field"), false;
        host = &f.value;
      }
      break;
    case 6:
      if (iequals(f.name, "expect")) expect = &f.value;
      break;
    case 10:
      if (iequals(f.name, "connection")) {
        close = close || has_token(f.value, "close");
        keep = keep || has_token(f.value, "keep-alive");
      }
      break;
    case 14:
      if (iequals(f.name, "content-length")) {
        if (length) return refuse(400, "more than one Content-Length field"), false;
        length = &f.value;
      }
      break;
    case 17:
      if (iequals(f.name, "transfer-encoding")) {
        if (coding) return refuse(400, "more than one Transfer-Encoding field"), false;
        coding = &f.value;
      }
      break;
    default: break;
    }
  }
  request_.keep_alive = request_.minor_version == 1 ? !close : keep && !close;

  // RFC 9112 §6.1, §6.3: a message with both, or a coding we cannot undo, has no length all agree on.
  if (coding && length) return refuse(400, "both Transfer-Encoding and Content-Length"), false;
  if (coding && request_.minor_version == 0) return refuse(400, "Transfer-Encoding in HTTP/1.0"), false;
  if (coding && !iequals(*coding, "chunked"))
    return refuse(501, "only the chunked transfer coding is offered"), false;
  if (length) {
    auto [end, e] = std::from_chars(length->data(), length->data() + length->size(), length_left_);
    bool digits = !length->empty() &&
                  std::all_of(length->begin(), length->end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits) return refuse(400, "malformed Content-Length"), false;
    if (e != std::errc{})
      return refuse(413, "the body is larger than " + std::to_string(limits_.body_bytes) + " bytes"), false;
  }
  chunked_ = coding != nullptr;

  // RFC 9112 §3.2: 400 to a 1.1 request without exactly one valid Host.
  if (!host && request_.minor_version == 1) return refuse(400, "no Host field"), false;
  if (host) {
    for (char c : *host)
      if (c == ' ' || c == '\t' || c == ',' || c == '/' || c == '@' || c == '?' || c == '#')
        return refuse(400, "malformed Host field"), false;
    request_.host = *host;
  }
  if (expect && request_.minor_version == 1) {
    if (!iequals(*expect, "100-continue")) return refuse(417, "unknown expectation"), false;
    request_.expects_continue = chunked_ || length_left_ > 0;
  } else {
    request_.expects_continue = false;
  }
  return true;
}

// RFC 9112 §3.2: origin-form, absolute-form (a client that takes us for its proxy), or "*" for OPTIONS.
bool request_parser::read_target() {
  auto rest = request_.target;
  if (request_.method == "CONNECT") return refuse(501, "this is no proxy"), false;
  if (rest == "*" && request_.method == "OPTIONS") {
    request_.path = "*";
    return true;
  }
  if (rest.front() != '/') {
    auto scheme = rest.find("://");
    if (scheme == std::string_view::npos ||
        !(iequals(rest.substr(0, scheme), "http") || iequals(rest.substr(0, scheme), "https")))
      return refuse(400, "malformed request target"), false;
    rest.remove_prefix(scheme + 3);
    auto end = rest.find_first_of("/?#");
    auto authority = rest.substr(0, end);
    if (authority.empty() || authority.find('@') != std::string_view::npos)
      return refuse(400, "malformed request target"), false;
    request_.host = authority; // outranks the Host field (§3.2.2)
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end);
  }
  if (rest.find('#') != std::string_view::npos) return refuse(400, "a fragment in the request target"), false;
  auto question = rest.find('?');
  if (question != std::string_view::npos) {
    request_.query = rest.substr(question + 1);
    rest = rest.substr(0, question);
  }
  if (!resolve_path(rest, request_.path))
    return refuse(400, "a broken percent escape or control byte in the path"), false;
  return true;
}

request_parser::state request_parser::parse_body(std::string_view input, std::size_t& consumed) {
  bool whole;
  if (chunked_) {
    auto walked = grammar_->chunks.walk(input, consumed);
    if (walked == chunk_guard::state::bad) return refuse(400, "malformed chunked body");
    if (walked == chunk_guard::state::too_large)
      return refuse(413, "the body is larger than " + std::to_string(limits_.body_bytes) + " bytes");
    whole = walked == chunk_guard::state::done;
  } else {
    consumed = static_cast<std::size_t>(std::min<std::uint64_t>(length_left_, input.size()));
    length_left_ -= consumed;
    whole = length_left_ == 0;
  }
  if (consumed > 0 && !feed(input.substr(0, consumed))) return state::refused;
  if (grammar_->done != whole) return refuse(400, "the body's length can be read in two ways");
  return whole ? state::complete : state::more;
}

} // namespace netlab::http
