// netlab completion SHELL prints completion.SHELL, which a shell evaluates once; it then asks "netlab
// complete" at every Tab. Where netlab has nothing to offer, the shell offers files.
#include <algorithm>
#include <cstdio>

#include "command_line.h"
#include "host/bundle.h"
#include "host/real_world.h"
#include "netlab/text.h"

namespace netlab::lua::command {

namespace {

void offer(std::vector<std::string>& out, const std::string& begun, const std::string& word,
           const std::string& about) {
  if (!word.starts_with(begun)) return;
  out.push_back(word + "\t" + printable(about));
}

std::string dashed(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

const CLI::Option* option_named(const CLI::App& app, const std::string& word) {
  for (const auto* each : app.get_options())
    if (each->check_name(word)) return each;
  return nullptr;
}

const CLI::App* command_named(const CLI::App& app, const std::string& word) {
  for (const auto* each : commands_of(app))
    if (each->get_name() == word) return each;
  return nullptr;
}

} // namespace

std::vector<std::string> command_line::complete(std::vector<std::string> typed) const {
  std::vector<std::string> out;
  if (typed.empty()) typed.emplace_back();
  auto begun = typed.back();
  typed.pop_back();

  const CLI::App* app = &root_;
  const CLI::Option* waits = nullptr; // for its value
  std::string file;                   // the first word that a recipe gets
  bool recipes = false;               // words of a recipe follow
  for (const auto& word : typed) {
    if (recipes) continue;
    if (waits) {
      waits = nullptr;
    } else if (word.starts_with("-")) {
      const auto* o = option_named(*app, word);
      waits = o && o->get_expected_min() > 0 ? o : nullptr;
    } else if (const auto* below = command_named(*app, word)) {
      app = below;
    } else if (app->get_prefix_command()) {
      file = word;
      recipes = true;
    }
  }
  if (waits) {
    if (auto found = choices_.find(waits); found != choices_.end())
      for (const auto& word : found->second) offer(out, begun, word, "");
    return out;
  }
  auto recipe = recipes_.find(app);
  if (begun.starts_with("-")) {
    if (recipe != recipes_.end() && (recipes || !takes_file(*app)))
      for (const auto& o : recipe->second(file)) offer(out, begun, "--" + dashed(o.name), o.help);
    if (!recipes)
      for (const auto* o : app->get_options())
        for (const auto& name : o->get_lnames()) offer(out, begun, "--" + name, o->get_description());
    return out;
  }
  for (const auto* each : commands_of(*app)) offer(out, begun, each->get_name(), each->get_description());
  if (auto found = names_.find(app); found != names_.end())
    for (const auto& name : found->second(global_)) offer(out, begun, name, "");
  return out;
}

std::vector<option> declared_arguments(const api& described, host_options options,
                                       const std::function<void(host&)>& load) {
  options.arguments_only = true;
  real_world world(2, log_format::text, log_level::error);
  host h(
      world.control(), [&world](std::size_t which) -> runtime& { return world.bytes(which); }, described,
      std::move(options));
  // What the recipe prints on its way is none of the words to choose from.
  lua_State* L = h.machine().main();
  lua_pushliteral(L, "print");
  lua_pushcfunction(L, [](lua_State*) { return 0; });
  lua_rawset(L, LUA_GLOBALSINDEX);
  load(h);
  return std::move(h.declared_arguments);
}

void add_completion(command_line& all) {
  all.group("completion",
            "prints what makes a shell complete netlab's commands, options and a recipe's options");
  for (const std::string shell : {"bash", "zsh", "fish"})
    all.add("completion " + shell, "", "for " + shell + ": netlab completion " + shell + " > FILE",
            [shell](const global_options&) {
              auto script = *bundle::find("bindings/lua/command/completion." + shell);
              std::fwrite(script.data(), 1, script.size(), stdout);
              return ok;
            });
}

} // namespace netlab::lua::command
