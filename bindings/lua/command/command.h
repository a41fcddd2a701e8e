#pragma once
#include <optional>
#include <string>
#include <vector>

#include "host/api.h"
#include "netlab/json.h"
#include "netlab/log.h"
#include "netlab/result.h"

namespace netlab::lua::command {

// Exit codes of every command.
enum exit_code : int {
  ok = 0,
  failed = 1,      // it ran and did not succeed
  bad_usage = 2,   // the command line or the recipe is wrong; nothing was done
  unreachable = 3, // no running instance answers
};

struct global_options {
  log_format log = log_format::text;
  log_level level = log_level::info;
  bool colour = false;
  bool jit = false;
  std::string control;                   // of the control socket
  std::string state;                     // of the instance that is asked
  std::vector<std::string> command_line; // as it was typed, for a run that starts anew
};

// What is left of the command line for one command, and its own switches.
class words {
public:
  explicit words(std::vector<std::string> all) : all_(std::move(all)) {}
  // Takes "--name" out; false when it is not there.
  bool take_switch(const std::string& name);
  // Takes "--name value" or "--name=value" out.
  std::optional<std::string> take_value(const std::string& name);
  std::optional<std::string> take_next(); // the next word that is no option
  const std::vector<std::string>& rest() const { return all_; }
  // A message about the first word nobody took; empty when there is none.
  std::string leftover(const std::vector<std::string>& known) const;

private:
  std::vector<std::string> all_;
};

int run(const api& a, const global_options& global, words w);
int check(const api& a, const global_options& global, words w);
int test(const api& a, const global_options& global, words w);
int doc(const api& a, const global_options& global, words w);
int plugin(const api& a, const global_options& global, words w);
int probe(const api& a, const global_options& global, words w);
int registry(const api& a, const global_options& global, words w);
int console(const api& a, const global_options& global, words w);
int reload(const api& a, const global_options& global, words w);
int top_screen(const api& a, const global_options& global, words w);
int status(const api& a, const global_options& global, words w);
int dns(const api& a, const global_options& global, words w);

int usage_error(const std::string& text);
std::string paint(const global_options& global, const char* code, const std::string& text);

} // namespace netlab::lua::command
