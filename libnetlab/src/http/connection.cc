#include "connection.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "conditional.h"
#include "netlab/text.h"

namespace netlab::http {

namespace {

// How long the peer may take to close after our last byte. Closing first while its bytes are still on
// the way would reset the connection and could destroy the answer before it is read (RFC 9112 §9.6).
constexpr duration linger_time = std::chrono::seconds(2);

int status_of(errc code) {
  switch (code) {
  case errc::not_found: return 404;
  case errc::denied: return 403;
  case errc::invalid: return 400;
  case errc::unsupported: return 501;
  case errc::exists:
  case errc::conflict: return 409;
  case errc::busy:
  case errc::limit:
  case errc::cancelled: return 503;
  case errc::timeout: return 504;
  case errc::refused:
  case errc::unreachable:
  case errc::closed:
  case errc::protocol: return 502;
  case errc::io: return 500;
  }
  return 500;
}

const http_headers only_get{{"Allow", "GET, HEAD"}};

std::string content_range(const selection& chosen, std::uint64_t size) {
  return "Content-Range: bytes " + std::to_string(chosen.offset) + "-" +
         std::to_string(chosen.offset + chosen.length - 1) + "/" + std::to_string(size) + "\r\n";
}

// Of a body that grows, as much is queued at a time: enough to keep the socket busy for a turn of the loop.
constexpr std::uint64_t piece_size = 1u << 20;

// What a handler holds. It reaches the connection only while that lives.
class pending_call final : public http_call {
public:
  pending_call(std::weak_ptr<connection> where, std::uint64_t id) : connection_(std::move(where)), id_(id) {}
  ~pending_call() override {
    if (answered_) return;
    if (auto c = connection_.lock()) c->answer_dropped(id_);
  }
  void reply(http_reply reply) override {
    if (std::exchange(answered_, true)) return;
    if (auto c = connection_.lock()) return c->answer(id_, std::move(reply));
    if (reply.on_done) reply.on_done({.reason = "the client went away"});
  }
  bool alive() const override {
    auto c = connection_.lock();
    return !answered_ && c && c->waits_for(id_);
  }

private:
  std::weak_ptr<connection> connection_;
  std::uint64_t id_;
  bool answered_ = false;
};

} // namespace

connection::connection(server& owner, std::unique_ptr<stream> client)
    : server_(&owner), stream_(std::move(client)),
      engine_(owner.limits(), owner.now(), [this](const request& head) { return sink_for(head); }),
      peer_(stream_->peer()), local_(stream_->local()), secure_(stream_->secure()) {}

void connection::start() {
  // Each callback keeps the connection alive until it returns; what it calls may let go of it.
  stream_->on_data([this](byte_view bytes) {
    auto self = shared_from_this();
    receive(bytes);
  });
  stream_->on_drained([this] {
    auto self = shared_from_this();
    drained();
  });
  stream_->on_end([this](std::optional<error> why) {
    auto self = shared_from_this();
    end(std::move(why));
  });
}

log_fields connection::fields() const { return {{"client", peer_.to_string()}}; }

request_parser::taker connection::sink_for(const request& head) {
  sink_.reset();
  if (server_->sinks())
    sink_ = server_->sinks()({head.method, head.path, head.query, peer_,
                              [&](std::string_view name) { return head.header(name); }});
  if (!sink_) return {};
  return [this](std::string_view bytes) {
    engine_.body_came(server_->now());
    sink_->take(as_bytes(bytes));
  };
}

void connection::receive(byte_view bytes) {
  if (lingering_ || !stream_) return; // read and thrown away until the peer closes
  server_->look_at_clock();
  if (std::exchange(fresh_, false) && stream_->protocol() == "h2") {
    auto* owner = server_;
    auto client = std::move(stream_);
    owner->remove(*this);
    return owner->accept_http2(std::move(client), bytes);
  }
  engine_.receive(as_text(bytes), server_->now());
  if (engine_.take_continue()) {
    ++in_stream_;
    stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
    --in_stream_;
    if (doomed_) return drop("the connection ended");
  }
  pump();
  if (stream_ && !lingering_ && !paused_ && !engine_.wants_input()) {
    paused_ = true;
    stream_->pause();
  }
}

// Answers what is whole, one after the other, without recursion: a client may have sent hundreds.
void connection::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (stream_ && !lingering_ && !engine_.answering()) {
    auto event = engine_.next(server_->now());
    if (event == connection_engine::event::none) break;
    ++request_id_;
    if (event == connection_engine::event::request)
      dispatch();
    else
      refuse();
  }
  pumping_ = false;
  if (stream_ && paused_ && !lingering_ && engine_.wants_input()) {
    paused_ = false;
    stream_->resume();
  }
  if (stream_ && !lingering_ && server_->draining() && engine_.idle()) close_politely();
}

