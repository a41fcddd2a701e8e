#include "host/plugin.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/bindings.h"
#include "host/bundle.h"
#include "host/handle.h"
#include "host/host.h"
#include "host/source_function.h"
#include "netlab/files.h"
#include "netlab/text.h"

namespace netlab::lua {

struct plugins::loaded {
  plugin_manifest manifest;
  std::vector<std::unique_ptr<constructor_info>> constructors;
  shared_reference table;
};

namespace {

// fn(handle, …) → fn(self, …): Lua, not C, so that a method may wait.
constexpr std::string_view binder = "local fn, self = ... return function(_, ...) return fn(self, ...) end";

std::string text_field(lua_State* L, int table, const char* name) {
  lua_pushstring(L, name);
  lua_rawget(L, table);
  std::string out(text_at(L, -1));
  lua_pop(L, 1);
  return out;
}

shared_reference function_field(lua_State* L, int table, const char* name) {
  lua_pushstring(L, name);
  lua_rawget(L, table);
  if (lua_isfunction(L, -1)) return std::make_shared<const reference>(L);
  lua_pop(L, 1);
  return nullptr;
}

// What a plugin's Lua makes: create(options) at the top level, and methods.
template<class T>
class plugin_made : public T {
public:
  plugin_made(host& h, std::string title) : host_(h), title_(std::move(title)) {}
  shared_reference self, methods;

  std::string default_name() const override { return title_; }

  bool push_member(lua_State* L, std::string_view key) override {
    if (!methods) return false;
    methods->push(L);
    if (lua_istable(L, -1)) {
      push(L, key);
      lua_rawget(L, -2);
      lua_remove(L, -2);
      if (lua_isfunction(L, -1)) {
        auto& machine = host_.machine();
        lua_State* M = machine.main();
        stack_guard guard(M);
        if (!machine.load(binder, std::string(internal_prefix) + "plugin")) return lua_pop(L, 1), false;
        if (M != L) {
          lua_pushvalue(L, -1);
          lua_xmove(L, M, 1);
        } else {
          lua_pushvalue(L, -2);
        }
        self->push(M);
        if (!machine.call(M, 2, 1)) return lua_pop(L, 1), false;
        auto bound = std::make_shared<const reference>(M);
        bound->push(L);
        lua_remove(L, -2);
        return true;
      }
    }
    lua_pop(L, 1);
    return false;
  }

protected:
  host& host_;
  std::string title_;
};

// One without start, stop, check and source is no service: netlab does not stay up for it.
using plugin_object = plugin_made<object>;

// Beside that, start(self) as a task when netlab starts, stop(self) as a task when it drains.
class plugin_service final : public plugin_made<service>, public source_function_handle {
public:
  using plugin_made::plugin_made;
  shared_reference start_fn, stop_fn, check_fn, source_fn;

  bool fits(std::string_view kind) const override { return source_fn && kind == "boot.source"; }
  source_function asked() const override { return {name(), source_fn, self, where(), {}}; }

  result<void> check(host& h) override {
    if (!check_fn) return {};
    notes_.clear();
    auto push_self = [this](lua_State* L) { return self->push(L), 1; };
    return h.ask(check_fn, title_ + " check", push_self, [this](lua_State* L, int at, int results) {
      for (int i = 1; results >= 1 && lua_istable(L, at); ++i) {
        lua_rawgeti(L, at, i);
        bool text = lua_type(L, -1) == LUA_TSTRING;
        if (text) notes_.emplace_back(text_at(L, -1));
        lua_pop(L, 1);
        if (!text) return;
      }
    });
  }
  std::vector<std::string> notes() const override { return notes_; }
  bool stays() const override { return start_fn || stop_fn || source_fn; }

  result<void> start(host& h) override {
    if (start_fn) run(h, start_fn, title_ + " start", nullptr);
    return {};
  }

  void drain(std::function<void()> done) override {
    if (!stop_fn) return done();
    run(host_, stop_fn, title_ + " stop", std::move(done));
  }

private:
  void run(host& h, const shared_reference& fn, const std::string& name, std::function<void()> done) {
    lua_State* L = h.machine().main();
    stack_guard guard(L);
    fn->push(L);
    self->push(L);
    auto t = h.tasks().spawn(L, 1, {name, where(), nullptr, false, {}});
    if (done) {
      // Somebody waits, so the failure is told here.
      h.tasks().when_finished(t, [&h, t, done = std::move(done)] {
        if (!t->outcome().ok && h.tasks().on_failure) h.tasks().on_failure(*t);
        done();
      });
    }
  }

