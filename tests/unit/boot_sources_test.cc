#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "netlab/boot_service.h"
#include "netlab/simulation.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::boot;

namespace {

// A boot service whose sources answer what the test says.
struct sourced {
  netlab::test::temporary_folder folder;
  manual_time time;
  std::vector<boot_event> events;
  std::vector<std::string> asked; // "first /ipxe"
  service_options options;
  std::unique_ptr<service> boot;

  sourced() {
    std::filesystem::create_directories(folder / "assets");
    std::filesystem::create_directories(folder / "ipxe");
    for (auto name : {"assets/vmlinuz", "ipxe/snponly.efi", "ipxe/undionly.kpxe"})
      std::ofstream(folder / name) << "content of " << name;
    options.assets = folder / "assets";
    options.ipxe_folders = {folder / "ipxe"};
    options.stub_folders = {};
    options.http_port = 8080;
  }

  using answer_fn = std::function<result<source_answer>(const source_request&)>;
  void source(const std::string& name, answer_fn fn) {
    options.sources.push_back({name, [this, name, fn](const source_request& r, source_reply_fn reply) {
                                 asked.push_back(name + " " + r.asked.path);
                                 reply(fn(r));
                               }});
  }
  static result<source_answer> nothing(const source_request&) { return fail(errc::not_found, "not mine"); }
  static answer_fn says(const std::string& text, std::optional<boot_stage> stage = {}) {
    return [=](const source_request&) -> result<source_answer> {
      source_answer out;
      out.content.content = std::make_shared<const std::string>(text);
      out.stage = stage;
      return out;
    };
  }

  void own_profile() {
    profile p;
    p.name = "own";
    p.common.kernel = "vmlinuz";
    options.profiles.push_back(p);
    options.groups = {{"", {}, "own", {}}};
  }

  service& start() {
    service_world w;
    w.clock = &time;
    w.on_event = [this](const boot_event& e) { events.push_back(e); };
    boot = std::make_unique<service>(options, w);
    return *boot;
  }

  result<asset> get(const std::string& url) {
    if (!boot) start();
    asset_request r;
    r.client = {ip_address::parse("10.77.0.11").value(), 1234};
    r.server = ip_address::parse("10.77.0.1").value();
    r.server_port = 8080;
    auto q = url.find('?');
    r.path = url.substr(0, q);
    r.query = q == std::string::npos ? "" : url.substr(q + 1);
    std::optional<result<asset>> out;
    boot->open(r, [&](result<asset> a) { out = std::move(a); });
    REQUIRE(out.has_value());
    return std::move(*out);
  }
  std::string text(const std::string& url) {
    auto got = get(url);
    if (!got) return "error: " + got.error().message;
    auto* held = std::get_if<std::shared_ptr<const std::string>>(&got->content);
    return held ? **held : "a file";
  }

  boot_reply ask(std::uint16_t arch, const std::string& vendor = "PXEClient") {
    if (!boot) start();
    boot_request r;
    r.node.mac = mac_address::parse("52:54:00:0a:4d:11").value();
    r.architectures = {arch};
    r.vendor_class = vendor;
    r.server = ip_address::parse("10.77.0.1").value();
    return boot->decide(r);
  }
};

} // namespace

TEST_CASE("boot sources: the first that answers wins, then the recipe's own") {
  sourced lab;
  lab.source("first", sourced::nothing);
  lab.source("second", [](const source_request& r) -> result<source_answer> {
    if (r.asked.path == "/generic") return sourced::says("second")(r);
    return fail(errc::not_found, "");
  });
  lab.source("third", sourced::says("third"));
  lab.own_profile();
  CHECK(lab.text("/generic?mac=52-54-00-0a-4d-11") == "second");
  CHECK(lab.text("/anything") == "third");
  CHECK(lab.asked == std::vector<std::string>{"first /generic", "second /generic", "first /anything",
                                              "second /anything", "third /anything"});
  SUBCASE("what none of them has is the recipe's") {
    lab.options.sources.pop_back();
    lab.start();
    CHECK(lab.text("/ipxe?mac=52-54-00-0a-4d-11").find("/assets/vmlinuz") != std::string::npos);
    CHECK(lab.text("/assets/vmlinuz") == "a file");
  }
}

TEST_CASE("boot sources: loaders and assembled images are not theirs") {
  sourced lab;
  lab.source("all", sourced::says("no loader"));
  for (auto path :
       {"/snponly.efi", "/ipxe/snponly.efi", "/undionly.kpxe", "/uki/x-amd64.efi", "/profiles/x/amd64/y"})
    CHECK(lab.text(path) != "no loader");
  CHECK(lab.text("/snponly.efi") == "a file");
  CHECK(lab.asked.empty());
}

