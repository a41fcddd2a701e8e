#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/result.h"

namespace netlab {

struct process_options {
  std::vector<std::string> argv;                  // argv[0] is looked up in PATH; no shell
  std::map<std::string, std::string> environment; // added to ours
  std::string folder;
  std::string input;                   // what it reads on its standard input
  std::size_t output_limit = 8u << 20; // bytes kept of each stream; what passes it is dropped and counted
};

struct process_result {
  int exit_code = 0; // 128 + signal when a signal ended it
  int signal = 0;
  std::string output, errors;
  std::size_t dropped = 0;
};

// A running child. Dropping the handle kills the child with its process group and waits for nobody.
class child_process {
public:
  virtual ~child_process() = default;
  virtual int pid() const = 0;
  virtual void kill(int signal) = 0;
};

class processes {
public:
  virtual ~processes() = default;
  virtual result<std::unique_ptr<child_process>> spawn(const process_options& options,
                                                       std::function<void(process_result)> on_exit) = 0;
};

} // namespace netlab