  std::vector<std::string> notes_;
};

} // namespace

plugins::plugins(host& owner) : host_(owner) {}
plugins::~plugins() = default;

std::vector<std::string> plugins::roots() const {
  std::vector<std::string> out{host_.recipe_folder()};
  for (auto& folder : bundle::search_path()) out.push_back(folder);
  return out;
}

plugin_manifest plugins::read_manifest(const std::string& folder, std::string_view text, bool embedded,
                                       const std::string& name) {
  plugin_manifest m;
  m.name = name;
  m.folder = folder;
  m.embedded = embedded;
  auto& machine = host_.machine();
  lua_State* L = machine.main();
  stack_guard guard(L);
  auto file = folder + "/plugin.lua";
  if (auto ok = machine.load(text, "@" + file); !ok) {
    m.problem = ok.error().message;
    return m;
  }
  lua_newtable(L); // an empty world: a manifest is data
  lua_setfenv(L, -2);
  reference chunk(L);
  std::string problem;
  auto read = [&](lua_State* S, int first, int count) {
    if (count < 1 || !lua_istable(S, first)) {
      problem = file + ": a manifest returns a table";
      return;
    }
    static constexpr std::string_view known[] = {"name",  "api", "version", "help",
                                                 "needs", "lua", "native",  "options"};
    for (lua_pushnil(S); lua_next(S, first) != 0; lua_pop(S, 1)) {
      auto key = text_at(S, -2);
      if (std::find(std::begin(known), std::end(known), key) != std::end(known)) continue;
      problem = file + ": unknown field \"" + printable(key) + "\"" + did_you_mean(key, known);
    }
    auto given = text_field(S, first, "name");
    m.version = text_field(S, first, "version");
    m.help = text_field(S, first, "help");
    m.lua = text_field(S, first, "lua");
    auto native = text_field(S, first, "native");
    lua_getfield(S, first, "api");
    m.api = static_cast<int>(lua_tointeger(S, -1));
    lua_pop(S, 1);
    lua_getfield(S, first, "needs");
    if (lua_istable(S, -1))
      for (std::size_t i = 1; i <= lua_objlen(S, -1); ++i) {
        lua_rawgeti(S, -1, static_cast<int>(i));
        m.needs.emplace_back(text_at(S, -1));
        lua_pop(S, 1);
      }
    if (!problem.empty()) return;
    if (given != name)
      problem = file + ": the name is \"" + printable(given) + "\", but the folder's is \"" + name + "\"";
    else if (m.api != plugin_api)
      problem = file + ": made for plugin api " + std::to_string(m.api) + ", this netlab has " +
                std::to_string(plugin_api) + ": install a version of the plugin for it";
    else if (!native.empty())
      problem = file + ": native plugins cannot be loaded by this netlab";
    else if (m.lua.empty())
      problem = file + ": \"lua\" is missing: the module's file";
    else if (m.lua.find("..") != std::string::npos || m.lua.front() == '/')
      problem = file + ": \"lua\" must name a file in the plugin's folder";
  };
  if (auto ran = host_.tasks().ask(chunk, file, {}, read); !ran) problem = ran.error().message;
  m.problem = problem;
  return m;
}

std::optional<plugin_manifest> plugins::find(const std::string& name) {
  if (auto it = known_.find(name); it != known_.end()) return it->second;
  if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos)
    return std::nullopt;
  for (const auto& root : roots()) {
    auto folder = join_path(root, "plugins/" + name);
    if (auto text = host_.world().files.read(folder + "/plugin.lua", 1u << 20))
      return known_.emplace(name, read_manifest(folder, *text, false, name)).first->second;
  }
  auto folder = "plugins/" + name;
  if (auto text = bundle::find(folder + "/plugin.lua"))
    return known_.emplace(name, read_manifest(folder, *text, true, name)).first->second;
  return std::nullopt;
}

