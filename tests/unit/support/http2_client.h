#pragma once
#include <nghttp2/nghttp2.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fake_stream.h"

namespace netlab::test {

// A stream whose TLS handshake chose HTTP/2.
class http2_stream final : public stream {
public:
  http2_stream(std::shared_ptr<wire> end, const endpoint& peer, const endpoint& local)
      : plain_(std::move(end), peer, local) {}
  void on_data(std::function<void(byte_view)> fn) override { plain_.on_data(std::move(fn)); }
  void on_end(std::function<void(std::optional<error>)> fn) override { plain_.on_end(std::move(fn)); }
  void on_drained(std::function<void()> fn) override { plain_.on_drained(std::move(fn)); }
  void write(std::string bytes) override { plain_.write(std::move(bytes)); }
  void write_shared(std::shared_ptr<const std::string> bytes) override { plain_.write_shared(bytes); }
  void write_file(std::shared_ptr<open_file> file, std::uint64_t offset, std::uint64_t length) override {
    plain_.write_file(std::move(file), offset, length);
  }
  std::size_t queued() const override { return plain_.queued(); }
  void pause() override { plain_.pause(); }
  void resume() override { plain_.resume(); }
  void finish() override { plain_.finish(); }
  endpoint peer() const override { return plain_.peer(); }
  endpoint local() const override { return plain_.local(); }
  bool secure() const override { return true; }
  std::string_view protocol() const override { return "h2"; }

private:
  fake_stream plain_;
};

// A client of HTTP/2 as libnghttp2 makes it, over a wire. What it has to say leaves in pieces of `piece`
// bytes.
class http2_client {
public:
  struct answer {
    int status = 0;
    std::map<std::string, std::string> fields;
    std::string body;
    bool closed = false;
    std::uint32_t code = 0; // of the stream's end
  };
  using pairs = std::vector<std::pair<std::string, std::string>>;

  explicit http2_client(std::shared_ptr<wire> w, std::size_t piece_size = 1 << 20,
                        std::uint32_t window = 65535)
      : piece(piece_size), wire_(std::move(w)) {
    nghttp2_session_callbacks* hooks = nullptr;
    nghttp2_session_callbacks_new(&hooks);
    nghttp2_session_callbacks_set_on_header_callback(
        hooks,
        [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
           const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
          auto& a = static_cast<http2_client*>(user)->answers[frame->hd.stream_id];
          std::string n(reinterpret_cast<const char*>(name), name_size);
          std::string v(reinterpret_cast<const char*>(value), value_size);
          if (n == ":status")
            a.status = std::stoi(v);
          else
            a.fields[n] = v;
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(hooks, [](nghttp2_session*, std::uint8_t,
                                                                        std::int32_t id,
                                                                        const std::uint8_t* data,
                                                                        std::size_t size, void* user) {
      static_cast<http2_client*>(user)->answers[id].body.append(reinterpret_cast<const char*>(data), size);
      return 0;
    });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        hooks, [](nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
          auto& a = static_cast<http2_client*>(user)->answers[id];
          a.closed = true;
          a.code = code;
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        hooks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          auto& self = *static_cast<http2_client*>(user);
          if (frame->hd.type == NGHTTP2_GOAWAY) self.going_away.push_back(frame->goaway.error_code);
          return 0;
        });
    nghttp2_session_client_new(&session, hooks, this);
    nghttp2_session_callbacks_del(hooks);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 1);
  }
  ~http2_client() { nghttp2_session_del(session); }
  http2_client(const http2_client&) = delete;
  http2_client& operator=(const http2_client&) = delete;

  // The stream's number. `body` empty: the request ends with its fields.
  int ask(const std::string& method, const std::string& path, const std::string& body = "",
          const pairs& fields = {}) {
    pairs all = {{":method", method}, {":scheme", "https"}, {":path", path}, {":authority", "h"}};
    all.insert(all.end(), fields.begin(), fields.end());
    std::vector<nghttp2_nv> nv;
    for (auto& [n, v] : all)
      nv.push_back({reinterpret_cast<std::uint8_t*>(n.data()), reinterpret_cast<std::uint8_t*>(v.data()),
                    n.size(), v.size(), NGHTTP2_NV_FLAG_NONE});
    nghttp2_data_provider provider{};
    provider.read_callback = [](nghttp2_session*, std::int32_t id, std::uint8_t* out, std::size_t most,
                                std::uint32_t* flags, nghttp2_data_source*, void* user) -> ssize_t {
      auto& left = static_cast<http2_client*>(user)->bodies_[id];
      auto n = std::min(most, left.size());
      left.copy(reinterpret_cast<char*>(out), n);
      left.erase(0, n);
      if (left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(n);
    };
    auto id = nghttp2_submit_request(session, nullptr, nv.data(), nv.size(),
                                     body.empty() ? nullptr : &provider, nullptr);
    if (id > 0) bodies_[id] = body;
    return id;
  }

  // What it has to say, to the server; whether there was anything.
  bool flush() {
    std::string out;
    for (;;) {
      const std::uint8_t* data = nullptr;
      auto n = nghttp2_session_mem_send(session, &data);
      if (n <= 0) break;
      out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n));
    }
    for (std::size_t at = 0; at < out.size(); at += piece) wire_->say(out.substr(at, piece));
    return !out.empty();
  }
  // What the server said; whether there was anything.
  bool hear() {
    wire_->settle();
    auto heard = std::exchange(wire_->heard, {});
    if (heard.empty()) return false;
    failed = failed || nghttp2_session_mem_recv(session, reinterpret_cast<const std::uint8_t*>(heard.data()),
                                                heard.size()) < 0;
    return true;
  }

  nghttp2_session* session = nullptr;
  std::size_t piece;
  std::map<int, answer> answers;
  std::vector<std::uint32_t> going_away; // codes of GOAWAY
  bool failed = false;                   // the server broke the protocol

private:
  std::shared_ptr<wire> wire_;
  std::map<int, std::string> bodies_;
};

// --- frames by hand, for what no proper client sends (RFC 9113 §4.1)

inline std::string http2_preface() {
  return std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + std::string("\0\0\0\4\0\0\0\0\0", 9);
}
inline std::string http2_frame(int type, int flags, std::uint32_t id, std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(id >> shift);
  return out.append(payload);
}
// GET https://h/ with indexed fields of HPACK's static table (RFC 7541 appendix A), and one literal.
inline std::string http2_get() { return std::string("\x82\x87\x84\x41\x01h", 6); }

} // namespace netlab::test
