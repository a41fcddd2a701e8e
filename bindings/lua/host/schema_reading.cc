// A Lua table read by a schema: what it holds, and every mistake in it.
#include "host/schema.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "host/handle.h"
#include "host/schema_kinds.h"
#include "netlab/files.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

std::string shown(lua_State* L, int index) {
  if (auto o = object_at(L, index)) return o->kind() + " \"" + o->name() + "\"";
  return describe_value(L, index);
}

void complain(validation& state, const std::string& path, std::string text) {
  state.mistakes.push_back({path, std::move(text)});
}

value mismatch(lua_State* L, int index, const option_type& t, const std::string& path, validation& state) {
  complain(state, path, "expected " + expectation(t) + ", got " + shown(L, index));
  return {};
}

template<class T>
value parsed(lua_State* L, int index, const option_type& t, const std::string& path, validation& state,
             result<T> (*parse)(std::string_view)) {
  if (lua_type(L, index) != LUA_TSTRING) return mismatch(L, index, t, path, state);
  auto got = parse(text_at(L, index));
  if (!got) return mismatch(L, index, t, path, state);
  return {*got};
}

result<byte_size> parse_byte_size(std::string_view text) {
  auto got = parse_size(text);
  if (!got) return tl::unexpected(got.error());
  return byte_size{*got};
}

value read_listen(lua_State* L, int index, const option_type& t, const std::string& path, validation& state) {
  listen_list out;
  if (lua_type(L, index) == LUA_TTABLE) {
    auto count = lua_objlen(L, index);
    if (count == 0) return mismatch(L, index, t, path, state);
    for (std::size_t i = 1; i <= count; ++i) {
      lua_rawgeti(L, index, static_cast<int>(i));
      int at = lua_gettop(L);
      auto where = path + "[" + std::to_string(i) + "]";
      if (lua_type(L, at) == LUA_TTABLE) {
        mismatch(L, at, t, where, state);
      } else {
        auto one = read_listen(L, at, t, where, state);
        if (one.is<listen_list>()) out.push_back(one.as<listen_list>()[0]);
      }
      lua_pop(L, 1);
    }
    return {std::move(out)};
  }
  if (auto* place = listen_at(L, index)) return {listen_list{*place}};
  if (lua_type(L, index) != LUA_TSTRING) return mismatch(L, index, t, path, state);
  auto got = endpoint::parse(text_at(L, index));
  if (!got) return mismatch(L, index, t, path, state);
  return {listen_list{{*got, nullptr}}};
}

options read_table(lua_State* L, int index, const std::vector<option>& fields, const std::string& path,
                   validation& state) {
  options out;
  need_stack(L, 8);
  std::vector<std::string_view> names;
  names.reserve(fields.size());
  for (const auto& f : fields) names.push_back(f.name);
  // Every key must be an option; the report is sorted later, so lua_next's order does not show.
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) {
      complain(state, path,
               "positional elements belong in lists only, got " + shown(L, lua_gettop(L)) + " at " +
                   describe_value(L, -2));
      continue;
    }
    auto key = text_at(L, -2);
    if (std::find(names.begin(), names.end(), key) != names.end()) continue;
    complain(state, path.empty() ? "!" + std::string(key) : path + ".!" + std::string(key),
             "unknown option \"" + printable(key) + "\"" + did_you_mean(key, names));
  }
  for (const auto& f : fields) {
    auto at = path.empty() ? f.name : path + "." + f.name;
    push(L, std::string_view(f.name));
    lua_rawget(L, index);
    if (!lua_isnil(L, -1)) {
      auto got = validate_value(L, lua_gettop(L), f.type, at, state);
      if (!got.is<std::monostate>()) out.values.push_back({f.name, std::move(got)});
    } else if (f.fallback) {
      push(L, *f.fallback);
      auto got = validate_value(L, lua_gettop(L), f.type, at, state);
      lua_pop(L, 1);
      out.values.push_back({f.name, std::move(got)});
    } else if (f.required) {
      complain(state, path, "option \"" + f.name + "\" is missing: " + expectation(f.type));
    }
    lua_pop(L, 1);
  }
  return out;
}

