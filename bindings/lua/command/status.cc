#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "boots_table.h"
#include "command_line.h"
#include "instance.h"
#include "screen.h"

namespace netlab::lua::command {

namespace {

// One line a file that is fetched from elsewhere.
table asset_rows(const json& status) {
  table out{{"file", "state", ""}};
  for (const auto& s : status["services"]) {
    if (!s["status"].is_object() || !s["status"].contains("files")) continue;
    for (const auto& f : s["status"]["files"]) {
      auto state = in_words(f["state"]);
      auto words = in_words(f["words"]);
      if (f.contains("failure") && f["usable"].get<bool>())
        words = "an older copy is served: " + in_words(f["failure"]) +
                (f.contains("next_attempt") ? "; next attempt at " + in_words(f["next_attempt"]) : "");
      out.push_back({in_words(f["name"]), state, words == state ? "" : words});
    }
  }
  return out;
}

// What operators changed at run time, so that nothing of it is forgotten.
table change_rows(const json& status) {
  table out{{"changed at run time", "server", "by", "since", "until"}};
  for (const auto& s : status["services"]) {
    if (!s["status"].is_object() || !s["status"].contains("changes")) continue;
    for (const auto& c : s["status"]["changes"]) {
      auto what = in_words(c["what"]) + (c.contains("name") ? " " + in_words(c["name"]) : std::string());
      auto until = in_words(c["until"]);
      if (c.contains("left")) until += " (" + in_words(c["left"]) + " left)";
      out.push_back({what, in_words(s["name"]), in_words(c["by"]), in_words(c["since"]), until});
    }
  }
  return out;
}

void print_overview(const global_options& global, const json& status) {
  auto state = in_words(status["state"]);
  std::printf("%s%s\n\n", paint(global, "1", in_words(status["recipe"])).c_str(),
              state.empty() ? "" : (", state in " + state).c_str());
  print_table(stdout, global, "services", service_rows(status));
  print_table(stdout, global, "changes", change_rows(status));
  print_table(stdout, global, "nodes", node_rows(status));
  print_table(stdout, global, "files from elsewhere", asset_rows(status));
  const auto& boots = status["boots"];
  std::string latest;
  if (!boots.empty()) {
    latest = in_words(boots[0]["node"]);
    std::printf("%s\n%s\n", paint(global, "1", "latest boot").c_str(), in_words(boots[0]["text"]).c_str());
  }
  print_stopped(stdout, global, boots, latest);
  table tasks{{"task", "waits for"}};
  for (const auto& t : status["tasks"]) tasks.push_back({in_words(t["name"]), in_words(t["waits_for"])});
  print_table(stdout, global, "tasks", tasks);
  if (boots.size() > 1) std::printf("netlab status NODE tells the boot of one node, --boots all of them\n");
}

struct status_options {
  std::string node;
  bool json = false, boots = false;
};

int status(const global_options& global, const status_options& wanted) {
  auto got = ask_instance(global, {{"verb", "status"}});
  if (!got) {
    std::fprintf(stderr, "netlab: %s\n", got.error().message.c_str());
    return unreachable;
  }
  json request = {{"verb", "timeline"}};
  if (!wanted.node.empty()) request["node"] = wanted.node;
  auto timeline = ask_instance(global, request);
  if (!timeline) {
    std::fprintf(stderr, "netlab: %s\n", timeline.error().message.c_str());
    return failed;
  }
  (*got)["boots"] = (*timeline)["boots"];
  if (wanted.json) {
    std::printf("%s\n", got->dump(2).c_str());
    return ok;
  }
  if (!wanted.node.empty() || wanted.boots) {
    std::fputs(in_words((*timeline)["text"]).c_str(), stdout);
  } else {
    print_overview(global, *got);
  }
  return ok;
}

} // namespace

void add_status(command_line& all) {
  auto wanted = std::make_shared<status_options>();
  auto& c =
      all.add("status", "[NODE]",
              "a running instance: services, nodes, the latest boot and every boot that stopped; with NODE "
              "the boot of one node, step by step",
              [wanted](const global_options& global) { return status(global.for_output(), *wanted); });
  c.add_option("NODE", wanted->node, "");
  c.add_flag("--boots", wanted->boots, "the boots of all nodes, step by step");
  c.add_flag("--json", wanted->json, "everything, for programs");
  all.operand_names(c, [](const global_options& global) {
    std::vector<std::string> out;
    auto got = ask_instance(global, {{"verb", "status"}});
    if (!got || !got->contains("nodes")) return out;
    for (const auto& n : (*got)["nodes"])
      if (n.contains("name")) out.push_back(in_words(n["name"]));
    return out;
  });
}

} // namespace netlab::lua::command
