#include <doctest/doctest.h>

#include "../../bindings/lua/host/handle.h"
#include "lua_world.h"

using namespace netlab;
using namespace netlab::lua;
using lua_test::world;

namespace {

using words = std::vector<std::string>;

// A service that writes down what happens to it.
struct probe_service final : service {
  std::vector<std::string>* story = nullptr;
  shared_reference handler;
  std::vector<endpoint> listen;
  bool fails = false, slow = false;
  std::function<void()> drained;

  result<void> check(host&) override {
    story->push_back("check " + name());
    return {};
  }
  std::vector<claimed_endpoint> endpoints() const override {
    std::vector<claimed_endpoint> out;
    for (const auto& e : listen) out.push_back({"tcp", e});
    return out;
  }
  result<void> start(host&) override {
    story->push_back("start " + name());
    if (fails) return fail(errc::denied, "port 80: permission denied");
    return {};
  }
  void drain(std::function<void()> done) override {
    story->push_back("drain " + name());
    if (slow)
      drained = std::move(done);
    else
      done();
  }
  ~probe_service() override { story->push_back("gone " + name()); }
};

struct probe_world : world {
  words story;
  std::vector<std::weak_ptr<probe_service>> made;

  probe_world() {
    schema s;
    s.name = "probe.service";
    s.help = "A service for tests.";
    s.options = {optional("on_event", type::function("function(what)"), "called"),
                 optional("listen", type::listen(), "where"),
                 with_default("fails", type::boolean(), false, "start fails"),
                 with_default("slow", type::boolean(), false, "drain waits"),
                 with_default("lease", type::duration(), "1h", "a duration")};
    api.constructor(s, "probe.service", [this](netlab::lua::host&, const options& o) -> result<object_ptr> {
      auto out = std::make_shared<probe_service>();
      out->story = &story;
      out->handler = o.maybe<shared_reference>("on_event").value_or(nullptr);
      for (const auto& place : o.maybe<listen_list>("listen").value_or(listen_list{}))
        out->listen.push_back(place.endpoint);
      out->fails = o.get<bool>("fails");
      out->slow = o.get<bool>("slow");
      CHECK(o.get<duration>("lease") >= std::chrono::minutes(1));
      made.push_back(out);
      return out;
    });
  }
  ~probe_world() { story.reserve(story.size() + 16); }
};

} // namespace

TEST_CASE("lua host: services are checked, started in order, drained in reverse") {
  probe_world w;
  auto h = w.host("netlab.probe.service { name = \"a\" }\nnetlab.probe.service { name = \"b\" }");
  REQUIRE(h->mistakes().lines() == words{});
  CHECK(w.story == words{"check a", "check b"});
  REQUIRE(h->start());
  int code = -1;
  h->run([&](int c) { code = c; });
  w.time.advance(std::chrono::hours(1));
  CHECK(code == -1); // it stays up while it has services
  CHECK(w.log.count("NL-HOST-001 ready services=2") == 1);
  w.story.clear();
  h->stop();
  w.time.settle();
  CHECK(code == 0);
  CHECK(w.story == words{"drain b", "drain a"});
  h.reset();
  CHECK(w.made[0].expired());
}

TEST_CASE("lua host: a mistake anywhere starts nothing") {
  probe_world w;
  auto h = w.host("netlab.probe.service { name = \"a\" }\nnetlab.probe.service { leas = 1 }");
  CHECK(h->mistakes().lines() ==
        words{"recipe.lua:3: probe.service: unknown option \"leas\" (did you mean \"lease\"?)"});
  CHECK(w.story == words{"check a"}); // so that its own mistakes are told in the same breath; never started
}

TEST_CASE("lua host: two owners of one endpoint name both lines") {
  probe_world w;
  auto h = w.host("netlab.probe.service { listen = \"10.0.0.1:80\" }\n"
                  "netlab.probe.service { listen = \"10.0.0.1:81\" }\n"
                  "netlab.probe.service { listen = { \"10.0.0.2:81\", \"0.0.0.0:80\" } }");
  CHECK(h->mistakes().lines() == words{"recipe.lua:4: probe.service: tcp 0.0.0.0:80 belongs to probe.service "
                                       "\"probe.service\" (recipe.lua:2)"});
}