void connection::refuse() {
  auto& count = server_->count();
  int status = engine_.refusal_status();
  auto text = peer_.address.to_string() + ": " + engine_.refusal();
  if (status == 431) {
    count.header_limit.add();
    server_->say(messages::header_limit, text, fields());
  } else if (status == 413) {
    count.body_limit.add();
    server_->say(messages::body_limit, text, fields());
  } else {
    count.bad_request.add();
    server_->say(messages::bad_request, text, fields());
  }
  send_error(status, true);
}

void connection::dispatch() {
  const auto& q = engine_.request();
  if (q.path == "*") {
    response r;
    r.status = 204;
    r.fields = "Allow: GET, HEAD, OPTIONS\r\n";
    return send(r);
  }
  std::string_view rest;
  const auto* route = server_->routes().find(q.path, rest);
  if (!route) return send_error(404);
  if (const auto* asked = std::get_if<handler_route>(&route->target)) {
    if (asked->ready && (q.is_get() || q.is_head()) && q.body.empty() && !sink_) {
      auto ready = asked->ready(
          {q.method, q.path, q.query, peer_, [&](std::string_view name) { return q.header(name); }});
      if (ready.content) return send_ready(ready);
    }
    return call(asked->handler);
  }
  if (!q.is_get() && !q.is_head()) return send_error(405, false, &only_get);
  if (auto* const* source = std::get_if<asset_source*>(&route->target)) return ask(**source);
  send_named_file(std::get<files_route>(route->target), rest);
}

void connection::ask(asset_source& source) {
  const auto& q = engine_.request();
  asset_request asked;
  asked.protocol = asset_protocol::http;
  asked.client = peer_;
  asked.server = local_.address;
  asked.server_port = local_.port;
  asked.secure = secure_;
  asked.head = q.is_head();
  asked.path = q.path;
  asked.query = q.query;
  asked.user_agent = q.header("user-agent");
  source.open(asked, [where = weak_from_this(), id = request_id_](result<asset> answered) {
    if (auto c = where.lock()) return c->answer_asset(id, std::move(answered));
    if (answered && answered->on_done) answered->on_done({.reason = "the client went away"});
  });
}

void connection::answer_asset(std::uint64_t id, result<asset> answered) {
  if (!waits_for(id)) {
    if (answered && answered->on_done) answered->on_done({.reason = "the client went away"});
    return;
  }
  server_->look_at_clock();
  const auto& q = engine_.request();
  if (!answered) {
    const auto& e = answered.error();
    // The source has told its own story of what is not there yet; who asks is told when to ask again.
    if (e.code == errc::busy) return send_error(503, false, nullptr, e.message);
    if (e.code != errc::not_found)
      server_->say(
          messages::source_refused, q.path + ": " + e.message,
          {{"client", peer_.to_string()}, {"path", q.path}, {"code", std::string(to_string(e.code))}});
    return send_error(status_of(e.code));
  }
  auto& a = *answered;
  if (!is_field_value(a.content_type)) a.content_type = "application/octet-stream";
  on_done_ = std::move(a.on_done);
  if (auto* text = std::get_if<std::shared_ptr<const std::string>>(&a.content)) {
    static const auto nothing = std::make_shared<const std::string>();
    return send_text(*text ? *text : nothing, a.content_type);
  }
  auto file = [&]() -> result<served_file_ptr> {
    if (auto* path = std::get_if<asset::file_path>(&a.content))
      return server_->cache().open(path->path, server_->now());
    auto& open = std::get<std::shared_ptr<open_file>>(a.content);
    if (!open) return fail(errc::io, "the source gave no file");
    return describe(std::move(open));
  }();
  if (!file) {
    const auto& e = file.error();
    server_->say(messages::source_refused, q.path + ": " + e.message,
                 {{"client", peer_.to_string()}, {"path", q.path}, {"code", std::string(to_string(e.code))}});
    return send_error(status_of(e.code == errc::unsupported ? errc::not_found : e.code));
  }
  send_file(**file, a.content_type);
}

