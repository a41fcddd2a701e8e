#include <doctest/doctest.h>

#include "../../bindings/lua/functions/template.h"
#include "../../bindings/lua/host/problems.h"
#include "netlab/simulation.h"

using namespace netlab;
using netlab::lua::expand_template;
using netlab::lua::line_of_option;
using netlab::lua::problems;

namespace {
constexpr std::string_view source = R"lua(local netlab = require "netlab"
local a = 5 -- netlab.dhcp.server { range = 1 }
netlab.dhcp.server {
  network = lan, -- range = "no"
  text = [[ range = 1, }
  ]], other = "} range = 2",
  on_lease = function(lease)
    local t = { range = 3, lease = 4 }
    if t then while t do t = nil end end
    repeat local range = 5 until range
    for i = 1, 2 do f { range = i } end
  end,
  --[==[ range = 6
  ]==]
  range = "a-b",
  pool = {
    { lease = "1h" },
    names,
    {
      ["lease"] = 3600,
    },
    [9] = { lease = 1 },
  }, ["two words"] = 1; last = f(1, { last = 2 }, [[x]]),
  lease = 5,
}
)lua";
}

TEST_CASE("lua source: the line of an option") {
  CHECK(line_of_option(source, 3, "server", "network") == 4);
  CHECK(line_of_option(source, 3, "server", "range") == 15);
  CHECK(line_of_option(source, 3, "server", "pool[1].lease") == 17);
  CHECK(line_of_option(source, 3, "server", "pool[3].lease") == 20);
  CHECK(line_of_option(source, 3, "server", "pool[9].lease") == 22);
  CHECK(line_of_option(source, 3, "server", "pool[2].lease") == 18); // a variable: its own line
  CHECK(line_of_option(source, 3, "server", "two words") == 23);
  CHECK(line_of_option(source, 3, "server", "last") == 23);
  CHECK(line_of_option(source, 3, "server", "lease") == 24);
  CHECK(!line_of_option(source, 3, "server", "missing"));
  CHECK(!line_of_option(source, 3, "proxy", "range"));
  CHECK(!line_of_option(source, 1, "server", ""));
}

TEST_CASE("lua source: text that is cut or broken anywhere is read without harm") {
  for (std::size_t n = 0; n <= source.size(); ++n)
    (void)line_of_option(source.substr(0, n), 3, "server", "pool[3].lease");
  seeded_random random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string text(source);
    for (int i = 0; i < 8; ++i)
      text[random.u32() % text.size()] = static_cast<char>("{}[]()\"'=,-\\\n ef"[random.u32() % 16]);
    (void)line_of_option(text, 1 + static_cast<int>(random.u32() % 6), "server", "pool[3].lease");
  }
}

TEST_CASE("lua source: mistakes are sorted by file and line and said once") {
  problems p;
  p.add({"b.lua", 9}, "nine");
  p.add({"b.lua", 2}, "two");
  p.add({"a.lua", 1}, "one");
  p.add({"b.lua", 2}, "two");
  p.add({}, "nowhere");
  CHECK(p.lines() == std::vector<std::string>{"b.lua:2: two", "b.lua:9: nine", "a.lua:1: one", "nowhere"});
}

TEST_CASE("lua template: names, blanks, iPXE's own") {
  auto look_up = [](std::string_view name) -> std::optional<std::string> {
    if (name == "a") return "1";
    if (name == "b.c") return "{{a}}";
    return std::nullopt;
  };
  CHECK(*expand_template("x{{a}}{{ b.c }}${mac}}", look_up) == "x1{{a}}${mac}}");
  CHECK(expand_template("\n\n{{z}}", look_up).error().message == "line 3: no value for {{z}}");
  CHECK(!expand_template("{{a", look_up));
  CHECK(!expand_template("{{}}", look_up));
}