TEST_CASE("boot sources: a failure ends the request with 404, the log and the timeline say why") {
  sourced lab;
  lab.source("broken", [](const source_request&) { return fail(errc::io, "x.lua:7: deliberate"); });
  lab.source("good", sourced::says("good"));
  auto got = lab.get("/generic?mac=52-54-00-0a-4d-11");
  REQUIRE(!got);
  CHECK(got.error().code == errc::not_found);
  CHECK(lab.asked.size() == 1);
  REQUIRE(lab.events.size() == 1);
  CHECK(lab.events[0].stage == boot_stage::refused);
  CHECK(lab.events[0].message_id == "NL-BOOT-043");
  CHECK(lab.events[0].detail == "52:54:00:0a:4d:11: /generic of broken: x.lua:7: deliberate");
  lab.get("/generic?mac=52-54-00-0a-4d-11");
  CHECK_MESSAGE(lab.events.size() == 1, "the same reason is told once in a while");
}

TEST_CASE("boot sources: what a request tells, what an answer is to the timeline") {
  sourced lab;
  source_request seen;
  lab.source("s", [&](const source_request& r) {
    seen = r;
    return sourced::says("text", boot_stage::config)(r);
  });
  lab.ask(7);
  auto got = lab.get("/generic?mac=52-54-00-0a-4d-11&uuid=0f8c1c52-6d52-4c1e-9a55-77000000000b&x=a+b");
  REQUIRE(got);
  CHECK(seen.query.at("x") == "a b");
  CHECK(seen.boot_url == "http://10.77.0.1:8080");
  CHECK(seen.facts.firmware == "x64-uefi");
  CHECK(seen.facts.cpu == cpu::amd64);
  CHECK(seen.node.mac->to_string() == "52:54:00:0a:4d:11");
  REQUIRE(got->on_done);
  transfer_report report;
  report.bytes = report.size = 4;
  report.completed = true;
  lab.events.clear();
  got->on_done(report);
  REQUIRE(lab.events.size() == 1);
  CHECK(lab.events[0].stage == boot_stage::config);
  CHECK(lab.events[0].detail.starts_with("generic, 4 B"));
}

TEST_CASE("boot sources: DHCP hands out the loader by architecture") {
  sourced lab;
  lab.source("s", sourced::nothing);
  CHECK(lab.ask(7).file == "snponly.efi");
  CHECK(lab.ask(0).file == "undionly.kpxe");
  CHECK(lab.ask(16, "HTTPClient").file == "http://10.77.0.1:8080/ipxe/snponly.efi");
  auto arm = lab.ask(11);
  CHECK(arm.what == boot_reply::kind::refuse);
  CHECK(arm.message_id == "NL-BOOT-005");
  CHECK_MESSAGE(lab.asked.empty(), "the profile is decided when the loader asks");
  SUBCASE("where there is no loader, the recipe's own profiles are left") {
    lab.own_profile();
    lab.start();
    CHECK(lab.ask(7).file == "snponly.efi");
    CHECK(lab.ask(11).message_id == "NL-BOOT-006");
  }
}

TEST_CASE("boot sources: a machine that no source knows") {
  sourced lab;
  lab.source("s", sourced::nothing);
  auto got = lab.get("/ipxe?mac=52-54-00-0a-4d-11");
  REQUIRE(!got);
  CHECK(got.error().code == errc::not_found);
  REQUIRE(lab.events.size() == 1);
  CHECK(lab.events[0].message_id == "NL-BOOT-001");
  CHECK(lab.events[0].detail.find("no source of the boot service has anything") != std::string::npos);
}

TEST_CASE("boot sources: what an operator chose for one boot wins") {
  sourced lab;
  lab.source("s", sourced::says("sourced"));
  lab.own_profile();
  lab.options.groups.clear();
  lab.start();
  node_identity who;
  who.mac = mac_address::parse("52:54:00:0a:4d:11").value();
  REQUIRE(lab.boot->boot_once(who, "own", "test"));
  CHECK(lab.text("/ipxe?mac=52-54-00-0a-4d-11").find("/assets/vmlinuz") != std::string::npos);
  CHECK(lab.text("/ipxe?mac=52-54-00-0a-4d-12") == "sourced");
}

TEST_CASE("boot sources: a reply that comes late finds the service gone") {
  sourced lab;
  source_reply_fn kept;
  lab.options.sources.push_back(
      {"slow", [&](const source_request&, source_reply_fn reply) { kept = reply; }});
  lab.start();
  asset_request r;
  r.path = "/generic";
  std::optional<result<asset>> out;
  lab.boot->open(r, [&](result<asset> a) { out = std::move(a); });
  lab.boot.reset();
  CHECK(!out);
  kept(fail(errc::not_found, ""));
  REQUIRE(out);
  CHECK(out->error().code == errc::closed);
}

TEST_CASE("boot sources: check") {
  sourced lab;
  lab.source("s", sourced::nothing);
  auto issues = lab.start().check();
  for (const auto& issue : issues) CHECK(issue.level != log_level::error);
  lab.options.ipxe_folders.clear();
  issues = lab.start().check();
  REQUIRE(!issues.empty());
  CHECK(issues[0].id == "NL-BOOT-005");
}
