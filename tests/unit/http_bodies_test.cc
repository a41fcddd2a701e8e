// Bodies that come while they are sent or received, between the server and the client of this room.
#include <doctest/doctest.h>

#include <algorithm>

#include "netlab/event_loop.h"
#include "netlab/http_server.h"
#include "netlab/task.h"
#include "support/loop_runner.h"

using namespace netlab;
using namespace std::chrono_literals;
using test::run_until;

namespace {

struct ends {
  std::vector<transfer_report> reports; // of what serve() answered; the server's last ones, too
  event_loop loop;
  std::unique_ptr<http_client> client = make_http_client(loop);
  metrics numbers;
  runtime world{loop.clock(), loop.scheduler(), loop.random(), loop.net(),
                loop.files(), loop.processes(), *client,       {},
                numbers};
  std::unique_ptr<http_server> server;
  std::string base;

  explicit ends(http_limits limits = {}) {
    http_server_options o;
    o.limits = limits;
    server = make_http_server(world, std::move(o));
    listen_options at;
    at.local = {ip_address::v4(127, 0, 0, 1), 0};
    base = "http://" + server->listen(at)->to_string();
  }
  result<http_response> send(http_request request) {
    std::optional<result<http_response>> out;
    auto exchange = client->send(std::move(request), [&](result<http_response> r) { out = std::move(r); });
    run_until(loop, [&] { return out.has_value(); });
    return out ? std::move(*out) : result<http_response>(fail(errc::io, "nothing came"));
  }
};

// Grows when the test says so.
struct growing final : http_body {
  std::string all, here;
  std::optional<error> broken;
  std::function<void()> ready;
  bool tells_size = true;
  std::uint64_t size() const override { return tells_size ? all.size() : unknown; }
  result<piece> read(std::uint64_t offset, std::uint64_t most, std::function<void()> fn) override {
    if (broken) return tl::unexpected(*broken);
    piece out;
    if (offset < here.size()) out.bytes = here.substr(offset, most);
    out.last = offset + out.bytes.size() == all.size();
    if (out.bytes.empty() && !out.last) ready = std::move(fn);
    return out;
  }
  void grow(std::size_t bytes) {
    here = all.substr(0, here.size() + bytes);
    if (auto fn = std::exchange(ready, nullptr)) fn();
  }
};

// Every request is answered with the body, which stays the test's; one with a tag takes conditions and
// ranges.
void serve(ends& e, const std::shared_ptr<growing>& body, const std::string& etag = {}) {
  REQUIRE(e.server->handle("/", [&e, &body, etag](const http_call_ptr& c) {
    http_reply r;
    r.body = std::shared_ptr<http_body>(body);
    r.selectable = !etag.empty();
    r.etag = etag;
    r.on_done = [&e](const transfer_report& report) { e.reports.push_back(report); };
    c->reply(std::move(r));
  }));
}

std::string numbers_up_to(std::size_t bytes) {
  std::string out;
  for (std::size_t i = 0; out.size() < bytes; ++i) out += std::to_string(i) + ",";
  out.resize(bytes);
  return out;
}

} // namespace

