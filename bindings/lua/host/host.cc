#include "host/host.h"

#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>

#include "host/bindings.h"
#include "host/bundle.h"
#include "host/console.h"
#include "host/handle.h"
#include "host/held_endpoints.h"
#include "host/messages.h"
#include "host/plugin.h"
#include "host/story.h"
#include "netlab/files.h"
#include "netlab/text.h"

namespace netlab::lua {

namespace {

constexpr auto drain_limit = std::chrono::seconds(10);

} // namespace

host::host(runtime world, bytes_fn bytes, const api& described, host_options options)
    : world_(world), bytes_(std::move(bytes)), api_(described), options_(std::move(options)),
      recipe_folder_(folder_of(options_.recipe)), nodes_(std::make_unique<node_directory>()),
      vm_(std::make_unique<vm>(*this, options_.vm)), graph_(std::make_unique<lua::graph>()),
      plugins_(std::make_unique<lua::plugins>(*this)),
      tasks_(std::make_unique<lua::tasks>(*vm_, world_.scheduler)) {
  story_ = std::make_unique<lua::story>(*this);
  lua_State* L = vm_->main();
  install_handles(L, api_);
  push_module(L, api_);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "netlab");
  lua_settop(L, 0);
  plugins_->install_loader(L);
  tasks_->on_failure = [this](const task& t) {
    log_fields fields{{"task", t.name()}};
    if (t.where().known()) fields.emplace_back("declared", t.where().to_string());
    if (!t.outcome().frames.empty()) fields.emplace_back("at", t.outcome().frames);
    bool stopped = t.outcome().failure.message.find(messages::handler_stopped.id) != std::string::npos;
    world_.log(stopped ? messages::handler_stopped : messages::task_failed,
               t.name() + ": " + t.outcome().failure.message, fields);
  };
  if (options_.vm.jit) {
    vm_->watch_stalls([out = world_.log](const std::string& name, duration held) {
      out(messages::loop_stalled, name + " has held the control loop for " + format_elapsed(held));
    });
  }
  tasks_->on_idle = [this] { maybe_end(); };
  add_dhcp_verbs(*this);
  add_dns_verbs(*this);
  add_registry_verbs(*this);
  on_control("console",
             [c = std::make_shared<console>(*this)](const json& request) { return c->answer(request); });
  on_control("status", [this](const json&) -> result<json> { return status(); });
}

host::~host() {
  alive_.reset();
  tasks_.reset();
  main_.reset();
  jobs_.clear();
  started_.clear();
  boot_listeners_.clear();
  plugins_.reset();
  graph_.reset();
  story_.reset();
  vm_.reset();
}

void host::run_on_bytes(const std::function<void(runtime&)>& fn, std::size_t which) {
  auto& there = bytes(which);
  if (&there.scheduler == &world_.scheduler) return fn(there); // simulated runs have one thread
  std::promise<void> done;
  there.scheduler.post([&] {
    fn(there);
    done.set_value();
  });
  done.get_future().wait();
}

std::string host::state_path(std::string_view name) const {
  return join_path(state_folder_.empty() ? recipe_folder_ : state_folder_, name);
}

void host::mistake(const position& call, const std::string& constructor, const option_mistake& m) {
  // "pool[2].!rang": the key after "!" is not an option, so the path shown ends before it.
  std::string shown = m.path, looked_up = m.path;
  if (auto mark = shown.rfind('!'); mark != std::string::npos) {
    looked_up.erase(mark, 1);
    shown.erase(mark);
    if (!shown.empty() && shown.back() == '.') shown.pop_back();
  }
  position at = call;
  if (call.known() && !looked_up.empty()) {
    auto source = sources_.find(call.file);
    if (source == sources_.end()) {
      auto text = world_.files.read(call.file, 4u << 20);
      source = sources_.emplace(call.file, text ? *text : std::string()).first;
    }
    auto dot = constructor.rfind('.');
    auto callee = dot == std::string::npos ? constructor : constructor.substr(dot + 1);
    if (auto line = line_of_option(source->second, call.line, callee, looked_up)) at.line = *line;
  }
  auto joint = shown.empty() || shown.front() == '[' ? "" : ".";
  mistaken_.insert(constructor);
  problems_.add(at, constructor + joint + shown + ": " + m.text);
}

void host::notify(const shared_reference& fn, const std::string& name,
                  const std::function<int(lua_State*)>& push) {
  if (!fn || phase_ == phase::stop) return;
  lua_State* L = vm_->main();
  stack_guard guard(L);
  fn->push(L);
  int arguments = push ? push(L) : 0;
  tasks_->spawn(L, arguments, {name, {}, nullptr, false, {}});
}

result<void> host::ask(const shared_reference& fn, const std::string& name,
                       const std::function<int(lua_State*)>& push,
                       const std::function<void(lua_State*, int, int)>& read) {
  if (!fn) return fail(errc::not_found, "there is no function to ask", name);
  return tasks_->ask(*fn, name, push, read);
}

