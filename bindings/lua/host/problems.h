#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/stack.h"

namespace netlab::lua {

// Every mistake of a recipe, reported together: "bastion.lua:31: dhcp.server: unknown option …".
class problems {
public:
  void add(const position& at, std::string text);
  bool empty() const { return all_.empty(); }
  std::size_t count() const { return all_.size(); }
  // Sorted by file in order of appearance, then line; no line twice.
  std::vector<std::string> lines() const;

private:
  struct problem {
    position at;
    std::string text;
  };
  std::vector<problem> all_;
};

// The line of an option inside the table constructor that opens at or after line `from` of `source`:
// `path` is "pool[2].lease" and `callee` the constructor's last name ("server"). Found by reading the
// source as tokens, so strings, comments and function bodies do not confuse it. Nothing when the table
// is not written there (a variable, a computed key).
std::optional<int> line_of_option(std::string_view source, int from, std::string_view callee,
                                  std::string_view path);

} // namespace netlab::lua
