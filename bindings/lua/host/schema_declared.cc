// Types and options that plugins and recipes declare in Lua.
#include "host/schema.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/schema_kinds.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

std::string field_text(lua_State* L, int index, const char* name) {
  lua_pushstring(L, name);
  lua_rawget(L, index);
  std::string out(text_at(L, -1));
  lua_pop(L, 1);
  return out;
}

option_type type_from_word(std::string_view word, const std::string& path) {
  if (word.starts_with("list of ")) return type::list(type_from_word(word.substr(8), path));
  if (word.starts_with("map of ")) return type::map(type_from_word(word.substr(7), path));
  if (word == "port") return type::port();
  if (word == "url") return type::url();
  std::vector<std::string_view> names;
  for (const auto& k : named_kinds()) {
    bool whole = k.kind != type_kind::list && k.kind != type_kind::map && k.kind != type_kind::table &&
                 k.kind != type_kind::enumeration && k.kind != type_kind::one_of;
    if (!whole) continue;
    names.push_back(k.name);
    if (k.name == word && k.kind != type_kind::handle) {
      option_type out;
      out.kind = k.kind;
      return out;
    }
  }
  throw script_error(path + ": unknown type \"" + printable(word) + "\"" + did_you_mean(word, names));
}

} // namespace

option_type read_type(lua_State* L, int index, const std::string& path) {
  stack_guard guard(L);
  if (index < 0) index = lua_gettop(L) + index + 1;
  need_stack(L, 6);
  if (lua_type(L, index) == LUA_TSTRING) return type_from_word(text_at(L, index), path);
  if (lua_type(L, index) != LUA_TTABLE)
    throw script_error(path + ": expected a type such as \"duration\", got " + describe_value(L, index));
  auto word = field_text(L, index, "type");
  auto inner = [&](const char* name) {
    lua_pushstring(L, name);
    lua_rawget(L, index);
    return lua_gettop(L);
  };
  if (word == "list" || word == "map") {
    auto of = read_type(L, inner("of"), path + ".of");
    return word == "list" ? type::list(std::move(of)) : type::map(std::move(of));
  }
  if (word == "table") return type::table(read_options(L, inner("options"), path + ".options"));
  if (word == "handle") return type::handle(field_text(L, index, "kind"));
  if (word == "function") return type::function(field_text(L, index, "signature"));
  if (word == "url") {
    auto schemes = field_text(L, index, "schemes");
    return type::url(schemes.empty() ? "http,https" : schemes);
  }
  if (word == "enum" || word == "one_of") {
    int at = inner(word == "enum" ? "values" : "types");
    if (lua_type(L, at) != LUA_TTABLE || lua_objlen(L, at) == 0)
      throw script_error(path + ": \"" + word + "\" needs a list of " +
                         (word == "enum" ? "values = { \"a\", \"b\" }" : "types = { \"ip\", \"string\" }"));
    std::vector<std::string> words;
    std::vector<option_type> types;
    for (std::size_t i = 1; i <= lua_objlen(L, at); ++i) {
      lua_rawgeti(L, at, static_cast<int>(i));
      if (word == "enum")
        words.emplace_back(text_at(L, -1));
      else
        types.push_back(read_type(L, lua_gettop(L), path));
      lua_pop(L, 1);
    }
    return word == "enum" ? type::enumeration(std::move(words)) : type::one_of(std::move(types));
  }
  auto out = type_from_word(word, path);
  for (auto [name, bound] : {std::pair{"least", &out.least}, std::pair{"most", &out.most}}) {
    int at = inner(name);
    if (lua_type(L, at) == LUA_TNUMBER) *bound = lua_tonumber(L, at);
  }
  return out;
}

std::vector<option> read_options(lua_State* L, int index, const std::string& path) {
  stack_guard guard(L);
  if (index < 0) index = lua_gettop(L) + index + 1;
  need_stack(L, 8);
  if (lua_type(L, index) != LUA_TTABLE)
    throw script_error(path + ": expected a list of options { name = …, type = … }, got " +
                       describe_value(L, index));
  static constexpr std::string_view known[] = {"name",   "type",  "default", "required", "help",
                                               "values", "of",    "options", "kind",     "signature",
                                               "types",  "least", "most",    "schemes"};
  std::vector<option> out;
  for (std::size_t i = 1; i <= lua_objlen(L, index); ++i) {
    auto at = path + "[" + std::to_string(i) + "]";
    lua_rawgeti(L, index, static_cast<int>(i));
    int entry = lua_gettop(L);
    if (lua_type(L, entry) != LUA_TTABLE)
      throw script_error(at + ": expected a table { name = …, type = … }, got " + describe_value(L, entry));
    for (lua_pushnil(L); lua_next(L, entry) != 0; lua_pop(L, 1)) {
      auto key = text_at(L, -2);
      if (std::find(std::begin(known), std::end(known), key) != std::end(known)) continue;
      throw script_error(at + ": unknown option \"" + printable(key) + "\"" + did_you_mean(key, known));
    }
    option o;
    o.name = field_text(L, entry, "name");
    if (o.name.empty()) throw script_error(at + ": option \"name\" is missing: a string");
    o.help = field_text(L, entry, "help");
    for (const auto& earlier : out)
      if (earlier.name == o.name) throw script_error(at + ": option \"" + o.name + "\" is declared twice");
    lua_pushliteral(L, "type");
    lua_rawget(L, entry);
    // { name = …, type = "enum", values = … }: the option's own table describes the type.
    if (lua_isnil(L, -1))
      throw script_error(at + ": option \"type\" is missing: a type such as \"duration\"");
    o.type = lua_type(L, -1) == LUA_TSTRING ? read_type(L, entry, at) : read_type(L, lua_gettop(L), at);
    lua_pop(L, 1);
    lua_pushliteral(L, "required");
    lua_rawget(L, entry);
    o.required = lua_toboolean(L, -1) != 0;
    lua_pop(L, 1);
    lua_pushliteral(L, "default");
    lua_rawget(L, entry);
    if (!lua_isnil(L, -1)) {
      validation state;
      validate_value(L, lua_gettop(L), o.type, at + ".default", state);
      if (!state.mistakes.empty()) throw script_error(state.mistakes[0].path + ": " + state.mistakes[0].text);
      auto data = to_json(L, -1);
      if (!data) throw script_error(at + ".default: " + data.error().message);
      o.fallback = std::move(*data);
    }
    lua_pop(L, 2);
    out.push_back(std::move(o));
  }
  return out;
}

} // namespace netlab::lua