TEST_CASE("lua host: a service that does not start names its line, and nothing stays") {
  probe_world w;
  auto h =
      w.host("netlab.probe.service { name = \"a\" }\nnetlab.probe.service { name = \"b\", fails = true }\n"
             "netlab.probe.service { name = \"c\" }");
  auto started = h->start();
  REQUIRE(!started);
  CHECK(started.error().message == "recipe.lua:3: probe.service \"b\": port 80: permission denied");
  CHECK(w.story == words{"check a", "check b", "check c", "start a", "start b"});
}

TEST_CASE("lua host: a drain that takes too long is given up after ten seconds") {
  probe_world w;
  auto h = w.host("netlab.probe.service { slow = true }");
  REQUIRE(h->start());
  int code = -1;
  h->run([&](int c) { code = c; });
  w.time.settle();
  h->stop();
  w.time.advance(std::chrono::seconds(9));
  CHECK(code == -1);
  SUBCASE("in time") {
    w.made[0].lock()->drained();
    w.time.settle();
    CHECK(code == 0);
    CHECK(w.log.count("NL-HOST-003") == 0);
  }
  SUBCASE("too late") {
    w.time.advance(std::chrono::seconds(2));
    CHECK(code == 0);
    CHECK(w.log.count("NL-HOST-003") == 1);
  }
}

TEST_CASE("lua host: handlers run as tasks, may wait, and their failures are logged with their line") {
  probe_world w;
  auto h = w.host("local n = 0\n"
                  "netlab.probe.service {\n"
                  "  on_event = function(what)\n"
                  "    netlab.sleep \"1s\"\n"
                  "    n = n + 1\n"
                  "    if what == \"bad\" then error \"broken\" end\n"
                  "    netlab.log.info(\"event\", { what = what, n = n })\n"
                  "  end,\n"
                  "}");
  REQUIRE(h->start());
  h->run([](int) {});
  auto tell = [&](const char* what) {
    h->notify(w.made[0].lock()->handler, "on_event of probe.service", [what](lua_State* L) {
      push(L, what);
      return 1;
    });
  };
  tell("good");
  tell("bad");
  w.time.settle();
  CHECK(h->tasks().live() == 2);
  w.time.advance(std::chrono::seconds(1));
  CHECK(h->tasks().live() == 0);
  CHECK(w.log.count("event n=1 what=good") == 1);
  CHECK(w.log.count("NL-LUA-002 on_event of probe.service: recipe.lua:7: broken") == 1);
  tell("again"); // a coroutine that died is not used again
  w.time.advance(std::chrono::seconds(2));
  CHECK(w.log.count("event n=3 what=again") == 1);
}

TEST_CASE("lua host: a question is answered at once, a wait inside is refused") {
  probe_world w;
  auto h = w.host("netlab.probe.service { on_event = function(n)\n"
                  "  if n == 2 then netlab.sleep \"1s\" end\n"
                  "  if n == 3 then error({ message = \"three\" }) end\n"
                  "  return n * 2, \"x\" end }");
  REQUIRE(h->start());
  h->run([](int) {});
  auto handler = w.made[0].lock()->handler;
  double got = 0;
  int results = 0;
  auto ask = [&](double n) {
    return h->ask(
        handler, "policy",
        [n](lua_State* L) {
          lua_pushnumber(L, n);
          return 1;
        },
        [&](lua_State* L, int first, int count) {
          got = lua_tonumber(L, first);
          results = count;
        });
  };
  REQUIRE(ask(21));
  CHECK(got == 42);
  CHECK(results == 2);
  auto waits = ask(2);
  REQUIRE(!waits);
  CHECK(waits.error().message.find("netlab.sleep") == std::string::npos);
  CHECK(waits.error().message.find("recipe.lua:3: sleep waits, but policy must answer at once") == 0);
  auto raises = ask(3);
  REQUIRE(!raises);
  CHECK(raises.error().message.find("three") == 0);
  CHECK(h->tasks().live() == 0);
  REQUIRE(ask(1)); // and it goes on working
}

