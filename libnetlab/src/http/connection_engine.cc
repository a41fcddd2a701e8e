#include "connection_engine.h"

#include <utility>

namespace netlab::http {

std::size_t connection_engine::parse(std::string_view bytes, boot_time now) {
  if (!parser_.started()) since_ = began_ = now;
  std::size_t consumed = 0;
  auto state = parser_.parse(bytes, consumed);
  if (!in_body_ && parser_.in_body()) {
    in_body_ = true;
    since_ = now;
    // A client that did not wait gets no interim answer that it no longer looks for.
    owes_continue_ = state == request_parser::state::more && parser_.request().expects_continue &&
                     parser_.request().body.empty();
  }
  if (state == request_parser::state::more) return consumed;
  phase_ = phase::ready;
  event_ = state == request_parser::state::complete ? event::request : event::refused;
  if (event_ == event::request) ++requests_;
  return consumed;
}

void connection_engine::receive(std::string_view bytes, boot_time now) {
  if (phase_ == phase::reading && position_ == buffer_.size() && !bytes.empty())
    bytes.remove_prefix(parse(bytes, now));
  buffer_.append(bytes); // behind the request that has to be answered first
}

connection_engine::event connection_engine::next(boot_time now) {
  if (phase_ == phase::reading && position_ < buffer_.size()) {
    position_ += parse(std::string_view(buffer_).substr(position_), now);
    if (position_ == buffer_.size()) {
      position_ = 0;
      if (buffer_.capacity() > 4096) buffer_ = {};
      buffer_.clear();
    }
  }
  if (phase_ != phase::ready) return event::none;
  phase_ = phase::waiting;
  since_ = now;
  return event_;
}

bool connection_engine::take_continue() { return std::exchange(owes_continue_, false); }

outgoing connection_engine::respond(const response& r, std::string_view date, bool last) {
  phase_ = phase::sending;
  const auto& q = parser_.request();
  bool keep = !last && event_ == event::request && q.keep_alive &&
              requests_ < limits_.requests_per_connection && r.ends != response::ending::close;
  auto how = !keep                  ? persistence::close
             : q.minor_version == 0 ? persistence::keep_alive_1_0
                                    : persistence::keep_alive;
  return write_response(r, date, how);
}

void connection_engine::finish(boot_time now) {
  parser_.next();
  phase_ = phase::reading;
  event_ = event::none;
  in_body_ = owes_continue_ = false;
  since_ = now;
}

connection_engine::overdue connection_engine::check(boot_time now) const {
  auto elapsed = now - since_;
  switch (phase_) {
  case phase::reading:
    if (in_body_) return elapsed >= limits_.body_time ? overdue::body : overdue::nothing;
    if (parser_.started()) return elapsed >= limits_.header_time ? overdue::header : overdue::nothing;
    // A connection that never says anything is a slow header; one that has been served may rest.
    if (requests_ == 0) return elapsed >= limits_.header_time ? overdue::idle : overdue::nothing;
    return elapsed >= limits_.idle_time ? overdue::idle : overdue::nothing;
  case phase::waiting: return elapsed >= limits_.reply_time ? overdue::reply : overdue::nothing;
  default: return overdue::nothing;
  }
}

} // namespace netlab::http
