#include <csignal>
#include <cstdio>

#include "command.h"
#include "host/bundle.h"
#include "host/host.h"
#include "host/real_world.h"
#include "netlab/text.h"

namespace netlab::lua::command {

// The probes are recipes that travel in the binary: their options are netlab.args, their exit code is
// netlab.main's.
int probe(const api& a, const global_options& global, words w) {
  static constexpr std::string_view kinds[] = {"boot", "dhcp", "dns", "tftp"};
  auto kind = w.take_next();
  if (!kind)
    return usage_error("probe what? netlab probe boot, dhcp, dns or tftp; --help lists the options of each");
  auto source = bundle::find("lua/netlab/probe/" + *kind + ".lua");
  if (!source || *kind == "steps") {
    auto near = nearest_name(*kind, kinds);
    return usage_error(
        "there is no probe \"" + printable(*kind) + "\"" +
        (near ? " (did you mean \"" + std::string(*near) + "\"?)" : "; there are boot, dhcp, dns and tftp"));
  }
  auto arguments = w.rest();
  if (*kind == "tftp" && !arguments.empty() && !arguments[0].starts_with("-"))
    arguments.insert(arguments.begin(), "--url");
  if (*kind == "dns" && !arguments.empty() && !arguments[0].starts_with("-"))
    arguments.insert(arguments.begin(), "--name");

  // What a probe has to say goes to the standard output; the log is for trouble.
  real_world world(2, global.log, std::max(global.level, log_level::warn));
  int code = ok;
  {
    host_options o;
    o.recipe = "netlab probe " + *kind;
    o.arguments = std::move(arguments);
    o.vm.jit = global.jit;
    host h(
        world.control(), [&world]() -> runtime& { return world.bytes(); }, a, std::move(o));
    h.load_text(*source, "@probe/" + *kind + ".lua");
    if (h.early_exit) return *h.early_exit;
    if (!h.mistakes().empty()) {
      for (const auto& line : h.mistakes().lines()) std::fprintf(stderr, "%s\n", line.c_str());
      return bad_usage;
    }
    auto& loop = world.loop();
    auto stop = [&] { h.stop(); };
    auto terminate = loop.on_signal(SIGTERM, stop);
    auto interrupt = loop.on_signal(SIGINT, stop);
    h.run([&](int exit_code) {
      code = exit_code;
      loop.stop();
    });
    loop.run();
    world.stop_bytes();
  }
  return code;
}

} // namespace netlab::lua::command
