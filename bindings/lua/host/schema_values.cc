// What was read by a schema, shown to people and given back to Lua.
#include "host/schema.h"

#include <nlohmann/json.hpp>

#include "host/handle.h"

namespace netlab::lua {

const value* options::find(std::string_view name) const {
  for (const auto& entry : values)
    if (entry.name == name) return &entry.value;
  return nullptr;
}

json options::dump() const {
  json out = json::object();
  for (const auto& entry : values) out[entry.name] = entry.value.dump();
  return out;
}

json value::dump() const {
  struct printer {
    json operator()(std::monostate) const { return nullptr; }
    json operator()(bool b) const { return b; }
    json operator()(std::int64_t n) const { return n; }
    json operator()(double n) const { return n; }
    json operator()(const std::string& s) const { return s; }
    json operator()(netlab::duration d) const { return format_duration(d); }
    json operator()(byte_size s) const { return std::to_string(s.bytes) + "B"; }
    json operator()(const ip_address& a) const { return a.to_string(); }
    json operator()(const netlab::cidr& c) const { return c.to_string(); }
    json operator()(const mac_address& m) const { return m.to_string(); }
    json operator()(const netlab::uuid& u) const { return u.to_string(); }
    json operator()(const netlab::ip_range& r) const { return r.to_string(); }
    json operator()(const listen_list& l) const {
      json out = json::array();
      for (const auto& a : l) out.push_back(a.endpoint.to_string());
      return out;
    }
    json operator()(const file_path& p) const { return p.path; }
    json operator()(const shared_reference&) const { return "(Lua value)"; }
    json operator()(const value_list& l) const {
      json out = json::array();
      for (const auto& item : l) out.push_back(item.dump());
      return out;
    }
    json operator()(const value_map& m) const {
      json out = json::object();
      for (const auto& item : m.items) out[item.name] = item.value.dump();
      return out;
    }
    json operator()(const options& o) const { return o.dump(); }
    json operator()(const object_ptr& o) const {
      return o ? json(o->kind() + " " + o->name()) : json(nullptr);
    }
    json operator()(const std::shared_ptr<const json>& j) const { return *j; }
  };
  return std::visit(printer{}, v);
}

void push_value(lua_State* L, const value& v) {
  need_stack(L, 4);
  struct pusher {
    lua_State* L;
    void text(const std::string& s) const { push(L, std::string_view(s)); }
    void operator()(std::monostate) const { lua_pushnil(L); }
    void operator()(bool b) const { lua_pushboolean(L, b); }
    void operator()(std::int64_t n) const { lua_pushnumber(L, static_cast<double>(n)); }
    void operator()(double n) const { lua_pushnumber(L, n); }
    void operator()(const std::string& s) const { text(s); }
    void operator()(netlab::duration d) const { text(format_duration(d)); }
    void operator()(byte_size s) const { text(std::to_string(s.bytes) + "B"); }
    void operator()(const ip_address& a) const { text(a.to_string()); }
    void operator()(const netlab::cidr& c) const { text(c.to_string()); }
    void operator()(const mac_address& m) const { text(m.to_string()); }
    void operator()(const netlab::uuid& u) const { text(u.to_string()); }
    void operator()(const netlab::ip_range& r) const { text(r.to_string()); }
    void operator()(const listen_list& l) const {
      if (l.size() == 1) return push_listen(L, l[0]);
      lua_createtable(L, static_cast<int>(l.size()), 0);
      for (std::size_t i = 0; i < l.size(); ++i) {
        push_listen(L, l[i]);
        lua_rawseti(L, -2, static_cast<int>(i + 1));
      }
    }
    void operator()(const file_path& p) const { text(p.path); }
    void operator()(const shared_reference& r) const { r->push(L); }
    void operator()(const value_list& l) const {
      lua_createtable(L, static_cast<int>(l.size()), 0);
      for (std::size_t i = 0; i < l.size(); ++i) {
        push_value(L, l[i]);
        lua_rawseti(L, -2, static_cast<int>(i + 1));
      }
    }
    void operator()(const value_map& m) const { named(m.items); }
    void operator()(const options& o) const { named(o.values); }
    void named(const std::vector<named_value>& items) const {
      lua_createtable(L, 0, static_cast<int>(items.size()));
      for (const auto& item : items) {
        text(item.name);
        push_value(L, item.value);
        lua_rawset(L, -3);
      }
    }
    void operator()(const object_ptr& o) const { push_handle(L, o); }
    void operator()(const std::shared_ptr<const json>& j) const { push(L, *j); }
  };
  std::visit(pusher{L}, v.v);
}

} // namespace netlab::lua
