#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"

namespace netlab::lua {

namespace {

int uptime(call& c) {
  lua_pushnumber(c.L, static_cast<double>(c.owner.world().clock.now().time_since_epoch().count()) / 1e9);
  return 1;
}

int clock_now(call& c) { return c.give(format_time(c.owner.world().clock.wall())); }

} // namespace

void bind_clock(api& a) {
  a.function({"uptime",
              uptime,
              "Seconds since the machine booted: for measuring, because no clock step moves it.",
              {},
              {{"seconds", "number", ""}},
              false,
              {}});
  a.function({"time",
              clock_now,
              "The civil time in UTC, such as \"2026-11-21T11:36:00.123Z\".",
              {},
              {{"", "string", ""}},
              false,
              {}});
}

} // namespace netlab::lua
