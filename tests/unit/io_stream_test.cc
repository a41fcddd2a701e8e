#include <doctest/doctest.h>

#include <sys/stat.h>

#include <fstream>

#include "netlab/event_loop.h"
#include "support/certificate.h"
#include "support/loop_runner.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace std::chrono_literals;
using test::run_until;

namespace {

struct pair_of_streams {
  event_loop loop;
  std::unique_ptr<listener> listening;
  std::unique_ptr<stream> server, client;
  std::string at_server, at_client;
  std::optional<std::optional<error>> server_end, client_end;

  void accept(std::unique_ptr<stream> s) {
    server = std::move(s);
    server->on_data([this](byte_view b) { at_server += as_text(b); });
    server->on_end([this](std::optional<error> e) { server_end = e; });
  }
  void connected(std::unique_ptr<stream> s) {
    client = std::move(s);
    client->on_data([this](byte_view b) { at_client += as_text(b); });
    client->on_end([this](std::optional<error> e) { client_end = e; });
  }
  void open(listen_options o = {.local = {ip_address::v4(127, 0, 0, 1), 0}}) {
    listening = loop.net().listen(o, [this](std::unique_ptr<stream> s) { accept(std::move(s)); }).value();
    loop.net().connect({.peer = listening->local(), .unix_path = o.unix_path},
                       [this](auto r) { connected(std::move(r.value())); });
    run_until(loop, [&] { return server && client; });
  }
};

std::string pattern(std::size_t n) {
  std::string out(n, 0);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<char>(i * 7 + i / 251);
  return out;
}

} // namespace

TEST_CASE("stream: text, shared text and file ranges arrive in order") {
  test::temporary_folder folder;
  auto content = pattern(3 << 20);
  std::ofstream(folder / "f", std::ios::binary) << content;
  pair_of_streams p;
  p.open();
  int drained = 0;
  p.server->on_drained([&] { ++drained; });
  p.server->write("head ");
  p.server->write_shared(std::make_shared<const std::string>("shared "));
  p.server->write_file(open_file::open(folder / "f").value(), 10, content.size() - 10);
  p.server->write(" tail");
  p.server->finish();
  run_until(p.loop, [&] { return p.client_end.has_value(); });
  CHECK_FALSE(p.client_end->has_value());
  CHECK(p.at_client == "head shared " + content.substr(10) + " tail");
  CHECK(drained == 1);
  CHECK(p.server->queued() == 0);
}

TEST_CASE("stream: a paused reader holds the writer back and loses nothing") {
  pair_of_streams p;
  p.open();
  p.client->pause();
  auto text = pattern(16 << 20);
  p.server->write(text);
  p.server->finish();
  int ticks = 0;
  auto tick = p.loop.scheduler().every(1ms, [&] { ++ticks; });
  run_until(p.loop, [&] { return ticks > 20; });
  CHECK(p.at_client.empty());
  CHECK(p.server->queued() > 0);
  p.client->resume();
  run_until(p.loop, [&] { return p.client_end.has_value(); });
  CHECK(p.at_client == text);
}

TEST_CASE("stream: dropping it in its own callback is safe, and the peer sees the end") {
  pair_of_streams p;
  p.open();
  p.server->on_data([&](byte_view) { p.server.reset(); });
  p.client->write("x");
  run_until(p.loop, [&] { return p.client_end.has_value(); });
  CHECK(p.server == nullptr);
}

TEST_CASE("stream: an answer leaves when it is whole, in order, whatever it is made of") {
  test::temporary_folder folder;
  std::ofstream(folder / "f") << "from a file";
  pair_of_streams p;
  p.open();
  auto large = std::make_shared<const std::string>(pattern(5000));
  auto small = std::make_shared<const std::string>("shared;");
  std::size_t queued_inside = 0;
  p.server->on_data([&](byte_view asked) {
    auto what = as_text(asked);
    if (what == "small") {
      p.server->write("one;");
      p.server->write_shared(small);
      p.server->write("three;");
      queued_inside = p.server->queued();
    } else if (what == "large") {
      p.server->write("head;");
      p.server->write_shared(large);
    } else if (what == "file") {
      p.server->write("head;");
      p.server->write_file(open_file::open(folder / "f").value(), 5, 6);
      p.server->write(";tail");
    } else {
      p.server->write("bye");
      p.server->on_drained([&] { p.server.reset(); });
    }
  });
  auto ask = [&](const char* what, const std::string& expected) {
    p.at_client.clear();
    p.client->write(what);
    run_until(p.loop, [&] { return p.at_client.size() >= expected.size(); });
    CHECK(p.at_client == expected);
  };
  ask("small", "one;shared;three;");
  CHECK(queued_inside == 17);
  CHECK(p.server->queued() == 0);
  ask("large", "head;" + *large);
  ask("file", "head;a file;tail");
  ask("small", "one;shared;three;");
  ask("last", "bye");
  run_until(p.loop, [&] { return p.client_end.has_value(); });
  CHECK(p.server == nullptr);
}

TEST_CASE("stream: writing to a peer that has gone ends the stream with a reason") {
  pair_of_streams p;
  p.open();
  p.client.reset();
  auto text = pattern(8 << 20);
  p.server->write(text);
  auto more = p.loop.scheduler().every(1ms, [&] { p.server->write("more"); });
  run_until(p.loop, [&] { return p.server_end.has_value(); });
  CHECK(p.server->queued() == 0);
}

