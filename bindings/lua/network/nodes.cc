#include "network/nodes.h"

#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"
#include "host/host.h"

namespace netlab::lua {

json node_list::status() const {
  json names = json::array();
  for (const auto* n : nodes) names.push_back(n->name);
  return {{"nodes", std::move(names)}};
}

void push_node(lua_State* L, const node& n) {
  need_stack(L, 4);
  lua_createtable(L, 0, 10);
  auto text = [&](const char* key, const std::string& value) {
    if (value.empty()) return;
    push(L, std::string_view(value));
    lua_setfield(L, -2, key);
  };
  text("name", n.name);
  text("serial", n.serial);
  text("role", n.role);
  if (!n.macs.empty()) text("mac", n.macs[0].to_string());
  if (n.uuid) text("uuid", n.uuid->to_string());
  if (n.ip) text("ip", n.ip->to_string());
  if (n.address) text("address", n.address->to_string());
  lua_pushboolean(L, n.declared);
  lua_setfield(L, -2, "declared");
  json macs = json::array();
  for (const auto& m : n.macs) macs.push_back(m.to_string());
  push(L, macs);
  lua_setfield(L, -2, "macs");
  json labels = json::object();
  for (const auto& [key, value] : n.labels) labels[key] = value;
  push(L, labels);
  lua_setfield(L, -2, "labels");
}

namespace {

schema nodes_schema() {
  schema s;
  s.name = "nodes";
  s.help = "The lab's machines, one table each: one place for who is who, shared by DHCP, boot and DNS.";
  s.elements = type::table({
      required("name", type::string(), "the node's name, also its host name"),
      optional("mac", type::one_of({type::mac(), type::list(type::mac())}),
               "its network card, or a list of them"),
      optional("uuid", type::uuid(), "its SMBIOS UUID, as firmware and iPXE send it"),
      optional("serial", type::string(), "its serial number"),
      optional("ip", type::ip(), "the address reserved for it"),
      optional("role", type::string(), "what it is, such as \"controlplane\"; for matching and templates"),
      optional("labels", type::map(type::string()),
               "whatever else tells nodes apart; for matching and templates"),
  });
  s.example = "local nodes = netlab.nodes {\n"
              "  { name = \"talos-1\", mac = \"02:00:0a:14:0d:0b\", ip = \"10.20.13.11\", role = "
              "\"controlplane\" },\n"
              "}";
  return s;
}

bool is_host_name(const std::string& name) {
  if (name.empty() || name.size() > 63 || name.front() == '-' || name.back() == '-') return false;
  for (char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
      return false;
  return true;
}

result<object_ptr> create_nodes(host& h, const options& o) {
  auto out = std::make_shared<node_list>();
  int index = 0;
  for (const auto& entry : o.list<options>("elements")) {
    auto at = "[" + std::to_string(++index) + "]";
    node n;
    n.declared = true;
    n.name = entry.get<std::string>("name");
    if (!is_host_name(n.name))
      return fail(errc::invalid, "\"" + n.name + "\" cannot be a host name: letters, digits and hyphens",
                  at + ".name");
    n.macs = entry.list<mac_address>("mac");
    n.uuid = entry.maybe<uuid>("uuid");
    n.serial = entry.maybe<std::string>("serial").value_or("");
    n.ip = entry.maybe<ip_address>("ip");
    n.role = entry.maybe<std::string>("role").value_or("");
    if (auto labels = entry.maybe<value_map>("labels"))
      for (const auto& label : labels->items) n.labels[label.name] = label.value.as<std::string>();
    auto known = h.nodes().declare(std::move(n));
    if (!known) return fail(known.error().code, known.error().message, at);
    out->nodes.push_back(*known);
  }
  return out;
}

int nodes_find(call& c) {
  auto& self = c.self<node_list>();
  auto name = c.text(2, "the name");
  for (const auto* n : self.nodes)
    if (n->name == name) return push_node(c.L, *n), 1;
  return c.nothing();
}

int push_all(call& c, const std::vector<const node*>& all) {
  lua_createtable(c.L, static_cast<int>(all.size()), 0);
  int i = 0;
  for (const auto* n : all) {
    push_node(c.L, *n);
    lua_rawseti(c.L, -2, ++i);
  }
  return 1;
}

int nodes_all(call& c) { return push_all(c, c.self<node_list>().nodes); }
int nodes_known(call& c) {
  c.self<node_list>();
  return push_all(c, c.owner.nodes().all());
}

// for node in nodes:each(): upvalues are the list and how far it is.
int each_step(lua_State* L) {
  int next = static_cast<int>(lua_tointeger(L, lua_upvalueindex(2))) + 1;
  lua_pushinteger(L, next);
  lua_replace(L, lua_upvalueindex(2));
  lua_rawgeti(L, lua_upvalueindex(1), next);
  return 1;
}
int nodes_each(call& c) {
  nodes_all(c);
  lua_pushinteger(c.L, 0);
  lua_pushcclosure(c.L, each_step, 2);
  return 1;
}
int nodes_count(call& c) {
  lua_pushinteger(c.L, static_cast<lua_Integer>(c.self<node_list>().nodes.size()));
  return 1;
}

} // namespace

void bind_nodes(api& a) {
  a.constructor(nodes_schema(), "nodes", create_nodes);
  a.kind({"nodes",
          "The nodes of one netlab.nodes table.",
          {
              {"find",
               nodes_find,
               "The declared node of that name, or nil.",
               {{"name", "string", ""}},
               {{"", "netlab.node?", ""}},
               false,
               {}},
              {"all",
               nodes_all,
               "A list of the declared nodes, in the recipe's order.",
               {},
               {{"", "netlab.node[]", ""}},
               false,
               {}},
              {"each",
               nodes_each,
               "For a loop over the declared nodes: for node in nodes:each() do … end.",
               {},
               {{"", "fun(): netlab.node?", ""}},
               false,
               {}},
              {"known",
               nodes_known,
               "Every node known now, declared first, then those met on the wire.",
               {},
               {{"", "netlab.node[]", ""}},
               false,
               {}},
          },
          {{"count", nodes_count, "How many are declared.", {}, {{"", "integer", ""}}, false, {}}}});
}

} // namespace netlab::lua
