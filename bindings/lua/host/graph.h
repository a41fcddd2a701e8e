#pragma once
#include "host/object.h"

#include <memory>
#include <vector>

namespace netlab::lua {

// The objects of one run of one recipe, in the recipe's order. Owns them; a handle whose graph is gone
// is refused. Control loop only.
class graph {
public:
  // Gives the object its identity. `name` is the recipe's or empty; an empty one becomes the object's
  // default, made unique. Fails with errc::conflict naming the line of the other holder.
  result<void> add(const object_ptr& o, std::string kind, position at, std::string name, json options);
  const std::vector<object_ptr>& objects() const { return objects_; }
  std::vector<std::shared_ptr<service>> services() const;
  object_ptr find(std::string_view kind, std::string_view name) const;
  // Two services that want one endpoint: a message for the later one's line.
  std::vector<std::pair<position, std::string>> endpoint_conflicts() const;
  // What `netlab check --dump` prints: plain data with stable keys.
  json dump() const;

private:
  std::vector<object_ptr> objects_;
};

} // namespace netlab::lua