TEST_CASE("stream: a file that shrinks while it is sent ends the stream") {
  test::temporary_folder folder;
  std::ofstream(folder / "f") << "short";
  pair_of_streams p;
  p.open();
  p.server->write_file(open_file::open(folder / "f").value(), 0, 1000);
  run_until(p.loop, [&] { return p.server_end.has_value(); });
  REQUIRE(p.server_end->has_value());
  CHECK((*p.server_end)->message.find("shrank") != std::string::npos);
}

TEST_CASE("stream: refused connections and absent sockets say so") {
  event_loop loop;
  auto taken = loop.net().listen({.local = {ip_address::v4(127, 0, 0, 1), 0}}, [](auto) {}).value();
  auto again = loop.net().listen({.local = taken->local()}, [](auto) {});
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().code == errc::exists);
  auto closed = taken->local();
  taken.reset();
  std::optional<errc> why;
  loop.net().connect({.peer = closed}, [&](auto r) { why = r.error().code; });
  run_until(loop, [&] { return why.has_value(); });
  CHECK(*why == errc::refused);
  why.reset();
  loop.net().connect({.peer = {}, .unix_path = "/no/such/socket"}, [&](auto r) { why = r.error().code; });
  run_until(loop, [&] { return why.has_value(); });
  CHECK(*why == errc::not_found);
}

TEST_CASE("stream: a Unix socket is private and goes with its listener") {
  test::temporary_folder folder;
  pair_of_streams p;
  p.open({.local = {}, .unix_path = folder / "control"});
  struct stat s {};
  REQUIRE(stat((folder / "control").c_str(), &s) == 0);
  CHECK((s.st_mode & 0777) == 0600);
  p.client->write("hello");
  run_until(p.loop, [&] { return p.at_server == "hello"; });
  p.listening.reset();
  CHECK(stat((folder / "control").c_str(), &s) != 0);
}

TEST_CASE("stream: connections that are still under way go with their loop") {
  event_loop loop;
  auto full =
      loop.net().listen({.local = {ip_address::v4(127, 0, 0, 1), 0}, .backlog = 0}, [](auto) {}).value();
  bool called = false;
  for (int i = 0; i < 5; ++i) loop.net().connect({.peer = full->local()}, [&](auto) { called = true; });
  CHECK_FALSE(called);
}

TEST_CASE("stream: TLS carries data both ways and files, and a stranger's certificate is refused") {
  test::temporary_folder folder;
  test::make_certificate(folder / "cert.pem", folder / "key.pem");
  auto content = pattern(300000);
  std::ofstream(folder / "f", std::ios::binary) << content;
  listen_options o{.local = {ip_address::v4(127, 0, 0, 1), 0}};
  o.tls = tls_identity{folder / "cert.pem", folder / "key.pem"};

  event_loop loop;
  std::unique_ptr<stream> server, client;
  std::string at_server, at_client;
  auto listening =
      loop.net()
          .listen(o,
                  [&](std::unique_ptr<stream> s) {
                    server = std::move(s);
                    server->on_data([&](byte_view b) {
                      at_server += as_text(b);
                      server->write("answer ");
                      server->write_file(open_file::open(folder / "f").value(), 0, content.size());
                      server->finish();
                    });
                  })
          .value();
  std::optional<error> refused;
  loop.net().connect({.peer = listening->local(), .tls = true, .server_name = "localhost"},
                     [&](auto r) { refused = r.error(); });
  run_until(loop, [&] { return refused.has_value(); });
  CHECK(refused->message.find("self-signed") != std::string::npos);

  bool ended = false;
  connect_options trusting{.peer = listening->local(), .tls = true, .server_name = "localhost"};
  trusting.ca_file = folder / "cert.pem";
  loop.net().connect(trusting, [&](auto r) {
    REQUIRE(r.has_value());
    client = std::move(*r);
    client->on_data([&](byte_view b) { at_client += as_text(b); });
    client->on_end([&](std::optional<error>) { ended = true; });
    client->write("question");
  });
  run_until(loop, [&] { return ended; });
  CHECK(at_server == "question");
  CHECK(at_client == "answer " + content);

  refused.reset();
  trusting.server_name = "other.example";
  loop.net().connect(trusting, [&](auto r) { refused = r.error(); });
  run_until(loop, [&] { return refused.has_value(); });
  CHECK(refused->message.find("hostname mismatch") != std::string::npos);

  // What one connection trusts is not what the next one does.
  refused.reset();
  loop.net().connect({.peer = listening->local(), .tls = true, .server_name = "localhost"},
                     [&](auto r) { refused = r.error(); });
  run_until(loop, [&] { return refused.has_value(); });
  CHECK(refused->message.find("self-signed") != std::string::npos);
  refused.reset();
  trusting.ca_file = folder / "absent.pem";
  loop.net().connect(trusting, [&](auto r) { refused = r.error(); });
  run_until(loop, [&] { return refused.has_value(); });
  CHECK(refused->message.find("absent.pem") != std::string::npos);

  o.tls->key_file = folder / "absent.pem";
  CHECK(loop.net().listen(o, [](auto) {}).error().message.find("absent.pem") != std::string::npos);
}