value read_list(lua_State* L, int index, const option_type& t, const std::string& path, validation& state) {
  if (lua_type(L, index) != LUA_TTABLE) return mismatch(L, index, t, path, state);
  std::size_t length = lua_objlen(L, index), count = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    ++count;
    if (lua_type(L, -2) != LUA_TNUMBER) {
      complain(state, path,
               "a list has no names, got " + (lua_type(L, -2) == LUA_TSTRING
                                                  ? "\"" + printable(text_at(L, -2)) + "\""
                                                  : describe_value(L, -2)));
      lua_pop(L, 2);
      return {};
    }
  }
  if (count != length) {
    complain(state, path, "the list has a hole (a nil inside)");
    return {};
  }
  value_list out;
  for (std::size_t i = 1; i <= length; ++i) {
    lua_rawgeti(L, index, static_cast<int>(i));
    out.push_back(validate_value(L, lua_gettop(L), t.inner[0], path + "[" + std::to_string(i) + "]", state));
    lua_pop(L, 1);
  }
  return {std::move(out)};
}

value read_map(lua_State* L, int index, const option_type& t, const std::string& path, validation& state) {
  if (lua_type(L, index) != LUA_TTABLE) return mismatch(L, index, t, path, state);
  value_map out;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) {
      complain(state, path, "names are strings, got " + describe_value(L, -2));
      continue;
    }
    std::string key(text_at(L, -2));
    out.items.push_back({key, validate_value(L, lua_gettop(L), t.inner[0], path + "." + key, state)});
  }
  std::sort(out.items.begin(), out.items.end(),
            [](const named_value& a, const named_value& b) { return a.name < b.name; });
  return {std::move(out)};
}

value read_number(lua_State* L, int index, const option_type& t, const std::string& path, validation& state) {
  if (lua_type(L, index) != LUA_TNUMBER) return mismatch(L, index, t, path, state);
  double n = lua_tonumber(L, index);
  bool whole = n == std::floor(n) && std::abs(n) <= 9007199254740992.0;
  if (std::isnan(n) || (t.kind == type_kind::integer && !whole) || (t.least && n < *t.least) ||
      (t.most && n > *t.most))
    return mismatch(L, index, t, path, state);
  if (t.kind == type_kind::integer) return {static_cast<std::int64_t>(n)};
  return {n};
}

value read_url(lua_State* L, int index, const option_type& t, const std::string& path, validation& state) {
  auto text = text_at(L, index);
  auto colon = text.find("://");
  bool printable_only = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (lua_type(L, index) != LUA_TSTRING || colon == std::string_view::npos || colon + 3 >= text.size() ||
      !printable_only)
    return mismatch(L, index, t, path, state);
  for (auto scheme : split(t.text, ','))
    if (iequals(scheme, text.substr(0, colon))) return {std::string(text)};
  return mismatch(L, index, t, path, state);
}

value read_one_of(lua_State* L, int index, const option_type& t, const std::string& path, validation& state) {
  // The first alternative without a mistake wins. When none fits, a table is explained by the one
  // alternative that takes tables, because "unknown option" says more than "expected …, or …".
  const option_type* tables = nullptr;
  int table_like = 0;
  for (const auto& alternative : t.inner) {
    validation attempt;
    attempt.folder = state.folder;
    auto got = validate_value(L, index, alternative, path, attempt);
    if (attempt.mistakes.empty()) return got;
    if (alternative.kind == type_kind::table || alternative.kind == type_kind::list ||
        alternative.kind == type_kind::map) {
      tables = &alternative;
      ++table_like;
    }
  }
  if (lua_type(L, index) == LUA_TTABLE && table_like == 1)
    return validate_value(L, index, *tables, path, state);
  return mismatch(L, index, t, path, state);
}

} // namespace

