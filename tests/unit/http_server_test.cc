#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>

#include "netlab/event_loop.h"
#include "netlab/http_server.h"
#include "netlab/simulation.h"
#include "netlab/text.h"
#include "support/fake_stream.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace std::chrono_literals;
using test::wire;

namespace {

// Log lines as "NL-HTTP-001 text".
class lines_sink final : public log_sink {
public:
  bool enabled(log_level) const override { return true; }
  void write(const log_record& r) override { lines.push_back(std::string(r.id) + " " + std::string(r.text)); }
  std::size_t count(std::string_view id) const {
    return static_cast<std::size_t>(
        std::count_if(lines.begin(), lines.end(), [&](const auto& l) { return l.starts_with(id); }));
  }
  std::vector<std::string> lines;
};

struct seen_access {
  std::string method, path;
  int status;
  std::uint64_t bytes;
  bool completed;
};

// A server in virtual time whose clients are wires.
struct bench {
  event_loop loop; // for the parts of the runtime that the server does not touch
  manual_time time;
  std::unique_ptr<http_client> client = make_http_client(loop);
  metrics numbers;
  lines_sink sink;
  std::vector<seen_access> accesses;
  std::unique_ptr<http_server> server;

  explicit bench(http_limits limits = {}) {
    runtime world{
        time,   time, loop.random(), loop.net(), loop.files(), loop.processes(), *client, log(sink, time),
        numbers};
    http_server_options o;
    o.limits = limits;
    o.on_access = [this](const http_access& a) {
      accesses.push_back({std::string(a.method), std::string(a.path), a.status, a.bytes, a.completed});
    };
    server = make_http_server(world, o);
  }
  std::shared_ptr<wire> connect(const char* from = "10.0.0.7:50000") {
    auto w = std::make_shared<wire>();
    server->accept(std::make_unique<test::fake_stream>(w, endpoint::parse(from).value(),
                                                       endpoint::parse("10.0.0.1:8080").value()));
    return w;
  }
  std::string ask(const std::string& text) {
    auto w = connect();
    w->say(text);
    w->settle();
    return w->heard;
  }
  std::string get(const std::string& target, const std::string& fields = "") {
    return ask("GET " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n");
  }
  std::uint64_t refused(const std::string& why) {
    return numbers.get("netlab_http_refused_total", {{"server", "http"}, {"why", why}}).value();
  }
};

int status_of(const std::string& answer) { return answer.size() < 12 ? 0 : std::stoi(answer.substr(9, 3)); }
std::string body_of(const std::string& answer) {
  auto at = answer.find("\r\n\r\n");
  return at == std::string::npos ? "" : answer.substr(at + 4);
}
bool has(const std::string& answer, std::string_view line) {
  return answer.substr(0, answer.find("\r\n\r\n") + 2).find("\r\n" + std::string(line) + "\r\n") !=
         std::string::npos;
}
std::string field_of(const std::string& answer, std::string name) {
  auto at = answer.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  at += name.size() + 4;
  return answer.substr(at, answer.find("\r\n", at) - at);
}

// Answers from a function, now or when told.
class scripted_source final : public asset_source {
public:
  std::function<result<asset>(const asset_request&)> answer;
  bool later = false;
  std::deque<std::pair<asset_request, asset_reply_fn>> waiting;
  std::vector<transfer_report> reports;

