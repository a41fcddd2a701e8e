#include "host/schema.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "host/handle.h"
#include "netlab/files.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace type {
namespace {
option_type plain(type_kind kind) {
  option_type out;
  out.kind = kind;
  return out;
}
} // namespace
option_type any() { return plain(type_kind::any); }
option_type data() { return plain(type_kind::data); }
option_type string() { return plain(type_kind::string); }
option_type integer(std::optional<double> least, std::optional<double> most) {
  auto out = plain(type_kind::integer);
  out.least = least;
  out.most = most;
  return out;
}
option_type number(std::optional<double> least, std::optional<double> most) {
  auto out = integer(least, most);
  out.kind = type_kind::number;
  return out;
}
option_type port() { return integer(1, 65535); }
option_type boolean() { return plain(type_kind::boolean); }
option_type duration() { return plain(type_kind::duration); }
option_type size() { return plain(type_kind::size); }
option_type ip() { return plain(type_kind::ip); }
option_type cidr() { return plain(type_kind::cidr); }
option_type mac() { return plain(type_kind::mac); }
option_type uuid() { return plain(type_kind::uuid); }
option_type ip_range() { return plain(type_kind::ip_range); }
option_type listen() { return plain(type_kind::listen); }
option_type path() { return plain(type_kind::path); }
option_type url(std::string schemes) {
  auto out = plain(type_kind::url);
  out.text = std::move(schemes);
  return out;
}
option_type function(std::string signature) {
  auto out = plain(type_kind::function);
  out.text = std::move(signature);
  return out;
}
option_type list(option_type of) {
  auto out = plain(type_kind::list);
  out.inner.push_back(std::move(of));
  return out;
}
option_type map(option_type of) {
  auto out = plain(type_kind::map);
  out.inner.push_back(std::move(of));
  return out;
}
option_type table(std::vector<option> fields) {
  auto out = plain(type_kind::table);
  out.fields = std::move(fields);
  return out;
}
option_type enumeration(std::vector<std::string> words) {
  auto out = plain(type_kind::enumeration);
  out.words = std::move(words);
  return out;
}
option_type handle(std::string kind) {
  auto out = plain(type_kind::handle);
  out.text = std::move(kind);
  return out;
}
option_type one_of(std::vector<option_type> alternatives) {
  auto out = plain(type_kind::one_of);
  out.inner = std::move(alternatives);
  return out;
}
} // namespace type

option required(std::string name, option_type type, std::string help) {
  return {std::move(name), std::move(type), true, std::nullopt, std::move(help)};
}
option optional(std::string name, option_type type, std::string help) {
  return {std::move(name), std::move(type), false, std::nullopt, std::move(help)};
}
option with_default(std::string name, option_type type, json fallback, std::string help) {
  return {std::move(name), std::move(type), false, std::move(fallback), std::move(help)};
}

namespace {

struct named_kind {
  type_kind kind;
  std::string_view name;
  std::string_view expected;
};
constexpr named_kind kinds[] = {
    {type_kind::any, "any", "any value"},
    {type_kind::data, "data", "plain data (strings, numbers, booleans and tables of them)"},
    {type_kind::string, "string", "a string"},
    {type_kind::integer, "integer", "a whole number"},
    {type_kind::number, "number", "a number"},
    {type_kind::boolean, "boolean", "true or false"},
    {type_kind::duration, "duration", "a duration such as \"1h\""},
    {type_kind::size, "size", "a size such as \"20GiB\""},
    {type_kind::ip, "ip", "an address such as \"10.0.0.1\""},
    {type_kind::cidr, "cidr", "an address with its prefix length such as \"10.0.0.1/24\""},
    {type_kind::mac, "mac", "a MAC address such as \"02:00:0a:14:0d:0b\""},
    {type_kind::uuid, "uuid", "a UUID such as \"0f5d4e2c-6a0e-4c3b-9f43-2f7c3a0d9e11\""},
    {type_kind::ip_range, "ip_range", "a range such as \"10.0.0.100-10.0.0.199\""},
    {type_kind::listen, "listen", "a place to listen: \"address:port\", lan:at(port), or a list of them"},
    {type_kind::path, "path", "a file name"},
    {type_kind::url, "url", "a URL"},
    {type_kind::function, "function", "a function"},
    {type_kind::list, "list", "a list"},
    {type_kind::map, "map", "a table"},
    {type_kind::table, "table", "a table of options"},
    {type_kind::enumeration, "enumeration", "one of its words"},
    {type_kind::handle, "handle", "a handle"},
    {type_kind::one_of, "one_of", "one of its types"},
};

const named_kind& named(type_kind kind) {
  for (const auto& k : kinds)
    if (k.kind == kind) return k;
  return kinds[0];
}

std::string joined(const std::vector<std::string>& words, std::string_view last = " or ") {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i)
    out += (i == 0 ? "" : i + 1 == words.size() ? std::string(last) : std::string(", ")) + words[i];
  return out;
}

std::vector<std::string> quoted(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  out.reserve(words.size());
  for (const auto& w : words) out.push_back("\"" + w + "\"");
  return out;
}

