#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "netlab/bytes.h"
#include "netlab/clock.h"
#include "request_parser.h"
#include "response.h"

namespace netlab::http {

// One connection without its socket: bytes in, one request at a time out, responses to bytes and file
// pieces, and what is overdue. Requests that the client sent ahead (pipelining) wait in a bounded buffer
// until the one before is answered, so that answers keep the order of the requests by construction.
class connection_engine {
public:
  connection_engine(const http_limits& limits, boot_time now, request_parser::choose_taker choose = {})
      : limits_(limits), parser_(limits, std::move(choose)), since_(now) {}

  enum class event { none, request, refused };
  void receive(std::string_view bytes, boot_time now);
  // What is to be done next. A request or refusal is given once and then has to be answered by respond().
  event next(boot_time now);
  // While false the peer's bytes should stay in the kernel.
  bool wants_input() const { return buffer_.size() - position_ < pipeline_bytes; }
  // True once after a request said that it waits for "100 Continue" before it sends its body.
  bool take_continue();
  // Something of a body came that is not kept: such a body may last.
  void body_came(boot_time now) { since_ = now; }

  // Valid from `request` or `refused` until finish().
  const struct request& request() const { return parser_.request(); }
  int refusal_status() const { return parser_.status(); }
  const std::string& refusal() const { return parser_.why(); }
  boot_time began() const { return began_; } // when the request's first byte came

  // `last` closes the connection behind the response whatever the client wished.
  outgoing respond(const response& r, std::string_view date, bool last);
  // This was the last request that the connection may make.
  bool request_limit_reached() const { return requests_ >= limits_.requests_per_connection; }
  // The response left; on to the next request.
  void finish(boot_time now);

  enum class overdue { nothing, idle, header, body, reply };
  overdue check(boot_time now) const;
  // Nothing of a request has come since the last answer.
  bool idle() const { return phase_ == phase::reading && !parser_.started() && position_ == buffer_.size(); }
  bool answering() const { return phase_ == phase::waiting || phase_ == phase::sending; }

  static constexpr std::size_t pipeline_bytes = 64u << 10;

private:
  enum class phase { reading, ready, waiting, sending };
  std::size_t parse(std::string_view bytes, boot_time now);

  const http_limits& limits_;
  request_parser parser_;
  phase phase_ = phase::reading;
  event event_ = event::none;
  std::string buffer_; // received and not parsed, from position_ on
  std::size_t position_ = 0;
  boot_time since_{}, began_{};
  std::uint64_t requests_ = 0;
  bool in_body_ = false, owes_continue_ = false;
};

} // namespace netlab::http
