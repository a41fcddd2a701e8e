#include <curl/curl.h>

#include <csignal>
#include <cstdio>

#include "command_line.h"
#include "host/bindings.h"

int main(int argc, char** argv) {
  using namespace netlab::lua;
  std::signal(SIGPIPE, SIG_IGN);
  curl_global_init(CURL_GLOBAL_DEFAULT); // before any thread, and only by the host: libraries must not
  auto described = describe_everything();
  command::command_line all(described);
  command::add_run(all);
  command::add_test(all);
  command::add_doc(all);
  command::add_built_in(all);
  command::add_status(all);
  command::add_top(all);
  command::add_console(all);
  command::add_reload(all);
  command::add_dns(all);
  command::add_registry(all);
  command::add_completion(all);
  all.add("version", "", "says which netlab this is", [](const command::global_options&) {
    std::printf("netlab %s\n", NETLAB_VERSION);
    return command::ok;
  });
  return all.run({argv, argv + argc});
}
