#include <algorithm>
#include <cstdio>
#include <unistd.h>

#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

std::string working_folder() {
  char buffer[4096];
  return ::getcwd(buffer, sizeof buffer) ? buffer : "/";
}

std::string shown_default(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// The recipe's own --help, in the order in which the recipe declares.
std::string help_text(const std::string& recipe, const std::vector<option>& declared) {
  std::vector<std::pair<std::string, std::string>> rows;
  std::size_t width = 6;
  for (const auto& o : declared) {
    auto left = o.type.kind == type_kind::boolean ? "--" + o.name + ", --no-" + o.name
                                                  : "--" + o.name + " " + type_name(o.type);
    auto right = o.help;
    auto shown = o.fallback ? shown_default(*o.fallback) : std::string();
    if (!shown.empty()) right += (right.empty() ? "" : " ") + ("(default: " + shown + ")");
    if (o.required) right += right.empty() ? "(required)" : " (required)";
    width = std::max(width, left.size());
    rows.emplace_back(std::move(left), std::move(right));
  }
  rows.emplace_back("--help", "shows this and ends");
  // Recipes that travel in the binary are called by the command that runs them.
  bool built_in = recipe.starts_with("netlab ");
  std::string out = "usage: " + std::string(built_in ? "" : "netlab run ") + recipe +
                    (declared.empty() ? "" : " [options]") + "\n\noptions:\n";
  for (auto& [left, right] : rows) {
    left.resize(width, ' ');
    out += "  " + left + "  " + right + "\n";
  }
  return out;
}

class word_reader {
public:
  word_reader(const std::vector<option>& declared, const std::vector<std::string>& words)
      : declared_(declared), words_(words) {}

  std::vector<std::string> problems;
  bool help = false;
  options given;

  void read() {
    auto folder = working_folder();
    for (std::size_t i = 0; i < words_.size(); ++i) {
      std::string_view word = words_[i];
      if (word == "--help" || word == "-h") {
        help = true;
        continue;
      }
      if (!word.starts_with("--") || word.size() == 2) {
        problems.push_back("unexpected argument \"" + printable(word) + "\": options begin with --");
        continue;
      }
      word.remove_prefix(2);
      auto equals = word.find('=');
      auto name = word.substr(0, equals);
      const auto* o = find(name);
      bool negative = false;
      if (!o && name.starts_with("no-")) {
        o = find(name.substr(3));
        if (o && o->type.kind != type_kind::boolean) o = nullptr;
        negative = o != nullptr;
      }
      if (!o) {
        unknown(name);
        // Its value, if it has one, would only be a second complaint.
        if (equals == std::string_view::npos && i + 1 < words_.size() && !words_[i + 1].starts_with("--"))
          ++i;
        continue;
      }
      if (negative && equals != std::string_view::npos) {
        problems.push_back("--" + std::string(name) + " takes no value");
        continue;
      }
      if (o->type.kind == type_kind::boolean && equals == std::string_view::npos) {
        set(*o, value{!negative});
        continue;
      }
      std::string_view text;
      if (equals != std::string_view::npos) {
        text = word.substr(equals + 1);
      } else if (i + 1 < words_.size()) {
        text = words_[++i];
      } else {
        problems.push_back("--" + o->name + " needs a value: " + expectation(o->type));
        continue;
      }
      auto got = parse_word(o->type, text, folder);
      if (got)
        set(*o, std::move(*got));
      else
        problems.push_back("--" + o->name + ": " + got.error().message);
    }
    for (const auto& o : declared_)
      if (o.required && !given.has(o.name))
        problems.push_back("--" + o.name + " is missing: " + expectation(o.type));
  }

private:
  const option* find(std::string_view name) const {
    for (const auto& o : declared_) {
      // Both spellings of a name of several words: --state-folder and --state_folder.
      std::string dashed = o.name;
      std::replace(dashed.begin(), dashed.end(), '_', '-');
      if (o.name == name || dashed == name) return &o;
    }
    return nullptr;
  }
  void set(const option& o, value v) {
    for (auto& entry : given.values)
      if (entry.name == o.name) {
        entry.value = std::move(v);
        return;
      }
    given.values.push_back({o.name, std::move(v)});
  }
  void unknown(std::string_view name) {
    std::vector<std::string_view> names;
    for (const auto& o : declared_) names.push_back(o.name);
    auto near = nearest_name(name, names);
    problems.push_back("unknown option --" + printable(name) +
                       (near ? " (did you mean --" + std::string(*near) + "?)" : ""));
  }

  const std::vector<option>& declared_;
  const std::vector<std::string>& words_;
};

int args(call& c) {
  if (c.owner.now() != phase::declare) c.refuse("belongs at the recipe's top level");
  auto declared = read_options(c.L, 1, "args");
  c.owner.declared_arguments = declared;
  if (c.owner.options().arguments_only) {
    c.owner.stop_declaring();
    throw script_error("the options are known");
  }
  word_reader reader(declared, c.owner.options().arguments);
  reader.read();
  if (reader.help) {
    auto text = help_text(c.owner.options().recipe, declared);
    std::fwrite(text.data(), 1, text.size(), stdout);
    c.owner.early_exit = 0;
    c.owner.stop_declaring();
    throw script_error("--help was asked for");
  }
  if (!reader.problems.empty()) {
    for (const auto& p : reader.problems) c.owner.mistakes().add({}, c.owner.options().recipe + ": " + p);
    c.owner.stop_declaring();
    throw script_error("the recipe's options are wrong: see --help");
  }
  // Defaults pass through the recipe's eyes: an option without a value is nil, and reading a name that
  // was never declared is a mistake.
  lua_createtable(c.L, 0, static_cast<int>(declared.size()));
  int out = lua_gettop(c.L);
  for (const auto& o : declared) {
    if (const auto* given = reader.given.find(o.name)) {
      push_value(c.L, *given);
    } else if (o.fallback) {
      push(c.L, *o.fallback);
    } else {
      continue;
    }
    lua_setfield(c.L, out, o.name.c_str());
  }
  lua_newtable(c.L);
  lua_newtable(c.L);
  for (const auto& o : declared) {
    lua_pushboolean(c.L, 1);
    lua_setfield(c.L, -2, o.name.c_str());
  }
  lua_pushcclosure(
      c.L,
      [](lua_State* L) -> int {
        lua_pushvalue(L, 2);
        lua_rawget(L, lua_upvalueindex(1));
        if (lua_toboolean(L, -1)) return 0; // declared, not given
        auto at = where(L);
        push(L, at.to_string() + ": netlab.args declares no option " + describe_value(L, 2));
        at = {};
        return lua_error(L);
      },
      1);
  lua_setfield(c.L, -2, "__index");
  lua_setmetatable(c.L, -2);
  return 1;
}

} // namespace

void bind_args(api& a) {
  a.function({"args",
              args,
              "Declares the recipe's command-line options, in the order of --help, and returns their values. "
              "Accepts --name value, --name=value, and --name / --no-name for booleans.",
              {{"options", "netlab.option[]", "{ name, type, default, required, help }"}},
              {{"values", "table<string, any>", "by name; nil where neither given nor defaulted"}},
              false,
              {}});
}

} // namespace netlab::lua
