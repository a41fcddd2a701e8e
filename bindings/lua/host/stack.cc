#include "host/stack.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "host/vm.h"
#include "netlab/text.h"

namespace netlab::lua {

reference::reference(lua_State* L) : state_(vm::of(L).state()) { ref_ = luaL_ref(L, LUA_REGISTRYINDEX); }

reference::~reference() {
  if (auto state = state_.lock()) luaL_unref(state.get(), LUA_REGISTRYINDEX, ref_);
}

void reference::push(lua_State* L) const {
  if (state_.expired())
    lua_pushnil(L);
  else
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref_);
}

void need_stack(lua_State* L, int n) {
  if (!lua_checkstack(L, n)) throw script_error("the value is too deep or too large for the Lua stack");
}

void push(lua_State* L, std::string_view text) { lua_pushlstring(L, text.data(), text.size()); }

void* null_mark() {
  static int mark;
  return &mark;
}

void push(lua_State* L, const json& value) {
  need_stack(L, 4);
  switch (value.type()) {
  case json::value_t::boolean: lua_pushboolean(L, value.get<bool>()); break;
  case json::value_t::number_integer:
  case json::value_t::number_unsigned:
  case json::value_t::number_float: lua_pushnumber(L, value.get<double>()); break;
  case json::value_t::string: push(L, std::string_view(value.get_ref<const std::string&>())); break;
  case json::value_t::array: {
    lua_createtable(L, static_cast<int>(std::min<std::size_t>(value.size(), 1u << 20)), 0);
    int n = 0;
    for (const auto& item : value) {
      push(L, item);
      lua_rawseti(L, -2, ++n);
    }
    luaL_getmetatable(L, array_metatable);
    lua_setmetatable(L, -2);
    break;
  }
  case json::value_t::object:
    lua_createtable(L, 0, static_cast<int>(std::min<std::size_t>(value.size(), 1u << 20)));
    for (const auto& [key, item] : value.items()) {
      push(L, std::string_view(key));
      push(L, item);
      lua_rawset(L, -3);
    }
    break;
  default: lua_pushlightuserdata(L, null_mark()); break;
  }
}

void push_error(lua_State* L, const error& e) {
  lua_createtable(L, 0, 3);
  push(L, to_string(e.code));
  lua_setfield(L, -2, "code");
  push(L, std::string_view(e.message));
  lua_setfield(L, -2, "message");
  push(L, std::string_view(e.op));
  lua_setfield(L, -2, "op");
  luaL_getmetatable(L, error_metatable);
  lua_setmetatable(L, -2);
}

int push_failure(lua_State* L, const error& e) {
  lua_pushnil(L);
  push_error(L, e);
  return 2;
}

namespace {

error not_data(const std::string& path, const std::string& what) {
  return error{errc::invalid, (path.empty() ? "" : path + ": ") + what, "json"};
}

result<json> convert(lua_State* L, int index, const std::string& path, int depth);

result<json> convert_table(lua_State* L, int index, const std::string& path, int depth) {
  if (depth > 64)
    return tl::unexpected(error{errc::limit, path + ": nested deeper than 64 levels (a cycle?)", "json"});
  need_stack(L, 6);
  std::size_t count = 0, positional = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    ++count;
    if (lua_type(L, -2) == LUA_TNUMBER) ++positional;
  }
  std::size_t length = lua_objlen(L, index);
  bool array = false;
  if (lua_getmetatable(L, index)) {
    luaL_getmetatable(L, array_metatable);
    array = lua_rawequal(L, -1, -2) != 0;
    lua_pop(L, 2);
  }
  if ((count > 0 && positional == count && length == count) || (count == 0 && array)) {
    json out = json::array();
    for (std::size_t i = 1; i <= length; ++i) {
      lua_rawgeti(L, index, static_cast<int>(i));
      auto item = convert(L, lua_gettop(L), path + "[" + std::to_string(i) + "]", depth + 1);
      lua_pop(L, 1);
      if (!item) return item;
      out.push_back(std::move(*item));
    }
    return out;
  }
  if (positional > 0)
    return tl::unexpected(
        not_data(path, "a table is either a list or has names, not both; lists have no holes"));
  std::vector<std::string> keys;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      return lua_pop(L, 2), tl::unexpected(not_data(path, "a key must be a string"));
    keys.emplace_back(text_at(L, -2));
  }
  std::sort(keys.begin(), keys.end());
  json out = json::object();
  for (const auto& key : keys) {
    push(L, std::string_view(key));
    lua_rawget(L, index);
    auto item = convert(L, lua_gettop(L), path.empty() ? key : path + "." + key, depth + 1);
    lua_pop(L, 1);
    if (!item) return item;
    out[key] = std::move(*item);
  }
  return out;
}