void host::tell(const boot_event& event) {
  // Most DHCP traffic is no boot; what nobody will read is not joined, copied and formatted.
  if (!story_->wants(event)) return;
  const auto& known = nodes_->observe(event.node);
  if (!event.node.name.empty() || known.name.empty()) {
    for (const auto& fn : boot_listeners_) fn(event);
    return;
  }
  auto joined = event;
  joined.node.name = known.name;
  for (const auto& fn : boot_listeners_) fn(joined);
}

result<void> host::set_main(shared_reference fn, position at) {
  if (main_) return fail(errc::conflict, "netlab.main is already given at " + main_at_.to_string());
  main_ = std::move(fn);
  main_at_ = std::move(at);
  return {};
}

void host::load() {
  auto text = world_.files.read(options_.recipe, 4u << 20);
  if (!text) {
    problems_.add({}, text.error().message);
    return;
  }
  load_text(*text, "@" + options_.recipe);
}

void host::load_text(std::string_view text, const std::string& chunk) {
  sources_[chunk.substr(1)] = text;
  if (text.starts_with("#")) { // an executable recipe; the line break stays, for the line numbers
    text.remove_prefix(std::min(text.find('\n'), text.size()));
  }
  if (auto loaded = vm_->load(text, chunk); !loaded) {
    problems_.add({}, loaded.error().message);
    return;
  }
  declare(chunk);
}

void host::declare(const std::string& chunk) {
  auto t = tasks_->start(
      vm_->main(), 0,
      {"the recipe's top level", {chunk.substr(1), 1}, nullptr, true, options_.vm.declare_slice});
  if (!t->finished()) {
    problems_.add({}, chunk.substr(1) + ": the top level must not wait");
  } else if (t->outcome().ok) {
    declared_ = true;
  } else if (!stopped_declaring_) {
    const auto& why = t->outcome().failure.message;
    // A raised mistake carries its own "file:line: "; it goes into the list like the recorded ones.
    position at;
    auto first = why.find(':');
    auto second = first == std::string::npos ? first : why.find(": ", first + 1);
    if (second != std::string::npos &&
        std::all_of(why.begin() + static_cast<long>(first) + 1, why.begin() + static_cast<long>(second),
                    [](char c) { return c >= '0' && c <= '9'; })) {
      at = {why.substr(0, first), std::atoi(why.c_str() + first + 1)};
      problems_.add(at, why.substr(second + 2));
    } else {
      problems_.add({}, why);
    }
  }
}

void host::link() {
  phase_ = phase::link;
  if (!declared_) return; // half a recipe: what is missing is no mistake of its own
  for (const auto& s : graph_->services()) {
    auto checked = s->check(*this);
    if (!checked) mistake(s->where(), s->kind(), {checked.error().op, checked.error().message});
  }
  for (const auto& [at, text] : graph_->endpoint_conflicts()) problems_.add(at, text);
}

result<void> host::start() {
  phase_ = phase::start;
  if (!state_folder_.empty()) {
    if (auto made = world_.files.make_folders(state_folder_, 0750); !made)
      return fail(made.error().code, "the state folder cannot be made: " + made.error().message, "state");
  }
  auto unavailable = probe_endpoints(*graph_, world_);
  if (!unavailable.held.empty()) {
    std::string text;
    for (const auto& line : unavailable.held) text += (text.empty() ? "" : "; ") + line;
    return fail(errc::exists, text, "start");
  }
  auto services = graph_->services();
  std::erase_if(services, [](const auto& s) { return !s->stays(); });
  if (!services.empty()) story_->start();
  for (const auto& s : services) {
    auto ok = s->start(*this);
    if (ok) {
      started_.push_back(s);
      continue;
    }
    auto text = s->where().to_string() + ": " + s->kind() + " \"" + s->name() + "\": " + ok.error().message;
    started_.clear();
    return fail(ok.error().code, text, "start");
  }
  auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - made_).count();
  for (const auto& each : unavailable.absent)
    world_.log(messages::address_awaited,
               each.service + " waits for the address " + each.local.address.to_string(),
               {{"service", each.service}, {"endpoint", each.local.to_string()}});
  log_fields fields{{"services", std::to_string(started_.size())}, {"ms", std::to_string(ms)}};
  if (!unavailable.absent.empty()) fields.emplace_back("waiting", std::to_string(unavailable.absent.size()));
  world_.log(messages::ready, "ready", fields);
  return {};
}

