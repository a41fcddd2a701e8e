#include <doctest/doctest.h>

#include <deque>
#include <fstream>

#include "netlab/event_loop.h"
#include "netlab/http_server.h"
#include "netlab/text.h"
#include "support/certificate.h"
#include "support/loop_runner.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace std::chrono_literals;
using test::run_until;

namespace {

// The server and the client of this room against each other on one loop.
struct pair_of_ends {
  event_loop loop;
  std::unique_ptr<http_client> client = make_http_client(loop);
  metrics numbers;
  runtime world{loop.clock(), loop.scheduler(), loop.random(), loop.net(),
                loop.files(), loop.processes(), *client,       {},
                numbers};
  std::unique_ptr<http_server> server = make_http_server(world);
  std::string base;

  explicit pair_of_ends(std::optional<tls_identity> tls = {}) {
    listen_options o;
    o.local = {ip_address::v4(127, 0, 0, 1), 0};
    o.tls = tls;
    auto at = server->listen(o).value();
    base = (tls ? "https://" : "http://") + at.to_string();
  }
  void handle(const std::string& prefix, http_handler h) {
    REQUIRE(server->handle(prefix, std::move(h)).has_value());
  }

  result<http_response> send(http_request request) {
    std::optional<result<http_response>> out;
    auto exchange = client->send(std::move(request), [&](result<http_response> r) { out = std::move(r); });
    CHECK_FALSE(out.has_value()); // never inside the call
    run_until(loop, [&] { return out.has_value(); });
    return out ? std::move(*out) : result<http_response>(fail(errc::io, "nothing came"));
  }
  result<http_response> get(const std::string& path) { return send({.url = base + path}); }
};

// A listener that speaks whatever the test says, for answers no proper server gives.
struct raw_server {
  std::unique_ptr<listener> listening;
  std::vector<std::unique_ptr<stream>> streams;
  std::string heard;
  raw_server(event_loop& loop, std::string answer, bool close) {
    listening = loop.net()
                    .listen({.local = {ip_address::v4(127, 0, 0, 1), 0}},
                            [this, answer, close](std::unique_ptr<stream> s) {
                              auto* raw = s.get();
                              streams.push_back(std::move(s));
                              raw->on_data([this, raw, answer, close](byte_view b) {
                                heard += as_text(b);
                                if (heard.find("\r\n\r\n") == std::string::npos) return;
                                raw->write(answer);
                                if (close) raw->finish();
                              });
                            })
                    .value();
  }
  std::string url() const { return "http://" + listening->local().to_string() + "/"; }
};

} // namespace