  void open(const asset_request& request, asset_reply_fn reply) override {
    if (later)
      waiting.emplace_back(request, std::move(reply));
    else
      reply(answer(request));
  }
  void answer_next() {
    auto [request, reply] = std::move(waiting.front());
    waiting.pop_front();
    reply(answer(request));
  }
  asset text(std::string content) {
    asset out;
    out.content = std::make_shared<const std::string>(std::move(content));
    out.content_type = "text/plain";
    out.on_done = [this](const transfer_report& r) { reports.push_back(r); };
    return out;
  }
};

} // namespace

TEST_CASE("http server: files with length, tag, type and range") {
  test::temporary_folder folder;
  std::ofstream(folder / "vmlinuz") << std::string(100'000, 'k');
  std::ofstream(folder / "small.efi") << "0123456789";
  std::ofstream(folder / "empty") << "";
  bench b;
  REQUIRE(b.server->files("/assets", folder.path()).has_value());

  auto answer = b.get("/assets/small.efi");
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"));
  CHECK(has(answer, "Content-Length: 10"));
  CHECK(has(answer, "Content-Type: application/efi"));
  CHECK(has(answer, "Accept-Ranges: bytes"));
  CHECK(body_of(answer) == "0123456789");
  auto tag = field_of(answer, "ETag");
  CHECK(tag.size() > 10);
  CHECK(status_of(b.get("/assets/small.efi", "If-None-Match: " + tag + "\r\n")) == 304);
  CHECK(status_of(b.get("/assets/small.efi",
                        "If-Modified-Since: " + field_of(answer, "Last-Modified") + "\r\n")) == 304);

  auto head = b.ask("HEAD //assets//small.efi HTTP/1.1\r\nHost: h\r\n\r\n"); // as UEFI firmware asks
  CHECK(has(head, "Content-Length: 10"));
  CHECK(body_of(head).empty());

  auto part = b.get("/assets/small.efi", "Range: bytes=2-4\r\n");
  CHECK(status_of(part) == 206);
  CHECK(has(part, "Content-Range: bytes 2-4/10"));
  CHECK(body_of(part) == "234");
  CHECK(body_of(b.get("/assets/small.efi", "Range: bytes=2-4\r\nIf-Range: " + tag + "\r\n")) == "234");
  CHECK(body_of(b.get("/assets/small.efi", "Range: bytes=2-4\r\nIf-Range: \"old\"\r\n")) == "0123456789");
  auto none = b.get("/assets/small.efi", "Range: bytes=10-\r\n");
  CHECK(status_of(none) == 416);
  CHECK(has(none, "Content-Range: bytes */10"));
  CHECK(has(none, "Content-Length: 0"));

  auto large = b.get("/assets/vmlinuz");
  CHECK(has(large, "Content-Type: application/octet-stream"));
  CHECK(body_of(large) == std::string(100'000, 'k'));
  CHECK(body_of(b.get("/assets/vmlinuz", "Range: bytes=-7\r\n")) == std::string(7, 'k'));
  CHECK(has(b.get("/assets/empty"), "Content-Length: 0"));
  CHECK(b.accesses.back().status == 200);
  CHECK(b.accesses[0].bytes == 10);
  CHECK(b.accesses[0].path == "/assets/small.efi");
}

TEST_CASE("http server: a changed file is served within a second, also when small and cached") {
  test::temporary_folder folder;
  std::ofstream(folder / "f") << "one";
  bench b;
  REQUIRE(b.server->files("/", folder.path()).has_value());
  auto first = b.get("/f");
  CHECK(body_of(first) == "one");
  std::filesystem::remove(folder / "f");
  std::ofstream(folder / "f") << "second";
  b.time.advance(1s);
  auto second = b.get("/f");
  CHECK(body_of(second) == "second");
  CHECK(field_of(first, "ETag") != field_of(second, "ETag"));
  std::filesystem::remove(folder / "f");
  b.time.advance(1s);
  CHECK(status_of(b.get("/f")) == 404);
}

TEST_CASE("http server: nothing outside the folder is served") {
  test::temporary_folder folder;
  std::filesystem::create_directories(folder / "root/sub");
  std::ofstream(folder / "secret") << "secret";
  std::ofstream(folder / "root/inside") << "inside";
  std::filesystem::create_symlink(folder / "secret", folder / "root/absolute");
  std::filesystem::create_symlink("../secret", folder / "root/relative");
  std::filesystem::create_symlink("inside", folder / "root/good");
  std::filesystem::create_symlink("..", folder / "root/up");
  std::filesystem::create_symlink("loop", folder / "root/loop");
  mkfifo((folder / "root/fifo").c_str(), 0600);
  bench b;
  REQUIRE(b.server->files("/f", folder / "root").has_value());
  CHECK(body_of(b.get("/f/good")) == "inside");
  for (auto path : {"/f/absolute", "/f/relative", "/f/up/secret"}) {
    CAPTURE(path);
    CHECK(status_of(b.get(path)) == 403);
  }
  CHECK(b.sink.count("NL-HTTP-010") == 3);
  for (auto path : {"/f/../secret", "/f/%2e%2e/secret", "/f/sub/../../secret", "/f/..%2fsecret", "/f/loop",
                    "/f/fifo", "/f/sub", "/f/sub/", "/f", "/f/", "/f/inside/", "/f/nothing", "/fx/inside"}) {
    CAPTURE(path);
    CHECK(status_of(b.get(path)) == 404);
  }
  CHECK(status_of(b.get("/f/" + std::string(300, 'n'))) == 404);
  http_files_options open;
  open.follow_outside = true;
  REQUIRE(b.server->files("/open", folder / "root", open).has_value());
  CHECK(body_of(b.get("/open/relative")) == "secret");
  CHECK(status_of(b.get("/f/relative")) == 403); // what the open route cached is no way around
}

TEST_CASE("http server: a folder is listed only when that is wanted, and escaped") {
  test::temporary_folder folder;
  std::filesystem::create_directories(folder / "sub");
  std::ofstream(folder / "<b> & \"q\".txt") << "x";
  std::ofstream(folder / ".hidden") << "x";
  bench b;
  http_files_options o;
  o.listing = true;
  REQUIRE(b.server->files("/l", folder.path(), o).has_value());
  for (auto path : {"/l", "/l/"}) {
    auto page = b.get(path);
    CHECK(has(page, "Content-Type: text/html; charset=utf-8"));
    CHECK(page.find("<a href=\"/l/%3Cb%3E%20%26%20%22q%22.txt\">&lt;b&gt; &amp; &quot;q&quot;.txt</a>") !=
          std::string::npos);
    CHECK(page.find("href=\"/l/sub/\"") != std::string::npos);
    CHECK(page.find("hidden") == std::string::npos);
  }
  CHECK(body_of(b.get("/l/.hidden")) == "x");
  CHECK(status_of(b.get("/l/sub")) == 200);
  CHECK(status_of(b.get("/l/none/")) == 404);
}

TEST_CASE("http server: the longest prefix of whole segments answers") {
  bench b;
  auto say = [](std::string text) { return [text](const http_call_ptr& c) { c->reply({.body = text}); }; };
  REQUIRE(b.server->handle("/", say("root")).has_value());
  REQUIRE(b.server->handle("/a", say("a")).has_value());
  REQUIRE(b.server->handle("/a/b/", say("ab")).has_value());
  CHECK(body_of(b.get("/")) == "root");
  CHECK(body_of(b.get("/ab")) == "root");
  CHECK(body_of(b.get("/a")) == "a");
  CHECK(body_of(b.get("/a/x")) == "a");
  CHECK(body_of(b.get("/a/b")) == "ab");
  CHECK(body_of(b.get("/a/b/c?d")) == "ab");
  CHECK(body_of(b.get("/a/bc")) == "a");
  CHECK(b.server->handle("/a/", say("again")).error().code == errc::exists);
  for (auto bad : {"", "a", "/a//b", "/../x"})
    CHECK(b.server->handle(bad, say("")).error().code == errc::invalid);
  CHECK(b.server->handle("/h", nullptr).error().code == errc::invalid);
  bench empty;
  CHECK(status_of(empty.get("/x")) == 404);
}

TEST_CASE("http server: handlers get the request and answer when they like") {
  bench b;
  http_call_ptr held;
  REQUIRE(b.server->handle("/h", [&](http_call_ptr c) { held = std::move(c); }).has_value());
  auto w = b.connect();
  w->say("POST /h/x?q=1 HTTP/1.1\r\nHost: h\r\nX-Name: Value \r\nContent-Length: 4\r\n\r\nbodyGET /h/2 "
         "HTTP/1.1\r\nHost: h\r\n\r\n");
  REQUIRE(held);
  CHECK(held->method == "POST");
  CHECK(held->path == "/h/x");
  CHECK(held->query == "q=1");
  CHECK(held->header("x-name") == "Value");
  CHECK(held->body == "body");
  CHECK(held->client.to_string() == "10.0.0.7:50000");
  CHECK(held->server.port == 8080);
  CHECK(held->alive());
  CHECK(w->waiting.empty());
  auto first = std::move(held);
  first->reply({.status = 201, .content_type = "", .headers = {{"X-Made", "yes"}}, .body = "ok"});
  first->reply({.body = "ignored"});
  CHECK_FALSE(first->alive());
  w->settle();
  CHECK(w->heard.starts_with("HTTP/1.1 201 Created\r\n"));
  CHECK(has(w->heard, "X-Made: yes"));
  CHECK(w->heard.ends_with("\r\n\r\nok"));
  REQUIRE(held); // the pipelined one came after the first was answered
  CHECK(held->path == "/h/2");
  held.reset(); // no reply at all
  w->settle();
  CHECK(w->heard.find("HTTP/1.1 500 ") != std::string::npos);
  CHECK(b.sink.count("NL-HTTP-012") == 1);

  REQUIRE(b.server->handle("/bad",
                           [](const http_call_ptr& c) {
                             c->reply({.headers = {{"X", "a\r\nY: b"}}});
                           })
              .has_value());
  auto bad = b.get("/bad");
  CHECK(status_of(bad) == 500);
  CHECK(bad.find("Y: b") == std::string::npos);
}

TEST_CASE("http server: sources, their errors and their reports") {
  test::temporary_folder folder;
  std::ofstream(folder / "file") << std::string(50'000, 'f');
  bench b;
  scripted_source source;
  REQUIRE(b.server->serve("/", source).has_value());
  asset_request asked;
  source.answer = [&](const asset_request& r) -> result<asset> {
    asked = r;
    return source.text("script");
  };
  auto answer = b.get("/boot.ipxe?mac=x", "User-Agent: iPXE\r\n");
  CHECK(body_of(answer) == "script");
  CHECK(has(answer, "Content-Length: 6"));
  CHECK(asked.path == "/boot.ipxe");
  CHECK(asked.query == "mac=x");
  CHECK(asked.user_agent == "iPXE");
  CHECK(asked.client.address.to_string() == "10.0.0.7");
  CHECK(asked.server.to_string() == "10.0.0.1");
  CHECK(asked.server_port == 8080);
  CHECK_FALSE(asked.head);
  REQUIRE(source.reports.size() == 1);
  CHECK(source.reports[0].completed);
  CHECK(source.reports[0].bytes == 6);
  CHECK(source.reports[0].size == 6);

  b.ask("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(asked.head);
  REQUIRE(source.reports.size() == 2);
  CHECK(source.reports[1].probe);
  CHECK(source.reports[1].bytes == 0);

  source.answer = [&](const asset_request&) -> result<asset> {
    auto a = source.text("");
    a.content = asset::file_path{folder / "file"};
    return a;
  };
  CHECK(body_of(b.get("/f", "Range: bytes=0-9\r\n")) == "ffffffffff");
  CHECK(source.reports.back().bytes == 10);
  CHECK(source.reports.back().size == 50'000);
  source.answer = [&](const asset_request&) -> result<asset> {
    auto a = source.text("");
    a.content = open_file::open(folder / "file").value();
    return a;
  };
  auto opened = b.get("/f");
  CHECK(body_of(opened).size() == 50'000);
  CHECK(field_of(opened, "ETag").size() > 10);
  source.answer = [&](const asset_request&) -> result<asset> {
    auto a = source.text("");
    a.content = asset::file_path{folder / "missing"};
    return a;
  };
  CHECK(status_of(b.get("/f")) == 404);
  CHECK_FALSE(source.reports.back().completed);
  CHECK(source.reports.back().reason == "404 Not Found");

  auto lines = b.sink.count("NL-HTTP-007");
  source.answer = [](const asset_request&) -> result<asset> {
    return fail(errc::not_found, "no such thing");
  };
  CHECK(status_of(b.get("/f")) == 404);
  CHECK(b.sink.count("NL-HTTP-007") == lines); // a name that is not there is no event
  for (auto [code, status] : {std::pair{errc::denied, 403},
                              {errc::timeout, 504},
                              {errc::refused, 502},
                              {errc::limit, 503},
                              {errc::unsupported, 501},
                              {errc::io, 500}}) {
    source.answer = [&](const asset_request&) -> result<asset> { return fail(code, "because"); };
    CHECK(status_of(b.get("/f")) == status);
  }
  CHECK(b.sink.count("NL-HTTP-007") == lines + 6);
  auto post = b.ask("POST /f HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  CHECK(status_of(post) == 405);
  CHECK(has(post, "Allow: GET, HEAD"));
}

TEST_CASE("http server: a client that leaves is told to the source, also before the answer") {
  bench b;
  scripted_source source;
  source.answer = [&](const asset_request&) -> result<asset> { return source.text(std::string(1000, 'x')); };
  REQUIRE(b.server->serve("/", source).has_value());
  auto w = b.connect();
  w->blocked = true;
  w->say("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  auto head = w->waiting.find("\r\n\r\n") + 4;
  w->take(head + 100);
  w->end(error{errc::closed, "reset", ""});
  REQUIRE(source.reports.size() == 1);
  CHECK_FALSE(source.reports[0].completed);
  CHECK(source.reports[0].bytes == 100);
  CHECK(source.reports[0].reason == "reset");
  CHECK(b.accesses.back().bytes == 100);
  CHECK_FALSE(b.accesses.back().completed);
  CHECK(b.server->connections() == 0);

  source.later = true;
  w = b.connect();
  w->say("GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
  REQUIRE(source.waiting.size() == 1);
  w->end();
  source.answer_next();
  REQUIRE(source.reports.size() == 2);
  CHECK_FALSE(source.reports[1].completed);
}

TEST_CASE("http server: a server that goes ends its transfers") {
  scripted_source source;
  auto b = std::make_unique<bench>();
  source.answer = [&](const asset_request&) -> result<asset> { return source.text("x"); };
  REQUIRE(b->server->serve("/", source).has_value());
  auto w = b->connect();
  w->blocked = true;
  w->say("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  source.later = true;
  auto other = b->connect();
  other->say("GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
  b->server.reset();
  CHECK(w->destroyed);
  CHECK(other->destroyed);
  REQUIRE(source.reports.size() == 1);
  CHECK(source.reports[0].reason == "the server stopped");
  source.answer_next();
  CHECK(source.reports.size() == 2);
}

TEST_CASE("http server: a malformed request is answered, closed, counted and said") {
  bench b;
  auto w = b.connect();
  w->say("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  w->settle();
  CHECK(status_of(w->heard) == 400);
  CHECK(has(w->heard, "Connection: close"));
  CHECK(w->heard.find("HTTP/1.1", 8) == std::string::npos); // nothing behind it is answered
  CHECK(w->finished);
  CHECK_FALSE(w->destroyed); // the peer's turn to close
  w->say("more");
  b.time.advance(3s);
  CHECK(w->destroyed);
  CHECK(b.refused("bad_request") == 1);
  CHECK(b.sink.count("NL-HTTP-001") == 1);
  for (int i = 0; i < 50; ++i) b.ask("nonsense\r\n");
  CHECK(b.refused("bad_request") == 51);
  CHECK(b.sink.count("NL-HTTP-001") == 10); // a hostile client does not fill the disk
  b.time.advance(10s);
  b.ask("nonsense\r\n");
  CHECK(std::find(b.sink.lines.begin(), b.sink.lines.end(),
                  "NL-HTTP-001 41 more lines like this one were left out") != b.sink.lines.end());
}

TEST_CASE("http server: slow headers, slow bodies, silent and idle clients") {
  http_limits limits;
  limits.body_time = 20s;
  bench b(limits);
  REQUIRE(b.server->handle("/", [](const http_call_ptr& c) { c->reply({.body = "ok"}); }).has_value());
  auto slow = b.connect(), silent = b.connect(), body = b.connect(), idle = b.connect();
  idle->say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  idle->settle();
  body->say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
  // A byte every second is no progress: the whole header has its time.
  std::string_view text = "GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaa";
  for (int i = 0; i < 12; ++i) {
    slow->say(text.substr(static_cast<std::size_t>(i), 1));
    b.time.advance(1s);
  }
  slow->settle();
  CHECK(status_of(slow->heard) == 408);
  CHECK(slow->finished);
  CHECK(silent->finished);
  CHECK(silent->heard.empty());
  CHECK(b.refused("header_timeout") == 1);
  CHECK_FALSE(body->finished);
  CHECK_FALSE(idle->finished);
  b.time.advance(10s);
  body->settle();
  CHECK(status_of(body->heard) == 408);
  CHECK_FALSE(idle->finished);
  b.time.advance(45s);
  CHECK(idle->finished);
  CHECK(b.server->connections() == 0);
  b.time.advance(20s);
  CHECK(b.time.until_next() == duration::max()); // an idle server does not wake the machine
}

TEST_CASE("http server: a client that takes nothing, and a handler that never answers") {
  http_limits limits;
  limits.send_time = 5s;
  limits.reply_time = 5s;
  bench b(limits);
  std::vector<http_call_ptr> held;
  REQUIRE(b.server->handle("/held", [&](http_call_ptr c) { held.push_back(std::move(c)); }).has_value());
  REQUIRE(b.server->handle("/", [](const http_call_ptr& c) { c->reply({.body = std::string(1000, 'x')}); })
              .has_value());
  auto stuck = b.connect(), slow = b.connect(), waiting = b.connect();
  stuck->blocked = slow->blocked = true;
  stuck->say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  slow->say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  waiting->say("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
  for (int i = 0; i < 8; ++i) {
    slow->take(10);
    b.time.advance(1s);
  }
  CHECK(stuck->destroyed);
  CHECK_FALSE(slow->destroyed);
  CHECK(b.refused("stalled") == 1);
  waiting->settle();
  CHECK(status_of(waiting->heard) == 504);
  CHECK(b.sink.count("NL-HTTP-008") == 1);
  held[0]->reply({.body = "too late"});
  CHECK(waiting->heard.find("too late") == std::string::npos);
}

TEST_CASE("http server: connections are limited, over all and by client") {
  http_limits limits;
  limits.connections = 5;
  limits.connections_per_client = 3;
  bench b(limits);
  std::vector<std::shared_ptr<wire>> held;
  for (int i = 0; i < 3; ++i) held.push_back(b.connect("10.0.0.7:1"));
  auto fourth = b.connect("10.0.0.7:2");
  fourth->settle();
  CHECK(status_of(fourth->heard) == 503);
  CHECK(b.refused("client_limit") == 1);
  CHECK(b.sink.count("NL-HTTP-006") == 1);
  held.push_back(b.connect("10.0.0.8:1"));
  held.push_back(b.connect("10.0.0.8:2"));
  auto sixth = b.connect("10.0.0.9:1");
  sixth->settle();
  CHECK(status_of(sixth->heard) == 503);
  CHECK(b.refused("connection_limit") == 1);
  held[0]->end();
  CHECK(b.server->connections() == 4);
  auto again = b.connect("10.0.0.7:3");
  CHECK(again->heard.empty());
  CHECK(b.server->connections() == 5);
  b.time.advance(2s);
  CHECK(sixth->destroyed);
}

TEST_CASE("http server: a body that is too large, and 100-continue") {
  http_limits limits;
  limits.body_bytes = 10;
  bench b(limits);
  REQUIRE(b.server->handle("/", [](const http_call_ptr& c) { c->reply({.body = c->body}); }).has_value());
  CHECK(status_of(b.ask(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")) == 413);
  CHECK(b.refused("body_limit") == 1);
  auto w = b.connect();
  w->say("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  w->settle();
  CHECK(w->heard == "HTTP/1.1 100 Continue\r\n\r\n");
  w->say("hel");
  w->say("lo");
  w->settle();
  CHECK(w->heard.ends_with("\r\n\r\nhello"));
  // One that did not wait gets no interim answer.
  auto eager = b.ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
  CHECK(status_of(eager) == 200);
}

TEST_CASE("http server: pipelined requests are answered in order and reading stops when too many wait") {
  bench b;
  std::vector<http_call_ptr> held;
  REQUIRE(b.server->handle("/", [&](http_call_ptr c) { held.push_back(std::move(c)); }).has_value());
  auto w = b.connect();
  std::string many;
  for (int i = 0; i < 4000; ++i) many += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  w->say(many);
  CHECK(held.size() == 1);
  CHECK(w->paused);
  std::string wanted;
  for (std::size_t i = 0; i < held.size(); ++i) {
    auto c = held[i];
    c->reply({.body = c->path});
    w->settle();
  }
  CHECK(held.size() == 4000);
  CHECK(held.back()->path == "/3999");
  CHECK_FALSE(w->paused);
  CHECK(w->heard.ends_with("/3999"));
}

TEST_CASE("http server: a connection makes so many requests and no more") {
  http_limits limits;
  limits.requests_per_connection = 2;
  bench b(limits);
  REQUIRE(b.server->handle("/", [](const http_call_ptr& c) { c->reply({.body = "ok"}); }).has_value());
  auto w = b.connect();
  for (int i = 0; i < 3; ++i) {
    w->say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    w->settle();
  }
  CHECK(b.accesses.size() == 2);
  CHECK(w->heard.find("Connection: close") != std::string::npos);
  CHECK(w->finished);
  CHECK(b.refused("request_limit") == 1);
}

TEST_CASE("http server: drain lets what is under way finish and closes the rest") {
  bench b;
  std::vector<http_call_ptr> held;
  REQUIRE(b.server->handle("/", [&](http_call_ptr c) { held.push_back(std::move(c)); }).has_value());
  auto busy = b.connect(), idle = b.connect(), half = b.connect();
  busy->say("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
  half->say("GET /b HTTP");
  int done = 0;
  b.server->drain([&] { ++done; });
  CHECK(idle->finished);
  CHECK_FALSE(busy->finished);
  CHECK_FALSE(half->finished);
  auto late = b.connect();
  CHECK(late->destroyed);
  half->say("/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(held.size() == 2);
  for (const auto& c : held) c->reply({.body = "last"});
  busy->settle();
  half->settle();
  CHECK(has(busy->heard, "Connection: close"));
  CHECK(busy->heard.ends_with("last"));
  CHECK(half->finished);
  CHECK(done == 0);
  busy->end();
  half->end();
  idle->end();
  CHECK(done == 0); // posted, not called from within
  b.time.settle();
  CHECK(done == 1);
  CHECK(b.server->listen({}).error().code == errc::closed);
}

TEST_CASE("http server: OPTIONS *, unknown methods and absolute targets") {
  bench b;
  REQUIRE(b.server->handle("/", [](const http_call_ptr& c) { c->reply({.body = c->method + c->path}); })
              .has_value());
  auto options = b.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(status_of(options) == 204);
  CHECK(field_of(options, "Content-Length").empty());
  CHECK(body_of(b.ask("DELETE http://x/y HTTP/1.1\r\nHost: a\r\n\r\n")) == "DELETE/y");
  CHECK(status_of(b.ask("BREW / HTTP/1.1\r\nHost: a\r\n\r\n")) == 501);
  auto old = b.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(has(old, "Connection: keep-alive"));
}

TEST_CASE("http remote source: the request runs at home, the answer at the server, the report at home") {
  manual_time home, away;
  scripted_source source;
  source.answer = [&](const asset_request& r) -> result<asset> { return source.text("for " + r.path); };
  auto remote = make_remote_source(source, home, away);
  std::optional<asset> got;
  asset_request request;
  request.path = "/x";
  remote->open(request, [&](result<asset> a) { got = std::move(a.value()); });
  away.settle();
  CHECK_FALSE(got);
  home.settle();
  CHECK_FALSE(got); // made, and on its way
  away.settle();
  REQUIRE(got);
  CHECK(*std::get<0>(got->content) == "for /x");
  got->on_done({.bytes = 5});
  CHECK(source.reports.empty());
  home.settle();
  REQUIRE(source.reports.size() == 1);
  CHECK(source.reports[0].bytes == 5);

  source.answer = [](const asset_request&) -> result<asset> { return fail(errc::denied, "no"); };
  std::optional<error> refused;
  remote->open(request, [&](result<asset> a) { refused = a.error(); });
  home.settle();
  away.settle();
  REQUIRE(refused);
  CHECK(refused->code == errc::denied);
}

TEST_CASE("http messages: ids are unique and every one says what it means") {
  std::vector<std::string> ids;
  for (const auto* m : http_messages()) {
    ids.emplace_back(m->id);
    CHECK(std::string(m->explain).size() > 20);
    CHECK(std::string(m->remedy).size() > 20);
  }
  std::sort(ids.begin(), ids.end());
  CHECK(std::unique(ids.begin(), ids.end()) == ids.end());
  CHECK(ids.front() == "NL-HTTP-001");
}
