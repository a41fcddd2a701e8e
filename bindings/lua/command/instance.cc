#include "instance.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "host/control.h"

namespace netlab::lua::command {

namespace {

std::vector<std::string> places(const global_options& global) {
  if (!global.control.empty()) return {global.control};
  if (!global.state.empty()) return {global.state + "/control.sock"};
  return {runtime_folder() + "/control.sock", "/var/lib/netlab/control.sock"};
}

} // namespace

result<json> ask_instance(const global_options& global, const json& request) {
  std::string tried;
  for (const auto& place : places(global)) {
    auto got = ask_control(place, request);
    if (got || got.error().code == errc::refused) {
      if (got || got.error().op != "control" || ::access(place.c_str(), F_OK) == 0) return got;
    }
    tried += (tried.empty() ? "" : "; ") + got.error().message;
  }
  return fail(errc::unreachable,
              "no running netlab answers (" + tried + "): name its state folder with --state", "status");
}

} // namespace netlab::lua::command
