#include "http2.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <utility>
#include <variant>

#include "netlab/text.h"
#include "server.h"

namespace netlab::http {

namespace {

constexpr std::uint32_t most_streams = 100;     // of one client at a time (RFC 9113 §6.5.2)
constexpr std::size_t most_unsent = 256u << 10; // bytes that wait in the client's stream
constexpr std::size_t most_head = 16u << 10;    // of a request, in the form of HTTP/1.1
constexpr std::size_t most_response_head = 64u << 10;

// Fields that belong to one hop of HTTP/1.1 and have no place in HTTP/2 (RFC 9113 §8.2.2).
bool is_hop_field(std::string_view lower) {
  for (auto each : {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
    if (lower == each) return true;
  return false;
}

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0x20 && c != 0x7f; });
}

nghttp2_nv header_pair(std::string_view name, std::string_view value) {
  auto* n = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data()));
  auto* v = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data()));
  return {n, v, name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

} // namespace

// One request as a byte stream that speaks HTTP/1.1: what the server reads is the request, what it writes is
// taken apart into a header block and data. Owned by the connection that serves it.
class http2_session::exchange final : public stream {
public:
  exchange(std::weak_ptr<http2_session> session, int id, endpoint peer, endpoint local)
      : session_(std::move(session)), id_(id), peer_(peer), local_(local) {}
  ~exchange() override {
    auto s = session_.lock();
    auto found = s ? s->requests_.find(id_) : decltype(s->requests_.find(id_))();
    if (!s || found == s->requests_.end()) return;
    found->second.running = nullptr;
    if (!s->session_) return;
    // Answered, and the client still sends; or not answered: nobody took it on, or something failed.
    auto code = ended_ ? NGHTTP2_NO_ERROR : on_data_ ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_REFUSED_STREAM;
    nghttp2_submit_rst_stream(s->session_, NGHTTP2_FLAG_NONE, id_, code);
    s->flush_later();
  }

  void on_data(std::function<void(byte_view)> fn) override { on_data_ = std::move(fn); }
  void on_end(std::function<void(std::optional<error>)> fn) override { on_end_ = std::move(fn); }
  void on_drained(std::function<void()> fn) override { on_drained_ = std::move(fn); }
  void write(std::string bytes) override {
    if (head_done_) return chunked_ ? take_chunks(bytes) : push(std::move(bytes));
    head_ += bytes;
    take_head();
  }
  void write_shared(std::shared_ptr<const std::string> bytes) override {
    if (bytes && !bytes->empty()) push(std::move(bytes));
  }
  void write_file(std::shared_ptr<open_file> file, std::uint64_t offset, std::uint64_t length) override {
    if (length == 0) return;
    if (chunked_) chunk_left_ -= std::min(chunk_left_, length);
    push(piece_of_file{std::move(file), offset, length});
  }
  std::size_t queued() const override { return queued_; }
  void pause() override {}
  void resume() override {}
  void finish() override {}
  endpoint peer() const override { return peer_; }
  endpoint local() const override { return local_; }
  bool secure() const override { return true; }

  void feed(std::string_view bytes) {
    if (!on_data_) return;
    auto keep = on_data_; // the connection may let go of this stream
    keep(as_bytes(bytes));
  }
  // The peer ended it, or the session did.
  void end(const char* why) {
    ended_ = true;
    if (!on_end_) return;
    auto keep = on_end_;
    keep(error{errc::closed, why, "http2"});
  }

  // Some of the body for a DATA frame.
  ssize_t take(std::uint8_t* out, std::size_t most, std::uint32_t* flags) {
    std::size_t got = 0;
    while (got < most && !body_.empty()) {
      auto& front = body_.front();
      std::size_t n = 0;
      if (auto* own = std::get_if<std::string>(&front))
        n = copy(*own, out + got, most - got);
      else if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&front))
        n = copy(**shared, out + got, most - got);
      else {
        auto& p = std::get<piece_of_file>(front);
        auto read = p.file->read(p.offset, byte_span(out + got, std::min<std::uint64_t>(most - got, p.left)));
        if (!read || *read == 0) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        n = *read;
        p.offset += n;
        p.left -= n;
        if (p.left == 0) body_.pop_front();
      }
      got += n;
      queued_ -= n;
      body_left_ -= std::min<std::uint64_t>(body_left_, n);
    }
    if (body_left_ == 0) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      ended_ = true;
    } else if (got == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(got);
  }
  void tell_drained() {
    if (queued_ > 0 || !head_done_ || !on_drained_) return;
    auto keep = on_drained_;
    keep();
  }

