#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "host/stack.h"
#include "host/tasks.h"
#include "netlab/json.h"
#include "netlab/result.h"

namespace netlab::lua {

class host;

// The console's side of a running recipe, behind the control socket's verb "console". A line runs as a task,
// so that it may wait; whoever typed it asks again for what it printed and gave. The lines share an
// environment of their own: `netlab`, every handle under its name, `objects[kind][name]`, what earlier lines
// assigned, and the recipe's globals behind them. Owned by the host's verbs; control loop only.
class console {
public:
  explicit console(host& h) : host_(h) {}

  // {"text"} → {"task": n}, or {"more": true} when the line only begins a statement;
  // {"task": n} → {"done", "printed", "values"?, "error"?}; {"cancel": n} → {}.
  result<json> answer(const json& request);

private:
  struct line {
    task_ptr running;
    std::string printed; // since somebody asked last
    bool lost = false;   // it printed more than is kept
  };

  result<json> begin(const std::string& text);
  result<json> look(std::uint64_t number);
  json values_of(const task& t);
  void make_environment();
  static int print(lua_State* L);

  host& host_;
  std::map<std::uint64_t, line> lines_;
  std::uint64_t next_ = 1;
  shared_reference environment_;
};

} // namespace netlab::lua