std::vector<plugin_manifest> plugins::list() {
  std::vector<std::string> names;
  for (const auto& root : roots())
    if (auto entries = host_.world().files.list(join_path(root, "plugins")))
      for (const auto& e : *entries)
        if (e.folder) names.push_back(e.name);
  for (const auto& f : bundle::files()) {
    auto parts = split(f.path, '/');
    if (parts.size() == 3 && parts[0] == "plugins" && parts[2] == "plugin.lua") names.emplace_back(parts[1]);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::vector<plugin_manifest> out;
  for (const auto& name : names)
    if (auto m = find(name)) out.push_back(*m);
  return out;
}

std::optional<std::string> plugins::read(const plugin_manifest& m, const std::string& file) {
  if (m.embedded) {
    auto found = bundle::find(m.folder + "/" + file);
    return found ? std::optional<std::string>(*found) : std::nullopt;
  }
  auto text = host_.world().files.read(m.folder + "/" + file, 4u << 20);
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

std::optional<plugins::source> plugins::find_module(const std::string& name) {
  if (name.empty() || name.find_first_of("/\\\0") != std::string::npos ||
      name.find("..") != std::string::npos)
    return std::nullopt;
  auto file = name;
  std::replace(file.begin(), file.end(), '.', '/');
  auto on_disk = [&](const std::string& path) -> std::optional<source> {
    if (auto text = host_.world().files.read(path, 4u << 20)) return source{*text, "@" + path};
    return std::nullopt;
  };
  // "awslab.price" is a file of the plugin awslab, once that is in use.
  auto dot = name.find('.');
  if (auto it = loaded_.find(name.substr(0, dot)); dot != std::string::npos && it != loaded_.end()) {
    auto inner = file.substr(dot + 1) + ".lua";
    if (auto text = read(it->second->manifest, inner))
      return source{*text, "@" + it->second->manifest.folder + "/" + inner};
  }
  if (!name.starts_with("netlab.")) {
    for (const auto* shape : {".lua", "/init.lua"})
      if (auto found = on_disk(join_path(host_.recipe_folder(), file + shape))) return found;
  }
  for (const auto& root : bundle::search_path())
    if (auto found = on_disk(join_path(root, "lua/" + file + ".lua"))) return found;
  auto path = "lua/" + file + ".lua";
  // The library's own frames are not where a recipe's mistake is.
  if (auto text = bundle::find(path)) return source{std::string(*text), internal_prefix + path};
  return std::nullopt;
}

namespace {

int load_module(lua_State* L) {
  bool failed = false;
  {
    auto& owner = vm::of(L).owner();
    std::string name(text_at(L, 1));
    auto found = owner.plugins().find_module(name);
    std::string why;
    if (found) {
      auto& machine = owner.machine();
      if (auto ok = machine.load(found->text, found->chunk); !ok) {
        why = ok.error().message;
        failed = true;
      } else if (machine.main() != L) {
        lua_xmove(machine.main(), L, 1);
      }
    } else {
      why = name == "ffi"
                ? "\n\tffi is not available in recipes: native code comes in plugins"
                : "\n\tno module \"" + printable(name) + "\" in the recipe's folder, NETLAB_PATH or netlab";
    }
    if (!found || failed) push(L, why);
  }
  return failed ? lua_error(L) : 1;
}

int use_plugin(call& c) {
  auto name = c.text(1, "the name");
  if (c.owner.now() != phase::declare) c.refuse("belongs at the recipe's top level");
  if (auto ok = c.owner.plugins().push(c.L, name); !ok) {
    c.owner.mistakes().add(where(c.L), "plugin \"" + printable(name) + "\": " + ok.error().message);
    push_inert(c.L);
  }
  return 1;
}

} // namespace

void plugins::install_loader(lua_State* L) {
  stack_guard guard(L);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaders");
  int loaders = lua_gettop(L);
  lua_pushcfunction(L, load_module);
  lua_rawseti(L, loaders, 2);
  for (int i = 3; i <= 4; ++i) {
    lua_pushnil(L);
    lua_rawseti(L, loaders, i);
  }
}

result<void> plugins::push(lua_State* L, const std::string& name) {
  if (auto it = loaded_.find(name); it != loaded_.end() && it->second->table) {
    it->second->table->push(L);
    return {};
  }
  if (std::find(loading_.begin(), loading_.end(), name) != loading_.end())
    return fail(errc::conflict, "needs itself, by way of \"" + loading_.back() + "\"");
  auto m = find(name);
  if (!m) {
    auto all = list();
    std::vector<std::string_view> names;
    names.reserve(all.size());
    for (const auto& p : all) names.push_back(p.name);
    return fail(errc::not_found,
                "there is no such plugin in the recipe's plugins folder, NETLAB_PATH or netlab" +
                    did_you_mean(name, names));
  }
  if (!m->problem.empty()) return fail(errc::unsupported, m->problem);
  loading_.push_back(name);
  for (const auto& need : m->needs) {
    auto ok = push(L, need);
    if (ok) {
      lua_pop(L, 1);
      continue;
    }
    loading_.pop_back();
    return fail(ok.error().code, "needs \"" + need + "\": " + ok.error().message);
  }
  auto out = load(L, *m);
  loading_.pop_back();
  return out;
}

result<void> plugins::load(lua_State* L, const plugin_manifest& m) {
  auto file = m.lua.ends_with(".lua") ? m.lua : m.lua + ".lua";
  auto text = read(m, file);
  if (!text) return fail(errc::not_found, m.folder + "/" + file + " cannot be read");
  auto& machine = host_.machine();
  auto path = m.folder + "/" + file;
  if (auto ok = machine.load(*text, "@" + path); !ok) return ok;
  reference chunk(machine.main());
  auto entry = std::make_unique<loaded>();
  auto* p = entry.get();
  p->manifest = m;
  loaded_[m.name] = std::move(entry); // before it runs: its own files are found by require
  std::string problem;
  auto read_module = [&](lua_State* S, int first, int count) {
    if (count < 1 || !lua_istable(S, first)) {
      problem = path + ": a plugin returns a table of constructors";
      return;
    }
    std::vector<std::string> names;
    for (lua_pushnil(S); lua_next(S, first) != 0; lua_pop(S, 1)) names.emplace_back(text_at(S, -2));
    std::sort(names.begin(), names.end());
    lua_newtable(S);
    int out = lua_gettop(S);
    for (const auto& constructor : names) {
      lua_getfield(S, first, constructor.c_str());
      int spec = lua_gettop(S);
      if (constructor.empty() || !lua_istable(S, spec)) {
        problem = path + ": \"" + constructor + "\" must be a table { options = …, create = … }";
        return;
      }
      static constexpr std::string_view known[] = {"help", "options", "create",  "check",  "start",
                                                   "stop", "source",  "methods", "example"};
      for (lua_pushnil(S); lua_next(S, spec) != 0; lua_pop(S, 1)) {
        auto key = text_at(S, -2);
        if (std::find(std::begin(known), std::end(known), key) != std::end(known)) continue;
        problem = path + ": " + constructor + ": unknown field \"" + printable(key) + "\"" +
                  did_you_mean(key, known);
        return;
      }
      auto info = std::make_unique<constructor_info>();
      info->schema.name = m.name + "." + constructor;
      info->kind = info->schema.name;
      info->schema.help = text_field(S, spec, "help");
      info->schema.example = text_field(S, spec, "example");
      lua_getfield(S, spec, "options");
      if (!lua_isnil(S, -1))
        info->schema.options = read_options(S, lua_gettop(S), info->schema.name + ".options");
      bool named = std::any_of(info->schema.options.begin(), info->schema.options.end(),
                               [](const option& o) { return o.name == "name"; });
      if (!named)
        info->schema.options.push_back(optional("name", type::string(), "how messages and commands call it"));
      auto create = function_field(S, spec, "create");
      if (!create) {
        problem = path + ": " + constructor + ": \"create\" is missing: function(options)";
        return;
      }
      auto start = function_field(S, spec, "start"), stop = function_field(S, spec, "stop");
      auto check = function_field(S, spec, "check"), source = function_field(S, spec, "source");
      lua_getfield(S, spec, "methods");
      auto methods = std::make_shared<const reference>(S);
      info->create = [create, start, stop, check, source, methods,
                      title = info->kind](host& h, const options& o) -> result<object_ptr> {
        shared_reference self;
        result<void> outcome;
        auto asked = h.ask(
            create, title,
            [&](lua_State* A) {
              push_value(A, value{o});
              return 1;
            },
            [&](lua_State* A, int at, int results) {
              if (results >= 2 && lua_isnil(A, at)) {
                // An error's operation may name the option at fault.
                std::string option = lua_istable(A, at + 1) ? text_field(A, at + 1, "op") : std::string();
                outcome = fail(errc::invalid, error_text(A, at + 1), o.has(option) ? option : "");
                return;
              }
              if (results < 1)
                lua_newtable(A);
              else
                lua_pushvalue(A, at);
              self = std::make_shared<const reference>(A);
            });
        if (!asked) return tl::unexpected(error{errc::invalid, asked.error().message, ""});
        if (!outcome) return tl::unexpected(outcome.error());
        if (!start && !stop && !check && !source) {
          auto made = std::make_shared<plugin_object>(h, title);
          made->self = self;
          made->methods = methods;
          return made;
        }
        auto made = std::make_shared<plugin_service>(h, title);
        made->self = self;
        made->methods = methods;
        made->start_fn = start;
        made->stop_fn = stop;
        made->check_fn = check;
        made->source_fn = source;
        return made;
      };
      push_constructor(S, *info);
      lua_setfield(S, out, constructor.c_str());
      p->constructors.push_back(std::move(info));
      lua_settop(S, out);
    }
    lua_settop(S, out);
    close_names(S, "plugin " + m.name);
    p->table = std::make_shared<const reference>(S);
  };
  result<void> ran;
  try {
    ran = host_.tasks().ask(chunk, path, {}, read_module);
  } catch (const script_error& e) { // a schema that is none
    problem = path + ": " + e.what();
  }
  if (!ran) problem = ran.error().message;
  if (!problem.empty()) {
    loaded_.erase(m.name);
    return fail(errc::invalid, problem);
  }
  p->table->push(L);
  return {};
}

void bind_plugin(api& a) {
  a.function({"plugin",
              use_plugin,
              "The constructors of a plugin: netlab.plugin(\"matchbox\").folder { … }. They behave like "
              "netlab's own.",
              {{"name", "string", ""}},
              {{"constructors", "table<string, fun(options: table): table>", ""}},
              false,
              {}});
}

} // namespace netlab::lua
