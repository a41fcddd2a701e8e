#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/dns_filter_compiler.h"

namespace netlab::dns {

struct regex_rule {
  std::string pattern;
  std::uint8_t list = 0;
  bool allow = false;
};

// Null, or why the expression cannot be used; static text.
const char* regex_problem(std::string_view pattern, const filter_limits& limits);

// Regular expressions asked together: one pass over the name, in time linear in it whatever the expressions
// (RE2). Immutable; any thread.
class regex_rules {
public:
  // Expressions that cannot be built are left out: the compiler refused them with a reason.
  regex_rules(std::vector<regex_rule> rules, const filter_limits& limits);
  ~regex_rules();
  bool empty() const { return rules_.empty(); }
  // Lists whose expressions block and allow anything at all.
  list_mask blocking_lists() const { return blocking_; }
  list_mask allowing_lists() const { return allowing_; }
  // Calls `found` for every rule of `lists` that matches; `text` is a name in lower case without final dot.
  template<class F>
  void match(std::string_view text, list_mask lists, F found) const {
    for (auto i : matching(text))
      if (rules_[static_cast<std::size_t>(i)].list < 64 &&
          (lists >> rules_[static_cast<std::size_t>(i)].list & 1) != 0)
        found(rules_[static_cast<std::size_t>(i)]);
  }

private:
  const std::vector<int>& matching(std::string_view text) const;
  struct impl;
  std::unique_ptr<impl> impl_;
  std::vector<regex_rule> rules_;
  list_mask blocking_ = 0, allowing_ = 0;
};

} // namespace netlab::dns
