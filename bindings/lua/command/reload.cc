#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "command_line.h"
#include "instance.h"
#include "netlab/units.h"
#include "screen.h"

namespace netlab::lua::command {

namespace {

// What is under way may take its ten seconds to finish, and then the recipe starts.
constexpr auto patience = std::chrono::seconds(30);
constexpr auto pause = std::chrono::milliseconds(20);

int reload(const global_options& global) {
  auto before = ask_instance(global, {{"verb", "status"}});
  if (!before) {
    std::fprintf(stderr, "netlab: %s\n", before.error().message.c_str());
    return unreachable;
  }
  auto asked = std::chrono::steady_clock::now();
  auto got = ask_instance(global, {{"verb", "reload"}});
  if (!got) {
    std::fprintf(stderr, "%s\n%s\n", got.error().message.c_str(),
                 paint(global, "31;1", "not reloaded: what ran goes on").c_str());
    return bad_usage;
  }
  for (;;) {
    std::this_thread::sleep_for(pause);
    auto took = std::chrono::steady_clock::now() - asked;
    auto now = ask_instance(global, {{"verb", "status"}});
    if (now && (*now)["started"] != (*before)["started"]) {
      std::printf("%s runs anew after %s, with %s\n", in_words((*now)["recipe"]).c_str(),
                  format_elapsed(took).c_str(), counted((*now)["services"].size(), "object").c_str());
      return ok;
    }
    if (took > patience) {
      std::fprintf(stderr, "netlab: the recipe is good, but it does not answer after %s: its log says why\n",
                   format_elapsed(took).c_str());
      return failed;
    }
  }
}

} // namespace

void add_reload(command_line& all) {
  all.add("reload", "", "a running instance reads its recipe anew; with a mistake in it, what runs goes on",
          reload);
}

} // namespace netlab::lua::command
