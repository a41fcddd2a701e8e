#include "host/api.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/handle.h"
#include "host/host.h"
#include "host/vm.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {
constexpr int raises = -2, yields = -1;
} // namespace

void call::refuse(const std::string& why) const {
  throw script_error(std::string("netlab.") + name + ": " + why);
}

std::string call::text(int index, const char* what) {
  if (lua_type(L, index) == LUA_TSTRING) return std::string(text_at(L, index));
  if (auto* place = listen_at(L, index)) return place->endpoint.to_string();
  refuse(std::string(what) + " must be a string, got " + describe_value(L, index));
}
std::string call::text_or(int index, const char* what, std::string fallback) {
  return given(index) ? text(index, what) : std::move(fallback);
}
double call::number(int index, const char* what) {
  if (lua_type(L, index) != LUA_TNUMBER)
    refuse(std::string(what) + " must be a number, got " + describe_value(L, index));
  return lua_tonumber(L, index);
}
netlab::duration call::duration(int index, const char* what) {
  auto got = lua_type(L, index) == LUA_TSTRING ? parse_duration(text_at(L, index))
                                               : result<netlab::duration>(netlab::fail(errc::invalid, ""));
  if (!got) refuse(std::string(what) + " must be a duration such as \"5s\", got " + describe_value(L, index));
  return *got;
}
void call::need_function(int index, const char* what) {
  if (!lua_isfunction(L, index))
    refuse(std::string(what) + " must be a function, got " + describe_value(L, index));
}
void call::need_table(int index, const char* what) {
  if (!lua_istable(L, index)) refuse(std::string(what) + " must be a table, got " + describe_value(L, index));
}

options call::table(int index, const schema& by) {
  need_table(index, "the argument");
  validation state;
  state.folder = owner.recipe_folder();
  auto out = validate(L, index, by, state);
  if (state.mistakes.empty()) return out;
  std::string all;
  for (const auto& m : state.mistakes) {
    auto shown = m.path;
    if (auto mark = shown.rfind('!'); mark != std::string::npos) {
      shown.erase(mark);
      if (!shown.empty() && shown.back() == '.') shown.pop_back();
    }
    all += (all.empty() ? "" : "; ") + std::string("netlab.") + name + (shown.empty() ? "" : "." + shown) +
           ": " + m.text;
  }
  throw script_error(all);
}

object_ptr call::self_object() {
  auto found = object_at(L, 1);
  if (!found) throw script_error(std::string(name) + ": call it with a colon on its own handle");
  return found;
}

void call::need_running() const {
  auto now = owner.now();
  if (now == phase::declare || now == phase::link)
    throw script_error(std::string("netlab.") + name +
                       " cannot run while the recipe declares: call it inside netlab.main(function() … end)");
}

int call::wait(const std::string& what, std::optional<netlab::duration> limit,
               const std::function<std::shared_ptr<void>(waker)>& begin) {
  need_running();
  return owner.tasks().wait(L, what, limit, begin);
}

namespace {

// Everything that leaves C++ for Lua leaves here, after every scope with a destructor is closed.
int leave(lua_State* L, int outcome) {
  if (outcome == raises) return lua_error(L);
  if (outcome == yields) return lua_yield(L, 1);
  return outcome;
}

// Never catch (...): LuaJIT's own errors travel as foreign exceptions on some targets.
template<class F>
int guarded(lua_State* L, F&& body) {
  try {
    return body();
  } catch (const std::exception& e) {
    lua_settop(L, 0);
    auto at = where(L);
    push(L, std::string_view((at.known() ? at.to_string() + ": " : "") + e.what()));
    return raises;
  }
}

int enter_binding(lua_State* L) {
  const auto* f = static_cast<const function_info*>(lua_touserdata(L, lua_upvalueindex(1)));
  int outcome = guarded(L, [&] {
    call c(L, vm::of(L).owner(), f->name.c_str());
    return f->fn(c);
  });
  return leave(L, outcome);
}

int enter_constructor(lua_State* L) {
  const auto* info = static_cast<const constructor_info*>(lua_touserdata(L, lua_upvalueindex(1)));
  int outcome = guarded(L, [&] {
    if (is_inert(L, 1)) return push_inert(L), 1;
    if (lua_gettop(L) != 1 || !lua_istable(L, 1))
      throw script_error("netlab." + info->schema.name + " takes one table: netlab." + info->schema.name +
                         " { … }, got " + describe_value(L, 1));
    return construct(L, vm::of(L).owner(), *info, 1);
  });
  return leave(L, outcome);
}

int closed_index(lua_State* L) {
  int outcome = guarded(L, [&]() -> int {
    std::vector<std::string> names;
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) names.emplace_back(text_at(L, -2));
    std::sort(names.begin(), names.end());
    std::vector<std::string_view> views(names.begin(), names.end());
    auto key = lua_type(L, 2) == LUA_TSTRING ? text_at(L, 2) : std::string_view("?");
    throw script_error(std::string(text_at(L, lua_upvalueindex(1))) + " has no \"" + printable(key) + "\"" +
                       did_you_mean(key, views));
  });
  return leave(L, outcome);
}

int closed_newindex(lua_State* L) {
  int outcome = guarded(L, [&]() -> int {
    throw script_error(std::string(text_at(L, lua_upvalueindex(1))) + " cannot be changed");
  });
  return leave(L, outcome);
}

