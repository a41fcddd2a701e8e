#include "netlab/process.h"

#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/host.h"

namespace netlab::lua {

namespace {

const schema& run_schema() {
  static const schema s = [] {
    schema out;
    out.name = "process.run";
    out.options = {
        required("argv", type::list(type::string()), "program and arguments; no shell reads them"),
        optional("input", type::string(), "what it reads on its standard input"),
        with_default("timeout", type::duration(), "5m", "after this time it is killed with all its children"),
        optional("env", type::map(type::string()), "variables added to netlab's own"),
        optional("folder", type::path(), "where it runs; by default the recipe's folder"),
    };
    return out;
  }();
  return s;
}

int run(call& c) {
  auto o = c.table(1, run_schema());
  process_options p;
  p.argv = o.list<std::string>("argv");
  if (p.argv.empty()) c.refuse("argv is empty");
  p.input = o.maybe<std::string>("input").value_or("");
  if (auto env = o.maybe<value_map>("env"))
    for (const auto& item : env->items) p.environment[item.name] = item.value.as<std::string>();
  auto folder = o.maybe<file_path>("folder");
  p.folder = folder ? folder->path : c.owner.recipe_folder();
  auto what = "process.run " + p.argv[0];
  auto& processes = c.owner.world().processes;
  auto& scheduler = c.owner.world().scheduler;
  return c.wait(what, o.get<duration>("timeout"), [&](waker w) -> std::shared_ptr<void> {
    auto child = processes.spawn(p, [w](process_result r) {
      w([r](lua_State* L) {
        push(L, json{{"exit_code", r.exit_code}, {"signal", r.signal}, {"dropped", r.dropped}});
        push(L, std::string_view(r.output));
        lua_setfield(L, -2, "output");
        push(L, std::string_view(r.errors));
        lua_setfield(L, -2, "errors");
        return 1;
      });
    });
    if (child) return std::shared_ptr<child_process>(std::move(*child));
    scheduler.post([w, e = child.error()] { w.fail(e); });
    return nullptr;
  });
}

} // namespace

void bind_process(api& a) {
  a.function({"process.run",
              run,
              "Runs a program and waits for its end. A program that ran is a result whatever its exit code; "
              "nil, err "
              "means that it could not run or took too long.",
              {{"options", "table", ""}},
              {{"result", "netlab.process_result?", "{ exit_code, signal, output, errors, dropped }"},
               {"err?", "netlab.error", ""}},
              true,
              run_schema()});
}

} // namespace netlab::lua