TEST_CASE("http bodies: one that grows is sent as it comes, whole or in part, and reported") {
  ends e;
  auto body = std::make_shared<growing>();
  body->all = numbers_up_to(3'000'000);
  serve(e, body, "\"x\"");
  auto more = e.loop.scheduler().every(1ms, [&] { body->grow(200'000); });

  auto got = e.send({.url = e.base + "/"});
  REQUIRE(got);
  CHECK(got->body == body->all);
  CHECK(got->header("content-length") == "3000000");
  auto part = e.send({.url = e.base + "/", .headers = {{"Range", "bytes=1000-1999"}}});
  CHECK(part->status == 206);
  CHECK(part->body == body->all.substr(1000, 1000));
  CHECK(part->header("content-range") == "bytes 1000-1999/3000000");
  CHECK(e.send({.method = "HEAD", .url = e.base + "/"})->header("content-length") == "3000000");
  CHECK(e.send({.url = e.base + "/", .headers = {{"If-None-Match", "\"x\""}}})->status == 304);
  CHECK(e.send({.url = e.base + "/", .headers = {{"Range", "bytes=9000000-"}}})->status == 416);
  REQUIRE(e.reports.size() == 5);
  CHECK(e.reports[0].completed);
  CHECK(e.reports[0].bytes == 3'000'000);
  CHECK(e.reports[1].bytes == 1000);
}

TEST_CASE("http bodies: one that breaks cuts the connection, and a reader that leaves is told") {
  ends e;
  auto body = std::make_shared<growing>();
  body->all = numbers_up_to(100'000);
  serve(e, body);
  body->grow(50'000);
  auto breaks = e.loop.scheduler().after(20ms, [&] {
    body->broken = error{errc::conflict, "it is wrong", "test"};
    body->grow(0);
  });
  CHECK_FALSE(e.send({.url = e.base + "/"}));
  REQUIRE(e.reports.size() == 1);
  CHECK_FALSE(e.reports[0].completed);
  CHECK(e.reports[0].reason == "it is wrong");
  CHECK(e.reports[0].bytes == 50'000);

  body->broken.reset();
  auto exchange = e.client->send({.url = e.base + "/", .on_body = [](byte_view) {}}, [](const auto&) {});
  run_until(e.loop, [&] { return body->ready != nullptr; });
  exchange.reset();
  run_until(e.loop, [&] { return e.reports.size() == 2; });
  CHECK_FALSE(e.reports[1].completed);
  CHECK(body.use_count() == 1); // ours: the reply let go of it
}

TEST_CASE("http bodies: one of unknown size goes in chunks") {
  ends e;
  auto body = std::make_shared<growing>();
  body->all = numbers_up_to(3'000'000);
  body->tells_size = false;
  serve(e, body, "\"x\"");
  auto more = e.loop.scheduler().every(1ms, [&] { body->grow(200'000); });
  auto got = e.send({.url = e.base + "/"});
  REQUIRE(got);
  CHECK(got->body == body->all);
  CHECK(got->header("transfer-encoding") == "chunked");
  CHECK(got->header("content-length").empty());
  CHECK(got->header("accept-ranges").empty());
  // The connection goes on to be used.
  auto part = e.send({.url = e.base + "/", .headers = {{"Range", "bytes=1000-1999"}}});
  CHECK(part->status == 200);
  CHECK(part->body == body->all);
  CHECK(e.send({.method = "HEAD", .url = e.base + "/"})->status == 200);
  CHECK(e.send({.url = e.base + "/", .headers = {{"If-None-Match", "\"x\""}}})->status == 304);
  CHECK(e.server->connections() == 1);
  REQUIRE(e.reports.size() == 4);
  CHECK(e.reports[0].completed);
  CHECK(e.reports[0].bytes == 3'000'000);
  CHECK(e.reports[0].size == 3'000'000);
  CHECK(e.reports[2].bytes == 0);

  more = {};
  auto something = std::exchange(body->all, {});
  body->here.clear();
  CHECK(e.send({.url = e.base + "/"})->body.empty());
  body->all = std::move(something);
  body->grow(50'000);
  auto breaks = e.loop.scheduler().after(20ms, [&] {
    body->broken = error{errc::conflict, "it is wrong", "test"};
    body->grow(0);
  });
  CHECK_FALSE(e.send({.url = e.base + "/"}));
  CHECK_FALSE(e.reports.back().completed);
  CHECK(e.reports.back().bytes == 50'000);
}

TEST_CASE("http bodies: one of unknown size ends with the connection for a client of HTTP/1.0") {
  ends e;
  auto body = std::make_shared<growing>();
  body->all = body->here = numbers_up_to(200'000);
  body->tells_size = false;
  serve(e, body);
  connect_options to;
  to.peer = *endpoint::parse(e.base.substr(7));
  std::string got;
  bool ended = false;
  std::unique_ptr<stream> client;
  e.loop.net().connect(to, [&](result<std::unique_ptr<stream>> s) {
    REQUIRE(s);
    client = std::move(*s);
    client->on_data([&](byte_view b) { got += as_text(b); });
    client->on_end([&](const auto&) { ended = true; });
    client->write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  });
  run_until(e.loop, [&] { return ended; });
  auto head = got.substr(0, got.find("\r\n\r\n") + 4);
  CHECK(head.find("chunked") == std::string::npos);
  CHECK(head.find("Content-Length") == std::string::npos);
  CHECK(got.substr(head.size()) == body->all);
}

TEST_CASE("http bodies: a request's body of any size goes into a sink as it comes") {
  http_limits limits;
  limits.body_bytes = 1000;
  ends e(limits);
  struct counting final : http_sink {
    std::string* into;
    explicit counting(std::string* to) : into(to) {}
    void take(byte_view bytes) override { *into += as_text(bytes); }
  };
  std::string taken;
  e.server->take_bodies([&](const http_request_head& head) -> std::shared_ptr<http_sink> {
    if (head.header("x-small") == "yes" || head.path != "/in") return nullptr;
    return std::make_shared<counting>(&taken);
  });
  bool had_sink = false;
  REQUIRE(e.server->handle("/", [&](const http_call_ptr& c) {
    had_sink = c->sink != nullptr;
    c->reply({.body = c->body});
  }));
  auto content = numbers_up_to(5'000'000);
  auto got = e.send({.method = "PUT", .url = e.base + "/in", .body = content});
  REQUIRE(got);
  CHECK(got->status == 200);
  CHECK(got->body.empty());
  CHECK(had_sink);
  CHECK(taken == content);
  auto kept =
      e.send({.method = "PUT", .url = e.base + "/in", .headers = {{"X-Small", "yes"}}, .body = "abc"});
  CHECK(kept->body == "abc");
  CHECK_FALSE(had_sink);
  CHECK(e.send({.method = "PUT", .url = e.base + "/other", .body = std::string(1001, 'x')})->status == 413);
}

TEST_CASE("http client: a paused exchange waits, and goes on") {
  ends e;
  auto body = std::make_shared<growing>();
  body->all = numbers_up_to(20'000'000);
  body->here = body->all;
  serve(e, body);
  std::string got;
  bool done = false;
  std::unique_ptr<http_exchange> exchange;
  exchange = e.client->send({.url = e.base + "/",
                             .on_body =
                                 [&](byte_view b) {
                                   if (got.empty()) exchange->pause(true);
                                   got += as_text(b);
                                 }},
                            [&](const result<http_response>& r) { done = r.has_value(); });
  run_until(e.loop, [&] { return !got.empty(); });
  // Not even what was under way, however long one waits.
  auto before = got.size();
  bool late = false;
  auto settle = e.loop.scheduler().after(100ms, [&] { late = true; });
  run_until(e.loop, [&] { return late; });
  CHECK(got.size() == before);
  CHECK_FALSE(done);
  exchange->pause(false);
  run_until(e.loop, [&] { return done; });
  CHECK(got == body->all);
}

namespace {
task<int> add_up(http_client& client, std::string url, int times) {
  int out = 0;
  for (int i = 0; i < times; ++i) {
    http_request ask;
    ask.url = url;
    exchange asking(client, ask);
    auto got = co_await asking;
    if (!got) co_return -1;
    out += static_cast<int>(got->body.size());
  }
  co_return out;
}
task<int> twice(http_client& client, scheduler& on, std::string url) {
  auto adding = add_up(client, url, 2);
  auto first = co_await adding;
  netlab::pause rest(on, 1ms);
  co_await rest;
  auto again = add_up(client, url, 3);
  auto second = co_await again;
  co_return first + second;
}
} // namespace

TEST_CASE("tasks: steps one after the other, and a dropped run ends where it waits") {
  ends e;
  int asked = 0;
  http_call_ptr held;
  REQUIRE(e.server->handle("/", [&](const http_call_ptr& c) {
    ++asked;
    c->reply({.body = std::string("12345")});
  }));
  REQUIRE(e.server->handle("/held", [&](const http_call_ptr& c) { held = c; }));
  std::optional<int> sum;
  task_run<int> run(twice(*e.client, e.loop.scheduler(), e.base + "/"), [&](int n) {
    sum = n;
    run = {}; // the run may go inside its own end
  });
  run.start();
  run_until(e.loop, [&] { return sum.has_value(); });
  CHECK(sum == 25);
  CHECK(asked == 5);
  CHECK_FALSE(run);

  bool ended = false;
  task_run<int> dropped(add_up(*e.client, e.base + "/held", 1), [&](int) { ended = true; });
  dropped.start();
  run_until(e.loop, [&] { return held != nullptr; });
  dropped = {};
  held->reply({.body = std::string("late")});
  bool later = false;
  auto settle = e.loop.scheduler().after(20ms, [&] { later = true; });
  run_until(e.loop, [&] { return later; });
  CHECK_FALSE(ended);
}

TEST_CASE("http bodies: what is ready is sent without a call, whole, in part or not at all") {
  ends e;
  auto text = std::make_shared<const std::string>(numbers_up_to(1000));
  auto content = http_content::make("text/x", {{"X-Kind", "kept"}}, "\"tag\"", text);
  REQUIRE(content);
  std::size_t calls = 0;
  bool forged = false;
  REQUIRE(e.server->handle(
      "/",
      [&](const http_call_ptr& c) {
        ++calls;
        c->reply({.body = "by the handler"});
      },
      [&](const http_request_head& head) -> http_ready {
        if (head.path != "/kept") return {};
        http_headers own{{"X-Query", forged ? "a\r\nX-Forged: b" : std::string(head.query)}};
        return {*content, own};
      }));
  auto ask = [&](const std::string& method, const std::string& path, http_headers headers = {},
                 std::string body = {}) {
    http_request q;
    q.method = method;
    q.url = e.base + path;
    q.headers = std::move(headers);
    q.body = std::move(body);
    auto got = e.send(std::move(q));
    REQUIRE(got);
    return *got;
  };
  auto whole = ask("GET", "/kept?q=1");
  CHECK(whole.status == 200);
  CHECK(whole.body == *text);
  CHECK(whole.header("content-type") == "text/x");
  CHECK(whole.header("x-kind") == "kept");
  CHECK(whole.header("x-query") == "q=1");
  CHECK(whole.header("etag") == "\"tag\"");
  CHECK(whole.header("accept-ranges") == "bytes");
  auto part = ask("GET", "/kept", {{"Range", "bytes=10-19"}});
  CHECK(part.status == 206);
  CHECK(part.body == text->substr(10, 10));
  CHECK(part.header("content-range") == "bytes 10-19/1000");
  CHECK(ask("GET", "/kept", {{"Range", "bytes=1000-"}}).status == 416);
  auto same = ask("GET", "/kept", {{"If-None-Match", "\"tag\""}});
  CHECK(same.status == 304);
  CHECK(same.body.empty());
  auto head = ask("HEAD", "/kept");
  CHECK(head.status == 200);
  CHECK(head.header("content-length") == "1000");
  CHECK(head.body.empty());
  CHECK(calls == 0);
  // Everything else is the handler's: another path, another method, a request with a body.
  CHECK(ask("GET", "/other").body == "by the handler");
  CHECK(ask("POST", "/kept").body == "by the handler");
  CHECK(ask("GET", "/kept", {}, "body").body == "by the handler");
  CHECK(calls == 3);
  forged = true;
  auto refused = ask("GET", "/kept");
  CHECK(refused.status == 500);
  CHECK(refused.header("x-forged").empty());
  CHECK_FALSE(http_content::make("text/x\r\n", {}, "", text));
  CHECK_FALSE(http_content::make("text/x", {{"A b", ""}}, "", text));
  CHECK_FALSE(http_content::make("text/x", {}, "", nullptr));
}
