#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "command_line.h"
#include "host/control.h"
#include "host/host.h"
#include "host/messages.h"
#include "host/real_world.h"
#include "host/recipe_check.h"
#include "screen.h"

namespace netlab::lua::command {

namespace {

// `words` are the recipe's file and its arguments.
host_options options_for(const global_options& global, std::vector<std::string> words) {
  host_options out;
  out.recipe = words.front();
  words.erase(words.begin());
  out.arguments = std::move(words);
  out.vm.jit = global.jit;
  out.control_path = global.control;
  return out;
}

// Prints what is wrong; the number of mistakes is the last line, so that it is in view.
int report(const global_options& global, host& h) {
  auto lines = h.mistakes().lines();
  for (const auto& line : lines) std::fprintf(stderr, "%s\n", line.c_str());
  std::fprintf(stderr, "%s\n",
               paint(global, "31;1",
                     counted(lines.size(), "mistake") + " in " + h.options().recipe + "; nothing was started")
                   .c_str());
  return bad_usage;
}

// What is served where, for the human who started it; a log that is collected has it in its lines.
void print_summary(const global_options& global, host& h, bool has_control) {
  if (global.log == log_format::json || ::isatty(2) == 0) return;
  auto status = h.status();
  print_table(stderr, global, "netlab " NETLAB_VERSION " runs " + h.options().recipe, service_rows(status));
  std::string where;
  if (!global.control.empty()) {
    where = "--control " + global.control + " ";
  } else if (!h.state_folder().empty()) {
    where = "--state " + h.state_folder() + " ";
  }
  if (has_control) std::fprintf(stderr, "netlab %sstatus shows nodes and boots; ", where.c_str());
  std::fprintf(stderr, "Ctrl-C stops\n\n");
}

// The mistakes of the recipe as its file is now.
std::vector<std::string> mistakes_now(host& h) {
  auto text = h.world().files.read(h.options().recipe, 4u << 20);
  if (!text) return {text.error().message};
  return check_recipe_text(h, *text, h.options().recipe, h.options().arguments).messages;
}

// Begins the same command line in this process's place: one process id for whoever watches over it, and
// nothing that the old run held.
int start_anew(const global_options& global) {
  std::signal(SIGHUP, SIG_IGN); // until the new run listens to it; the default would end it
  std::vector<char*> arguments;
  for (const auto& word : global.command_line) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execv("/proc/self/exe", arguments.data());
  std::fprintf(stderr, "netlab: the new run cannot begin: %s\n", std::strerror(errno));
  return failed;
}

int check(const api& a, const global_options& global, std::vector<std::string> words, bool dump) {
  real_world world(2, global.log, global.level);
  host h(
      world.control(), [&world](std::size_t which) -> runtime& { return world.bytes(which); }, a,
      options_for(global, std::move(words)));
  h.load();
  if (h.early_exit) return *h.early_exit;
  h.link();
  if (!h.mistakes().empty()) return report(global, h);
  std::size_t notes = 0;
  for (const auto& s : h.graph().services())
    for (const auto& note : s->notes()) {
      ++notes;
      std::fprintf(stderr, "%s: note: %s \"%s\": %s\n", s->where().to_string().c_str(), s->kind().c_str(),
                   s->name().c_str(), note.c_str());
    }
  if (dump) {
    std::printf("%s\n", h.graph().dump().dump(2).c_str());
    return ok;
  }
  for (const auto& o : h.graph().objects())
    std::printf("%-16s %-20s %s\n", o->kind().c_str(), o->name().c_str(), o->where().to_string().c_str());
  auto verdict = h.options().recipe + " is good";
  if (notes > 0) verdict += ", with " + counted(notes, "note");
  std::printf("%s\n", paint(global.for_output(), notes > 0 ? "33" : "32", verdict).c_str());
  return ok;
}

int run(const api& a, const global_options& global, std::vector<std::string> words) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0); // what a recipe prints shows at once, in a pipe and a journal too
  int code = ok;
  bool again = false;
  std::optional<real_world> running(std::in_place, 2, global.log, global.level);
  auto& world = *running;
  {
    host h(
        world.control(), [&world](std::size_t which) -> runtime& { return world.bytes(which); }, a,
        options_for(global, std::move(words)));
    h.load();
    if (h.early_exit) return *h.early_exit;
    h.link();
    if (!h.mistakes().empty()) return report(global, h);

    std::unique_ptr<control_server> control;
    // What only checks leaves no instance to ask: several such recipes run side by side.
    auto services = h.graph().services();
    bool serves = std::any_of(services.begin(), services.end(), [](const auto& s) { return s->stays(); });
    if (serves || !h.state_folder().empty() || !global.control.empty()) {
      auto path = control_socket_path(global.control, h.state_folder());
      auto opened = control_server::open(h, path);
      if (opened) {
        control = std::move(*opened);
      } else if (opened.error().code == errc::exists) {
        std::fprintf(stderr, "netlab: %s\n", opened.error().message.c_str());
        return failed;
      } else {
        h.world().log(messages::control_off, opened.error().message);
      }
    }
    // Before anybody is told that netlab is ready: whoever reads that may end it at once.
    auto& loop = world.loop();
    // A second signal while draining ends the wait at once.
    int signals = 0;
    auto stop = [&] {
      if (++signals > 1) ::_exit(failed);
      again = false;
      h.stop();
    };
    auto terminate = loop.on_signal(SIGTERM, stop);
    auto interrupt = loop.on_signal(SIGINT, stop);
    auto reload = [&]() -> result<json> {
      std::string text;
      for (const auto& line : mistakes_now(h)) text += (text.empty() ? "" : "\n") + line;
      if (!text.empty()) {
        h.world().log(messages::reload_refused, text);
        return fail(errc::invalid, text, "reload");
      }
      h.world().log(messages::reloading, h.options().recipe + " is read anew");
      again = signals == 0;
      h.world().scheduler.post([&h] { h.stop(); }); // the answer leaves first
      return json::object();
    };
    std::shared_ptr<void> hangup;
    if (serves) {
      h.on_control("reload", [&](const json&) { return reload(); });
      hangup = loop.on_signal(SIGHUP, [&] { (void)reload(); });
    }
    if (auto started = h.start(); !started) {
      h.world().log(messages::start_failed, started.error().message);
      world.stop_bytes();
      return failed;
    }
    if (serves) print_summary(global, h, control != nullptr);
    h.run([&](int exit_code) {
      code = exit_code;
      loop.stop();
    });
    loop.run();
    // The bytes loop's thread must not run while what it serves is destroyed.
    world.stop_bytes();
    control.reset();
  }
  running.reset();
  return again ? start_anew(global) : code;
}

} // namespace

void add_run(command_line& all) {
  auto options = [&all](const std::string& file) {
    return declared_arguments(all.described(), options_for({}, {file}), [](host& h) { h.load(); });
  };
  all.add_recipe(
      "run", "FILE [--opt value]…",
      "runs a recipe; options after FILE belong to the recipe (FILE --help lists them)",
      [&all](const global_options& global, std::vector<std::string> words) {
        return run(all.described(), global, std::move(words));
      },
      options);
  auto dump = std::make_shared<bool>();
  all.add_recipe(
         "check", "FILE [--opt value]…", "reports every mistake of a recipe without binding or calling out",
         [&all, dump](const global_options& global, std::vector<std::string> words) {
           // A look at the whole is an afterthought: it may stand at the end.
           if (std::erase(words, "--dump") > 0) *dump = true;
           return check(all.described(), global, std::move(words), *dump);
         },
         options)
      .add_flag("--dump", *dump, "prints the resulting graph as JSON");
}

} // namespace netlab::lua::command
