#include <curl/curl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "command.h"
#include "host/bindings.h"
#include "netlab/text.h"

namespace netlab::lua::command {

namespace {

constexpr const char* usage =
    R"(usage: netlab [global options] COMMAND …

  run FILE [--opt value]      runs a recipe; options after FILE belong to the recipe (FILE --help lists them)
  check FILE [--dump]         reports every mistake of a recipe without binding or calling out; --dump prints
                              the resulting graph as JSON
  test FILE… [--junit OUT]    runs recipe tests; TAP on the standard output; --virtual-time does not wait for timers
  doc [NAME]                  what recipes can name; --markdown, --stubs, --messages write the generated files
  plugin list [FILE]          the plugins that a recipe would find
  probe boot|dhcp|dns|tftp [--opt value]
                              a client that walks the chain and says where it stops
  dns top [--since 24h]       what is asked and blocked most, and by whom
  dns tail [-f] [NAME]        the query log, newest last; -f follows it
  dns why NAME [--client A]   how a name is answered, by which rule, group and upstream
  dns allow|block NAME [--for 1h]
  dns pause TIME, resume, remove NAME
                              changes what is blocked until it is over or taken back; see netlab status
  status [NODE] [--boots] [--json]
                              a running instance: services, nodes, the latest boot and every boot that stopped;
                              with NODE or --boots: the boot of one node or of all, step by step
  top [--interval 2s] [--frames N]
                              a running instance as it works: what every service does a second, and the nodes;
                              q or Ctrl-C ends it
  console [--eval LUA]        Lua inside a running instance, line by line: netlab, and every handle by its name
  reload                      a running instance reads its recipe anew; with a mistake in it, what runs goes on
  registry ls|stat|gc|verify|prefetch|pin|unpin [IMAGE…] [--file LIST] [--platform OS/ARCH] [--name NAME] [--json]
                              a running registry proxy: what its cache holds, how it does, what is to be fetched
                              before it is needed (LIST: one image a line, or Kubernetes manifests; "-": standard
                              input), and what is kept whatever the limit says
  version

global options:
  --log text|json             how log lines look (standard error)
  --log-level LEVEL           trace, debug, info, warn or error
  --no-colour                 no colour, as NO_COLOR=1
  --jit                       compile hot recipe code; endless loops are then only reported, not stopped
  --control PATH              the control socket: of "run", by default in the recipe's state folder
  --state FOLDER              the state folder of the instance that "status" asks (default: /var/lib/netlab)

first steps:
  netlab check lab.lua && sudo netlab run lab.lua
  netlab doc dhcp.server      every option of one constructor; "netlab doc" lists the constructors

exit codes: 0 success, 1 failure, 2 wrong usage or a mistake in the recipe, 3 no running instance
)";

using command_fn = int (*)(const api&, const global_options&, words);
struct entry {
  const char* name;
  command_fn fn;
};
constexpr entry commands[] = {{"run", run},       {"check", check},    {"test", test},
                              {"doc", doc},       {"plugin", plugin},  {"status", status},
                              {"probe", probe},   {"dns", dns},        {"registry", registry},
                              {"reload", reload}, {"top", top_screen}, {"console", console}};

std::optional<log_level> level_of(const std::string& text) {
  for (auto level : {log_level::trace, log_level::debug, log_level::info, log_level::warn, log_level::error})
    if (to_string(level) == text) return level;
  return std::nullopt;
}

int start(std::vector<std::string> typed) {
  auto all = std::vector(typed.begin() + 1, typed.end());
  // Options before the file of `run` are netlab's; those after it are the recipe's.
  std::size_t mine = all.size();
  for (std::size_t i = 0; i < all.size(); ++i) {
    bool value = all[i] == "--log" || all[i] == "--log-level" || all[i] == "--control" || all[i] == "--state";
    if (value) {
      ++i;
      continue;
    }
    if (all[i] == "run" || all[i] == "check" || all[i] == "probe") {
      for (std::size_t j = i + 1; j < all.size(); ++j) {
        bool more =
            all[j] == "--log" || all[j] == "--log-level" || all[j] == "--control" || all[j] == "--state";
        if (more) {
          ++j;
        } else if (!all[j].starts_with("-")) {
          mine = j + 1;
          break;
        }
      }
    }
    if (!all[i].starts_with("-")) break;
  }
  std::vector<std::string> recipe(all.begin() + static_cast<long>(mine), all.end());
  all.resize(mine);
  words w(std::move(all));

  global_options global;
  global.command_line = typed;
  global.colour = ::isatty(2) == 1 && !std::getenv("NO_COLOR");
  if (auto text = w.take_value("--log")) {
    if (*text != "text" && *text != "json")
      return usage_error("--log takes text or json, got \"" + *text + "\"");
    if (*text == "json") global.log = log_format::json;
  }
  if (auto text = w.take_value("--log-level")) {
    auto level = level_of(*text);
    if (!level)
      return usage_error("--log-level takes trace, debug, info, warn or error, got \"" + *text + "\"");
    global.level = *level;
  }
  if (w.take_switch("--no-colour") || w.take_switch("--no-color")) global.colour = false;
  if (global.colour && global.log == log_format::text) global.log = log_format::colour;
  global.jit = w.take_switch("--jit");
  global.control = w.take_value("--control").value_or("");
  global.state = w.take_value("--state").value_or("");
  bool version = w.take_switch("--version");
  bool help = w.take_switch("--help") || w.take_switch("-h");
  auto name = w.take_next();
  if (version || name == "version") {
    std::printf("netlab %s\n", NETLAB_VERSION);
    return ok;
  }
  if (!name || help || *name == "help") {
    std::fputs(usage, help || name ? stdout : stderr);
    return help || name ? ok : bad_usage;
  }
  std::vector<std::string_view> names;
  for (const auto& c : commands) {
    names.push_back(c.name);
    if (*name != c.name) continue;
    auto rest = w.rest();
    rest.insert(rest.end(), recipe.begin(), recipe.end());
    auto described = describe_everything();
    return c.fn(described, global, words(std::move(rest)));
  }
  names.push_back("version");
  auto near = nearest_name(*name, names);
  return usage_error("there is no command \"" + printable(*name) + "\"" +
                     (near ? " (did you mean \"" + std::string(*near) + "\"?)" : ""));
}

} // namespace

