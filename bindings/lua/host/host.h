#pragma once
#include "host/api.h"
#include "host/graph.h"
#include "host/problems.h"
#include "host/tasks.h"
#include "host/vm.h"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "netlab/nodes.h"
#include "netlab/runtime.h"

namespace netlab::lua {

class plugins;
class story;

enum class phase { declare, link, start, run, stop };

struct host_options {
  std::string recipe;                 // path as the user gave it
  std::vector<std::string> arguments; // of the recipe
  vm_options vm;
  std::string control_path;    // of the control socket; empty: in the state folder or the runtime folder
  bool arguments_only = false; // the top level ends where netlab.args has declared its options
};

// A verb of the control socket: gets the request, answers with data.
using control_verb = std::function<result<json>(const json& request)>;

// One run of one recipe: the VM, the graph, the tasks and what they share. Everything on the control
// loop's thread, except what bytes() hands out. The world outlives it.
class host {
public:
  // `bytes` gives the runtime of a loop that serves files, made on first use; see real_world.h.
  using bytes_fn = std::function<runtime&(std::size_t which)>;
  host(runtime world, bytes_fn bytes, const api& described, host_options options);
  ~host();
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  // --- what bindings use
  runtime& world() { return world_; }
  // The bytes loop, and those beside it on which an HTTP server's further workers live.
  runtime& bytes(std::size_t which = 0) { return bytes_(which); }
  // Calls `fn` on a bytes loop's thread and returns when it has: how a service makes, changes and drops
  // what lives on that loop. Short work only, from start() and drain(); never from a destructor, because the
  // bytes loop ends before the graph does.
  void run_on_bytes(const std::function<void(runtime&)>& fn, std::size_t which = 0);
  vm& machine() { return *vm_; }
  lua::tasks& tasks() { return *tasks_; }
  lua::graph& graph() { return *graph_; }
  node_directory& nodes() { return *nodes_; }
  // What the leases that run now call their machines: DHCP servers write it, boot services match by it.
  std::unordered_map<mac_address, std::string>& lease_names() { return lease_names_; }
  lua::story& story() { return *story_; }
  lua::plugins& plugins() { return *plugins_; }
  const api& described() const { return api_; }
  const host_options& options() const { return options_; }
  phase now() const { return phase_; }
  problems& mistakes() { return problems_; }
  const std::string& recipe_folder() const { return recipe_folder_; }
  // Where services keep what must survive. Empty until the recipe calls netlab.state.
  const std::string& state_folder() const { return state_folder_; }
  void set_state_folder(std::string folder) { state_folder_ = std::move(folder); }
  // A file of the state folder; relative to the recipe when there is none.
  std::string state_path(std::string_view name) const;

  // Records a mistake of a constructor at the line of the option at fault; see option_mistake::path.
  void mistake(const position& call, const std::string& constructor, const option_mistake& m);
  // Whether one of that kind was not made, or not whole, because of a mistake: what seems to be missing of it
  // is no second one.
  bool mistaken(const std::string& constructor) const { return mistaken_.contains(constructor); }

  // Runs a recipe's handler as a task of its own: `push` leaves the arguments. A failure is logged with
  // the handler's name and never reaches the caller.
  void notify(const shared_reference& fn, const std::string& name,
              const std::function<int(lua_State*)>& push);
  // Asks a recipe's function for an answer now; it must not wait.
  result<void> ask(const shared_reference& fn, const std::string& name,
                   const std::function<int(lua_State*)>& push,
                   const std::function<void(lua_State*, int, int)>& read);

  // What rooms tell of nodes: joined by the directory, then given to every listener (timeline, console).
  void tell(const boot_event& event);
  void on_boot_event(boot_event_fn fn) { boot_listeners_.push_back(std::move(fn)); }
  // Names a verb of the control socket ("status", "timeline"); a later one replaces an earlier one.
  void on_control(const std::string& verb, control_verb fn) { verbs_[verb] = std::move(fn); }
  const std::map<std::string, control_verb>& control_verbs() const { return verbs_; }

  // --- netlab.main and netlab.every at the top level
  result<void> set_main(shared_reference fn, position at);
  bool has_main() const { return main_ != nullptr; }
  void add_job(std::function<void()> begin) { jobs_.push_back(std::move(begin)); }
  void keep_running(bool on) { kept_ += on ? 1 : -1; }

  // --- the run, in this order
  // Runs the recipe's top level and links the graph. All mistakes are in mistakes() afterwards.
  void load();
  // The same for source text under a chunk name, for tests.
  void load_text(std::string_view text, const std::string& chunk);
  void link();
  // Binds everything. On failure what was started is dropped again; the error names the recipe's line.
  result<void> start();
  // Starts netlab.main and the jobs. `on_end` runs once, when there is nothing left to do or after stop().
  void run(std::function<void(int exit_code)> on_end);
  void stop(std::function<void()> done = {});
  int exit_code() const { return exit_code_; }
  // Set by netlab.args when it has printed its help: the run ends with this code.
  std::optional<int> early_exit;
  // What netlab.args declares, in its order.
  std::vector<option> declared_arguments;
  // The error that ends the top level next is no news: its reason is reported already.
  void stop_declaring() { stopped_declaring_ = true; }
  json status();
  // Started, and not stopped since.
  bool runs(const service& s) const;

private:
  void declare(const std::string& chunk);
  void maybe_end();
  void drain_services();
  void finish_stop();

  runtime world_;
  bytes_fn bytes_;
  const api& api_;
  host_options options_;
  std::string recipe_folder_, state_folder_;
  phase phase_ = phase::declare;
  problems problems_;
  std::map<std::string, std::string> sources_; // of the files that mistakes point into
  // The graph goes after the VM: userdata refers to objects, objects hold references into the VM.
  std::unique_ptr<node_directory> nodes_;
  std::unordered_map<mac_address, std::string> lease_names_;
  std::unique_ptr<vm> vm_;
  std::unique_ptr<lua::graph> graph_;
  std::unique_ptr<lua::plugins> plugins_;
  std::unique_ptr<lua::tasks> tasks_;
  std::unique_ptr<lua::story> story_;
  std::vector<std::shared_ptr<service>> started_;
  std::vector<boot_event_fn> boot_listeners_;
  std::map<std::string, control_verb> verbs_;
  shared_reference main_;
  position main_at_;
  std::vector<std::function<void()>> jobs_;
  int kept_ = 0;
  bool main_running_ = false, stopped_declaring_ = false, declared_ = false;
  std::set<std::string> mistaken_;
  int exit_code_ = 0;
  std::function<void(int)> on_end_;
  std::vector<std::function<void()>> on_stopped_;
  timer drain_deadline_;
  std::size_t draining_ = 0;
  std::chrono::steady_clock::time_point made_ = std::chrono::steady_clock::now();
  wall_time made_at_ = world_.clock.wall();
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

} // namespace netlab::lua