value validate_value(lua_State* L, int index, const option_type& t, const std::string& path,
                     validation& state) {
  if (is_inert(L, index)) {
    state.inert = true;
    return {};
  }
  need_stack(L, 8);
  switch (t.kind) {
  case type_kind::any: lua_pushvalue(L, index); return {std::make_shared<const reference>(L)};
  case type_kind::data: {
    auto got = to_json(L, index);
    if (got) return {std::make_shared<const json>(std::move(*got))};
    complain(state, path, "expected " + expectation(t) + ": " + got.error().message);
    return {};
  }
  case type_kind::string:
    if (lua_type(L, index) != LUA_TSTRING) return mismatch(L, index, t, path, state);
    return {std::string(text_at(L, index))};
  case type_kind::integer:
  case type_kind::number: return read_number(L, index, t, path, state);
  case type_kind::boolean:
    if (!lua_isboolean(L, index)) return mismatch(L, index, t, path, state);
    return {lua_toboolean(L, index) != 0};
  case type_kind::duration: return parsed(L, index, t, path, state, parse_duration);
  case type_kind::size: return parsed(L, index, t, path, state, parse_byte_size);
  case type_kind::ip: return parsed(L, index, t, path, state, ip_address::parse);
  case type_kind::cidr: return parsed(L, index, t, path, state, netlab::cidr::parse);
  case type_kind::mac: return parsed(L, index, t, path, state, mac_address::parse);
  case type_kind::uuid: return parsed(L, index, t, path, state, netlab::uuid::parse);
  case type_kind::ip_range: return parsed(L, index, t, path, state, netlab::ip_range::parse);
  case type_kind::listen: return read_listen(L, index, t, path, state);
  case type_kind::path: {
    auto text = text_at(L, index);
    if (text.empty() || text.find('\0') != std::string_view::npos) return mismatch(L, index, t, path, state);
    return {file_path{join_path(state.folder, text)}};
  }
  case type_kind::url: return read_url(L, index, t, path, state);
  case type_kind::function:
    if (!lua_isfunction(L, index)) return mismatch(L, index, t, path, state);
    lua_pushvalue(L, index);
    return {std::make_shared<const reference>(L)};
  case type_kind::list: return read_list(L, index, t, path, state);
  case type_kind::map: return read_map(L, index, t, path, state);
  case type_kind::table:
    if (lua_type(L, index) != LUA_TTABLE) return mismatch(L, index, t, path, state);
    return {read_table(L, index, t.fields, path, state)};
  case type_kind::enumeration: {
    auto text = text_at(L, index);
    if (lua_type(L, index) == LUA_TSTRING && std::find(t.words.begin(), t.words.end(), text) != t.words.end())
      return {std::string(text)};
    std::vector<std::string_view> words(t.words.begin(), t.words.end());
    complain(state, path,
             "expected " + expectation(t) + ", got " + shown(L, index) +
                 (lua_type(L, index) == LUA_TSTRING ? did_you_mean(text, words) : ""));
    return {};
  }
  case type_kind::handle: {
    auto found = object_at(L, index);
    if (!found) return mismatch(L, index, t, path, state);
    for (const auto& kind : handle_kinds(t))
      if (found->kind() == kind || found->fits(kind)) return {found};
    return mismatch(L, index, t, path, state);
  }
  case type_kind::one_of: return read_one_of(L, index, t, path, state);
  }
  return {};
}

options validate(lua_State* L, int index, const schema& by, validation& state) {
  stack_guard guard(L);
  if (!by.elements) return read_table(L, index, by.options, "", state);
  options out;
  auto list = read_list(L, index, type::list(*by.elements), "", state);
  if (!list.is<std::monostate>()) out.values.push_back({"elements", std::move(list)});
  return out;
}

} // namespace netlab::lua
