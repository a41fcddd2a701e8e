#pragma once
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
  bool colour = false; // of the terminal that the standard error is
  bool jit = false;
  std::string control;                   // of the control socket
  std::string state;                     // of the instance that is asked
  std::vector<std::string> command_line; // as it was typed, for a run that starts anew

  // The same for what goes to the standard output.
  global_options for_output() const;
};

int usage_error(const std::string& text);
std::string paint(const global_options& global, const char* code, const std::string& text);

} // namespace netlab::lua::command
