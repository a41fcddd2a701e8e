#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "api.h"
#include "bindings.h"
#include "handle.h"
#include "host.h"
#include "recipe_check.h"

// What the test kit (lua/netlab/test.lua) needs of the host.

namespace netlab::lua {

namespace {

// Checks a recipe given as text, in a host of its own: the messages that `netlab check` would print.
int check_text(call& c) {
  auto text = c.text(1, "the recipe");
  std::vector<std::string> arguments;
  if (c.given(2)) {
    c.need_table(2, "the arguments");
    for (std::size_t i = 1; i <= lua_objlen(c.L, 2); ++i) {
      lua_rawgeti(c.L, 2, static_cast<int>(i));
      arguments.push_back(c.text(-1, "an argument"));
      lua_pop(c.L, 1);
    }
  }
  auto checked = check_recipe_text(c.owner, text, arguments);
  json out = {{"messages", json::array()}, {"graph", std::move(checked.graph)}};
  for (auto& m : checked.messages) out["messages"].push_back(std::move(m));
  return c.give(out);
}

int temporary_folder(call& c) {
  std::string pattern = "/tmp/netlab-test-XXXXXX";
  if (const char* base = std::getenv("TMPDIR"); base && *base)
    pattern = std::string(base) + "/netlab-test-XXXXXX";
  if (!::mkdtemp(pattern.data())) return c.fail(system_error(errno, "a temporary folder", "test.folder"));
  return c.give(pattern);
}

int print_line(call& c) {
  auto text = c.text(1, "the line") + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  return 0;
}

int now(call& c) {
  lua_pushnumber(c.L, static_cast<double>(c.owner.world().clock.now().time_since_epoch().count()) / 1e9);
  return 1;
}

int line(call& c) {
  auto at = where(c.L);
  c.give(at.file);
  lua_pushinteger(c.L, at.line);
  return 2;
}

} // namespace

void bind_test(api& a) {
  a.function(
      {"testing.check",
       check_text,
       "Checks a recipe given as text without binding anything: { messages, graph }. Used by the test kit.",
       {{"recipe", "string", ""}, {"arguments?", "string[]", "of its command line"}},
       {{"checked", "table", ""}},
       false,
       {}});
  a.function({"testing.folder",
              temporary_folder,
              "Makes a new folder for a test's files.",
              {},
              {{"path", "string?", ""}, {"err?", "netlab.error", ""}},
              false,
              {}});
  a.function({"testing.print",
              print_line,
              "Writes a line to the standard output at once.",
              {{"line", "string", ""}},
              {},
              false,
              {}});
  a.function({"testing.now",
              now,
              "Seconds of the running clock, which is virtual in simulated runs.",
              {},
              {{"seconds", "number", ""}},
              false,
              {}});
  a.function({"testing.where",
              line,
              "File and line of the recipe code that is running.",
              {},
              {{"file", "string", ""}, {"line", "integer", ""}},
              false,
              {}});
}

} // namespace netlab::lua