void connection::send_named_file(const files_route& route, std::string_view rest) {
  const auto& q = engine_.request();
  const auto& o = route.options;
  bool folder_wanted = rest.empty() || rest.back() == '/';
  result<served_file_ptr> file = fail(errc::unsupported, "a folder");
  if (!folder_wanted) file = server_->cache().open_in(route.folder, rest, o.follow_outside, server_->now());
  if (file)
    return send_file(**file,
                     o.content_type.empty() ? content_type_of(rest) : std::string_view(o.content_type));
  if (file.error().code == errc::unsupported && o.listing) {
    auto descriptor = open_beneath(route.folder, rest, o.follow_outside);
    auto page = descriptor ? list_folder(*descriptor, q.path)
                           : result<std::string>(tl::unexpected(descriptor.error()));
    if (page)
      return send_text(std::make_shared<const std::string>(std::move(*page)), "text/html; charset=utf-8");
    file = tl::unexpected(page.error());
  }
  const auto& e = file.error();
  // A folder without a listing is as good as absent: its existence is nobody's business.
  if (e.code == errc::not_found || e.code == errc::unsupported) return send_error(404);
  bool outside = e.message.ends_with("leads out of the served folder");
  server_->say(outside ? messages::outside_folder : messages::unreadable_file, e.message,
               {{"client", peer_.to_string()}, {"path", q.path}});
  send_error(status_of(e.code));
}

void connection::call(const http_handler& handler) {
  const auto& q = engine_.request();
  auto pending = std::make_shared<pending_call>(weak_from_this(), request_id_);
  pending->method = q.method;
  pending->path = q.path;
  pending->query = q.query;
  pending->headers.reserve(q.fields.size());
  for (const auto& f : q.fields) pending->headers.emplace_back(to_lower(f.name), f.value);
  pending->body = q.body;
  pending->sink = std::move(sink_);
  pending->client = peer_;
  pending->server = local_;
  pending->secure = secure_;
  handler(std::move(pending));
}

void connection::answer(std::uint64_t id, http_reply reply) {
  if (!waits_for(id)) {
    if (reply.on_done) reply.on_done({.reason = "the client went away"});
    return;
  }
  auto self = shared_from_this();
  server_->look_at_clock();
  const auto& q = engine_.request();
  on_done_ = std::move(reply.on_done);
  if (!is_sendable(reply.status, reply.content_type, reply.headers) || !is_field_value(reply.etag)) {
    return send_bad_reply();
  }
  response r;
  r.status = reply.status;
  r.content_type = reply.content_type;
  r.headers = &reply.headers;
  r.with_body = !q.is_head();
  if (auto* text = std::get_if<std::string>(&reply.body)) {
    r.length = text->size();
    if (text->size() <= inline_body && !reply.selectable)
      r.text = *text;
    else
      r.shared = std::make_shared<const std::string>(std::move(*text));
  } else if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&reply.body)) {
    r.shared = *shared ? *shared : std::make_shared<const std::string>();
    r.length = r.shared->size();
  } else if (auto* growing = std::get_if<std::shared_ptr<http_body>>(&reply.body)) {
    if (!*growing) return send_error(500);
    r.length = (*growing)->size();
    r.growing = true;
    if (r.length == http_body::unknown) {
      r.length = 0;
      r.ends = q.minor_version == 0 ? response::ending::close : response::ending::chunks;
    }
    growing_ = std::move(*growing);
  } else {
    r.file = std::get<std::shared_ptr<open_file>>(reply.body);
    if (!r.file) return send_error(500);
    r.length = r.file->size();
  }
  whole_size_ = r.length;
  bool measured = r.ends == response::ending::length;
  std::string tag;
  if (reply.selectable && r.status == 200) {
    auto chosen = select(q, whole_size_, {reply.etag, 0});
    if (!measured && (chosen.status == 206 || chosen.status == 416)) chosen = {};
    if (chosen.status == 412) {
      growing_.reset();
      return send_error(412);
    }
    r.ranges = measured;
    if (!reply.etag.empty()) tag.append("ETag: ").append(reply.etag).append("\r\n");
    if (chosen.status == 206)
      r.content_range = content_range(chosen, whole_size_);
    else if (chosen.status == 416)
      r.content_range = "Content-Range: bytes */" + std::to_string(whole_size_) + "\r\n";
    r.fields = tag;
    r.status = chosen.status;
    r.offset = chosen.offset;
    r.length = chosen.length;
    if (chosen.status == 304 || chosen.status == 416) {
      r.ends = response::ending::length;
      r.with_body = false;
      r.length = 0;
      r.content_type = {};
    }
  }
  chunked_ = r.ends == response::ending::chunks;
  if (growing_) {
    next_ = r.offset;
    end_ = !r.with_body                         ? r.offset
           : r.ends != response::ending::length ? http_body::unknown
                                                : r.offset + r.length;
    if (next_ == end_) growing_.reset();
  }
  send(r);
}

