#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "command.h"
#include "host/host.h"

namespace netlab::lua::command {

// The command line, declared once: parsing, --help and completion read the same tree. Every command binds its
// options to what its handler captures. Lives for one run of the process; main thread.
class command_line {
public:
  using handler = std::function<int(const global_options&)>;
  // `words` are the recipe's: its file, unless it is in the binary, and its arguments.
  using recipe_handler = std::function<int(const global_options&, std::vector<std::string> words)>;
  using names_fn = std::function<std::vector<std::string>(const global_options&)>;
  using options_fn = std::function<std::vector<option>(const std::string& file)>;

  explicit command_line(const api& described);
  command_line(const command_line&) = delete;
  command_line& operator=(const command_line&) = delete;

  const api& described() const { return api_; }

  // A command that takes a verb: what is added as "dns top" stands below the group "dns".
  void group(const std::string& name, const std::string& help);
  // A command: its name as it is typed, what follows it as help shows it ("NODE", "IMAGE…"), what it is for.
  CLI::App& add(const std::string& name, const std::string& operands, const std::string& help, handler run);
  // A command that hands words to a recipe: all from the first that is no option of its own. `options` are
  // those of the recipe that the first word names.
  CLI::App& add_recipe(const std::string& name, const std::string& operands, const std::string& help,
                       recipe_handler run, options_fn options);
  // An option that takes one of these words.
  CLI::Option* choice(CLI::App& app, const std::string& name, std::string& to, std::vector<std::string> words,
                      const std::string& help);
  // What an operand of the command may be, for completion; may ask a running instance.
  void operand_names(const CLI::App& app, names_fn names) { names_[&app] = std::move(names); }

  // Parses the words after the program's name and runs what they name; the exit code.
  int run(std::vector<std::string> typed);
  // What the last of these words, those after the program's name, may be or become: the word, a tab, what it
  // is. Runs a recipe's top level to know its options.
  std::vector<std::string> complete(std::vector<std::string> typed) const;

private:
  CLI::App& place(const std::string& name, const std::string& help);
  void add_global_options(CLI::App& app);
  CLI::App& chosen();
  bool takes_file(const CLI::App& app) const;
  std::string path_of(const CLI::App& app) const;
  std::string operands_of(const CLI::App& app) const;
  std::string usage_of(const CLI::App& app) const;
  std::string listing(const CLI::App& app) const;
  std::string help_of(const CLI::App& app) const;
  std::string overview() const;
  int refuse(const CLI::App& app, const std::string& why) const;
  int unexpected(const CLI::App& app, const std::string& word) const;

  const api& api_;
  CLI::App root_;
  global_options global_;
  bool version_ = false;
  std::string log_format_, log_level_;
  std::map<const CLI::App*, handler> handlers_;
  std::map<const CLI::App*, std::string> operands_;
  std::map<const CLI::App*, names_fn> names_;
  std::map<const CLI::App*, options_fn> recipes_;
  std::map<const CLI::Option*, std::vector<std::string>> choices_;
};

// The commands below one, in the order in which they were added.
std::vector<const CLI::App*> commands_of(const CLI::App& app);

// What netlab.args of a recipe declares; `load` puts the recipe into its host.
std::vector<option> declared_arguments(const api& described, host_options options,
                                       const std::function<void(host&)>& load);

// What each file of this folder adds.
void add_run(command_line& all); // run and check
void add_test(command_line& all);
void add_doc(command_line& all);      // doc and plugin
void add_built_in(command_line& all); // probe and aws
void add_dns(command_line& all);
void add_status(command_line& all);
void add_top(command_line& all);
void add_console(command_line& all);
void add_reload(command_line& all);
void add_registry(command_line& all);
void add_completion(command_line& all);

} // namespace netlab::lua::command