TEST_CASE("http loopback: every method, headers, query and body arrive") {
  pair_of_ends p;
  p.handle("/", [](const http_call_ptr& c) {
    c->reply({.status = 202,
              .headers = {{"X-Reply", "Value"}, {"X-Asked", std::string(c->header("x-ask"))}},
              .body = c->method + " " + c->path + "?" + c->query + " " +
                      std::string(c->header("content-type")) + "|" + c->body});
  });
  auto r = p.get("/a%20b?q=1");
  REQUIRE(r.has_value());
  CHECK(r->status == 202);
  CHECK(r->body == "GET /a b?q=1 |");
  CHECK(r->header("x-reply") == "Value");
  CHECK(r->headers[0].first == "date");
  CHECK(r->bytes == r->body.size());
  CHECK(r->url == p.base + "/a%20b?q=1");
  r = p.send({.method = "POST",
              .url = p.base + "/p",
              .headers = {{"Content-Type", "text/x"}, {"X-Ask", "1"}},
              .body = "hello"});
  CHECK(r->body == "POST /p? text/x|hello");
  CHECK(r->header("X-Asked") == "1");
  CHECK(p.send({.method = "POST", .url = p.base + "/e"})->body == "POST /e? |");
  CHECK(p.send({.method = "PUT", .url = p.base + "/p", .body = std::string(300'000, 'b')})->body.size() ==
        300'000 + 9);
  CHECK(p.send({.method = "DELETE", .url = p.base + "/d"})->body == "DELETE /d? |");
  auto head = p.send({.method = "HEAD", .url = p.base + "/h"});
  CHECK(head->body.empty());
  CHECK(head->header("content-length") == "10");
  CHECK(p.send({.method = "PUT", .url = p.base + "/p", .body = std::string(2 << 20, 'b')})->status == 413);
}

TEST_CASE("http loopback: large files arrive whole, over plain and TLS, and the CA is checked") {
  test::temporary_folder folder;
  test::make_certificate(folder / "c.pem", folder / "k.pem");
  std::string content(9 << 20, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 + i / 4099);
  std::ofstream(folder / "kernel", std::ios::binary) << content;

  for (bool secure : {false, true}) {
    pair_of_ends p(secure ? std::optional<tls_identity>({folder / "c.pem", folder / "k.pem"}) : std::nullopt);
    REQUIRE(p.server->files("/assets", folder.path()).has_value());
    http_request q;
    q.url = p.base + "/assets/kernel";
    q.ca_file = folder / "c.pem";
    auto whole = p.send(q);
    REQUIRE_MESSAGE(whole.has_value(), (whole ? "" : whole.error().message));
    CHECK(whole->body == content);
    q.headers = {{"Range", "bytes=1000000-1999999"}};
    auto part = p.send(q);
    CHECK(part->status == 206);
    CHECK(part->body == content.substr(1000000, 1000000));
    q.headers.clear();
    std::string pieces;
    std::size_t calls = 0;
    q.body_limit = 1; // not for bodies that are not kept
    q.on_body = [&](byte_view b) {
      pieces += as_text(b);
      ++calls;
    };
    auto streamed = p.send(q);
    CHECK(pieces == content);
    CHECK(calls > 1);
    CHECK(streamed->body.empty());
    CHECK(streamed->bytes == content.size());
    if (!secure) continue;

    http_request untrusted;
    untrusted.url = q.url;
    auto refused = p.send(untrusted);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::denied);
    CHECK(refused.error().message.find("not trusted") != std::string::npos);
    untrusted.verify = false;
    untrusted.method = "HEAD";
    CHECK(p.send(untrusted)->status == 200);
    // The certificate is for localhost and 127.0.0.1 only.
    auto port = p.base.substr(p.base.rfind(':') + 1);
    http_request other;
    other.url = "https://elsewhere.test:" + port + "/";
    other.ca_file = folder / "c.pem";
    other.resolve = {"elsewhere.test:" + port + ":127.0.0.1"};
    auto mismatch = p.send(other);
    REQUIRE_FALSE(mismatch.has_value());
    CHECK(mismatch.error().code == errc::denied);
    CHECK_MESSAGE(mismatch.error().message.find("another name") != std::string::npos,
                  mismatch.error().message);
    other.ca_file = folder / "missing.pem";
    CHECK_FALSE(p.send(other).has_value());
    other.url = "http://127.0.0.1:" + port + "/"; // plain text at a TLS port
    CHECK_FALSE(p.send(other).has_value());
  }
}

TEST_CASE("http loopback: redirects are followed so far, and secrets stay with their host") {
  pair_of_ends p;
  auto port = p.base.substr(p.base.rfind(':') + 1);
  std::vector<std::string> seen;
  p.handle("/hop", [&](const http_call_ptr& c) {
    auto n = std::stoi(c->path.substr(5));
    c->reply({.status = 302, .headers = {{"Location", n > 1 ? "/hop/" + std::to_string(n - 1) : "/end"}}});
  });
  p.handle("/loop", [](const http_call_ptr& c) {
    c->reply({.status = 302, .headers = {{"Location", "/loop"}}});
  });
  p.handle("/away", [&](const http_call_ptr& c) {
    c->reply({.status = 307, .headers = {{"Location", "http://other.test:" + port + "/end"}}});
  });
  p.handle("/ftp", [](const http_call_ptr& c) {
    c->reply({.status = 302, .headers = {{"Location", "ftp://127.0.0.1/x"}}});
  });
  p.handle("/end", [&](const http_call_ptr& c) {
    seen.push_back(c->method + " " + std::string(c->header("authorization")));
    c->reply({.body = "end"});
  });
  auto r = p.get("/hop/5");
  REQUIRE(r.has_value());
  CHECK(r->body == "end");
  CHECK(r->url == p.base + "/end");
  CHECK(r->header("location").empty()); // of the last answer alone
  auto many = p.get("/hop/6");
  REQUIRE_FALSE(many.has_value());
  CHECK(many.error().code == errc::limit);
  CHECK(p.get("/loop").error().code == errc::limit);
  auto none = p.send({.url = p.base + "/hop/1", .redirects = 0});
  CHECK(none->status == 302);
  CHECK(none->header("location") == "/end");
  CHECK(p.get("/ftp").error().code == errc::unsupported);
  CHECK(p.send({.method = "DELETE", .url = p.base + "/hop/1"})->status == 302);

  seen.clear();
  http_request secret{.url = p.base + "/hop/1", .headers = {{"Authorization", "Bearer s"}}};
  p.send(secret);
  secret.url = p.base + "/away";
  secret.resolve = {"other.test:" + port + ":127.0.0.1"};
  auto away = p.send(secret);
  REQUIRE_MESSAGE(away.has_value(), (away ? "" : away.error().message));
  REQUIRE(seen.size() == 2);
  CHECK(seen[0] == "GET Bearer s");
  CHECK(seen[1] == "GET ");
}

TEST_CASE("http client: what cannot be asked, and who does not answer") {
  pair_of_ends p;
  for (auto url : {"", "http://a b/", "http://a\r\nX: y/", "ftp://127.0.0.1/", "file:///etc/passwd",
                   "gopher://x/", "http://", "http://127.0.0.1:99999/"}) {
    CAPTURE(url);
    auto r = p.send({.url = url});
    REQUIRE_FALSE(r.has_value());
    CHECK((r.error().code == errc::invalid || r.error().code == errc::unsupported));
  }
  CHECK(p.send({.method = "GE T", .url = p.base}).error().code == errc::invalid);
  CHECK(p.send({.url = p.base, .headers = {{"X", "a\r\nY: b"}}}).error().code == errc::invalid);
  CHECK(p.send({.url = p.base, .headers = {{"X:", "a"}}}).error().code == errc::invalid);

  // A port that was free a moment ago.
  std::string gone;
  {
    raw_server s(p.loop, "", false);
    gone = s.url();
  }
  auto refused = p.send({.url = gone + "x?token=secret"});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == errc::refused);
  CHECK(refused.error().message.starts_with("GET " + gone + "x: "));
  CHECK(refused.error().message.find("secret") == std::string::npos);
}

TEST_CASE("http client: answers that break off, lie or never come") {
  pair_of_ends p;
  auto code = [&](const std::string& answer, bool close = true, http_request q = {}) {
    raw_server s(p.loop, answer, close);
    q.url = s.url();
    auto r = p.send(q);
    return r ? std::string("status ") + std::to_string(r->status) + " " + r->body
             : std::string(to_string(r.error().code));
  };
  CHECK(code("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc") == "status 200 abc");
  CHECK(code("HTTP/1.0 200 OK\r\n\r\nto the end") == "status 200 to the end");
  CHECK(code("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n") ==
        "status 200 abc");
  CHECK(code("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n") == "status 204 ");
  CHECK(code("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc") == "closed");
  CHECK(code("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab") == "closed");
  CHECK(code("") == "closed");
  CHECK(code("SSH-2.0-OpenSSH\r\n") != "status 200 ");
  http_request short_time;
  short_time.timeout = 50ms;
  CHECK(code("", false, short_time) == "timeout");
  CHECK(code("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc", false, short_time) == "timeout");
  http_request small;
  small.body_limit = 10;
  CHECK(code("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", true, small) ==
        "status 200 0123456789");
  CHECK(code("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789a", true, small) == "limit");
  CHECK(code("HTTP/1.0 200 OK\r\n\r\n0123456789a", true, small) == "limit"); // no length told
}

TEST_CASE("http client: dropping cancels, whenever it is done") {
  pair_of_ends p;
  std::vector<http_call_ptr> held;
  p.handle("/held", [&](http_call_ptr c) { held.push_back(std::move(c)); });
  p.handle("/", [](const http_call_ptr& c) { c->reply({.body = std::string(1 << 20, 'x')}); });
  bool called = false;
  auto never = [&](const result<http_response>&) { called = true; };
  // At once, with a broken request, and while the server thinks.
  p.client->send({.url = p.base + "/held"}, never).reset();
  p.client->send({.url = ""}, never).reset();
  auto waiting = p.client->send({.url = p.base + "/held"}, never);
  run_until(p.loop, [&] { return held.size() == 1; });
  waiting.reset();
  run_until(p.loop, [&] { return !held[0]->alive(); });
  // Inside on_body, and inside done.
  std::unique_ptr<http_exchange> body, done;
  int pieces = 0;
  http_request q{.url = p.base + "/"};
  q.on_body = [&](byte_view) {
    ++pieces;
    body.reset();
  };
  body = p.client->send(q, never);
  bool finished = false;
  done = p.client->send({.url = p.base + "/"}, [&](const result<http_response>&) {
    done.reset();
    finished = true;
  });
  run_until(p.loop, [&] { return finished && pieces > 0; });
  CHECK(p.get("/")->status == 200);
  CHECK(pieces == 1);
  CHECK_FALSE(called);
  // A new request from within on_body, and the client dropped from within done.
  std::unique_ptr<http_exchange> first, second;
  bool nested = false;
  q.on_body = [&](byte_view) {
    if (!second)
      second = p.client->send({.url = p.base + "/"},
                              [&](const result<http_response>& r) { nested = r.has_value(); });
  };
  first = p.client->send(q, [](const result<http_response>&) {});
  run_until(p.loop, [&] { return nested; });
  auto own = make_http_client(p.loop);
  bool dropped = false;
  auto last = own->send({.url = p.base + "/"}, [&](const result<http_response>&) {
    own.reset();
    dropped = true;
  });
  run_until(p.loop, [&] { return dropped; });
  own = make_http_client(p.loop);
  auto cancelled = own->send({.url = p.base + "/held"}, never);
  own.reset();
  cancelled.reset();
  CHECK_FALSE(called);
}

TEST_CASE("http loopback: many at once, and drain with real sockets") {
  pair_of_ends p;
  std::deque<http_call_ptr> held;
  p.handle("/held", [&](http_call_ptr c) { held.push_back(std::move(c)); });
  p.handle("/", [](const http_call_ptr& c) { c->reply({.body = c->path}); });
  std::vector<std::unique_ptr<http_exchange>> exchanges;
  int good = 0;
  for (int i = 0; i < 100; ++i) {
    auto path = "/" + std::to_string(i);
    exchanges.push_back(p.client->send(
        {.url = p.base + path}, [&, path](const result<http_response>& r) { good += r && r->body == path; }));
  }
  run_until(p.loop, [&] { return good == 100; });
  std::optional<result<http_response>> last;
  auto exchange =
      p.client->send({.url = p.base + "/held"}, [&](result<http_response> r) { last = std::move(r); });
  run_until(p.loop, [&] { return !held.empty(); });
  bool drained = false;
  p.server->drain([&] { drained = true; });
  CHECK(p.get("/").error().code == errc::refused);
  CHECK_FALSE(drained);
  held[0]->reply({.body = "last"});
  run_until(p.loop, [&] { return drained && last; });
  REQUIRE(last->has_value());
  CHECK((*last)->body == "last");
  CHECK(p.server->connections() == 0);
}
