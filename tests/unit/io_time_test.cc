#include <doctest/doctest.h>

#include "netlab/simulation.h"

using namespace netlab;
using namespace std::chrono_literals;

TEST_CASE("manual time: timers run in order of their time, then of their making") {
  manual_time time;
  std::string seen;
  auto a = time.after(2s, [&] { seen += "a"; });
  auto b = time.after(1s, [&] { seen += "b"; });
  auto c = time.after(2s, [&] { seen += "c"; });
  auto d = time.after(1s, [&] { seen += "d"; });
  d.cancel();
  time.post([&] { seen += "p"; });
  CHECK(time.until_next() == 1s);
  time.advance(2s);
  CHECK(seen == "pbac");
  CHECK(time.until_next() == duration::max());
}

TEST_CASE("manual time: a repeating timer may drop itself inside its call") {
  manual_time time;
  int runs = 0;
  timer tick;
  tick = time.every(1s, [&] {
    if (++runs == 3) tick.cancel();
  });
  time.advance(10s);
  CHECK(runs == 3);
}

TEST_CASE("manual time: a wall step moves no timer") {
  manual_time time;
  bool fired = false;
  auto t = time.after(10s, [&] { fired = true; });
  auto before = time.wall();
  time.step_wall(std::chrono::hours(24 * 365));
  time.advance(9s);
  CHECK_FALSE(fired);
  CHECK(time.wall() - before == std::chrono::hours(24 * 365) + 9s);
  time.advance(1s);
  CHECK(fired);
}

TEST_CASE("format_time: UTC with milliseconds") {
  manual_time time;
  time.advance(1234ms);
  CHECK(format_time(time.wall()) == "2026-01-01T00:00:01.234Z");
  CHECK(format_time(time.wall(), false) == "2026-01-01T00:00:01Z");
}