// Moves the fields of the table at the top of the stack behind it, where nobody can overwrite them; unknown
// names and assignments are answered with an error.
void close_table(lua_State* L, const std::string& name) {
  int table = lua_gettop(L);
  lua_newtable(L);
  int fields = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table) != 0;) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, fields);
  }
  for (lua_pushnil(L); lua_next(L, fields) != 0; lua_pop(L, 1)) {
    lua_pushvalue(L, -2);
    lua_pushnil(L);
    lua_rawset(L, table);
  }
  lua_newtable(L);
  push(L, name);
  lua_pushcclosure(L, closed_index, 1);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, fields);
  lua_newtable(L);
  lua_insert(L, fields);
  lua_setfield(L, fields, "__index");
  push(L, name);
  lua_pushcclosure(L, closed_newindex, 1);
  lua_setfield(L, fields, "__newindex");
  push(L, name);
  lua_setfield(L, fields, "__metatable");
  lua_setmetatable(L, table);
}

// Puts the value on top of the stack into the module below it, making the tables on the way.
void put(lua_State* L, int module, const std::string& name, std::map<std::string, int>& tables) {
  int value = lua_gettop(L);
  lua_pushvalue(L, module);
  std::string so_far = "netlab";
  auto parts = split(name, '.');
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    so_far += "." + std::string(parts[i]);
    push(L, parts[i]);
    lua_rawget(L, -2);
    if (!lua_istable(L, -1)) {
      lua_pop(L, 1);
      lua_newtable(L);
      push(L, parts[i]);
      lua_pushvalue(L, -2);
      lua_rawset(L, -4);
      tables[so_far] = 1;
    }
    lua_remove(L, -2);
  }
  push(L, parts.back());
  lua_pushvalue(L, value);
  lua_rawset(L, -3);
  lua_settop(L, value - 1);
}

void close_all(lua_State* L, int module, const std::map<std::string, int>& tables) {
  for (const auto& [name, unused] : tables) {
    lua_pushvalue(L, module);
    for (auto part : split(std::string_view(name).substr(std::string_view("netlab.").size()), '.')) {
      push(L, part);
      lua_rawget(L, -2);
      lua_remove(L, -2);
    }
    close_table(L, name);
    lua_pop(L, 1);
  }
}

} // namespace

void close_names(lua_State* L, const std::string& name) { close_table(L, name); }

void push_binding(lua_State* L, const function_info& f) {
  lua_pushlightuserdata(L, const_cast<function_info*>(&f));
  lua_pushcclosure(L, enter_binding, 1);
  if (f.waits) vm::of(L).wrap_waiting();
}

void push_constructor(lua_State* L, const constructor_info& c) {
  lua_pushlightuserdata(L, const_cast<constructor_info*>(&c));
  lua_pushcclosure(L, enter_constructor, 1);
}

void push_module(lua_State* L, const api& described) {
  lua_newtable(L);
  int module = lua_gettop(L);
  std::map<std::string, int> tables;
  for (const auto& [name, f] : described.functions()) {
    push_binding(L, f);
    put(L, module, name, tables);
  }
  for (const auto& [name, c] : described.constructors()) {
    push_constructor(L, c);
    put(L, module, name, tables);
  }
  lua_pushlightuserdata(L, null_mark());
  lua_setfield(L, module, "null");
  lua_pushliteral(L, NETLAB_VERSION);
  lua_setfield(L, module, "version");
  close_all(L, module, tables);
  close_table(L, "netlab");
}

int construct(lua_State* L, host& owner, const constructor_info& c, int index) {
  auto at = where(L);
  if (owner.now() != phase::declare)
    throw script_error("netlab." + c.schema.name +
                       " declares: call it at the recipe's top level, not in netlab.main or a handler");
  validation state;
  state.folder = owner.recipe_folder();
  auto given = validate(L, index, c.schema, state);
  for (const auto& m : state.mistakes) owner.mistake(at, c.schema.name, m);
  if (!state.mistakes.empty() || state.inert) return push_inert(L), 1;
  auto made = c.create(owner, given);
  if (!made) {
    owner.mistake(at, c.schema.name, {made.error().op, made.error().message});
    return push_inert(L), 1;
  }
  auto name = given.maybe<std::string>("name").value_or("");
  if (auto added = owner.graph().add(*made, c.kind, at, name, given.dump()); !added) {
    owner.mistake(at, c.schema.name, {added.error().op, added.error().message});
    return push_inert(L), 1;
  }
  push_handle(L, *made);
  return 1;
}

void api::constructor(schema s, std::string kind,
                      std::function<result<object_ptr>(host&, const options&)> create) {
  bool named =
      std::any_of(s.options.begin(), s.options.end(), [](const option& o) { return o.name == "name"; });
  if (!s.elements && !named)
    s.options.push_back(
        optional("name", type::string(),
                 "how messages, metrics and commands call it; by default made from what it is"));
  auto key = s.name;
  constructors_[key] = {std::move(s), std::move(kind), std::move(create)};
}

void api::function(function_info f) {
  auto key = f.name;
  functions_[key] = std::move(f);
}

void api::kind(kind_info k) {
  auto key = k.name;
  kinds_[key] = std::move(k);
}

} // namespace netlab::lua
