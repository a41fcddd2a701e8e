#include "host/console.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/handle.h"
#include "host/host.h"

namespace netlab::lua {

namespace {

constexpr std::size_t lines_limit = 16;
constexpr std::size_t entries_limit = 200; // of a table that is shown
constexpr std::size_t printed_limit = 1u << 20;

std::string identifier(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) name.insert(0, "_");
  return name;
}

std::string table_literal(lua_State* L, int index, int depth);

// What the value at `index` looks like to whoever asked for it.
std::string as_literal(lua_State* L, int index, int depth = 5) {
  switch (lua_type(L, index)) {
  case LUA_TNIL: return "nil";
  case LUA_TBOOLEAN: return lua_toboolean(L, index) ? "true" : "false";
  case LUA_TNUMBER: {
    lua_pushvalue(L, index); // lua_tolstring would make the value itself a string
    std::string out = lua_tostring(L, -1);
    lua_pop(L, 1);
    return out;
  }
  case LUA_TSTRING:
    return json(std::string(text_at(L, index))).dump(-1, ' ', false, json::error_handler_t::replace);
  default: break;
  }
  if (luaL_getmetafield(L, index, "__tostring") != 0) {
    lua_pushvalue(L, index);
    bool told = lua_pcall(L, 1, 1, 0) == 0 && lua_type(L, -1) == LUA_TSTRING;
    auto out = told ? std::string(text_at(L, -1)) : describe_value(L, index);
    lua_pop(L, 1);
    return out;
  }
  return lua_istable(L, index) && depth > 0 ? table_literal(L, index, depth) : describe_value(L, index);
}

// The list part in its order, the rest by name; what is too deep or too long is left out with "…".
std::string table_literal(lua_State* L, int index, int depth) {
  need_stack(L, 6);
  std::vector<std::string> parts;
  auto length = static_cast<int>(lua_objlen(L, index));
  for (int i = 1; i <= length && parts.size() < entries_limit; ++i) {
    lua_rawgeti(L, index, i);
    parts.push_back(as_literal(L, lua_gettop(L), depth - 1));
    lua_pop(L, 1);
  }
  std::map<std::string, std::string> named;
  bool more = static_cast<std::size_t>(length) > entries_limit;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    int key = lua_gettop(L) - 1;
    if (lua_type(L, key) == LUA_TNUMBER && lua_tonumber(L, key) >= 1 && lua_tonumber(L, key) <= length)
      continue;
    if (named.size() >= entries_limit) {
      more = true;
      lua_pop(L, 2);
      break;
    }
    auto name = lua_type(L, key) == LUA_TSTRING ? std::string(text_at(L, key)) : "";
    if (name.empty() || name != identifier(name)) name = "[" + as_literal(L, key, 0) + "]";
    named[name] = as_literal(L, key + 1, depth - 1);
  }
  for (const auto& [name, value] : named) parts.push_back(name + " = " + value);
  if (more) parts.emplace_back("…");
  if (parts.empty()) return "{}";
  std::string out = "{ ";
  for (const auto& part : parts) out += (out.size() > 2 ? ", " : "") + part;
  return out + " }";
}

} // namespace

result<json> console::answer(const json& request) {
  if (request.contains("text") && request["text"].is_string())
    return begin(request["text"].get<std::string>());
  for (const auto* key : {"task", "cancel"}) {
    if (!request.contains(key) || !request[key].is_number_unsigned()) continue;
    auto number = request[key].get<std::uint64_t>();
    if (key == std::string_view("task")) return look(number);
    if (auto it = lines_.find(number); it != lines_.end()) host_.tasks().cancel(it->second.running);
    return json::object();
  }
  return fail(errc::invalid, "the console takes text, task or cancel", "console");
}

