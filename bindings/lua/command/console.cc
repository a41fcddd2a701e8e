#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "command_line.h"
#include "instance.h"
#include "netlab/text.h"
#include "screen.h"

namespace netlab::lua::command {

namespace {

volatile std::sig_atomic_t line_interrupted = 0;

// Waits for the end of a line and shows what it prints meanwhile. False when it failed.
result<bool> follow(const global_options& global, const json& task) {
  bool cancelled = false;
  for (auto pause = std::chrono::milliseconds(1);;
       pause = std::min(pause * 2, std::chrono::milliseconds(100))) {
    auto got = ask_instance(global, {{"verb", "console"}, {"task", task}});
    if (!got) return tl::unexpected(got.error());
    std::fputs((*got)["printed"].get<std::string>().c_str(), stdout);
    std::fflush(stdout);
    if ((*got)["done"].get<bool>()) {
      if (got->contains("error")) {
        std::fprintf(stderr, "%s\n", paint(global, "31", (*got)["error"].get<std::string>()).c_str());
        return false;
      }
      for (const auto& value : (*got)["values"]) std::printf("%s\n", value.get<std::string>().c_str());
      return true;
    }
    if (line_interrupted && !cancelled) {
      cancelled = true;
      (void)ask_instance(global, {{"verb", "console"}, {"cancel", task}});
    }
    std::this_thread::sleep_for(pause);
  }
}

// What a name is called in the console: see host/console.h.
void greet(const json& status) {
  std::string names;
  for (const auto& s : status["services"])
    if (s.contains("running")) names += (names.empty() ? "" : ", ") + in_words(s["name"]);
  std::printf("Lua inside %s. netlab, and by name: %s (what is no letter or digit is written _).\n"
              "objects[kind][name] has everything. A line may wait; Ctrl-C ends it, Ctrl-D leaves.\n",
              in_words(status["recipe"]).c_str(), names.empty() ? "nothing" : names.c_str());
}

int console(const global_options& global, const std::optional<std::string>& one) {
  auto status = ask_instance(global, {{"verb", "status"}});
  if (!status) {
    std::fprintf(stderr, "netlab: %s\n", status.error().message.c_str());
    return unreachable;
  }
  bool terminal = ::isatty(0) == 1 && ::isatty(1) == 1 && !one;
  if (terminal) greet(*status);
  struct sigaction act {};
  act.sa_handler = [](int) { line_interrupted = 1; };
  ::sigaction(SIGINT, &act, nullptr);

  int code = ok;
  std::string text;
  for (;;) {
    if (terminal) std::fputs(text.empty() ? "> " : ">> ", stdout);
    std::fflush(stdout);
    std::string typed;
    if (one) {
      typed = *one;
    } else if (!std::getline(std::cin, typed)) {
      if (!line_interrupted || !terminal) break;
      line_interrupted = 0;
      std::cin.clear();
      ::clearerr(stdin);
      text.clear();
      std::puts("");
      continue;
    }
    text += (text.empty() ? "" : "\n") + typed;
    if (trim(text).empty()) {
      text.clear();
      continue;
    }
    line_interrupted = 0;
    auto begun = ask_instance(global, {{"verb", "console"}, {"text", text}});
    if (begun && begun->contains("more") && !one) continue;
    if (begun && begun->contains("more")) begun = fail(errc::invalid, "console: the statement does not end");
    text.clear();
    if (!begun && begun.error().code == errc::unreachable) {
      std::fprintf(stderr, "netlab: %s\n", begun.error().message.c_str());
      return unreachable;
    }
    if (!begun) {
      std::fprintf(stderr, "%s\n", paint(global, "31", begun.error().message).c_str());
      code = failed;
    } else {
      auto good = follow(global, (*begun)["task"]);
      if (!good) {
        std::fprintf(stderr, "netlab: %s\n", good.error().message.c_str());
        return unreachable;
      }
      if (!*good) code = failed;
    }
    if (one) break;
  }
  if (!text.empty()) {
    std::fprintf(stderr, "netlab: the last statement does not end\n");
    code = failed;
  }
  if (terminal) std::puts("");
  return terminal ? ok : code;
}

} // namespace

void add_console(command_line& all) {
  auto one = std::make_shared<std::optional<std::string>>();
  all.add("console", "", "Lua inside a running instance, line by line: netlab, and every handle by its name",
          [one](const global_options& global) { return console(global, *one); })
      .add_option_function<std::string>(
          "--eval", [one](const std::string& text) { *one = text; }, "runs this and ends")
      ->option_text("LUA");
}

} // namespace netlab::lua::command