TEST_CASE("lua host: a late wake-up is counted and does nothing") {
  probe_world w;
  auto h = w.host("netlab.probe.service { on_event = function() return netlab.sleep(\"1h\") end }");
  REQUIRE(h->start());
  h->run([](int) {});
  lua_State* L = h->machine().main();
  w.made[0].lock()->handler->push(L);
  auto t = h->tasks().start(L, 0, {"t", {}, nullptr, true, {}});
  CHECK(t->now() == task::state::waiting);
  waker w1(h->tasks(), t);
  w1();
  CHECK(t->finished());
  w1();
  w1.fail({errc::io, "late", ""});
  CHECK(h->tasks().stale_wakes() == 2);
}

TEST_CASE("lua host: a handle whose object is gone is refused") {
  probe_world w;
  auto h = w.host("");
  lua_State* L = h->machine().main();
  {
    auto o = std::make_shared<probe_service>();
    o->story = &w.story;
    push_handle(L, o);
  }
  CHECK_THROWS_AS(object_at(L, -1), script_error);
  lua_pop(L, 1);
}

TEST_CASE("lua host: netlab.main ends a recipe without services, not one with") {
  probe_world w;
  SUBCASE("without") {
    auto h = w.host("netlab.main(function() netlab.sleep \"1h\" return 5 end)");
    REQUIRE(h->start());
    int code = -1;
    h->run([&](int c) { code = c; });
    w.time.advance(std::chrono::minutes(59));
    CHECK(code == -1);
    w.time.advance(std::chrono::minutes(2));
    CHECK(code == 5);
  }
  SUBCASE("with") {
    auto h = w.host("netlab.probe.service {}\nnetlab.main(function() return 5 end)");
    REQUIRE(h->start());
    int code = -1;
    h->run([&](int c) { code = c; });
    w.time.advance(std::chrono::minutes(1));
    CHECK(code == -1);
    h->stop();
    w.time.settle();
    CHECK(code == 5);
  }
}

TEST_CASE("lua host: netlab.every at the top level runs at each period, a slow round is not doubled") {
  probe_world w;
  auto h = w.host("local n = 0\nnetlab.every(\"1m\", function() n = n + 1\n"
                  "netlab.log.info(\"round \" .. n)\nif n == 2 then netlab.sleep \"150s\" end end)");
  REQUIRE(h->start());
  int code = -1;
  h->run([&](int c) { code = c; });
  w.time.advance(std::chrono::minutes(6) + std::chrono::seconds(1));
  // Rounds at 1 and 2 minutes; the second lasts until 4.5; then 5 and 6.
  CHECK(w.log.count("round ") == 4);
  CHECK(code == -1);
  h->stop();
  w.time.settle();
  CHECK(code == 0);
}

TEST_CASE("lua host: boot events reach the timeline and the directory") {
  probe_world w;
  auto h = w.host("netlab.probe.service {}\n"
                  "netlab.nodes { { name = \"talos-1\", mac = \"02:00:00:00:00:01\" } }");
  REQUIRE(h->start());
  h->run([](int) {});
  boot_event e;
  e.node.mac = *mac_address::parse("02:00:00:00:00:01");
  e.stage = boot_stage::discover;
  h->tell(e); // without an architecture: a system that wants an address, no boot
  auto got = h->control_verbs().at("timeline")(json::object());
  REQUIRE(got);
  CHECK((*got)["boots"].empty());
  e.architecture = "x64-uefi";
  h->tell(e);
  e.architecture.clear(); // the booted system's own DHCP belongs to the boot
  h->tell(e);
  got = h->control_verbs().at("timeline")(json::object());
  REQUIRE(got);
  REQUIRE((*got)["boots"].size() == 1);
  CHECK((*got)["boots"][0]["node"] == "talos-1");
  CHECK((*got)["text"].get<std::string>().find("talos-1") != std::string::npos);
  CHECK(h->control_verbs().at("timeline")({{"node", "talos-1"}}));
  CHECK(!h->control_verbs().at("timeline")({{"node", "other"}}));
}