void connection::send_bad_reply() {
  const auto& q = engine_.request();
  server_->say(messages::bad_reply, q.path + ": a reply with a status or header that cannot be sent",
               {{"client", peer_.to_string()}, {"path", q.path}});
  send_error(500);
}

void connection::answer_dropped(std::uint64_t id) {
  if (!waits_for(id)) return;
  auto self = shared_from_this();
  server_->look_at_clock();
  server_->say(messages::bad_reply, engine_.request().path + ": the handler gave no reply",
               {{"client", peer_.to_string()}, {"path", engine_.request().path}});
  send_error(500);
}

struct connection::representation {
  std::uint64_t size = 0;
  validators state;
  std::string_view content_type, fields; // fields: whole lines
  const http_headers* headers = nullptr;
  std::shared_ptr<const std::string> text; // one of the two
  std::shared_ptr<open_file> file;
};

void connection::send_selected(const representation& all) {
  const auto& q = engine_.request();
  auto chosen = select(q, all.size, all.state);
  if (chosen.status == 412) return send_error(412);
  response r;
  r.status = chosen.status;
  r.headers = all.headers;
  whole_size_ = all.size;
  if (chosen.status == 416) {
    r.content_range = "Content-Range: bytes */" + std::to_string(all.size) + "\r\n";
    return send(r);
  }
  r.fields = all.fields;
  if (chosen.status == 304) return send(r);
  r.content_type = all.content_type;
  r.ranges = true;
  if (chosen.status == 206) r.content_range = content_range(chosen, all.size);
  r.length = chosen.length;
  r.offset = chosen.offset;
  r.with_body = !q.is_head();
  r.shared = all.text;
  r.file = all.file;
  send(r);
}

void connection::send_file(const served_file& file, std::string_view content_type) {
  send_selected({file.size,
                 {file.etag, file.modified},
                 content_type,
                 file.fields,
                 nullptr,
                 file.content,
                 file.content ? nullptr : file.file});
}

void connection::send_text(std::shared_ptr<const std::string> text, std::string_view content_type) {
  auto size = text->size();
  send_selected({size, {}, content_type, {}, nullptr, std::move(text), nullptr});
}

void connection::send_ready(const http_ready& ready) {
  const auto& c = *ready.content;
  if (!is_sendable(200, {}, ready.headers)) return send_bad_reply();
  send_selected(
      {c.body()->size(), {c.etag(), 0}, c.content_type(), c.fields(), &ready.headers, c.body(), nullptr});
}

void connection::send_error(int status, bool last, const http_headers* headers, std::string_view why) {
  std::string text = std::to_string(status) + " " + std::string(reason_phrase(status)) + "\n";
  if (!why.empty()) text.append(why).append("\n");
  response r;
  r.status = status;
  r.content_type = "text/plain; charset=utf-8";
  r.headers = headers;
  r.text = text;
  r.length = text.size();
  r.with_body = !engine_.request().is_head();
  if (status == 503) r.fields = "Retry-After: 1\r\n";
  send(r, last);
}

