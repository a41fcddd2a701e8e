#include <doctest/doctest.h>

#include <deque>

#include "netlab/event_loop.h"
#include "netlab/http_server.h"
#include "netlab/simulation.h"
#include "support/http2_client.h"

using namespace netlab;
using namespace std::chrono_literals;
using test::http2_client;
using test::http2_frame;
using test::http2_get;
using test::http2_preface;
using test::wire;

namespace {

// 100,000 bytes, of which nobody says how many they are, in pieces that come one after the other; "?cut": an
// error instead of the end.
struct open_body final : http_body {
  scheduler& later;
  bool cut, asked = false;
  open_body(scheduler& on, bool breaks) : later(on), cut(breaks) {}
  std::uint64_t size() const override { return unknown; }
  result<piece> read(std::uint64_t offset, std::uint64_t most, std::function<void()> ready) override {
    piece out;
    if (std::exchange(asked, !asked)) {
      out.bytes.assign(std::min<std::uint64_t>({most, 7777, 100'000 - offset}), 'o');
      out.last = offset + out.bytes.size() == 100'000;
      if (out.last && cut) return fail(errc::conflict, "it is wrong", "test");
      return out;
    }
    later.post(std::move(ready));
    return out;
  }
};

// A server in virtual time whose clients chose HTTP/2.
struct http2_bench {
  event_loop loop; // for the parts of the runtime that the server does not touch
  manual_time time;
  std::unique_ptr<http_client> client = make_http_client(loop);
  metrics numbers;
  std::unique_ptr<http_server> server;
  std::deque<http_call_ptr> calls; // kept by "/later"
  std::size_t most_calls = 0;

  explicit http2_bench(http_limits limits = {}) {
    runtime world{time,    time, loop.random(), loop.net(), loop.files(), loop.processes(),
                  *client, {},   numbers};
    http_server_options o;
    o.limits = limits;
    server = make_http_server(world, o);
    REQUIRE(server->handle("/echo", [](const http_call_ptr& c) {
      c->reply({.headers = {{"X-Asked", std::string(c->header("x-ask"))}},
                .body = c->method + " " + c->path + "?" + c->query + "|" + c->body});
    }));
    REQUIRE(server->handle("/large",
                           [](const http_call_ptr& c) { c->reply({.body = std::string(300'000, 'x')}); }));
    REQUIRE(server->handle("/open", [this](const http_call_ptr& c) {
      c->reply({.body = std::shared_ptr<http_body>(std::make_shared<open_body>(time, c->query == "cut"))});
    }));
    REQUIRE(server->handle("/later", [this](http_call_ptr c) { keep(std::move(c)); }));
    REQUIRE(server->handle("/", [this](http_call_ptr c) { keep(std::move(c)); }));
  }
  void keep(http_call_ptr c) {
    calls.push_back(std::move(c));
    most_calls = std::max(most_calls, alive());
  }
  std::size_t alive() const {
    return static_cast<std::size_t>(
        std::count_if(calls.begin(), calls.end(), [](const http_call_ptr& c) { return c->alive(); }));
  }
  std::shared_ptr<wire> connect() {
    auto w = std::make_shared<wire>();
    server->accept(std::make_unique<test::http2_stream>(w, endpoint::parse("10.0.0.7:50000").value(),
                                                        endpoint::parse("10.0.0.1:443").value()));
    return w;
  }
  // Both sides say what they have to say until there is nothing left.
  void talk(http2_client& c) {
    for (bool more = true; more;) {
      more = c.flush();
      time.settle();
      more = c.hear() || more;
    }
  }
  // Hand-made bytes; what came back.
  std::string tell(const std::shared_ptr<wire>& w, const std::string& bytes) {
    w->say(bytes);
    time.settle();
    w->settle();
    return std::exchange(w->heard, {});
  }
  // A new client gets its answer: whatever was before did no harm.
  bool serves() {
    auto w = connect();
    http2_client c(w);
    auto id = c.ask("GET", "/echo");
    talk(c);
    return c.answers[id].body == "GET /echo?|";
  }
};

// The frames in what a server sent, as type → how many, with the error codes of its RST_STREAM and GOAWAY.
struct frames_seen {
  std::map<int, std::size_t> types;
  std::map<std::uint32_t, std::size_t> resets, goodbyes;
  explicit frames_seen(std::string_view bytes) {
    auto number = [&](std::size_t at, int octets) {
      std::uint32_t out = 0;
      for (int i = 0; i < octets; ++i)
        out = out << 8 | static_cast<std::uint8_t>(bytes[at + static_cast<std::size_t>(i)]);
      return out;
    };
    for (std::size_t at = 0; at + 9 <= bytes.size();) {
      auto size = number(at, 3);
      auto type = bytes[at + 3];
      ++types[type];
      if (type == 3) ++resets[number(at + 9, 4)];
      if (type == 7) ++goodbyes[number(at + 13, 4)];
      at += 9 + size;
    }
  }
};

} // namespace

TEST_CASE("http/2: requests and answers, however the bytes are cut") {
  for (std::size_t piece : {std::size_t{1} << 20, std::size_t{1}, std::size_t{7}}) {
    CAPTURE(piece);
    http2_bench b;
    auto w = b.connect();
    http2_client c(w, piece);
    auto plain = c.ask("GET", "/echo/a%20b?q=1", "", {{"x-ask", "yes"}});
    auto known = c.ask("POST", "/echo", "hello", {{"content-length", "5"}});
    auto unknown = c.ask("PUT", "/echo", std::string(200'000, 'b')); // comes in chunks
    auto head = c.ask("HEAD", "/echo");
    auto large = c.ask("GET", "/large");
    b.talk(c);
    CHECK(c.answers[plain].status == 200);
    CHECK(c.answers[plain].body == "GET /echo/a b?q=1|");
    CHECK(c.answers[plain].fields["x-asked"] == "yes");
    CHECK(c.answers[known].body == "POST /echo?|hello");
    CHECK(c.answers[unknown].body == "PUT /echo?|" + std::string(200'000, 'b'));
    CHECK(c.answers[head].status == 200);
    CHECK(c.answers[head].body.empty());
    CHECK(c.answers[head].fields["content-length"] == "12");
    CHECK(c.answers[large].body == std::string(300'000, 'x'));
    for (auto id : {plain, known, unknown, head, large}) {
      CHECK(c.answers[id].closed);
      CHECK(c.answers[id].code == NGHTTP2_NO_ERROR);
      // Fields of one hop of HTTP/1.1 have no place here (RFC 9113 §8.2.2).
      CHECK(c.answers[id].fields.count("connection") == 0);
      CHECK(c.answers[id].fields.count("transfer-encoding") == 0);
    }
    CHECK_FALSE(c.failed);
    CHECK(b.server->connections() == 1);
    w->end();
    b.time.settle();
    CHECK(b.server->connections() == 0);
  }
}

TEST_CASE("http/2: a body of unknown size ends with its last frame, or with an error") {
  http2_bench b;
  auto w = b.connect();
  http2_client c(w);
  auto whole = c.ask("GET", "/open"), cut = c.ask("GET", "/open?cut"), head = c.ask("HEAD", "/open");
  b.talk(c);
  CHECK(c.answers[whole].body == std::string(100'000, 'o'));
  CHECK(c.answers[whole].closed);
  CHECK(c.answers[whole].code == NGHTTP2_NO_ERROR);
  CHECK(c.answers[whole].fields.count("transfer-encoding") == 0);
  CHECK(c.answers[whole].fields.count("content-length") == 0);
  CHECK(c.answers[cut].body.size() < 100'000);
  CHECK(c.answers[cut].code == NGHTTP2_INTERNAL_ERROR);
  CHECK(c.answers[head].status == 200);
  CHECK(c.answers[head].body.empty());
  CHECK_FALSE(c.failed);
}

TEST_CASE("http/2: a slow client's answer waits, and others go on") {
  http2_bench b;
  auto w = b.connect();
  http2_client c(w, 1 << 20, 1000); // takes 1,000 bytes of each answer before it says more
  nghttp2_session_set_local_window_size(c.session, NGHTTP2_FLAG_NONE, 0, 1 << 20);
  auto large = c.ask("GET", "/large");
  auto small = c.ask("GET", "/echo");
  b.talk(c);
  CHECK(c.answers[small].closed);
  CHECK(c.answers[large].body == std::string(300'000, 'x')); // libnghttp2 opens the window as it reads
  // Who takes nothing at all is given what fits its stream, and no more.
  w->blocked = true;
  auto stuck = c.ask("GET", "/large");
  c.flush();
  b.time.settle();
  CHECK(w->waiting.size() < 512u << 10);
  w->blocked = false;
  b.talk(c);
  CHECK(c.answers[stuck].body.size() == 300'000);
}

TEST_CASE("http/2: more requests at once than are allowed are refused one by one") {
  http2_bench b;
  auto w = b.connect();
  auto heard = b.tell(w, http2_preface());
  CHECK(frames_seen(heard).types[4] >= 1); // SETTINGS
  heard.clear();
  for (std::uint32_t id = 1; id < 400; id += 2) heard += b.tell(w, http2_frame(1, 5, id, http2_get()));
  frames_seen seen(heard);
  CHECK(b.calls.size() == 100);
  CHECK(b.most_calls == 100);
  CHECK(seen.resets[NGHTTP2_REFUSED_STREAM] + seen.resets[NGHTTP2_PROTOCOL_ERROR] +
            seen.goodbyes[NGHTTP2_PROTOCOL_ERROR] + seen.goodbyes[NGHTTP2_REFUSED_STREAM] >
        0);
  CHECK(b.serves());
  w->end();
  b.time.settle();
  CHECK(b.server->connections() == 1); // the one that asked in between
  CHECK(b.alive() == 0);
}

TEST_CASE("http/2: bodies and heads have limits") {
  http2_bench b;
  auto w = b.connect();
  http2_client c(w);
  auto body = c.ask("POST", "/echo", std::string(2u << 20, 'b'));
  auto told = c.ask("POST", "/echo", "x", {{"content-length", "99999999"}});
  auto path = c.ask("GET", "/" + std::string(20'000, 'p'));
  http2_client::pairs many;
  for (int i = 0; i < 150; ++i) many.emplace_back("x-" + std::to_string(i), "v");
  auto fields = c.ask("GET", "/echo", "", many);
  auto fine = c.ask("GET", "/echo");
  b.talk(c);
  CHECK(c.answers[body].status == 413);
  CHECK(c.answers[told].status != 200);
  CHECK(c.answers[path].status != 200);
  CHECK(c.answers[path].closed);
  CHECK(c.answers[fields].status == 431);
  CHECK(c.answers[fine].body == "GET /echo?|");
  CHECK(b.serves());
}

TEST_CASE("http/2: what breaks the protocol ends the connection, and nothing else") {
  http2_bench b;
  const std::string long_head(1u << 14, '\0');
  const std::pair<const char*, std::string> bad[] = {
      {"no preface", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"half a preface and noise", http2_preface().substr(0, 20) + std::string(100, '\xff')},
      {"a frame that is too long", http2_preface() + std::string("\xff\xff\xff\0\0\0\0\0\1", 9)},
      {"data of a stream that never was", http2_preface() + http2_frame(0, 0, 7, "body")},
      {"an even stream", http2_preface() + http2_frame(1, 5, 2, http2_get())},
      {"fields that do not decompress",
       http2_preface() + http2_frame(1, 5, 1, "\xff\xff\xff\xff\xff\xff\xff")},
      {"a frame within a header block",
       http2_preface() + http2_frame(1, 1, 1, http2_get()) + http2_frame(6, 0, 0, "12345678")},
      {"a window of 2^31",
       http2_preface() + http2_frame(8, 0, 0, "\x7f\xff\xff\xff") + http2_frame(8, 0, 0, "\x7f\xff\xff\xff")},
      {"settings of half an entry", http2_preface() + http2_frame(4, 0, 0, "123")},
      {"a push of a client",
       http2_preface() + http2_frame(5, 4, 1, std::string("\0\0\0\2", 4) + http2_get())},
  };
  for (const auto& [what, bytes] : bad)
    for (bool cut : {false, true}) {
      CAPTURE(what);
      CAPTURE(cut);
      auto w = b.connect();
      std::string heard;
      if (cut)
        for (char c : bytes) heard += b.tell(w, std::string(1, c));
      else
        heard = b.tell(w, bytes);
      b.time.advance(2s);
      w->settle();
      heard += w->heard;
      bool told = frames_seen(heard).types[7] > 0; // GOAWAY
      CHECK((told || w->destroyed));
      w->end();
      b.time.settle();
      CHECK(b.server->connections() == 0);
    }
  CHECK(b.calls.empty());
  // A block that never ends: CONTINUATION after CONTINUATION (CVE-2024-28182).
  auto w = b.connect();
  std::string heard = b.tell(w, http2_preface() + http2_frame(1, 1, 1, http2_get()));
  for (int i = 0; i < 2000 && !w->destroyed; ++i)
    heard += b.tell(w, http2_frame(9, 0, 1, long_head.substr(0, 1)));
  CHECK((w->destroyed || frames_seen(heard).types[7] > 0));
  CHECK(b.serves());
}

TEST_CASE("http/2: requests that are taken back at once end the connection when there are too many") {
  http2_bench b;
  auto w = b.connect();
  auto heard = b.tell(w, http2_preface());
  std::uint32_t id = 1;
  for (; id < 40'000 && !w->destroyed; id += 2) {
    heard =
        b.tell(w, http2_frame(1, 5, id, http2_get()) + http2_frame(3, 0, id, std::string("\0\0\0\x08", 4)));
    if (frames_seen(heard).types[7] > 0) break;
  }
  CHECK(id < 40'000); // CVE-2023-44487
  CHECK(b.most_calls <= 100);
  CHECK(b.alive() == 0);
  CHECK(b.serves());
}

TEST_CASE("http/2: both sides may say goodbye") {
  http2_bench b;
  auto w = b.connect();
  http2_client c(w);
  auto late = c.ask("GET", "/later");
  b.talk(c);
  REQUIRE(b.calls.size() == 1);
  // The client's GOAWAY takes no request back.
  nghttp2_submit_goaway(c.session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  b.talk(c);
  b.calls[0]->reply({.body = "after all"});
  b.talk(c);
  CHECK(c.answers[late].body == "after all");

  auto second = b.connect();
  http2_client d(second);
  auto waiting = d.ask("GET", "/later");
  b.talk(d);
  REQUIRE(b.calls.size() == 2);
  bool drained = false;
  b.server->drain([&] { drained = true; });
  b.talk(d);
  REQUIRE(d.going_away.size() == 1);
  CHECK(d.going_away[0] == NGHTTP2_NO_ERROR);
  CHECK_FALSE(drained);
  b.calls[1]->reply({.body = "the last"});
  b.talk(d);
  CHECK(d.answers[waiting].body == "the last");
  b.time.advance(2s);
  CHECK(drained);
  CHECK(second->destroyed);
}

TEST_CASE("http/2: who asks nothing is let go, and a server that ends takes its clients along") {
  http2_bench b;
  auto w = b.connect();
  http2_client c(w);
  auto id = c.ask("GET", "/echo");
  b.talk(c);
  CHECK(c.answers[id].closed);
  b.time.advance(90s);
  w->settle();
  b.time.advance(2s);
  CHECK(w->destroyed);
  CHECK(b.server->connections() == 0);

  auto other = b.connect();
  http2_client d(other);
  (void)d.ask("GET", "/later");
  b.talk(d);
  REQUIRE(b.calls.size() == 1);
  b.server.reset();
  b.time.settle();
  CHECK_FALSE(b.calls[0]->alive());
  b.calls[0]->reply({.body = "nobody hears this"});
  CHECK(other->destroyed);
}
