#include <doctest/doctest.h>

#include "http/connection_engine.h"
#include "http/request_parser.h"

using namespace netlab;
using namespace netlab::http;

namespace {

struct outcome {
  request_parser::state state = request_parser::state::more;
  int status = 0;
  std::string method, path, query, host, body;
  bool keep_alive = false;
  std::size_t consumed = 0;
  bool operator==(const outcome&) const = default;
};

outcome parse(std::string_view text, std::size_t step = std::string_view::npos, http_limits limits = {}) {
  request_parser p(limits);
  outcome out;
  while (out.consumed < text.size() && out.state == request_parser::state::more) {
    std::size_t taken = 0;
    auto piece = text.substr(out.consumed, step);
    out.state = p.parse(piece, taken);
    out.consumed += taken;
    REQUIRE(taken <= piece.size());
    if (out.state == request_parser::state::more) REQUIRE(taken == piece.size());
  }
  out.status = p.status();
  if (out.state != request_parser::state::complete) return out;
  const auto& r = p.request();
  out.method = r.method;
  out.path = r.path;
  out.query = r.query;
  out.host = r.host;
  out.body = r.body;
  out.keep_alive = r.keep_alive;
  return out;
}

int status_of(std::string_view text, http_limits limits = {}) {
  return parse(text, std::string_view::npos, limits).status;
}

std::string get(std::string_view target, std::string_view fields = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n";
}

const std::vector<std::string> corpus = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /boot.ipxe?mac=02-00-0a-14-0d-0b&x=%2F HTTP/1.1\r\nHost: 10.20.13.140:8080\r\nUser-Agent: "
    "iPXE/1.21\r\n\r\n",
    "HEAD //EFI/BOOT/BOOTAA64.EFI HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET http://bastion:8080/a/../b?q HTTP/1.1\r\nHost: other\r\nRange: bytes=0-99\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nEmpty:\r\n\r\nhello",
    "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
    "chunked\r\n\r\n4\r\nWiki\r\nA;ext=\"v\"\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
    "\r\nGET /after-an-empty-line HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
    "GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
    "AAMAAABk\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
};

} // namespace

TEST_CASE("http request: what firmware, iPXE and curl send") {
  auto r = parse(corpus[1]);
  CHECK(r.method == "GET");
  CHECK(r.path == "/boot.ipxe");
  CHECK(r.query == "mac=02-00-0a-14-0d-0b&x=%2F");
  CHECK(r.host == "10.20.13.140:8080");
  CHECK(r.keep_alive);
  r = parse(corpus[2]);
  CHECK(r.path == "/EFI/BOOT/BOOTAA64.EFI");
  CHECK(r.keep_alive);
  r = parse(corpus[3]);
  CHECK(r.path == "/b");
  CHECK(r.query == "q");
  CHECK(r.host == "bastion:8080");
  CHECK(parse(corpus[4]).body == "hello");
  CHECK(parse(corpus[5]).body == "Wiki0123456789");
  CHECK_FALSE(parse(corpus[6]).keep_alive);
  CHECK(parse(corpus[7]).state == request_parser::state::complete); // the upgrade is not taken
  CHECK(parse(corpus[8]).path == "*");
  CHECK_FALSE(parse("GET / HTTP/1.0\r\n\r\n").keep_alive);
}

TEST_CASE("http request: however the bytes are cut, the request is the same") {
  for (const auto& text : corpus) {
    CAPTURE(text);
    auto whole = parse(text);
    CHECK(whole.state == request_parser::state::complete);
    CHECK(whole.consumed == text.size());
    for (std::size_t step : {1, 2, 3, 7, 16}) CHECK(parse(text, step) == whole);
    // Nothing of the next request is touched.
    CHECK(parse(text + "GET /next HTTP/1.1\r\n").consumed == text.size());
  }
}

TEST_CASE("http request: every truncation waits for more and refuses nothing") {
  for (const auto& text : corpus)
    for (std::size_t length = 0; length < text.size(); ++length) {
      CAPTURE(text.substr(0, length));
      CHECK(parse(text.substr(0, length)).state == request_parser::state::more);
    }
}

TEST_CASE("http request: paths are decoded once and never leave the root") {
  const std::pair<const char*, const char*> table[] = {
      {"/", "/"},
      {"//", "/"},
      {"///a////b//", "/a/b/"},
      {"/a/./b/.", "/a/b/"},
      {"/a/b/..", "/a/"},
      {"/a/b/../c", "/a/c"},
      {"/..", "/"},
      {"/../../../etc/passwd", "/etc/passwd"},
      {"/%2e%2e/%2E%2E%2fetc", "/etc"},
      {"/a/..%2f..%2f..%2fb", "/b"},
      {"/%252e%252e/x", "/%2e%2e/x"},
      {"/a%20b+c", "/a b+c"},
      {"/...", "/..."},
      {"/.hidden", "/.hidden"},
      {"/a..b/..c", "/a..b/..c"},
      {"/%2Fetc", "/etc"},
      {"/\xc3\xa9", "/\xc3\xa9"},
  };
  for (auto [raw, wanted] : table) {
    CAPTURE(raw);
    CHECK(parse(get(raw)).path == wanted);
  }
  for (auto raw : {"/%00", "/a%0ab", "/%7f", "/%", "/%4", "/%zz", "/%4g"}) {
    CAPTURE(raw);
    CHECK(status_of(get(raw)) == 400);
  }
}