void connection::send(response& r, bool last) {
  if (engine_.request_limit_reached()) server_->count().request_limit.add();
  auto out = engine_.respond(r, server_->date(), last || server_->draining());
  sending_ = true;
  status_ = r.status;
  close_after_ = out.close;
  head_size_ = out.head;
  body_size_ = out.body;
  ++in_stream_;
  stream_->write(std::move(out.bytes));
  if (!doomed_ && out.shared) stream_->write_shared(std::move(out.shared));
  if (!doomed_ && out.file) stream_->write_file(std::move(out.file), out.offset, out.length);
  --in_stream_;
  if (doomed_) return drop("the connection ended");
  if (!sending_) return; // it drained inside the writes
  if (growing_) {
    progress_ = server_->now();
    return pull();
  }
  last_queued_ = stream_->queued();
  progress_ = server_->now();
  if (last_queued_ == 0) drained();
}

void connection::drained() {
  // A drain in the middle of send() may be that of the head alone; send() looks again behind its writes.
  if (in_stream_ > 0 || !sending_ || !stream_ || stream_->queued() > 0) return;
  server_->look_at_clock();
  if (growing_) return pull();
  complete(true, {});
  if (close_after_)
    close_politely();
  else
    pump();
}

void connection::pull() {
  // A piece may leave at once, and the next with it: a loop, because a recursion could become deep.
  while (sending_ && stream_ && growing_ && !awaits_body_ && stream_->queued() < piece_size) {
    awaits_body_ = true;
    auto got = growing_->read(next_, std::min(piece_size, end_ - next_),
                              [where = weak_from_this(), id = request_id_] {
                                auto c = where.lock();
                                if (!c || c->request_id_ != id || !c->awaits_body_) return;
                                c->awaits_body_ = false;
                                c->server_->look_at_clock();
                                c->pull();
                              });
    if (!got) return drop(got.error().message);
    auto length = got->file ? got->length : got->bytes.size();
    bool open = end_ == http_body::unknown;
    if (length == 0 && !(open && got->last)) return;
    awaits_body_ = false;
    next_ += length;
    if (open) body_size_ += length;
    if (open && got->last) end_ = whole_size_ = next_;
    if (next_ >= end_) growing_.reset();
    ++in_stream_;
    send_piece(std::move(*got), length);
    --in_stream_;
    if (doomed_) return drop("the connection ended");
    last_queued_ = stream_->queued();
    progress_ = server_->now();
  }
  if (sending_ && stream_ && !growing_ && stream_->queued() == 0) drained();
}

void connection::send_piece(http_body::piece piece, std::uint64_t length) {
  auto frame = [this](std::string text) {
    head_size_ += text.size();
    stream_->write(std::move(text));
  };
  if (chunked_ && length > 0) {
    char number[20];
    auto end = std::to_chars(number, number + sizeof number, length, 16).ptr;
    frame(std::string(number, end) + "\r\n");
  }
  if (doomed_) return;
  if (piece.file)
    stream_->write_file(std::move(piece.file), piece.offset, piece.length);
  else if (length > 0)
    stream_->write(std::move(piece.bytes));
  if (chunked_ && !doomed_) frame(std::string(length > 0 ? "\r\n" : "") + (growing_ ? "" : "0\r\n\r\n"));
}

