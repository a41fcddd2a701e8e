#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "../control.h"
#include "command.h"

namespace netlab::lua::command {

namespace {

using table = std::vector<std::vector<std::string>>;

// Characters on the terminal, not bytes.
std::size_t width_of(const std::string& text) {
  std::size_t out = 0;
  for (char c : text)
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++out;
  return out;
}

void print(const global_options& global, const char* title, const table& rows) {
  if (rows.size() < 2) return;
  std::vector<std::size_t> widths(rows[0].size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  std::printf("%s\n", paint(global, "1", title).c_str());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line = " ";
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      auto cell = rows[r][i];
      if (i + 1 < rows[r].size()) cell.append(widths[i] - width_of(cell), ' ');
      line += " " + cell;
    }
    std::printf("%s\n", r == 0 ? paint(global, "2", line).c_str() : line.c_str());
  }
  std::printf("\n");
}

std::string text(const json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::string out;
    for (const auto& item : value) out += (out.empty() ? "" : ", ") + text(item);
    return out;
  }
  if (value.is_object()) {
    std::string out;
    for (const auto& [key, item] : value.items()) {
      auto shown = text(item);
      if (!shown.empty()) out += (out.empty() ? "" : "  ") + key + " " + shown;
    }
    return out;
  }
  return value.dump();
}

std::vector<std::string> places(const global_options& global) {
  if (!global.control.empty()) return {global.control};
  if (!global.state.empty()) return {global.state + "/control.sock"};
  return {runtime_folder() + "/control.sock", "/var/lib/netlab/control.sock"};
}

// The answer of the first place that gives one.
result<json> ask(const global_options& global, const json& request) {
  std::string tried;
  for (const auto& place : places(global)) {
    auto got = ask_control(place, request);
    if (got || got.error().code == errc::refused) {
      if (got || got.error().op != "control" || ::access(place.c_str(), F_OK) == 0) return got;
    }
    tried += (tried.empty() ? "" : "; ") + got.error().message;
  }
  return fail(errc::unreachable,
              "no running netlab answers (" + tried + "): name its state folder with --state", "status");
}

} // namespace

int status(const api&, const global_options& given, words w) {
  auto global = given;
  global.colour = global.colour && ::isatty(1) == 1;
  bool as_json = w.take_switch("--json");
  auto node = w.take_next();
  if (auto extra = w.leftover({"--json"}); !extra.empty()) return usage_error(extra);
  auto got = ask(global, {{"verb", "status"}});
  if (!got) {
    std::fprintf(stderr, "netlab: %s\n", got.error().message.c_str());
    return unreachable;
  }
  json request = {{"verb", "timeline"}};
  if (node) request["node"] = *node;
  auto timeline = ask(global, request);
  if (!timeline) {
    std::fprintf(stderr, "netlab: %s\n", timeline.error().message.c_str());
    return failed;
  }
  (*got)["boots"] = (*timeline)["boots"];
  if (as_json) {
    std::printf("%s\n", got->dump(2).c_str());
    return ok;
  }
  table services{{"service", "name", "listens", "state", ""}};
  for (const auto& s : (*got)["services"]) {
    if (!s.contains("running")) continue;
    services.push_back({text(s["kind"]), text(s["name"]), text(s["endpoints"]),
                        s["running"].get<bool>() ? "running" : "stopped", text(s["status"])});
  }
  print(global, "services", services);
  table nodes{{"node", "role", "mac", "address", ""}};
  for (const auto& n : (*got)["nodes"])
    nodes.push_back({text(n["name"]), text(n["role"]), text(n["mac"]), text(n["address"]),
                     n["declared"].get<bool>() ? "" : "met on the wire"});
  print(global, "nodes", nodes);
  if (timeline && timeline->contains("text") && !text((*timeline)["text"]).empty())
    std::printf("%s\n%s\n", paint(global, "1", "boots").c_str(), text((*timeline)["text"]).c_str());
  table tasks{{"task", "waits for"}};
  for (const auto& t : (*got)["tasks"]) tasks.push_back({text(t["name"]), text(t["waits_for"])});
  print(global, "tasks", tasks);
  return ok;
}

} // namespace netlab::lua::command
