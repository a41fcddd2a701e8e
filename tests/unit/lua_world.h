#pragma once
#include <string>
#include <vector>

#include "../../bindings/lua/host/bindings.h"
#include "../../bindings/lua/host/host.h"
#include "netlab/event_loop.h"
#include "netlab/http_client.h"
#include "netlab/simulation.h"

// A host in virtual time: timers and posts move only when the test says so, files are real.
namespace lua_test {

struct captured_log final : netlab::log_sink {
  std::vector<std::string> lines; // "NL-… text at=…"
  bool enabled(netlab::log_level) const override { return true; }
  void write(const netlab::log_record& r) override {
    std::string line = std::string(r.id) + " " + std::string(r.text);
    for (const auto& [key, value] : *r.fields) line += " " + std::string(key) + "=" + value;
    lines.push_back(line);
  }
  std::size_t count(const std::string& part) const {
    std::size_t n = 0;
    for (const auto& l : lines) n += l.find(part) != std::string::npos;
    return n;
  }
};

struct world {
  netlab::event_loop loop;
  netlab::manual_time time;
  std::unique_ptr<netlab::http_client> http = netlab::make_http_client(loop);
  netlab::metrics metrics;
  captured_log log;
  netlab::runtime runtime{
      time,   time, loop.random(), loop.net(), loop.files(), loop.processes(), *http, netlab::log(log, time),
      metrics};
  netlab::lua::api api = netlab::lua::describe_everything();

  std::unique_ptr<netlab::lua::host> host(const std::string& recipe) {
    netlab::lua::host_options options;
    options.recipe = "recipe.lua";
    auto out = std::make_unique<netlab::lua::host>(
        runtime, [this](std::size_t) -> netlab::runtime& { return runtime; }, api, options);
    out->load_text("local netlab = require \"netlab\"\n" + recipe, "@recipe.lua");
    out->link();
    return out;
  }
};

} // namespace lua_test