// The response under way ended, by its last byte or by the connection's end.
void connection::complete(bool whole, std::string_view why) {
  const auto& q = engine_.request();
  auto now = server_->now();
  bool unasked = growing_ && end_ != http_body::unknown;
  std::uint64_t total = head_size_ + body_size_ - (unasked ? end_ - next_ : 0);
  std::uint64_t left = whole || !stream_ ? 0 : std::min<std::uint64_t>(stream_->queued(), total);
  std::uint64_t out = total - left;
  std::uint64_t body = sending_ && out > head_size_ ? out - head_size_ : 0;
  http_access access;
  access.method = q.method;
  access.path = q.path.empty() ? q.target : std::string_view(q.path);
  access.query = q.query;
  access.user_agent = q.header("user-agent");
  access.status = sending_ ? status_ : 0;
  access.bytes = body;
  access.elapsed = now - engine_.began();
  access.completed = whole;
  access.client = peer_;

  transfer_report report;
  report.bytes = body;
  report.size = whole_size_;
  report.elapsed = access.elapsed;
  report.completed = whole && status_ < 400;
  report.probe = q.is_head();
  report.reason = whole
                      ? (status_ < 400 ? std::string()
                                       : std::to_string(status_) + " " + std::string(reason_phrase(status_)))
                      : std::string(why);
  auto on_done = std::exchange(on_done_, nullptr);
  if (on_done) on_done(report);
  if (server_) server_->finished(access);

  growing_.reset();
  sink_.reset();
  awaits_body_ = false;
  sending_ = false;
  status_ = 0;
  whole_size_ = 0;
  if (whole) engine_.finish(now);
}

void connection::close_politely() {
  if (!stream_ || lingering_) return;
  lingering_ = true;
  linger_until_ = server_->now() + linger_time;
  if (std::exchange(paused_, false)) stream_->resume();
  ++in_stream_;
  stream_->finish();
  --in_stream_;
  if (doomed_) drop("the connection ended");
}

void connection::end(std::optional<error> why) {
  server_->look_at_clock();
  drop(why ? why->message : std::string("the client closed the connection"));
}

void connection::abort(std::string_view why) { drop(why); }

void connection::drop(std::string_view why) {
  if (!stream_) return;
  if (in_stream_ > 0) { // send() or close_politely() comes back to it
    doomed_ = true;
    return;
  }
  auto self = shared_from_this();
  if (engine_.answering() && !lingering_) {
    server_->count().aborted.add();
    complete(false, why);
  }
  // From here on nothing calls us: the stream's callbacks end with it.
  auto gone = std::move(stream_);
  server_->remove(*this);
}

// An idle client has all that it asked for, so that nothing is lost without lingering for its own end, which
// a client with a pool of connections may not notice for minutes.
void connection::drain() {
  if (lingering_ || !engine_.idle()) return;
  auto self = shared_from_this();
  ++in_stream_;
  stream_->finish();
  --in_stream_;
  drop("the server stops");
}

void connection::tick(boot_time now) {
  auto self = shared_from_this();
  auto& count = server_->count();
  if (lingering_) {
    if (now >= linger_until_) drop("the client did not close");
    return;
  }
  if (sending_) {
    auto queued = stream_->queued();
    if (queued != last_queued_ || (queued == 0 && awaits_body_)) { // its source has a deadline of its own
      last_queued_ = queued;
      progress_ = now;
    } else if (now - progress_ >= server_->limits().send_time) {
      count.stalled.add();
      auto text = peer_.address.to_string() + " took nothing of " + engine_.request().path + " for " +
                  format_elapsed(now - progress_) + ", " + format_size(queued) + " were left";
      server_->say(messages::stalled, text, fields());
      drop("the client stopped taking data");
    }
    return;
  }
  using overdue = connection_engine::overdue;
  switch (engine_.check(now)) {
  case overdue::nothing: return;
  case overdue::idle: return close_politely();
  case overdue::header:
  case overdue::body: {
    count.header_timeout.add();
    server_->say(messages::header_timeout, peer_.address.to_string() + " did not finish its request in time",
                 fields());
    ++request_id_;
    auto text = std::string("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    ++in_stream_;
    stream_->write(std::move(text));
    --in_stream_;
    if (doomed_) return drop("the connection ended");
    http_access access;
    access.method = engine_.request().method;
    access.path = engine_.request().path;
    access.status = 408;
    access.completed = false;
    access.elapsed = now - engine_.began();
    access.client = peer_;
    server_->finished(access);
    return close_politely();
  }
  case overdue::reply:
    count.reply_timeout.add();
    server_->say(messages::reply_timeout,
                 engine_.request().path + " was not answered in " +
                     format_elapsed(server_->limits().reply_time),
                 {{"client", peer_.to_string()}, {"path", engine_.request().path}});
    return send_error(504, true);
  }
}

} // namespace netlab::http
