#pragma once
#include "host/object.h"

#include <string>
#include <vector>

#include "netlab/nodes.h"

namespace netlab::lua {

// netlab.nodes: the machines that one table of the recipe declares. The facts live in the host's node
// directory; this remembers which of them, in the recipe's order.
class node_list final : public object {
public:
  std::vector<const node*> nodes; // as long as the directory lives
  std::string default_name() const override { return "nodes"; }
  json status() const override;
};

// Pushes a node as recipes see it: { name, mac, macs, uuid, serial, ip, address, role, labels, declared }.
void push_node(lua_State* L, const node& n);

} // namespace netlab::lua