private:
  struct piece_of_file {
    std::shared_ptr<open_file> file;
    std::uint64_t offset, left;
  };

  std::size_t copy(const std::string& text, std::uint8_t* out, std::size_t most) {
    auto n = std::min(most, text.size() - done_);
    std::copy_n(text.data() + done_, n, out);
    done_ += n;
    if (done_ == text.size()) {
      done_ = 0;
      body_.pop_front();
    }
    return n;
  }

  template<class T>
  void push(T what) {
    bool nothing = false;
    if constexpr (std::is_same_v<T, std::string>) {
      nothing = what.empty();
      queued_ += what.size();
    } else if constexpr (std::is_same_v<T, piece_of_file>) {
      queued_ += what.left;
    } else {
      queued_ += what->size();
    }
    if (!nothing) body_.push_back(std::move(what));
    auto s = session_.lock();
    if (!s || !s->session_) return;
    nghttp2_session_resume_data(s->session_, id_);
    s->flush_later();
  }

  // Frames say where a body ends, chunks are of HTTP/1.1: their lines, which the server writes whole, stay
  // behind.
  void take_chunks(std::string_view bytes) {
    while (!bytes.empty()) {
      if (chunk_left_ > 0) {
        auto n = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_left_, bytes.size()));
        chunk_left_ -= n;
        push(std::string(bytes.substr(0, n)));
        bytes.remove_prefix(n);
        continue;
      }
      auto end = bytes.find("\r\n");
      auto line = bytes.substr(0, end);
      bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 2);
      if (line.empty()) continue; // behind the bytes of a chunk, or the very end
      std::from_chars(line.data(), line.data() + line.size(), chunk_left_, 16);
      if (chunk_left_ > 0) continue;
      body_left_ = queued_;
      push(std::string());
    }
  }

  // The head is ours, so that its form is known: a status line, fields, an empty line.
  void take_head() {
    auto end = head_.find("\r\n\r\n");
    if (end == std::string::npos) {
      if (head_.size() > most_response_head) abandon();
      return;
    }
    auto rest = head_.substr(end + 4);
    std::string_view head(head_.data(), end + 2);
    auto line_end = head.find("\r\n");
    auto status = std::string(head.substr(9, 3));
    if (status[0] == '1') { // "100 Continue": of no use where frames say when a body may come
      head_ = rest;
      return head_.empty() ? void() : take_head();
    }
    std::deque<std::string> names; // stay where they are
    std::vector<nghttp2_nv> fields{header_pair(":status", status)};
    body_left_ = 0;
    for (auto left = head.substr(line_end + 2); !left.empty();) {
      auto next = left.find("\r\n");
      auto line = left.substr(0, next);
      left.remove_prefix(next + 2);
      auto colon = line.find(':');
      names.push_back(to_lower(line.substr(0, colon)));
      auto value = trim(line.substr(colon + 1));
      if (names.back() == "transfer-encoding") {
        chunked_ = true;
        body_left_ = http_body::unknown;
      }
      if (is_hop_field(names.back())) continue;
      if (names.back() == "content-length")
        std::from_chars(value.data(), value.data() + value.size(), body_left_);
      fields.push_back(header_pair(names.back(), value));
    }
    head_done_ = true;
    auto s = session_.lock();
    if (!s || !s->session_) return;
    bool empty = body_left_ == 0 || head_request || status == "204" || status == "304";
    if (empty) {
      body_left_ = 0;
      ended_ = true;
    }
    nghttp2_data_provider body{};
    body.source.ptr = nullptr;
    body.read_callback = [](nghttp2_session* session, std::int32_t id, std::uint8_t* out, std::size_t most,
                            std::uint32_t* flags, nghttp2_data_source*, void*) -> ssize_t {
      auto* mine = static_cast<exchange*>(nghttp2_session_get_stream_user_data(session, id));
      if (!mine) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      return mine->take(out, most, flags);
    };
    nghttp2_submit_response(s->session_, id_, fields.data(), fields.size(), empty ? nullptr : &body);
    head_.clear();
    if (!rest.empty() && !empty) write(std::move(rest));
    s->flush_later();
  }

  void abandon() {
    if (auto s = session_.lock(); s && s->session_) {
      nghttp2_submit_rst_stream(s->session_, NGHTTP2_FLAG_NONE, id_, NGHTTP2_INTERNAL_ERROR);
      s->flush_later();
    }
    ended_ = true;
  }

