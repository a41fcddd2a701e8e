#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "netlab/json.h"
#include "netlab/log.h"
#include "netlab/log_batch.h"
#include "netlab/simulation.h"

using namespace netlab;
using namespace std::chrono_literals;

namespace {

constexpr message noted{"NL-TEST-001", log_level::warn, "", ""};

// Each write(2) arrives as one piece of its own.
struct pieces {
  pieces() { REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0); }
  ~pieces() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  std::vector<std::string> take() {
    std::vector<std::string> out;
    std::string buffer(1 << 17, 0);
    for (ssize_t n; (n = ::read(ends[1], buffer.data(), buffer.size())) > 0;)
      out.push_back(buffer.substr(0, static_cast<std::size_t>(n)));
    return out;
  }
  int ends[2];
};

} // namespace

TEST_CASE("log: a line as text and as JSON") {
  manual_time time;
  time.step_wall(1ms * 7 - (time.wall().time_since_epoch() % 1s));
  pieces wire;
  auto text = make_log_sink(wire.ends[0], log_format::text, log_level::info);
  netlab::log(*text, time)(noted, "a \"b\" \x1b[1m", {{"plain", "x"}, {"spaced", "x y"}, {"empty", ""}});
  auto got = wire.take();
  REQUIRE(got.size() == 1);
  CHECK(got[0].substr(8) == ".007 warn  a \"b\" \\x1b[1m plain=x spaced=\"x y\" empty=\"\" [NL-TEST-001]\n");
  auto colour = make_log_sink(wire.ends[0], log_format::colour, log_level::info);
  netlab::log(*colour, time).write(log_level::error, "no");
  CHECK(wire.take()[0].substr(16) == "\x1b[0m \x1b[31;1merror\x1b[0m no\n");
  auto lines = make_log_sink(wire.ends[0], log_format::json, log_level::info);
  netlab::log out(*lines, time);
  out(noted, "a \"b\" \\ \n \xc3\xa9", {{"key", "\""}});
  out.write(log_level::debug, "not wanted");
  time.advance(1ms);
  out.write(log_level::info, "");
  got = wire.take();
  REQUIRE(got.size() == 2);
  auto first = json::parse(got[0]);
  CHECK(first["level"] == "warn");
  CHECK(first["id"] == "NL-TEST-001");
  CHECK(first["message"] == "a \"b\" \\ \\x0a \xc3\xa9");
  CHECK(first["key"] == "\"");
  CHECK(first["time"].get<std::string>().substr(19) == ".007Z");
  auto second = json::parse(got[1]);
  CHECK_FALSE(second.contains("id"));
  CHECK(second["message"] == "");
  CHECK(second["time"].get<std::string>().substr(19) == ".008Z");
}

TEST_CASE("log: what is said in a batch leaves in one write") {
  manual_time time;
  pieces wire;
  auto sink = make_log_sink(wire.ends[0], log_format::text, log_level::info);
  netlab::log out(*sink, time);
  {
    log_batch outer;
    out.write(log_level::info, "one");
    {
      log_batch inner;
      out.write(log_level::info, "two");
    }
    CHECK(wire.take().empty());
    out.write(log_level::warn, "three");
  }
  auto got = wire.take();
  REQUIRE(got.size() == 1);
  CHECK(std::count(got[0].begin(), got[0].end(), '\n') == 3);
  {
    log_batch held;
    out.write(log_level::info, "before");
    out.write(log_level::error, "may be the last word"); // does not wait
    got = wire.take();
    REQUIRE(got.size() == 1);
    CHECK(got[0].find("before") < got[0].find("last word"));
    for (int i = 0; i < 100; ++i) out.write(log_level::info, std::string(1000, 'x')); // nor a lot of text
    CHECK(wire.take().size() >= 2);
  }
  {
    log_batch held;
    out.write(log_level::info, "from here");
    std::thread([&] { out.write(log_level::info, "from there"); }).join();
  }
  got = wire.take();
  CHECK(got.back().find("from there") != std::string::npos);
  {
    log_batch held;
    auto short_lived = make_log_sink(wire.ends[0], log_format::text, log_level::info);
    netlab::log(*short_lived, time).write(log_level::info, "its last");
  }
  CHECK(wire.take().size() == 1);
}
