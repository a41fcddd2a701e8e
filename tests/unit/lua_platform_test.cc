#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "lua_world.h"
#include "netlab/files.h"

using namespace netlab;
using namespace netlab::lua;

namespace {

// What a machine shows under /sys, and nothing else.
class sys_files final : public files {
public:
  std::map<std::string, std::string> content;
  result<std::string> read(const std::string& path, std::size_t) override {
    auto found = content.find(path);
    if (found == content.end()) return none();
    return found->second;
  }
  result<file_info> info(const std::string& path) override {
    auto next = content.lower_bound(path);
    if (next == content.end() || !next->first.starts_with(path)) return none();
    return file_info{path, next->first != path, 0, 0};
  }
  result<void> write(const std::string&, std::string_view, int) override { return none(); }
  result<std::vector<file_info>> list(const std::string&) override { return none(); }
  result<void> make_folders(const std::string&, int) override { return none(); }
  result<void> remove(const std::string&) override { return none(); }
  result<std::shared_ptr<void>> watch(const std::string&, std::function<void()>) override { return none(); }

private:
  static tl::unexpected<error> none() { return fail(errc::not_found, "it is not there", "sys_files"); }
};

struct instance {
  lua_test::world world;
  sys_files sys;
  runtime seen{world.runtime.clock,     world.runtime.scheduler, world.runtime.random, world.runtime.net, sys,
               world.runtime.processes, world.runtime.http,      world.runtime.log,    world.metrics};

  explicit instance(std::map<std::string, std::string> content) { sys.content = std::move(content); }

  std::unique_ptr<lua::host> host(const std::string& network_options = "") {
    host_options options;
    options.recipe = "recipe.lua";
    auto out = std::make_unique<lua::host>(
        seen, [this](std::size_t) -> runtime& { return seen; }, world.api, options);
    out->load_text("local netlab = require \"netlab\"\n"
                   "local lan = netlab.network { interface = \"ens5\", address = \"10.20.13.140/24\"" +
                       network_options +
                       " }\n"
                       "netlab.dhcp.server { network = lan, range = \"10.20.13.100-10.20.13.199\" }\n"
                       "netlab.tftp.server { listen = { lan:at(69) }, root = \"/srv/tftp\" }\n",
                   "@recipe.lua");
    out->link();
    return out;
  }
  std::string platform(const std::string& network_options = "") {
    return host(network_options)->graph().find("network", "ens5")->status()["platform"].get<std::string>();
  }
};

const std::pair<const std::string, std::string> device{"/sys/class/net/ens5/device/vendor", "0x1d0f\n"};
const std::pair<const std::string, std::string> nitro{"/sys/class/dmi/id/sys_vendor", "Amazon EC2\n"};

} // namespace

TEST_CASE("platform: an instance of EC2 is known by its SMBIOS tables, a VPC's interface by its device") {
  CHECK(instance({nitro, device}).platform() == "ec2");
  CHECK(instance({{"/sys/class/dmi/id/board_vendor", "Amazon EC2"}, device}).platform() == "ec2");
  CHECK(instance({{"/sys/class/dmi/id/product_uuid", "EC2AB0C1-0000\n"}, device}).platform() == "ec2");
  CHECK(instance({{"/sys/hypervisor/uuid", "ec2ab0c1-0000\n"}, device}).platform() == "ec2");
  // A bridge or a virtual cable on an instance is a network like any other.
  CHECK(instance({nitro}).platform() == "metal");
  CHECK(instance({device}).platform() == "metal");
  CHECK(instance({{"/sys/class/dmi/id/sys_vendor", "Dell Inc."}, device}).platform() == "metal");
  CHECK(instance({{"/sys/class/dmi/id/sys_vendor", "Not Amazon EC2"}, device}).platform() == "metal");
  CHECK(instance({}).platform() == "metal");
}

TEST_CASE("platform: the recipe has the last word") {
  CHECK(instance({nitro, device}).platform(", platform = \"metal\"") == "metal");
  CHECK(instance({}).platform(", platform = \"ec2\"") == "ec2");
  CHECK(instance({}).platform(", platform = \"auto\"") == "metal");
  auto wrong = instance({}).host(", platform = \"aws\"")->mistakes().lines();
  REQUIRE(!wrong.empty());
  CHECK(wrong[0].find("expected \"auto\", \"ec2\" or \"metal\", got") != std::string::npos);
}

TEST_CASE("platform: in a VPC DHCP and TFTP bind nothing and say why, in check, log and status") {
  instance here({nitro, device});
  auto h = here.host();
  CHECK(h->mistakes().lines().empty());
  for (const auto& s : h->graph().services()) {
    CAPTURE(s->kind());
    CHECK(s->endpoints().empty());
    auto notes = s->notes();
    REQUIRE(notes.size() == 1);
    CHECK(notes[0].find("stays off on network \"ens5\"") != std::string::npos);
    CHECK(notes[0].find("sys_vendor is \"Amazon EC2\"") != std::string::npos);
    CHECK(notes[0].ends_with("[NL-HOST-020]"));
  }
  // The address is not this machine's: binding it would fail.
  REQUIRE(h->start().has_value());
  CHECK(here.world.log.count("NL-HOST-020 dhcp.server stays off") == 1);
  CHECK(here.world.log.count("NL-HOST-020 tftp.server stays off") == 1);
  for (const auto& s : h->graph().services()) CHECK(s->status().contains("off"));
  bool stopped = false;
  h->stop([&] { stopped = true; });
  for (int i = 0; i < 100 && !stopped; ++i) here.world.time.advance(std::chrono::milliseconds(100));
  CHECK(stopped);
}

TEST_CASE("platform: mistakes of a server that stays off are told all the same") {
  instance here({nitro, device});
  host_options options;
  options.recipe = "recipe.lua";
  lua::host h(
      here.seen, [&](std::size_t) -> runtime& { return here.seen; }, here.world.api, options);
  h.load_text("local netlab = require \"netlab\"\n"
              "local lan = netlab.network { interface = \"ens5\", address = \"10.20.13.140/24\" }\n"
              "netlab.dhcp.server { network = lan, range = \"10.99.0.1-10.99.0.9\" }\n",
              "@recipe.lua");
  h.link();
  CHECK(!h.mistakes().lines().empty());
}