TEST_CASE("http request: shapes that smuggle a second request are refused") {
  const std::pair<const char*, int> table[] = {
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nhello", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
       "identity\r\n\r\n0\r\n\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0b"
       "chunked\r\n\r\n0\r\n\r\n",
       400},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n: nameless\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: a\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
      {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET http://u:p@a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"\x16\x03\x01\x02\x00\x01\x00", 400}, // a TLS hello on a plain port is answered before its end
      {"\x16\x03\x01\x02\n\x01", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\nContent-Length: 1\r\n\r\nx", 417},
  };
  for (auto [text, status] : table) {
    CAPTURE(std::string(text));
    auto r = parse(text);
    CHECK(r.state == request_parser::state::refused);
    // llhttp may name a coding that is not the last one before we do; either answer closes.
    if (status == 400 && (r.status == 501))
      CHECK(std::string_view(text).find("Transfer-Encoding") != std::string_view::npos);
    else
      CHECK(r.status == status);
    CHECK(parse(text, 1).state == request_parser::state::refused);
  }
}

TEST_CASE("http request: chunked framing is read strictly") {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (auto body : {"5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "\r\n",
                    "g\r\n", "-1\r\n", "0x5\r\nhello\r\n", "5 \r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n",
                    "11111111111111111\r\n", "5;a\nb\r\nhello\r\n", "0\r\n\n", "0\r\n X: 1\r\n\r\n",
                    "0\r\nX : 1\r\n\r\n", "0\r\nX: 1\n\r\n", "0\r\nX: 1\r\n\n"}) {
    CAPTURE(std::string(body));
    CHECK(status_of(head + body) == 400);
    CHECK(parse(head + body, 1).status == 400);
  }
  CHECK(status_of(head + "5;" + std::string(20000, 'x') + "\r\n") == 400);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 2000; ++i) trailers += "X: 0123456789\r\n";
  CHECK(status_of(head + trailers) == 400);
}

TEST_CASE("http request: limits") {
  http_limits small;
  small.header_bytes = 200;
  small.header_fields = 3;
  small.body_bytes = 10;
  CHECK(status_of(get("/" + std::string(300, 'a')), small) == 431);
  CHECK(parse("GET /" + std::string(300, 'a'), 1, small).status == 431); // before the line ends
  CHECK(status_of(get("/", "A: 1\r\nB: 1\r\nC: 1\r\n"), small) == 431);
  CHECK(status_of(get("/", "A: 1\r\nB: 1\r\n"), small) == 0);
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  CHECK(status_of(post + "Content-Length: 10\r\n\r\n0123456789", small) == 0);
  CHECK(status_of(post + "Content-Length: 11\r\n\r\n", small) == 413);
  CHECK(status_of(post + "Content-Length: 99999999999999999999999\r\n\r\n", small) == 400); // no such number
  CHECK(status_of(post + "Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n", small) == 413);
  CHECK(status_of(post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", small) == 413);
}

TEST_CASE("http engine: pipelined requests come out one by one, in order") {
  http_limits limits;
  boot_time now{};
  connection_engine e(limits, now);
  e.receive(get("/1") + get("/2") + "POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok" + get("/4"),
            now);
  std::string seen;
  while (e.next(now) == connection_engine::event::request) {
    seen += e.request().path + e.request().body;
    CHECK(e.next(now) == connection_engine::event::none); // until it is answered
    response r;
    r.text = "x";
    r.length = 1;
    auto out = e.respond(r, "now", false);
    CHECK_FALSE(out.close);
    CHECK(out.bytes.ends_with("\r\n\r\nx"));
    e.finish(now);
  }
  CHECK(seen == "/1/2/3ok/4");
  CHECK(e.idle());
}

TEST_CASE("http engine: what was sent ahead is bounded") {
  http_limits limits;
  connection_engine e(limits, {});
  e.receive(get("/1"), {});
  REQUIRE(e.next({}) == connection_engine::event::request);
  CHECK(e.wants_input());
  while (e.wants_input()) e.receive(get("/more"), {});
  response r;
  int answered = 0;
  do {
    e.respond(r, "", false);
    e.finish({});
    ++answered;
  } while (e.next({}) == connection_engine::event::request);
  CHECK(answered > 1000);
  CHECK(e.wants_input());
}

TEST_CASE("http engine: which connection stays open") {
  auto closes = [](const std::string& text, std::uint64_t most = 100) {
    http_limits limits;
    limits.requests_per_connection = most;
    connection_engine e(limits, {});
    e.receive(text, {});
    CHECK(e.next({}) != connection_engine::event::none);
    auto out = e.respond({}, "", false);
    CHECK(out.close == (out.bytes.find("Connection: close\r\n") != std::string::npos));
    return out.close;
  };
  CHECK_FALSE(closes(get("/")));
  CHECK(closes(get("/", "Connection: close\r\n")));
  CHECK(closes(get("/", "Connection: x, Close\r\n")));
  CHECK(closes("GET / HTTP/1.0\r\n\r\n"));
  CHECK_FALSE(closes("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
  CHECK(closes(get("/"), 1));
  CHECK(closes("broken\r\n"));
}