std::vector<std::string> handle_kinds(const std::string& text) {
  std::vector<std::string> out;
  for (auto k : split(text, '|')) out.emplace_back(k);
  return out;
}

std::string number_text(double n) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.14g", n);
  return buffer;
}

std::string range_text(const option_type& t) {
  if (t.least && t.most) return " from " + number_text(*t.least) + " to " + number_text(*t.most);
  if (t.least) return " of at least " + number_text(*t.least);
  if (t.most) return " of at most " + number_text(*t.most);
  return "";
}

} // namespace

std::string type_name(const option_type& t) {
  std::vector<std::string> names;
  switch (t.kind) {
  case type_kind::list: return "list of " + type_name(t.inner[0]);
  case type_kind::map: return "map of " + type_name(t.inner[0]);
  case type_kind::enumeration: return joined(quoted(t.words));
  case type_kind::handle: return joined(handle_kinds(t.text));
  case type_kind::function: return t.text.empty() ? "function" : t.text;
  case type_kind::one_of:
    for (const auto& i : t.inner) names.push_back(type_name(i));
    return joined(names);
  default: return std::string(named(t.kind).name);
  }
}

std::string expectation(const option_type& t) {
  std::vector<std::string> parts;
  switch (t.kind) {
  case type_kind::list: return "a list of " + type_name(t.inner[0]);
  case type_kind::map: return "a table of names to " + type_name(t.inner[0]);
  case type_kind::enumeration: return joined(quoted(t.words));
  case type_kind::handle:
    for (const auto& k : handle_kinds(t.text)) {
      // Kinds that several functions make are called by those.
      if (k == "asset.source")
        parts.insert(parts.end(), {"netlab.boot.service", "netlab.assets.handler"});
      else if (k == "http.entry")
        parts.insert(parts.end(), {"netlab.http.files", "netlab.http.route"});
      else
        parts.push_back("netlab." + k);
    }
    return "what " + joined(parts) + " returns";
  case type_kind::function: return t.text.empty() ? "a function" : t.text;
  case type_kind::url: return "a URL such as \"" + std::string(split(t.text, ',')[0]) + "://example.org/\"";
  case type_kind::integer:
  case type_kind::number: return std::string(named(t.kind).expected) + range_text(t);
  case type_kind::one_of:
    for (const auto& i : t.inner) parts.push_back(expectation(i));
    return joined(parts, ", or ");
  default: return std::string(named(t.kind).expected);
  }
}

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
    for (const auto& kind : handle_kinds(t.text))
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

result<value> parse_word(const option_type& t, std::string_view word, const std::string& folder) {
  auto refuse = [&]() -> result<value> {
    return fail(errc::invalid, "expected " + expectation(t) + ", got \"" + printable(word) + "\"");
  };
  auto wrap = [&](auto parse) -> result<value> {
    auto got = parse(word);
    if (!got) return refuse();
    return value{*got};
  };
  switch (t.kind) {
  case type_kind::string: return value{std::string(word)};
  case type_kind::path:
    if (word.empty()) return refuse();
    return value{file_path{join_path(folder, word)}};
  case type_kind::boolean:
    if (word == "true" || word == "yes" || word == "on") return value{true};
    if (word == "false" || word == "no" || word == "off") return value{false};
    return refuse();
  case type_kind::integer:
  case type_kind::number: {
    std::string text(word);
    char* end = nullptr;
    double n = std::strtod(text.c_str(), &end);
    bool whole = n == std::floor(n) && std::abs(n) <= 9007199254740992.0;
    if (text.empty() || *end != '\0' || !std::isfinite(n) || (t.kind == type_kind::integer && !whole) ||
        (t.least && n < *t.least) || (t.most && n > *t.most))
      return refuse();
    if (t.kind == type_kind::integer) return value{static_cast<std::int64_t>(n)};
    return value{n};
  }
  case type_kind::duration: return wrap(parse_duration);
  case type_kind::size: return wrap(parse_byte_size);
  case type_kind::ip: return wrap(ip_address::parse);
  case type_kind::cidr: return wrap(netlab::cidr::parse);
  case type_kind::mac: return wrap(mac_address::parse);
  case type_kind::uuid: return wrap(netlab::uuid::parse);
  case type_kind::ip_range: return wrap(netlab::ip_range::parse);
  case type_kind::listen: {
    auto got = endpoint::parse(word);
    if (!got) return refuse();
    return value{listen_list{{*got, nullptr}}};
  }
  case type_kind::url:
    if (word.find("://") == std::string_view::npos) return refuse();
    return value{std::string(word)};
  case type_kind::enumeration:
    if (std::find(t.words.begin(), t.words.end(), word) == t.words.end()) return refuse();
    return value{std::string(word)};
  case type_kind::list: {
    value_list out;
    for (auto part : split(word, ',')) {
      auto one = parse_word(t.inner[0], trim(part), folder);
      if (!one) return one;
      out.push_back(std::move(*one));
    }
    return value{std::move(out)};
  }
  default: return fail(errc::unsupported, "a " + type_name(t) + " cannot be given on the command line");
  }
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
  for (const auto& k : kinds) {
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
