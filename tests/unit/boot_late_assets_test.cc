#include <doctest/doctest.h>

#include <fstream>

#include "netlab/boot_service.h"
#include "netlab/fetch.h"
#include "netlab/simulation.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::boot;

namespace {

// A boot service whose files are fetched from elsewhere, by nobody: the test says how far they are.
struct lab {
  manual_time time;
  test::temporary_folder folder;
  fetch::library library{time};
  std::vector<boot_event> events;
  std::unique_ptr<service> boot;
  std::vector<result<asset>> answers;

  lab() {
    for (auto name : {"kernel", "initrd", "cmdline"}) library.expect(name);
    service_options options;
    options.assets = folder.path();
    options.http_port = 8080;
    profile p;
    p.name = "linux";
    p.common.kernel = "kernel";
    p.common.initrd = std::vector<std::string>{"initrd"};
    p.common.cmdline = "cmdline";
    p.common.args = std::vector<std::string>{"node={{mac}}"};
    options.profiles = {p};
    options.groups = {{"", {}, "linux", {}}};
    service_world world;
    world.clock = &time;
    world.library = &library;
    world.on_event = [this](const boot_event& e) { events.push_back(e); };
    boot = std::make_unique<service>(options, std::move(world));
  }
  void here(const std::string& name, const std::string& text) {
    std::ofstream(folder / name, std::ios::binary) << text;
    fetch::file_state s;
    s.name = name;
    s.usable = true;
    s.phase = fetch::file_phase::ready;
    library.update(s);
  }
  void stands(const std::string& name, fetch::file_phase phase, const std::string& failure = {}) {
    fetch::file_state s;
    s.name = name;
    s.phase = phase;
    s.bytes = 50;
    s.size = 200;
    s.failure = failure;
    library.update(s);
  }
  void ask(const std::string& path, const std::string& query = {}, const std::string& agent = {},
           asset_protocol protocol = asset_protocol::http) {
    asset_request r;
    r.protocol = protocol;
    r.client = {*ip_address::parse("10.0.0.9"), 1};
    r.server = *ip_address::parse("10.0.0.1");
    r.server_port = 8080;
    r.path = path;
    r.query = query;
    r.user_agent = agent;
    boot->open(r, [this](result<asset> a) { answers.push_back(std::move(a)); });
  }
  std::string script() {
    ask("/ipxe", "mac=02-00-00-00-00-01&arch=x86_64&platform=efi", "iPXE/1.21");
    REQUIRE(answers.back());
    return *std::get<std::shared_ptr<const std::string>>(answers.back()->content);
  }
};

} // namespace

TEST_CASE("late assets: iPXE is told how far they are, and boots when they are here") {
  lab l;
  l.here("kernel", "k");
  l.stands("initrd", fetch::file_phase::fetching);
  auto text = l.script();
  CHECK(text.find("initrd is still being fetched: 25 % of 200 B") != std::string::npos);
  CHECK(text.find("sleep 3\nchain --replace --autofree http://10.0.0.1:8080/boot.ipxe") != std::string::npos);
  REQUIRE(l.events.size() == 1);
  CHECK(l.events[0].message_id == "NL-BOOT-044");
  CHECK_FALSE(l.events[0].done);
  l.script();
  CHECK(l.events.size() == 1); // not at each of its questions
  l.here("initrd", "i");
  CHECK(l.script().find("cmdline is still being fetched") != std::string::npos);
  l.here("cmdline", "talos.platform=metal  vga=791\n");
  text = l.script();
  CHECK(
      text.find(
          "kernel http://10.0.0.1:8080/assets/kernel talos.platform=metal vga=791 node=02:00:00:00:00:01") !=
      std::string::npos);
}

TEST_CASE("late assets: what could not be fetched is a refusal with its reason") {
  lab l;
  l.stands("kernel", fetch::file_phase::fetching);
  l.stands("initrd", fetch::file_phase::failed, "the source answers 404");
  auto text = l.script();
  CHECK(text.find("NL-BOOT-045") != std::string::npos);
  CHECK(text.find("initrd could not be fetched: the source answers 404") != std::string::npos);
  CHECK(l.events.back().stage == boot_stage::refused);
  l.ask("/assets/initrd");
  REQUIRE_FALSE(l.answers.back());
  CHECK(l.answers.back().error().code == errc::busy);
}

TEST_CASE("late assets: a request is held as long as its client waits") {
  struct patience {
    asset_protocol protocol;
    const char* agent;
    int seconds;
  };
  for (auto p : {patience{asset_protocol::http, "UefiHttpBoot/1.0", 4},
                 patience{asset_protocol::http, "iPXE/1.21", 20}, patience{asset_protocol::tftp, "", 10}}) {
    lab l;
    l.stands("kernel", fetch::file_phase::fetching);
    l.ask("/assets/kernel", {}, p.agent, p.protocol);
    l.time.advance(std::chrono::seconds(p.seconds) - std::chrono::milliseconds(1));
    CHECK(l.answers.empty());
    l.time.advance(std::chrono::milliseconds(1));
    REQUIRE(l.answers.size() == 1);
    CHECK(l.answers[0].error().code == errc::busy);
    CHECK(l.answers[0].error().message == "kernel is not here yet: 25 % of 200 B");
    l.ask("/assets/kernel", {}, p.agent, p.protocol);
    l.here("kernel", "k");
    REQUIRE(l.answers.size() == 2);
    CHECK(l.answers[1]);
  }
}

TEST_CASE("late assets: a copy that is not right is not served, though it lies there") {
  lab l;
  std::ofstream(l.folder / "kernel") << "altered";
  l.stands("kernel", fetch::file_phase::failed, "wrong checksum");
  l.ask("/assets/kernel");
  REQUIRE_FALSE(l.answers.back());
  CHECK(l.answers.back().error().message.find("wrong checksum") != std::string::npos);
  l.ask("/assets/.netlab-fetch/x.part");
  CHECK(l.answers.back().error().code == errc::not_found);
}

TEST_CASE("late assets: they are no missing files, and a service that goes answers who waits") {
  lab l;
  for (const auto& issue : l.boot->check()) CHECK(issue.id != "NL-BOOT-007");
  l.stands("kernel", fetch::file_phase::fetching);
  l.ask("/assets/kernel");
  l.boot.reset();
  l.time.advance(std::chrono::seconds(10));
  REQUIRE(l.answers.size() == 1);
  CHECK_FALSE(l.answers[0]);
}