public:
  bool head_request = false;

private:
  std::weak_ptr<http2_session> session_;
  int id_;
  endpoint peer_, local_;
  std::function<void(byte_view)> on_data_;
  std::function<void(std::optional<error>)> on_end_;
  std::function<void()> on_drained_;
  std::string head_;
  bool head_done_ = false, ended_ = false;
  std::deque<std::variant<std::string, std::shared_ptr<const std::string>, piece_of_file>> body_;
  std::size_t done_ = 0, queued_ = 0;
  std::uint64_t body_left_ = 0; // http_body::unknown until the last chunk
  bool chunked_ = false;
  std::uint64_t chunk_left_ = 0;
};

// What libnghttp2 tells.
struct http2_session::callbacks {
  static http2_session& of(void* user) { return *static_cast<http2_session*>(user); }

  static int on_begin(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
      of(user).requests_.try_emplace(frame->hd.stream_id);
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                       void* user) {
    auto& all = of(user).requests_;
    auto found = all.find(frame->hd.stream_id);
    if (found == all.end() || found->second.complete) return 0; // trailers are of no use here
    auto& r = found->second;
    std::string_view n(reinterpret_cast<const char*>(name), name_size);
    std::string_view v(reinterpret_cast<const char*>(value), value_size);
    if (r.fields.size() + r.path.size() + n.size() + v.size() > most_head)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (n == ":method")
      r.method = v;
    else if (n == ":path")
      r.path = v;
    else if (n == ":authority")
      r.authority = v;
    else if (n.starts_with(":") || is_hop_field(n))
      return 0;
    else if (n == "host")
      r.authority = r.authority.empty() ? std::string(v) : r.authority;
    else if (v.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos)
      r.fields.append(n).append(": ").append(v).append("\r\n");
    r.has_length = r.has_length || n == "content-length";
    return 0;
  }

  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& self = of(user);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    auto found = self.requests_.find(frame->hd.stream_id);
    if (found == self.requests_.end()) return 0;
    auto& r = found->second;
    bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (!r.complete) {
      r.complete = true;
      if (!is_plain(r.method) || !is_plain(r.path) || !is_plain(r.authority) || r.method.empty() ||
          r.path.empty()) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
        return 0;
      }
      auto made =
          std::make_unique<exchange>(self.weak_from_this(), frame->hd.stream_id, self.peer_, self.local_);
      r.running = made.get();
      made->head_request = r.method == "HEAD";
      nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, made.get());
      auto head = r.method + " " + r.path + " HTTP/1.1\r\nHost: " + r.authority + "\r\n" + r.fields;
      r.chunked = !last && !r.has_length;
      if (r.chunked) head += "Transfer-Encoding: chunked\r\n";
      self.server_->accept(std::move(made));
      give(self, frame->hd.stream_id, head + "\r\n");
    }
    if (last) finish_body(self, frame->hd.stream_id);
    return 0;
  }

  static int on_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                      std::size_t size, void* user) {
    auto& self = of(user);
    auto found = self.requests_.find(id);
    if (found == self.requests_.end() || size == 0) return 0;
    std::string_view text(reinterpret_cast<const char*>(data), size);
    if (!found->second.chunked) {
      give(self, id, text);
      return 0;
    }
    char length[20];
    auto n = std::to_chars(length, length + sizeof length, size, 16).ptr;
    give(self, id, std::string(length, n) + "\r\n" + std::string(text) + "\r\n");
    return 0;
  }

  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
    auto& self = of(user);
    auto found = self.requests_.find(id);
    if (found == self.requests_.end()) return 0;
    auto* running = found->second.running;
    self.requests_.erase(found);
    if (!running) return 0;
    running->tell_drained();
    running->end(code == NGHTTP2_NO_ERROR ? "the request is over" : "the client took its request back");
    return 0;
  }

  // The stream that is fed may go with what it is fed.
  static void give(http2_session& self, int id, std::string_view text) {
    auto found = self.requests_.find(id);
    if (found != self.requests_.end() && found->second.running) found->second.running->feed(text);
  }
  static void finish_body(http2_session& self, int id) {
    auto found = self.requests_.find(id);
    if (found != self.requests_.end() && found->second.chunked) give(self, id, "0\r\n\r\n");
  }
};

