#include "host/handle.h"

#include <algorithm>
#include <new>

#include "host/api.h"
#include "host/host.h"
#include "host/vm.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

constexpr const char* handle_metatable = "netlab.handle";
constexpr const char* inert_metatable = "netlab.inert";
constexpr const char* listen_metatable = "netlab.listen";

// The generation says which graph the object was made in; the weak pointer whether it still is.
struct handle {
  std::weak_ptr<object> target;
  std::string kind, name;
};

template<class T>
T* userdata(lua_State* L, int index, const char* metatable) {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return nullptr;
  luaL_getmetatable(L, metatable);
  bool same = lua_rawequal(L, -1, -2) != 0;
  lua_pop(L, 2);
  return same ? static_cast<T*>(lua_touserdata(L, index)) : nullptr;
}

template<class T>
int collect(lua_State* L) {
  static_cast<T*>(lua_touserdata(L, 1))->~T();
  return 0;
}

// Upvalue 1: { [kind] = { [name] = method } }, 2: the same of fields.
int handle_index(lua_State* L) {
  std::string problem;
  {
    auto* h = static_cast<handle*>(lua_touserdata(L, 1));
    for (int part = 1; part <= 2; ++part) {
      push(L, std::string_view(h->kind));
      lua_rawget(L, lua_upvalueindex(part));
      if (lua_istable(L, -1)) {
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);
        if (lua_isfunction(L, -1)) {
          if (part == 1) return 1;
          lua_pushvalue(L, 1);
          lua_call(L, 1, 1); // a field's getter, behind the trampoline itself
          return 1;
        }
        lua_pop(L, 1);
      }
      lua_pop(L, 1);
    }
    if (auto target = h->target.lock(); target && target->push_member(L, text_at(L, 2))) return 1;
    std::vector<std::string> names;
    for (int part = 1; part <= 2; ++part) {
      push(L, std::string_view(h->kind));
      lua_rawget(L, lua_upvalueindex(part));
      if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) names.emplace_back(text_at(L, -2));
      lua_pop(L, 1);
    }
    std::vector<std::string_view> views(names.begin(), names.end());
    auto key = text_at(L, 2);
    auto at = where(L);
    problem = (at.known() ? at.to_string() + ": " : "") + h->kind + " \"" + h->name + "\" has no \"" +
              printable(key) + "\"" + did_you_mean(key, views);
    push(L, std::string_view(problem));
  }
  return lua_error(L);
}

int handle_newindex(lua_State* L) {
  push(L, std::string_view(where(L).to_string() +
                           ": a handle cannot be changed: options go into its constructor"));
  return lua_error(L);
}

int handle_tostring(lua_State* L) {
  auto* h = static_cast<handle*>(lua_touserdata(L, 1));
  push(L, std::string_view(h->kind + " \"" + h->name + "\""));
  return 1;
}

int handle_equal(lua_State* L) {
  auto* a = userdata<handle>(L, 1, handle_metatable);
  auto* b = userdata<handle>(L, 2, handle_metatable);
  lua_pushboolean(L, a && b && !a->target.owner_before(b->target) && !b->target.owner_before(a->target));
  return 1;
}

int inert_self(lua_State* L) {
  push_inert(L);
  return 1;
}
int inert_call(lua_State* L) {
  // A generic for must end: its iterator is called with nil.
  if (lua_isnoneornil(L, 2)) return 0;
  push_inert(L);
  return 1;
}
int inert_ignore(lua_State*) { return 0; }
int inert_text(lua_State* L) {
  lua_pushliteral(L, "(not made: see the reported mistake)");
  return 1;
}
int inert_number(lua_State* L) {
  lua_pushinteger(L, 0);
  return 1;
}
int inert_false(lua_State* L) {
  lua_pushboolean(L, 0);
  return 1;
}

int listen_tostring(lua_State* L) {
  auto* place = static_cast<listen_address*>(lua_touserdata(L, 1));
  push(L, std::string_view(place->endpoint.to_string()));
  return 1;
}
int listen_concat(lua_State* L) {
  std::string out;
  for (int i = 1; i <= 2; ++i)
    if (auto* place = listen_at(L, i))
      out += place->endpoint.to_string();
    else if (const char* text = lua_tostring(L, i))
      out += text;
  push(L, std::string_view(out));
  return 1;
}

} // namespace

void push_handle(lua_State* L, const object_ptr& o) {
  if (!o) return lua_pushnil(L);
  new (lua_newuserdata(L, sizeof(handle))) handle{o, o->kind(), o->name()};
  luaL_getmetatable(L, handle_metatable);
  lua_setmetatable(L, -2);
}

object_ptr object_at(lua_State* L, int index) {
  auto* h = userdata<handle>(L, index, handle_metatable);
  if (!h) return nullptr;
  auto target = h->target.lock();
  if (!target)
    throw script_error(h->kind + " \"" + h->name +
                       "\" is gone: the handle belongs to a recipe that has stopped");
  return target;
}

void push_inert(lua_State* L) {
  lua_newuserdata(L, 1);
  luaL_getmetatable(L, inert_metatable);
  lua_setmetatable(L, -2);
}

bool is_inert(lua_State* L, int index) { return userdata<void>(L, index, inert_metatable) != nullptr; }

void push_listen(lua_State* L, const listen_address& place) {
  new (lua_newuserdata(L, sizeof(listen_address))) listen_address(place);
  luaL_getmetatable(L, listen_metatable);
  lua_setmetatable(L, -2);
}

const listen_address* listen_at(lua_State* L, int index) {
  return userdata<listen_address>(L, index, listen_metatable);
}

void install_handles(lua_State* L, const api& described) {
  auto set = [&](const char* name, lua_CFunction fn) {
    lua_pushcfunction(L, fn);
    lua_setfield(L, -2, name);
  };
  luaL_newmetatable(L, handle_metatable);
  set("__gc", collect<handle>);
  set("__newindex", handle_newindex);
  set("__tostring", handle_tostring);
  set("__eq", handle_equal);
  for (bool methods : {true, false}) {
    lua_newtable(L);
    for (const auto& [name, kind] : described.kinds()) {
      push(L, std::string_view(name));
      lua_newtable(L);
      for (const auto& f : methods ? kind.methods : kind.fields) {
        push(L, std::string_view(f.name));
        push_binding(L, f);
        lua_rawset(L, -3);
      }
      lua_rawset(L, -3);
    }
  }
  lua_pushcclosure(L, handle_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "handle");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);

  luaL_newmetatable(L, inert_metatable);
  for (auto* name : {"__index", "__add", "__sub", "__mul", "__div", "__mod", "__pow", "__unm"})
    set(name, inert_self);
  set("__call", inert_call);
  set("__newindex", inert_ignore);
  set("__tostring", inert_text);
  set("__concat", inert_text);
  set("__len", inert_number);
  for (auto* name : {"__lt", "__le"}) set(name, inert_false);
  lua_pushliteral(L, "inert");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);

  luaL_newmetatable(L, listen_metatable);
  set("__gc", collect<listen_address>);
  set("__tostring", listen_tostring);
  set("__concat", listen_concat);
  lua_pushliteral(L, "listen");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

} // namespace netlab::lua
