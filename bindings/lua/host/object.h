#pragma once
#include "host/stack.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "netlab/ip.h"
#include "netlab/json.h"
#include "netlab/prometheus.h"
#include "netlab/result.h"

namespace netlab::lua {

class host;
class graph;

// What a constructor made: the C++ side of a recipe's handle. Owned by the graph; handles in Lua refer
// to it and are refused once the graph is gone. Control loop only.
class object {
public:
  virtual ~object() = default;
  // The word that option types, messages and documentation use: "network", "dhcp.server".
  const std::string& kind() const { return kind_; }
  const std::string& name() const { return name_; }
  const position& where() const { return where_; }
  // The name when the recipe gives none; the graph makes it unique. Room and interface.
  virtual std::string default_name() const { return kind_; }
  // Whether it serves where an option wants `kind` although its own is another: a boot service is an
  // "asset.source" as well.
  virtual bool fits(std::string_view kind) const {
    (void)kind;
    return false;
  }
  // Pushes a member that the handle's kind does not describe (a plugin's method); false when there is none.
  virtual bool push_member(lua_State* L, std::string_view key) {
    (void)L;
    (void)key;
    return false;
  }
  // What `netlab status` shows beside kind and name.
  virtual json status() const;

private:
  friend class graph;
  std::string kind_, name_;
  position where_;
  json options_dump_;
};

// An endpoint that a service will bind, for the conflict check before anything is bound.
struct claimed_endpoint {
  std::string protocol; // "udp", "tcp"
  endpoint local;
  bool probe = true; // whether binding it for a moment tells if somebody else holds it
};

// A room's server in the recipe's graph. The order of calls: check() of every service, start() of every
// service in the recipe's order, drain() of every service in reverse, destructor.
class service : public object {
public:
  // Resolves references to other objects; binds nothing and calls nobody. An error is reported at the
  // recipe's line; its `op` may name the option at fault ("serve[2]").
  virtual result<void> check(host&) { return {}; }
  // What start() will bind, known after check().
  virtual std::vector<claimed_endpoint> endpoints() const { return {}; }
  virtual result<void> start(host& h) = 0;
  // Takes no new work, finishes what is under way and calls `done` once, now or later.
  virtual void drain(std::function<void()> done) { done(); }
  // How it is now, in numbers, while it runs: what netlab.http.metrics shows, labelled with its name.
  virtual std::vector<reading> readings() const { return {}; }
  // What the recipe's author should know although it is not an error (an address that is not there yet).
  virtual std::vector<std::string> notes() const { return {}; }
  // Whether the recipe stays up for it. One that only checks what the recipe says does not.
  virtual bool stays() const { return true; }
};

using object_ptr = std::shared_ptr<object>;

} // namespace netlab::lua
