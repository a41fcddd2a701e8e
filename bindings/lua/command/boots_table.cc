#include "boots_table.h"

#include <nlohmann/json.hpp>

#include "netlab/units.h"

namespace netlab::lua::command {

namespace {

// How far a machine's boot came, and when that was.
std::string boot_words(const json& boot) {
  auto furthest = in_words(boot["furthest"]);
  if (boot["ready"].get<bool>()) return furthest;
  auto idle = std::chrono::duration_cast<duration>(std::chrono::duration<double>(boot["idle"].get<double>()));
  auto out = furthest + ", " + format_elapsed(idle) + " ago";
  return boot.contains("why") ? "stopped at " + out : out;
}

} // namespace

table node_rows(const json& status) {
  table out{{"node", "role", "mac", "address", "boot"}};
  for (const auto& n : status["nodes"]) {
    std::string progress;
    for (const auto& b : status["boots"])
      if (b["node"] == n["name"] || (b.contains("mac") && b["mac"] == n["mac"])) {
        progress = boot_words(b);
        break;
      }
    bool declared = n["declared"].get<bool>();
    out.push_back({in_words(n["name"]), declared ? in_words(n["role"]) : "not in the recipe",
                   in_words(n["mac"]), in_words(n["address"]), progress});
  }
  return out;
}

void print_stopped(std::FILE* out, const global_options& global, const json& boots,
                   const std::string& except) {
  bool any = false;
  for (const auto& b : boots) {
    if (!b.contains("why") || b["node"] == except) continue;
    if (!any) std::fprintf(out, "%s\n", paint(global, "1", "stopped").c_str());
    any = true;
    const auto& why = b["why"];
    std::fprintf(out, "  why:  %s [%s]\n", in_words(why["cause"]).c_str(), in_words(why["id"]).c_str());
    if (auto remedy = in_words(why["remedy"]); !remedy.empty())
      std::fprintf(out, "  do:   %s\n", remedy.c_str());
  }
  if (any) std::fprintf(out, "\n");
}

} // namespace netlab::lua::command