http2_session::http2_session(server& owner, std::unique_ptr<stream> client)
    : server_(&owner), stream_(std::move(client)), peer_(stream_->peer()), local_(stream_->local()),
      used_(owner.now()) {}

http2_session::~http2_session() { leave(); }

void http2_session::start(byte_view first) {
  stream_->on_data([this](byte_view bytes) {
    auto self = shared_from_this();
    receive(bytes);
  });
  stream_->on_drained([this] {
    auto self = shared_from_this();
    pump();
  });
  stream_->on_end([this](const std::optional<error>&) {
    auto self = shared_from_this();
    abort();
  });
  nghttp2_session_callbacks* hooks = nullptr;
  nghttp2_session_callbacks_new(&hooks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(hooks, callbacks::on_begin);
  nghttp2_session_callbacks_set_on_header_callback(hooks, callbacks::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(hooks, callbacks::on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(hooks, callbacks::on_chunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(hooks, callbacks::on_close);
  nghttp2_session_server_new(&session_, hooks, this);
  nghttp2_session_callbacks_del(hooks);
  nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, most_streams},
                                       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, most_head}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  auto self = shared_from_this();
  receive(first);
}

void http2_session::receive(byte_view bytes) {
  if (!session_) return;
  server_->look_at_clock();
  used_ = server_->now();
  if (nghttp2_session_mem_recv(session_, bytes.data(), bytes.size()) < 0) return abort();
  pump();
}

// Frames to bytes, as long as the client takes them.
void http2_session::pump() {
  if (!session_ || !stream_) return;
  if (std::exchange(pumping_, true)) {
    pump_again_ = true;
    return;
  }
  do {
    pump_again_ = false;
    std::string out;
    while (stream_ && session_ && stream_->queued() + out.size() < most_unsent) {
      const std::uint8_t* data = nullptr;
      auto n = nghttp2_session_mem_send(session_, &data);
      if (n <= 0) break;
      out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n));
    }
    if (stream_ && !out.empty()) stream_->write(std::move(out));
    std::vector<int> ids;
    for (const auto& [id, r] : requests_) ids.push_back(id);
    for (auto id : ids)
      if (auto found = requests_.find(id); found != requests_.end() && found->second.running)
        found->second.running->tell_drained();
  } while (pump_again_ && session_ && stream_);
  pumping_ = false;
  if (session_ && !nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_) && stream_ &&
      stream_->queued() == 0)
    abort();
  else if (session_ && draining_ && requests_.empty() && stream_ && stream_->queued() == 0)
    abort();
}

void http2_session::flush_later() {
  if (!stream_ || std::exchange(flush_pending_, true)) return;
  server_->later([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->flush_pending_ = false;
    self->pump();
  });
}

void http2_session::drain() {
  if (!session_ || std::exchange(draining_, true)) return;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  auto self = shared_from_this();
  pump();
}

void http2_session::tick(boot_time now) {
  if (requests_.empty() && now - used_ >= server_->limits().idle_time) drain();
}

void http2_session::leave() {
  auto* gone = std::exchange(session_, nullptr);
  for (auto& [id, r] : std::exchange(requests_, {}))
    if (r.running) r.running->end("the client closed the connection");
  if (gone) nghttp2_session_del(gone);
}

void http2_session::abort() {
  if (!stream_) return;
  auto self = shared_from_this();
  // It may be running one of its callbacks: it goes on the loop's next turn, and what it carried with it.
  auto gone = std::move(stream_);
  server_->later([self, gone = std::shared_ptr<stream>(std::move(gone))] { self->leave(); });
  server_->remove(*this);
}

} // namespace netlab::http