void host::run(std::function<void(int)> on_end) {
  phase_ = phase::run;
  on_end_ = std::move(on_end);
  auto jobs = std::move(jobs_);
  jobs_.clear();
  for (auto& begin : jobs) begin();
  if (main_) {
    main_running_ = true;
    lua_State* L = vm_->main();
    main_->push(L);
    auto t = tasks_->spawn(L, 0, {"netlab.main", main_at_, nullptr, true, {}});
    tasks_->when_finished(t, [this, t] {
      main_running_ = false;
      const auto& outcome = t->outcome();
      if (!outcome.ok) {
        if (outcome.failure.code == errc::cancelled && phase_ == phase::stop) return maybe_end();
        log_fields fields;
        if (!outcome.frames.empty()) fields.emplace_back("at", outcome.frames);
        world_.log(messages::main_failed, outcome.failure.message, fields);
        exit_code_ = 1;
      } else {
        lua_State* S = vm_->main();
        stack_guard guard(S);
        t->push_values(S, 2);
        if (lua_type(S, -2) == LUA_TNUMBER)
          exit_code_ = static_cast<int>(lua_tointeger(S, -2)) & 0xff;
        else if (lua_isboolean(S, -2))
          exit_code_ = lua_toboolean(S, -2) ? 0 : 1;
        else if (lua_isnil(S, -2) && !lua_isnil(S, -1)) { // nil, err
          world_.log(messages::main_failed, error_text(S, -1));
          exit_code_ = 1;
        }
      }
      maybe_end();
    });
  }
  world_.scheduler.post([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) maybe_end();
  });
}

void host::maybe_end() {
  if (phase_ == phase::stop) {
    if (draining_ == 0 && tasks_->live() == 0) finish_stop();
    return;
  }
  if (phase_ != phase::run || main_running_ || tasks_->live() > 0 || !started_.empty() || kept_ > 0) return;
  stop();
}

void host::stop(std::function<void()> done) {
  if (done) on_stopped_.push_back(std::move(done));
  if (phase_ == phase::stop) return;
  if (!started_.empty()) world_.log(messages::stopping, "stopping");
  phase_ = phase::stop;
  draining_ = 1; // holds the end back until every drain was asked for
  drain_deadline_ = world_.scheduler.after(drain_limit, [this] {
    std::string who;
    for (const auto& t : tasks_->all()) who += (who.empty() ? "" : ", ") + t->name();
    world_.log(messages::drain_late, "not everything finished in time", {{"tasks", who}});
    finish_stop();
  });
  tasks_->cancel_all();
  drain_services();
}

void host::drain_services() {
  auto services = started_;
  for (auto it = services.rbegin(); it != services.rend(); ++it) {
    ++draining_;
    (*it)->drain([this, alive = std::weak_ptr<int>(alive_), once = std::make_shared<bool>(false)] {
      if (alive.expired() || std::exchange(*once, true)) return;
      --draining_;
      maybe_end();
    });
  }
  --draining_;
  world_.scheduler.post([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) maybe_end();
  });
}

void host::finish_stop() {
  if (!on_end_ && on_stopped_.empty()) return;
  drain_deadline_.cancel();
  auto end = std::exchange(on_end_, {});
  auto stopped = std::move(on_stopped_);
  on_stopped_.clear();
  for (auto& fn : stopped) fn();
  if (end) end(exit_code_);
}

bool host::runs(const service& s) const {
  return std::any_of(started_.begin(), started_.end(), [&](const auto& one) { return one.get() == &s; });
}

json host::status() {
  json services = json::array();
  for (const auto& o : graph_->objects()) {
    json entry = {{"kind", o->kind()}, {"name", o->name()}, {"at", o->where().to_string()}};
    if (auto s = std::dynamic_pointer_cast<service>(o); s && s->stays()) {
      json endpoints = json::array();
      for (const auto& e : s->endpoints()) endpoints.push_back(e.protocol + " " + e.local.to_string());
      entry["endpoints"] = std::move(endpoints);
      entry["running"] = runs(*s);
    }
    entry["status"] = o->status();
    services.push_back(std::move(entry));
  }
  json nodes = json::array();
  for (const auto* n : nodes_->all()) {
    json entry = {{"name", n->name}, {"declared", n->declared}, {"role", n->role}};
    entry["mac"] = n->macs.empty() ? "" : n->macs[0].to_string();
    entry["address"] = n->address ? n->address->to_string() : n->ip ? n->ip->to_string() : "";
    nodes.push_back(std::move(entry));
  }
  json running = json::array();
  for (const auto& t : tasks_->all())
    running.push_back({{"name", t->name()}, {"at", t->where().to_string()}, {"waits_for", t->waits_for()}});
  json counters = json::array();
  for (const auto& s : world_.metrics.samples()) {
    json labels = json::object();
    for (const auto& [k, v] : s.labels) labels[k] = v;
    counters.push_back({{"name", s.name}, {"labels", std::move(labels)}, {"value", s.value}});
  }
  return {{"started", format_time(made_at_)},
          {"uptime", std::chrono::duration<double>(world_.clock.wall() - made_at_).count()},
          {"recipe", options_.recipe},
          {"state", state_folder_},
          {"services", std::move(services)},
          {"nodes", std::move(nodes)},
          {"tasks", std::move(running)},
          {"counters", std::move(counters)}};
}

} // namespace netlab::lua