result<json> convert(lua_State* L, int index, const std::string& path, int depth) {
  switch (lua_type(L, index)) {
  case LUA_TNIL: return json(nullptr);
  case LUA_TBOOLEAN: return json(lua_toboolean(L, index) != 0);
  case LUA_TNUMBER: {
    double number = lua_tonumber(L, index);
    if (!std::isfinite(number)) return tl::unexpected(not_data(path, "infinity and NaN have no JSON form"));
    if (number == std::floor(number) && std::abs(number) < 9007199254740992.0)
      return json(static_cast<std::int64_t>(number));
    return json(number);
  }
  case LUA_TSTRING: return json(std::string(text_at(L, index)));
  case LUA_TTABLE: return convert_table(L, index, path, depth);
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, index) == null_mark()) return json(nullptr);
    [[fallthrough]];
  default:
    return tl::unexpected(not_data(path, std::string("a ") + luaL_typename(L, index) + " is not data"));
  }
}

} // namespace

result<json> to_json(lua_State* L, int index) {
  if (index < 0 && index > LUA_REGISTRYINDEX) index = lua_gettop(L) + index + 1;
  stack_guard guard(L);
  return convert(L, index, "", 0);
}

std::string_view text_at(lua_State* L, int index) {
  if (lua_type(L, index) != LUA_TSTRING) return {};
  std::size_t size = 0;
  const char* text = lua_tolstring(L, index, &size);
  return {text, size};
}

std::string describe_value(lua_State* L, int index) {
  switch (lua_type(L, index)) {
  case LUA_TSTRING: {
    auto text = text_at(L, index);
    auto shown = printable(text.substr(0, 60));
    return "string \"" + shown + (text.size() > 60 ? "…\"" : "\"");
  }
  case LUA_TNUMBER: {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "number %.14g", lua_tonumber(L, index));
    return buffer;
  }
  case LUA_TBOOLEAN: return lua_toboolean(L, index) ? "boolean true" : "boolean false";
  case LUA_TLIGHTUSERDATA: return lua_touserdata(L, index) == null_mark() ? "netlab.null" : "userdata";
  case LUA_TNONE: return "nothing";
  default: return luaL_typename(L, index);
  }
}

std::string error_text(lua_State* L, int index) {
  if (index < 0) index = lua_gettop(L) + index + 1;
  if (lua_type(L, index) == LUA_TSTRING) return std::string(text_at(L, index));
  if (lua_type(L, index) == LUA_TTABLE) {
    stack_guard guard(L);
    lua_pushliteral(L, "message");
    lua_rawget(L, index);
    if (lua_type(L, -1) == LUA_TSTRING) return std::string(text_at(L, -1));
  }
  return "error value: " + describe_value(L, index);
}

bool is_internal(const char* source) {
  return std::string_view(source).starts_with(internal_prefix) || source[0] != '@';
}

position where(lua_State* L) {
  lua_Debug frame;
  for (int level = 0; lua_getstack(L, level, &frame); ++level) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline > 0 && !is_internal(frame.source)) return {frame.source + 1, frame.currentline};
  }
  return {};
}

std::string trace(lua_State* L) {
  std::string out;
  lua_Debug frame;
  int shown = 0;
  for (int level = 0; lua_getstack(L, level, &frame); ++level) {
    lua_getinfo(L, "Sln", &frame);
    if (frame.currentline <= 0 || is_internal(frame.source)) continue;
    if (++shown > 20) return out + ", …";
    if (!out.empty()) out += ", ";
    out += std::string(frame.source + 1) + ":" + std::to_string(frame.currentline);
    if (frame.name && *frame.name) out += std::string(" in ") + frame.name;
  }
  return out;
}

} // namespace netlab::lua