bool words::take_switch(const std::string& name) {
  for (auto it = all_.begin(); it != all_.end(); ++it) {
    if (*it != name) continue;
    all_.erase(it);
    return true;
  }
  return false;
}

std::optional<std::string> words::take_value(const std::string& name) {
  for (auto it = all_.begin(); it != all_.end(); ++it) {
    if (it->starts_with(name + "=")) {
      auto out = it->substr(name.size() + 1);
      all_.erase(it);
      return out;
    }
    if (*it == name && std::next(it) != all_.end()) {
      auto out = *std::next(it);
      all_.erase(it, it + 2);
      return out;
    }
  }
  return std::nullopt;
}

std::optional<std::string> words::take_next() {
  for (auto it = all_.begin(); it != all_.end(); ++it) {
    if (it->starts_with("-")) continue;
    auto out = *it;
    all_.erase(it);
    return out;
  }
  return std::nullopt;
}

std::string words::leftover(const std::vector<std::string>& known) const {
  if (all_.empty()) return {};
  std::vector<std::string_view> names(known.begin(), known.end());
  auto near = nearest_name(all_[0], names);
  return "unexpected \"" + printable(all_[0]) + "\"" +
         (near ? " (did you mean \"" + std::string(*near) + "\"?)" : "");
}

int usage_error(const std::string& text) {
  std::fprintf(stderr, "netlab: %s\nnetlab --help lists commands and options\n", text.c_str());
  return bad_usage;
}

std::string paint(const global_options& global, const char* code, const std::string& text) {
  return global.colour ? "\x1b[" + std::string(code) + "m" + text + "\x1b[0m" : text;
}

} // namespace netlab::lua::command

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  curl_global_init(CURL_GLOBAL_DEFAULT); // before any thread, and only by the host: libraries must not
  return netlab::lua::command::start({argv, argv + argc});
}
