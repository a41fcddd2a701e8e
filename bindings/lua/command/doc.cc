#include <cstdio>

#include "command_line.h"
#include "host/documentation.h"
#include "host/host.h"
#include "host/plugin.h"
#include "host/real_world.h"
#include "netlab/text.h"

namespace netlab::lua::command {

namespace {

std::vector<std::string> documented(const api& a) {
  std::vector<std::string> out;
  for (const auto& [name, each] : a.constructors()) out.push_back(name);
  for (const auto& [name, each] : a.functions()) out.push_back(name);
  return out;
}

struct doc_options {
  std::string name;
  bool markdown = false, stubs = false, messages = false;
};

int doc(const api& a, const doc_options& wanted) {
  std::string out;
  if (wanted.markdown) {
    out = doc_markdown(a);
  } else if (wanted.stubs) {
    out = doc_stubs(a);
  } else if (wanted.messages) {
    out = doc_messages();
  } else if (!wanted.name.empty()) {
    auto text = doc_text(a, wanted.name);
    if (!text) {
      auto names = documented(a);
      std::vector<std::string_view> views(names.begin(), names.end());
      std::fprintf(stderr, "netlab: there is no \"%s\"%s; netlab doc lists every name\n",
                   printable(wanted.name).c_str(), did_you_mean(wanted.name, views).c_str());
      return failed;
    }
    out = *text;
  } else {
    out = doc_index(a);
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
  return ok;
}

int list_plugins(const api& a, const global_options& global, const std::string& recipe) {
  host_options options;
  options.recipe = recipe; // only its folder is used
  real_world world(2, global.log, global.level);
  host h(
      world.control(), [&world](std::size_t which) -> runtime& { return world.bytes(which); }, a, options);
  auto found = h.plugins().list();
  if (found.empty()) std::fprintf(stderr, "no plugins: they are folders in plugins/ beside the recipe\n");
  for (const auto& m : found)
    std::printf("%-16s %-10s %-40s %s\n", m.name.c_str(), m.version.c_str(),
                m.embedded ? "in the binary" : m.folder.c_str(),
                m.problem.empty() ? m.help.c_str() : m.problem.c_str());
  return ok;
}

} // namespace

void add_doc(command_line& all) {
  auto wanted = std::make_shared<doc_options>();
  auto& c = all.add("doc", "[NAME]", "what recipes can name: constructors and functions with their options",
                    [&all, wanted](const global_options&) { return doc(all.described(), *wanted); });
  c.add_option("NAME", wanted->name, "");
  c.add_flag("--markdown", wanted->markdown, "everything, as docs/reference.md");
  c.add_flag("--stubs", wanted->stubs, "what editors read, as lua/netlab/stubs.lua");
  c.add_flag("--messages", wanted->messages, "every message of the log, as docs/messages.md");
  all.operand_names(c, [&all](const global_options&) { return documented(all.described()); });

  all.group("plugin", "the plugins that a recipe would find");
  auto recipe = std::make_shared<std::string>("./recipe.lua");
  all.add("plugin list", "[FILE]", "a line each, with the folder it comes from",
          [&all, recipe](const global_options& global) {
            return list_plugins(all.described(), global, *recipe);
          })
      .add_option("FILE", *recipe, "");
}

} // namespace netlab::lua::command
