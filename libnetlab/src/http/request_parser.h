#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "netlab/bytes.h"
#include "netlab/http_server.h"
#include "request.h"

namespace netlab::http {

// Turns one connection's bytes into requests, one at a time. llhttp reads the grammar; the strict line
// rules of RFC 9112 are checked before it sees a byte, because it forgives bare LF, folded fields and
// blanks before colons. No I/O, no clock. After `refused` the connection is of no more use.
class request_parser {
public:
  // Decides, once a header is whole, whether its body is to be kept: a function that takes the body's bytes
  // instead lifts the limit on them. May be empty, and may give an empty one.
  using taker = std::function<void(std::string_view)>;
  using choose_taker = std::function<taker(const struct request&)>;

  explicit request_parser(const http_limits& limits, choose_taker choose = {});
  ~request_parser();
  request_parser(const request_parser&) = delete;
  request_parser& operator=(const request_parser&) = delete;

  enum class state {
    more,     // all input consumed, the request is not whole yet
    complete, // request() is whole; consume no more before next()
    refused,  // status() and why() say what is wrong
  };
  // Takes bytes from the front of `input`, never beyond the end of the request.
  state parse(std::string_view input, std::size_t& consumed);
  const struct request& request() const { return request_; }
  // Forgets the request that was answered.
  void next();

  bool started() const; // a byte of the request has come
  bool in_body() const; // the header is whole, the body is not
  int status() const { return status_; }
  const std::string& why() const { return why_; }

private:
  struct grammar;
  state refuse(int status, std::string why);
  bool check_line(std::string_view line);
  bool check_request_line(std::string_view line);
  state end_of_header();
  bool check_meaning();
  bool read_target();
  bool feed(std::string_view bytes);
  state parse_body(std::string_view input, std::size_t& consumed);

  const http_limits& limits_;
  choose_taker choose_;
  std::unique_ptr<grammar> grammar_;
  struct request request_;
  std::string head_;           // header bytes so far; what the request's views point into
  std::size_t line_start_ = 0; // of the line that is not whole yet
  bool empty_line_skipped_ = false;
  bool in_body_ = false, chunked_ = false;
  std::uint64_t length_left_ = 0;
  int status_ = 0;
  std::string why_;
};

} // namespace netlab::http