result<json> console::begin(const std::string& text) {
  auto& machine = host_.machine();
  lua_State* L = machine.main();
  stack_guard guard(L);
  // An expression gives its value; only what is none is a statement.
  auto loaded = machine.load("return " + text, "=console");
  if (!loaded) loaded = machine.load(text, "=console");
  if (!loaded) {
    if (loaded.error().message.ends_with("'<eof>'")) return json{{"more", true}};
    return tl::unexpected(loaded.error());
  }
  while (lines_.size() >= lines_limit) {
    auto over = std::find_if(lines_.begin(), lines_.end(),
                             [](const auto& one) { return one.second.running->finished(); });
    if (over == lines_.end()) return fail(errc::limit, "too many lines are under way", "console");
    lines_.erase(over);
  }
  if (!environment_) make_environment();
  environment_->push(L);
  lua_setfenv(L, -2);
  auto number = next_++;
  task_options o;
  o.name = "console";
  o.quiet = true;
  lines_[number].running = host_.tasks().spawn(L, 0, std::move(o));
  return json{{"task", number}};
}

result<json> console::look(std::uint64_t number) {
  auto it = lines_.find(number);
  if (it == lines_.end()) return fail(errc::not_found, "that line is over", "console");
  auto& l = it->second;
  json out = {{"done", l.running->finished()}, {"printed", std::exchange(l.printed, {})}};
  if (std::exchange(l.lost, false))
    out["printed"] = out["printed"].get<std::string>() + "… (more was printed)\n";
  if (!l.running->finished()) return out;
  const auto& outcome = l.running->outcome();
  if (outcome.ok)
    out["values"] = values_of(*l.running);
  else
    out["error"] = outcome.failure.message;
  lines_.erase(it);
  return out;
}

json console::values_of(const task& t) {
  lua_State* L = host_.machine().main();
  stack_guard guard(L);
  int count = std::min(t.outcome().count, 100);
  int first = t.push_values(L, count);
  json out = json::array();
  for (int i = 0; i < count; ++i) out.push_back(as_literal(L, first + i));
  return out;
}

// print() of a console's line answers whoever typed it. Which line that is, its task tells.
int console::print(lua_State* L) {
  auto& self = *static_cast<console*>(lua_touserdata(L, lua_upvalueindex(1)));
  auto current = self.host_.tasks().current();
  std::string text;
  for (int i = 1; i <= lua_gettop(L); ++i) {
    if (i > 1) text += '\t';
    text += lua_type(L, i) == LUA_TSTRING ? std::string(text_at(L, i)) : as_literal(L, i);
  }
  for (auto& [number, l] : self.lines_) {
    if (l.running != current) continue;
    if (l.printed.size() + text.size() < printed_limit)
      l.printed += text + '\n';
    else
      l.lost = true;
  }
  return 0;
}

void console::make_environment() {
  lua_State* L = host_.machine().main();
  need_stack(L, 8);
  lua_newtable(L); // the environment
  int environment = lua_gettop(L);
  lua_newtable(L); // objects
  int objects = lua_gettop(L);
  // Services come last: where a network and a server share a name, the server is meant.
  for (bool services : {false, true})
    for (const auto& o : host_.graph().objects()) {
      if ((std::dynamic_pointer_cast<service>(o) != nullptr) != services) continue;
      push_handle(L, o);
      lua_setfield(L, environment, identifier(o->name()).c_str());
      lua_getfield(L, objects, o->kind().c_str());
      if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, objects, o->kind().c_str());
      }
      push_handle(L, o);
      lua_setfield(L, -2, o->name().c_str());
      lua_pop(L, 1);
    }
  lua_setfield(L, environment, "objects");
  lua_getglobal(L, "require");
  push(L, "netlab");
  if (lua_pcall(L, 1, 1, 0) == 0)
    lua_setfield(L, environment, "netlab");
  else
    lua_pop(L, 1);
  lua_pushlightuserdata(L, this);
  lua_pushcclosure(L, print, 1);
  lua_setfield(L, environment, "print");
  lua_newtable(L);
  lua_pushvalue(L, LUA_GLOBALSINDEX);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, environment);
  environment_ = std::make_shared<const reference>(L);
}

} // namespace netlab::lua
