#include "command_line.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "netlab/text.h"

namespace netlab::lua::command {

namespace {

constexpr log_level levels[] = {log_level::trace, log_level::debug, log_level::info, log_level::warn,
                                log_level::error};

std::vector<std::string> level_names() {
  std::vector<std::string> out;
  for (auto each : levels) out.emplace_back(to_string(each));
  return out;
}

std::vector<std::string_view> names_of(const std::vector<const CLI::App*>& commands) {
  std::vector<std::string_view> out(commands.size());
  std::transform(commands.begin(), commands.end(), out.begin(),
                 [](const auto* each) -> std::string_view { return each->get_name(); });
  return out;
}

} // namespace

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

command_line::command_line(const api& described) : api_(described), root_("", "netlab") {
  root_.set_help_flag("-h,--help", "shows this and ends"); // all below inherit these
  root_.require_subcommand(0, 1);
  root_.allow_extras();
  root_.add_flag("--version", version_, "as the command of this name");
  add_global_options(root_);
  global_.colour = ::isatty(2) == 1 && !std::getenv("NO_COLOR");
}

void command_line::add_global_options(CLI::App& app) {
  constexpr const char* group = "global options";
  choice(app, "--log", log_format_, {"text", "json"}, "how log lines look (standard error)")
      ->option_text("text|json")
      ->group(group);
  choice(app, "--log-level", log_level_, level_names(), "trace, debug, info, warn or error")
      ->option_text("LEVEL")
      ->group(group);
  app.add_flag_callback(
         "--no-colour,--no-color", [this] { global_.colour = false; }, "no colour, as NO_COLOR=1")
      ->group(group);
  app.add_flag("--jit", global_.jit,
               "compile hot recipe code; endless loops are then only reported, not stopped")
      ->group(group);
  app.add_option("--control", global_.control,
                 "the control socket: of \"run\", by default in the recipe's state folder")
      ->option_text("PATH")
      ->group(group);
  app.add_option("--state", global_.state,
                 "the state folder of the instance that is asked (default: /var/lib/netlab)")
      ->option_text("FOLDER")
      ->group(group);
}

CLI::App& command_line::place(const std::string& name, const std::string& help) {
  auto space = name.find(' ');
  auto& above = space == std::string::npos ? root_ : *root_.get_subcommand(name.substr(0, space));
  auto& out = *above.add_subcommand(space == std::string::npos ? name : name.substr(space + 1), help);
  out.allow_extras(); // refused in our own words
  return out;
}

void command_line::group(const std::string& name, const std::string& help) {
  place(name, help).require_subcommand(0, 1);
}

CLI::App& command_line::add(const std::string& name, const std::string& operands, const std::string& help,
                            handler run) {
  auto& out = place(name, help);
  add_global_options(out);
  operands_[&out] = operands;
  handlers_[&out] = std::move(run);
  return out;
}

CLI::App& command_line::add_recipe(const std::string& name, const std::string& operands,
                                   const std::string& help, recipe_handler run, options_fn options) {
  auto& out = add(name, operands, help, {});
  handlers_[&out] = [&out, run = std::move(run)](const global_options& global) {
    return run(global, out.remaining());
  };
  out.prefix_command();
  recipes_[&out] = std::move(options);
  return out;
}

CLI::Option* command_line::choice(CLI::App& app, const std::string& name, std::string& to,
                                  std::vector<std::string> words, const std::string& help) {
  auto* out = app.add_option(name, to, help)->check(CLI::IsMember(words));
  choices_[out] = std::move(words);
  return out;
}

// Whether a recipe's file comes before its options; those of a recipe in the binary stand alone.
bool command_line::takes_file(const CLI::App& app) const {
  return recipes_.contains(&app) && operands_.at(&app).starts_with("FILE");
}

// The command that was named, as deep as it goes.
CLI::App& command_line::chosen() {
  auto* out = &root_;
  while (!out->get_subcommands().empty()) out = out->get_subcommands().front();
  return *out;
}

int command_line::refuse(const CLI::App& app, const std::string& why) const {
  std::fprintf(stderr, "netlab: %s\n%s\n", why.c_str(),
               &app == &root_ ? "netlab --help lists commands and options" : usage_of(app).c_str());
  return bad_usage;
}

int command_line::unexpected(const CLI::App& app, const std::string& word) const {
  auto path = path_of(app);
  if (auto below = names_of(commands_of(app)); !below.empty() && !word.starts_with("-"))
    return refuse(app, "there is no " + std::string(&app == &root_ ? "command " : "") + "\"" +
                           (&app == &root_ ? "" : path + " ") + printable(word) + "\"" +
                           did_you_mean(word, below));
  std::vector<std::string> known;
  for (const auto* each : app.get_options())
    for (const auto& name : each->get_lnames()) known.push_back("--" + name);
  std::vector<std::string_view> views(known.begin(), known.end());
  return refuse(app, (path.empty() ? "" : path + ": ") + "unexpected \"" + printable(word) + "\"" +
                         did_you_mean(word.substr(0, word.find('=')), views));
}

int command_line::run(std::vector<std::string> typed) {
  global_.command_line = typed;
  // What a shell asks is about words that do not parse yet.
  if (typed.size() > 2 && typed[1] == "complete" && typed[2] == "--") {
    for (const auto& line : complete({typed.begin() + 3, typed.end()})) std::printf("%s\n", line.c_str());
    return ok;
  }
  std::vector<std::string> words(typed.rbegin(), typed.rend() - 1); // CLI11 takes them from the back
  try {
    root_.parse(words);
  } catch (const CLI::CallForHelp&) {
    auto& app = chosen();
    auto text = &app == &root_ ? overview() : help_of(app);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return ok;
  } catch (const CLI::ParseError& e) {
    auto path = path_of(chosen());
    return refuse(chosen(), (path.empty() ? "" : path + ": ") + printable(e.what()));
  }
  if (log_format_ == "json") global_.log = log_format::json;
  for (auto each : levels)
    if (log_level_ == to_string(each)) global_.level = each;
  if (global_.colour && global_.log == log_format::text) global_.log = log_format::colour;

  auto& app = chosen();
  for (const CLI::App* each = &app; each; each = each->get_parent())
    if (auto extra = each->remaining(); !extra.empty() && !each->get_prefix_command())
      return unexpected(*each, extra.front());
  if (takes_file(app)) {
    auto rest = app.remaining();
    if (rest.empty()) return refuse(app, path_of(app) + ": FILE is required");
    if (rest.front().starts_with("-")) return unexpected(app, rest.front());
  }
  if (version_) return handlers_.at(root_.get_subcommand("version"))(global_);
  if (auto found = handlers_.find(&app); found != handlers_.end()) return found->second(global_);
  if (&app != &root_) return refuse(app, path_of(app) + " takes a verb");
  auto text = overview();
  std::fwrite(text.data(), 1, text.size(), stderr);
  return bad_usage;
}

global_options global_options::for_output() const {
  auto out = *this;
  out.colour = colour && ::isatty(1) == 1;
  return out;
}

int usage_error(const std::string& text) {
  std::fprintf(stderr, "netlab: %s\nnetlab --help lists commands and options\n", text.c_str());
  return bad_usage;
}

std::string paint(const global_options& global, const char* code, const std::string& text) {
  return global.colour ? "\x1b[" + std::string(code) + "m" + text + "\x1b[0m" : text;
}

} // namespace netlab::lua::command
