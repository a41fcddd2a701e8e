#include <cstdio>
#include <nlohmann/json.hpp>

#include "../host.h"
#include "../real_world.h"
#include "command.h"
#include "netlab/files.h"

namespace netlab::lua::command {

namespace {

struct outcome {
  std::string file, name, problem;
  double seconds = 0;
  bool passed = false, skipped = false;
};

std::string xml(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
      out += '?';
    else
      out += c;
  }
  return out;
}

std::string junit(const std::vector<outcome>& all) {
  std::size_t failures = 0, skipped = 0;
  double seconds = 0;
  for (const auto& o : all) {
    failures += !o.passed && !o.skipped;
    skipped += o.skipped;
    seconds += o.seconds;
  }
  char numbers[160];
  std::snprintf(numbers, sizeof numbers, "tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\" time=\"%.3f\"",
                all.size(), failures, skipped, seconds);
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"netlab\" " +
                    std::string(numbers) + ">\n";
  for (const auto& o : all) {
    std::snprintf(numbers, sizeof numbers, "%.3f", o.seconds);
    out += "  <testcase classname=\"" + xml(o.file) + "\" name=\"" + xml(o.name) + "\" time=\"" + numbers +
           "\">";
    if (o.skipped)
      out += "<skipped message=\"" + xml(o.problem) + "\"/>";
    else if (!o.passed)
      out += "<failure message=\"failed\">" + xml(o.problem) + "</failure>";
    out += "</testcase>\n";
  }
  return out + "</testsuite>\n";
}

void tap(std::size_t number, const outcome& o) {
  std::printf("%s %zu - %s: %s%s\n", o.passed || o.skipped ? "ok" : "not ok", number, o.file.c_str(),
              o.name.c_str(), o.skipped ? (" # SKIP " + o.problem).c_str() : "");
  if (o.passed || o.skipped) return;
  std::printf("  ---\n  message: |\n");
  std::string line;
  for (char c : o.problem + "\n") {
    if (c != '\n') {
      line += c;
      continue;
    }
    std::printf("    %s\n", line.c_str());
    line.clear();
  }
  std::printf("  ...\n");
}

} // namespace

int test(const api& a, const global_options& global, words w) {
  auto junit_path = w.take_value("--junit");
  bool jit = w.take_switch("--jit") || global.jit;
  std::vector<std::string> files;
  while (auto file = w.take_next()) files.push_back(*file);
  if (auto extra = w.leftover({"--junit", "--jit"}); !extra.empty()) return usage_error(extra);
  if (files.empty()) return usage_error("test needs a recipe test: netlab test FILE…");

  std::vector<outcome> all;
  std::printf("TAP version 13\n");
  for (const auto& file : files) {
    auto add = [&](outcome o) {
      o.file = file;
      all.push_back(std::move(o));
      tap(all.size(), all.back());
    };
    real_world world(2, global.log, global.level);
    {
      host_options options;
      options.recipe = file;
      options.vm.jit = jit;
      host h(
          world.control(), [&world]() -> runtime& { return world.bytes(); }, a, options);
      h.on_control("test.result", [&](const json& r) -> result<json> {
        add({file, r.value("name", ""), r.value("problem", ""), r.value("seconds", 0.0),
             r.value("passed", false), r.value("skipped", false)});
        return json(nullptr);
      });
      auto before = all.size();
      h.load();
      if (h.mistakes().empty()) h.link();
      if (!h.mistakes().empty()) {
        std::string text;
        for (const auto& line : h.mistakes().lines()) text += line + "\n";
        add({file, "the file loads", text, 0, false, false});
        continue;
      }
      if (auto started = h.start(); !started) {
        add({file, "its services start", started.error().message, 0, false, false});
        world.stop_bytes();
        continue;
      }
      int code = 0;
      h.run([&](int exit_code) {
        code = exit_code;
        world.loop().stop();
      });
      world.loop().run();
      world.stop_bytes();
      if (all.size() == before)
        add({file, "has test cases", "no test.case ran: does the file require \"netlab.test\"?", 0, false,
             false});
      else if (code != 0 && std::all_of(all.begin() + static_cast<long>(before), all.end(),
                                        [](const outcome& o) { return o.passed || o.skipped; }))
        add({file, "ends well", "netlab.main ended with " + std::to_string(code), 0, false, false});
    }
  }
  std::printf("1..%zu\n", all.size());
  std::size_t failures = 0;
  for (const auto& o : all) failures += !o.passed && !o.skipped;
  std::printf("# %zu passed, %zu failed\n", all.size() - failures, failures);
  if (junit_path) {
    real_world world(2, global.log, global.level);
    if (auto written = world.control().files.write(*junit_path, junit(all)); !written) {
      std::fprintf(stderr, "netlab: %s\n", written.error().message.c_str());
      return failed;
    }
  }
  return failures == 0 ? ok : failed;
}

} // namespace netlab::lua::command
