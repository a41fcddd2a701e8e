#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"
#include "host/recipe_check.h"

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
  auto checked = check_recipe_text(c.owner, text, c.text_or(3, "the path", "recipe.lua"), arguments);
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

int jit(call& c) { return c.give(c.owner.options().vm.jit); }

int program(call& c) {
  char buffer[4096];
  auto n = ::readlink("/proc/self/exe", buffer, sizeof buffer);
  if (n < 0) return c.fail(system_error(errno, "/proc/self/exe", "testing.program"));
  return c.give(std::string_view(buffer, static_cast<std::size_t>(n)));
}

// The runner of `netlab test` listens; elsewhere a result goes nowhere.
int report(call& c) {
  c.need_table(1, "the result");
  auto data = to_json(c.L, 1);
  if (!data) c.refuse(data.error().message);
  const auto& verbs = c.owner.control_verbs();
  if (auto verb = verbs.find("test.result"); verb != verbs.end()) (void)verb->second(*data);
  return 0;
}

int scenario_now(call& c) {
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
       {{"recipe", "string", ""},
        {"arguments?", "string[]", "of its command line"},
        {"path?", "string", "that it is taken to have"}},
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
  a.function(
      {"testing.jit", jit, "Whether recipe code may be compiled.", {}, {{"", "boolean", ""}}, false, {}});
  a.function({"testing.program",
              program,
              "The file of the running netlab, for tests of its commands.",
              {},
              {{"path", "string?", ""}, {"err?", "netlab.error", ""}},
              false,
              {}});
  a.function({"testing.report",
              report,
              "Gives a case's result to the runner of netlab test.",
              {{"result", "table", ""}},
              {},
              false,
              {}});
  a.function({"testing.now",
              scenario_now,
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
