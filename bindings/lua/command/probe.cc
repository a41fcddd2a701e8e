#include <csignal>
#include <cstdio>

#include "command_line.h"
#include "host/bundle.h"
#include "host/host.h"
#include "host/real_world.h"

namespace netlab::lua::command {

namespace {

struct kind {
  const char* name;
  const char* operand; // an option that the first word may be, without its name
  const char* shown;
  const char* help;
};
constexpr kind kinds[] = {
    {"boot", "", "", "a virtual machine that walks the boot chain and says where it stops"},
    {"dhcp", "", "", "asks for an address and for what to boot, and says who answers"},
    {"dns", "name", "NAME", "asks for a name by every way and compares the answers"},
    {"tftp", "url", "URL", "fetches a file"},
    {"registry", "image", "IMAGE", "pulls an image and checks every byte of it"},
};

host_options options_for(const kind& k, const global_options& global, std::vector<std::string> arguments) {
  if (*k.operand && !arguments.empty() && !arguments[0].starts_with("-"))
    arguments.insert(arguments.begin(), "--" + std::string(k.operand));
  host_options out;
  out.recipe = "netlab probe " + std::string(k.name);
  out.arguments = std::move(arguments);
  out.vm.jit = global.jit;
  return out;
}

void load(host& h, const kind& k) {
  auto source = bundle::find("lua/netlab/probe/" + std::string(k.name) + ".lua");
  h.load_text(*source, "@probe/" + std::string(k.name) + ".lua");
}

int probe(const api& a, const kind& k, const global_options& global, std::vector<std::string> arguments) {
  // What a probe has to say goes to the standard output; the log is for trouble.
  real_world world(2, global.log, std::max(global.level, log_level::warn));
  int code = ok;
  {
    host h(
        world.control(), [&world]() -> runtime& { return world.bytes(); }, a,
        options_for(k, global, std::move(arguments)));
    load(h, k);
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

std::vector<option> options_of_probe(const api& a, const kind& k) {
  auto options = options_for(k, {}, {});
  options.arguments_only = true;
  real_world world(2, log_format::text, log_level::error);
  host h(
      world.control(), [&world]() -> runtime& { return world.bytes(); }, a, std::move(options));
  load(h, k);
  return h.declared_arguments;
}

} // namespace

// The probes are recipes that travel in the binary: their options are netlab.args, their exit code is
// netlab.main's.
void add_probe(command_line& all) {
  all.group("probe", "a client: shows each step, its time, and why it failed");
  for (const auto& k : kinds)
    all.add_recipe(
           "probe " + std::string(k.name), k.shown, k.help,
           [&all, &k](const global_options& global, std::vector<std::string> words) {
             return probe(all.described(), k, global, std::move(words));
           },
           [&all, &k](const std::string&) { return options_of_probe(all.described(), k); })
        .set_help_flag(); // the recipe has its own
}

} // namespace netlab::lua::command
