#include <cstdio>

#include "command.h"
#include "host/documentation.h"
#include "host/host.h"
#include "host/plugin.h"
#include "host/real_world.h"
#include "netlab/text.h"

namespace netlab::lua::command {

namespace {

std::string nearest_documented(const api& a, const std::string& wanted) {
  std::vector<std::string_view> names;
  for (const auto& [name, c] : a.constructors()) names.push_back(name);
  for (const auto& [name, f] : a.functions()) names.push_back(name);
  return std::string(nearest_name(wanted, names).value_or(""));
}

} // namespace

int doc(const api& a, const global_options&, words w) {
  std::string out;
  if (w.take_switch("--markdown")) {
    out = doc_markdown(a);
  } else if (w.take_switch("--stubs")) {
    out = doc_stubs(a);
  } else if (w.take_switch("--messages")) {
    out = doc_messages();
  } else if (auto name = w.take_next()) {
    auto text = doc_text(a, *name);
    if (!text) {
      auto near = nearest_documented(a, *name);
      std::fprintf(stderr, "netlab: there is no \"%s\"%s; netlab doc lists every name\n",
                   printable(*name).c_str(),
                   near.empty() ? "" : (" (did you mean \"" + near + "\"?)").c_str());
      return failed;
    }
    out = *text;
  } else {
    out = doc_index(a);
  }
  if (auto extra = w.leftover({"--markdown", "--stubs", "--messages"}); !extra.empty())
    return usage_error(extra);
  std::fwrite(out.data(), 1, out.size(), stdout);
  return ok;
}

int plugin(const api& a, const global_options& global, words w) {
  auto verb = w.take_next();
  if (verb != "list") return usage_error("plugin takes a verb: netlab plugin list [FILE]");
  host_options options;
  options.recipe = w.take_next().value_or("./recipe.lua"); // only its folder is used
  real_world world(2, global.log, global.level);
  host h(
      world.control(), [&world]() -> runtime& { return world.bytes(); }, a, options);
  auto found = h.plugins().list();
  if (found.empty()) std::fprintf(stderr, "no plugins: they are folders in plugins/ beside the recipe\n");
  for (const auto& m : found)
    std::printf("%-16s %-10s %-40s %s\n", m.name.c_str(), m.version.c_str(),
                m.embedded ? "in the binary" : m.folder.c_str(),
                m.problem.empty() ? m.help.c_str() : m.problem.c_str());
  return ok;
}

} // namespace netlab::lua::command
