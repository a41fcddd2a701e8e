// What --help shows: the overview of all commands, and one command with its options.
#include <algorithm>

#include "command_line.h"
#include "netlab/text.h"

namespace netlab::lua::command {

namespace {

constexpr std::size_t width = 110;
constexpr std::size_t column = 30;

// "left" and what it is, wrapped in its own column. Columns count characters, not bytes.
void row(std::string& out, const std::string& left, const std::string& right) {
  auto length = static_cast<std::size_t>(
      std::count_if(left.begin(), left.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  std::string line = "  " + left;
  auto at = length + 2;
  if (at + 2 > column) {
    out += line + "\n";
    line.clear();
    at = 0;
  }
  line.append(column - at, ' ');
  at = column;
  bool first = true;
  for (auto word : split(right, ' ')) {
    if (!first && at + 1 + word.size() > width) {
      out += line + "\n";
      line.assign(column, ' ');
      at = column;
      first = true;
    }
    if (!first) line += ' ';
    line += word;
    at += word.size() + (first ? 0 : 1);
    first = false;
  }
  out += line + "\n";
}

std::string spelled(const CLI::Option& o) {
  std::string out;
  for (const auto& name : o.get_snames()) out += (out.empty() ? "-" : ", -") + name;
  for (const auto& name : o.get_lnames()) out += (out.empty() ? "--" : ", --") + name;
  if (const auto& text = o.get_option_text(); !text.empty()) out += " " + text;
  return out;
}

// The options of a group, or those of none.
std::string options_of(const CLI::App& app, bool global) {
  std::string out;
  for (const auto* o : app.get_options()) {
    if (o->get_positional() || o->get_description().empty()) continue;
    if ((o->get_group() == "global options") == global) row(out, spelled(*o), o->get_description());
  }
  return out;
}

} // namespace

std::string command_line::path_of(const CLI::App& app) const {
  if (&app == &root_) return {};
  auto above = path_of(*app.get_parent());
  return (above.empty() ? "" : above + " ") + app.get_name();
}

// What follows the command's name: its operands, or its verbs.
std::string command_line::operands_of(const CLI::App& app) const {
  if (auto found = operands_.find(&app); found != operands_.end()) return found->second;
  std::string out;
  for (const auto* verb : commands_of(app)) out += (out.empty() ? "" : "|") + verb->get_name();
  return out;
}

std::string command_line::usage_of(const CLI::App& app) const {
  auto operands = operands_of(app);
  bool has_options = operands_.count(&app) > 0 && !options_of(app, false).empty();
  // What stands behind a recipe's file is the recipe's.
  if (takes_file(app)) return "usage: netlab " + path_of(app) + " [options] " + operands;
  return "usage: netlab " + path_of(app) + (operands.empty() ? "" : " ") + operands +
         (has_options ? " [options]" : "");
}

// The commands below one, a row each.
std::string command_line::listing(const CLI::App& app) const {
  std::string out;
  for (const auto* each : commands_of(app)) {
    auto operands = operands_of(*each);
    row(out, each->get_name() + (operands.empty() ? "" : " ") + operands, each->get_description());
  }
  return out;
}

std::string command_line::help_of(const CLI::App& app) const {
  auto out = usage_of(app) + "\n\n" + app.get_description() + "\n";
  if (auto verbs = listing(app); !verbs.empty()) out += "\nverbs:\n" + verbs;
  if (auto own = options_of(app, false); !own.empty()) out += "\noptions:\n" + own;
  if (auto global = options_of(app, true); !global.empty()) out += "\nglobal options:\n" + global;
  return out;
}

std::string command_line::overview() const {
  std::string out = "usage: netlab [global options] COMMAND …\n\n" + listing(root_);
  out += "\nglobal options:\n" + options_of(root_, true);
  out += R"(
first steps:
  netlab check lab.lua && sudo netlab run lab.lua
  netlab COMMAND --help       every option of one command
  netlab doc dhcp.server      every option of one constructor; "netlab doc" lists the constructors

exit codes: 0 success, 1 failure, 2 wrong usage or a mistake in the recipe, 3 no running instance
)";
  return out;
}

} // namespace netlab::lua::command
