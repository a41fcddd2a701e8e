#include <csignal>
#include <cstdio>

#include "command_line.h"
#include "host/bundle.h"
#include "host/host.h"
#include "host/real_world.h"

namespace netlab::lua::command {

namespace {

// A command that is a recipe in the binary: its options are netlab.args, its exit code is netlab.main's.
struct built_in {
  const char* name; // as it is typed
  const char* file;
  const char* operand; // an option that the first word may be, without its name
  const char* shown;
  const char* help;
};
constexpr built_in built_ins[] = {
    {"probe boot", "lua/netlab/probe/boot.lua", "", "",
     "a virtual machine that walks the boot chain and says where it stops"},
    {"probe dhcp", "lua/netlab/probe/dhcp.lua", "", "",
     "asks for an address and for what to boot, and says who answers"},
    {"probe dns", "lua/netlab/probe/dns.lua", "name", "NAME",
     "asks for a name by every way and compares the answers"},
    {"probe tftp", "lua/netlab/probe/tftp.lua", "url", "URL", "fetches a file"},
    {"probe registry", "lua/netlab/probe/registry.lua", "image", "IMAGE",
     "pulls an image and checks every byte of it"},
    {"aws prices", "plugins/awslab/prices_command.lua", "", "",
     "what plans and checks are priced by; --refresh asks the Pricing API"},
};

host_options options_for(const built_in& b, const global_options& global,
                         std::vector<std::string> arguments) {
  if (*b.operand && !arguments.empty() && !arguments[0].starts_with("-"))
    arguments.insert(arguments.begin(), "--" + std::string(b.operand));
  host_options out;
  out.recipe = "netlab " + std::string(b.name);
  out.arguments = std::move(arguments);
  out.vm.jit = global.jit;
  return out;
}

void load(host& h, const built_in& b) { h.load_text(*bundle::find(b.file), "@" + std::string(b.file)); }

int run_built_in(const api& a, const built_in& b, const global_options& global,
                 std::vector<std::string> arguments) {
  // What it has to say goes to the standard output; the log is for trouble.
  real_world world(2, global.log, std::max(global.level, log_level::warn));
  int code = ok;
  {
    host h(
        world.control(), [&world](std::size_t which) -> runtime& { return world.bytes(which); }, a,
        options_for(b, global, std::move(arguments)));
    load(h, b);
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

} // namespace

void add_built_in(command_line& all) {
  all.group("probe", "a client: shows each step, its time, and why it failed");
  all.group("aws", "what the recipes of AWS go by");
  for (const auto& b : built_ins)
    all.add_recipe(
           b.name, b.shown, b.help,
           [&all, &b](const global_options& global, std::vector<std::string> words) {
             return run_built_in(all.described(), b, global, std::move(words));
           },
           [&all, &b](const std::string&) {
             return declared_arguments(all.described(), options_for(b, {}, {}),
                                       [&b](host& h) { load(h, b); });
           })
        .set_help_flag(); // the recipe has its own
}

} // namespace netlab::lua::command
