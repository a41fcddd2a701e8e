#include <doctest/doctest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "netlab/simulation.h"
#include "netlab/timeline.h"
#include "store_support.h"

using namespace netlab;
using namespace std::chrono_literals;
using store_test::test_clock;
using store_test::test_loop;
using store_test::test_sink;

namespace {

const mac_address mac{{2, 0, 0x0a, 0x14, 0x0d, 0x0b}};

boot_event step(boot_stage stage, std::string detail = {}, std::string architecture = {}) {
  boot_event e;
  e.node.mac = mac;
  e.stage = stage;
  e.detail = std::move(detail);
  e.architecture = std::move(architecture);
  return e;
}

struct fixture {
  manual_time time;
  metrics counters;
  timeline_options options;
  node_directory nodes;
  timeline line{options, time, time, {}, counters, &nodes};

  void play(std::initializer_list<boot_event> events) {
    for (const auto& e : events) {
      time.advance(100ms);
      line.record(e);
    }
  }
  std::size_t steps() { return line.boot(mac.to_string())->steps.size(); }
};

std::vector<boot_event> chain() {
  return {step(boot_stage::discover, "", "x64-uefi"),
          step(boot_stage::offer),
          step(boot_stage::ack),
          step(boot_stage::tftp, "snponly.efi"),
          step(boot_stage::discover, "", "x64-uefi"),
          step(boot_stage::offer),
          step(boot_stage::ack),
          step(boot_stage::script, "/boot.ipxe"),
          step(boot_stage::kernel, "vmlinuz"),
          step(boot_stage::initrd, "initramfs.xz"),
          step(boot_stage::discover),
          step(boot_stage::offer),
          step(boot_stage::ack),
          step(boot_stage::config, "talos-1.yaml"),
          step(boot_stage::ready)};
}

struct folder {
  std::filesystem::path path;
  folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "netlab-history-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~folder() { std::filesystem::remove_all(path); }
};

} // namespace

TEST_CASE("timeline: one boot from power-on to ready, iPXE's and the system's DHCP rounds included") {
  fixture f;
  node n;
  n.name = "talos-1";
  n.macs = {mac};
  REQUIRE(f.nodes.declare(n));
  for (const auto& e : chain()) {
    f.line.record(e);
    f.time.advance(1500ms);
  }
  REQUIRE(f.line.boots().size() == 1);
  auto boot = *f.line.boot("TALOS-1");
  CHECK(boot.steps.size() == 15);
  CHECK(boot.ready());
  CHECK(boot.architecture == "x64-uefi");
  CHECK(boot.steps[3].offset == 4500ms);
  CHECK(boot.idle == 1500ms);
  auto text = *f.line.story("talos-1");
  CHECK(text.find("talos-1  02:00:0a:14:0d:0b  x64-uefi  2026-01-01T00:00:00Z\n") == 0);
  CHECK(text.find("\n   +0.000s  DISCOVER\n") != std::string::npos);
  CHECK(text.find("\n   +4.500s  TFTP      snponly.efi\n") != std::string::npos);
  CHECK(text.find("\n  +19.500s  config    talos-1.yaml\n") != std::string::npos);
  CHECK(text.find("why:") == std::string::npos);
  CHECK(f.line.story("talos-2").error().code == errc::not_found);
  auto shown = to_json(boot);
  CHECK(shown["steps"][3]["stage"] == "tftp");
  CHECK(shown["steps"][3]["at"] == 4.5);
  CHECK(shown["ready"] == true);

  // Renewals are no boot; the next power-on is.
  f.time.advance(6h);
  f.line.record(step(boot_stage::ack, "renewed"));
  CHECK(f.steps() == 15);
  f.line.record(step(boot_stage::discover, "", "x64-uefi"));
  CHECK(f.steps() == 1);
}

TEST_CASE("timeline: what begins a new boot and what does not") {
  fixture f;
  auto firmware = step(boot_stage::discover, "", "x64-uefi");
  auto system = step(boot_stage::discover);
  // Two methods of one firmware (PXE, then HTTP boot), each with its own DHCP round.
  f.play({firmware, step(boot_stage::offer), step(boot_stage::ack),
          step(boot_stage::discover, "", "x64-uefi-http"), step(boot_stage::offer), step(boot_stage::ack)});
  CHECK(f.steps() == 6);
  // iPXE's round after the boot file, then a reset in it.
  f.play({step(boot_stage::tftp, "a"), firmware, step(boot_stage::offer), step(boot_stage::ack)});
  CHECK(f.steps() == 10);
  f.play({firmware});
  CHECK(f.steps() == 1);
  // A reset while the kernel runs; the system's own round before.
  f.play({step(boot_stage::script), step(boot_stage::kernel), system});
  CHECK(f.steps() == 4);
  f.play({firmware});
  CHECK(f.steps() == 1);
  // Silence.
  f.time.advance(9min);
  f.play({step(boot_stage::offer)});
  CHECK(f.steps() == 2);
  f.time.advance(11min);
  f.play({firmware});
  CHECK(f.steps() == 1);
  // A system that was ready and asks again was restarted from its disk.
  f.play({step(boot_stage::config), step(boot_stage::ready), system});
  CHECK(f.steps() == 1);
  // Late stages belong to their boot however long they took.
  f.play({step(boot_stage::config)});
  f.time.advance(40min);
  f.play({step(boot_stage::ready)});
  CHECK(f.steps() == 3);
}

TEST_CASE("timeline: steps known by address alone join their node; a moved address does not") {
  manual_time time;
  metrics counters;
  timeline line({}, time, time, {}, counters);
  auto ack = step(boot_stage::discover);
  ack.node.address = ip_address::v4(10, 0, 0, 7);
  line.record(ack);
  boot_event http;
  http.node.address = ip_address::v4(10, 0, 0, 7);
  http.stage = boot_stage::http;
  line.record(http);
  REQUIRE(line.boots().size() == 1);
  CHECK(line.boot("10.0.0.7")->steps.size() == 2);
  ack.node.mac->octets[5] = 0x77;
  line.record(ack);
  CHECK(line.boots().size() == 2);
  CHECK(line.boot("10.0.0.7")->label == "02:00:0a:14:0d:77");
  line.record(boot_event{}); // of nobody
  CHECK(line.boots().size() == 2);
}

TEST_CASE("timeline: retries are one line, and neither nodes nor steps grow without bound") {
  manual_time time;
  metrics counters;
  timeline_options options;
  options.max_nodes = 3;
  options.max_steps = 10;
  timeline line(options, time, time, {}, counters);
  for (int i = 0; i < 5; ++i) {
    line.record(step(boot_stage::discover));
    time.advance(4s);
  }
  auto boot = *line.boot(mac.to_string());
  REQUIRE(boot.steps.size() == 1);
  CHECK(boot.steps[0].repeats == 5);
  CHECK(boot.steps[0].last == 16s);
  CHECK(line.story(mac.to_string())->find("(5 times, last +16.000s)") != std::string::npos);
  for (int i = 0; i < 100; ++i) line.record(step(boot_stage::image, "layer " + std::to_string(i)));
  boot = *line.boot(mac.to_string());
  CHECK(boot.steps.size() == 10);
  CHECK(boot.omitted == 91);
  CHECK(boot.steps.front().event.stage == boot_stage::discover);
  CHECK(boot.steps.back().event.detail == "layer 99");
  CHECK(line.story(mac.to_string())->find("91 steps left out") != std::string::npos);
  for (unsigned i = 0; i < 5; ++i) {
    auto e = step(boot_stage::discover);
    e.node.mac->octets[4] = static_cast<std::uint8_t>(i);
    line.record(e);
  }
  CHECK(line.boots().size() == 3);
  CHECK_FALSE(line.boot(mac.to_string()));
}

TEST_CASE("timeline: hostile text reaches neither terminal nor JSON raw") {
  fixture f;
  f.play({step(boot_stage::tftp, "\x1b[2J\xff evil")});
  auto text = *f.line.story(mac.to_string());
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK_FALSE(to_json(*f.line.boot(mac.to_string())).dump().empty()); // invalid UTF-8 would throw
}

TEST_CASE("history: events are in SQLite, found by node, MAC or address, and survive a restart") {
  folder dir;
  test_clock clock;
  test_loop loop;
  metrics counters;
  timeline_options options;
  options.history = (dir.path / "history.db").string();
  std::optional<result<std::vector<history_event>>> found;
  auto ask = [&](timeline& line, std::string node, std::size_t limit) {
    found.reset();
    line.history(std::move(node), limit, [&](auto answer) { found = std::move(answer); });
    REQUIRE(loop.run_until([&] { return found.has_value(); }));
    REQUIRE(*found);
  };
  {
    timeline line(options, clock, loop, {}, counters);
    auto e = step(boot_stage::tftp, "it's \"snponly.efi\"", "x64-uefi");
    e.node.name = "talos-1";
    e.node.address = ip_address::v4(10, 0, 0, 7);
    e.bytes = 281 << 10;
    e.elapsed = 120ms;
    e.done = false;
    e.message_id = "NL-TFTP-003";
    for (int i = 0; i < 5; ++i) {
      line.record(e);
      clock.advance(1s);
    }
    auto other = step(boot_stage::discover);
    other.node.mac->octets[5] = 1;
    line.record(other);
    for (auto who : {"Talos-1", "02:00:0a:14:0d:0b", "10.0.0.7"}) {
      ask(line, who, 3);
      CHECK((*found)->size() == 3);
    }
    CHECK((**found)[0].time < (**found)[2].time);
    const auto& row = (**found)[0];
    CHECK(row.stage == "tftp");
    CHECK(row.detail == "it's \"snponly.efi\"");
    CHECK(row.bytes == 281 << 10);
    CHECK(row.elapsed == 120ms);
    CHECK_FALSE(row.done);
    CHECK(row.id == "NL-TFTP-003");
    CHECK(to_json(row)["node"] == "talos-1");
  }
  timeline line(options, clock, loop, {}, counters);
  ask(line, "", 100);
  CHECK((*found)->size() == 6);
  ask(line, "nobody", 100);
  CHECK((*found)->empty());
  CHECK(counters.get("netlab_history_events_total").value() == 6);
}

TEST_CASE("history: retention by count and by age") {
  folder dir;
  test_clock clock;
  test_loop loop;
  metrics counters;
  timeline_options options;
  options.history = (dir.path / "history.db").string();
  options.keep_events = 500;
  options.keep_for = 24h;
  auto rows = [&](timeline& line) {
    std::optional<std::size_t> count;
    line.history("", 100000, [&](auto answer) { count = answer ? answer->size() : 0; });
    REQUIRE(loop.run_until([&] { return count.has_value(); }));
    return *count;
  };
  auto fill = [&](timeline& line, int events) {
    for (int i = 0; i < events; ++i) line.record(step(boot_stage::image, std::to_string(i)));
  };
  {
    timeline line(options, clock, loop, {}, counters);
    fill(line, 3000);
    auto kept = rows(line);
    CHECK(kept >= 500);
    CHECK(kept < 1500);
  }
  clock.advance(25h);
  timeline line(options, clock, loop, {}, counters);
  fill(line, 10);
  CHECK(rows(line) == 10);
}

TEST_CASE("history: a folder that cannot be written costs one message and a counter, no boot") {
  folder dir;
  test_clock clock;
  test_loop loop;
  test_sink sink;
  metrics counters;
  timeline_options options;
  options.history = (dir.path / "later" / "history.db").string(); // its folder is missing
  timeline line(options, clock, loop, netlab::log(sink, clock), counters);
  auto flush = [&] {
    bool done = false;
    line.drain([&] { done = true; });
    REQUIRE(loop.run_until([&] { return done; }));
  };
  for (int i = 0; i < 3; ++i) {
    line.record(step(boot_stage::image, std::to_string(i)));
    flush();
  }
  CHECK(line.boot(mac.to_string())->steps.size() == 3);
  CHECK(counters.get("netlab_history_dropped_total").value() == 3);
  CHECK(sink.count("NL-STORE-010") == 1);
  bool refused = false;
  line.history("", 1, [&](auto answer) { refused = !answer; });
  REQUIRE(loop.run_until([&] { return refused; }));

  std::filesystem::create_directory(dir.path / "later");
  clock.advance(1min);
  line.record(step(boot_stage::image, "again"));
  flush();
  CHECK(sink.count("NL-STORE-011") == 1);
  CHECK(counters.get("netlab_history_events_total").value() == 1);
}

TEST_CASE("history: a file that is no database is left alone and reported") {
  folder dir;
  auto path = dir.path / "history.db";
  std::ofstream(path) << std::string(5000, 'x');
  test_clock clock;
  test_loop loop;
  test_sink sink;
  metrics counters;
  timeline_options options;
  options.history = path.string();
  timeline line(options, clock, loop, netlab::log(sink, clock), counters);
  line.record(step(boot_stage::discover));
  bool done = false;
  line.drain([&] { done = true; });
  REQUIRE(loop.run_until([&] { return done; }));
  CHECK(sink.count("NL-STORE-010") == 1);
  CHECK(std::filesystem::file_size(path) == 5000);
}

TEST_CASE("history: none is kept without a file, and asking says so") {
  fixture f;
  std::string code;
  f.line.history("", 1,
                 [&](auto answer) { code = answer ? "" : std::string(to_string(answer.error().code)); });
  f.time.settle();
  CHECK(code == "unsupported");
  CHECK(f.time.until_next() == duration::max()); // and nothing wakes up for it
}

TEST_CASE("timeline: firmware that asks again right after its program arrived has turned it away") {
  fixture f;
  auto asks = [](const char* arch) { return step(boot_stage::discover, "PXEClient", arch); };
  auto returned = [&] { return f.line.boot(mac.to_string())->returned; };
  f.play({asks("arm64-uefi"), step(boot_stage::ack, "", "arm64-uefi"), step(boot_stage::uki, "linux.efi")});
  CHECK(!returned());
  f.play({asks("arm64-http")});
  REQUIRE(returned());
  CHECK(returned()->program == "linux.efi");
  CHECK(returned()->times == 1);
  CHECK(f.line.why(mac.to_string())->what->id == std::string("NL-BOOT-120"));
  CHECK(f.line.boot(mac.to_string())->steps.size() == 1); // a boot of its own
  // Its own exchange goes on, and it happens again.
  f.play({step(boot_stage::offer, "", "arm64-http"), step(boot_stage::ack, "", "arm64-http"),
          step(boot_stage::uki, "linux.efi")});
  CHECK(returned()->times == 1);
  f.play({asks("arm64-uefi")});
  REQUIRE(returned());
  CHECK(returned()->times == 2);
  // The next program runs: nothing is wrong any more.
  f.play({step(boot_stage::tftp, "shimaa64.efi"), step(boot_stage::script, "GRUB script")});
  CHECK(!returned());
}

TEST_CASE("timeline: what runs before firmware asks again was not turned away") {
  auto after = [](std::initializer_list<boot_event> between, duration pause = 1s) {
    fixture f;
    f.play({step(boot_stage::discover, "", "x64-uefi"), step(boot_stage::tftp, "snponly.efi")});
    f.play(between);
    f.time.advance(pause);
    f.play({step(boot_stage::discover, "", "x64-uefi")});
    return f.line.boot(mac.to_string())->returned.has_value();
  };
  CHECK(after({}));
  CHECK(!after({}, 5min)); // somebody pressed reset
  CHECK(!after({step(boot_stage::discover, "", "x64-ipxe")}));
  CHECK(!after({step(boot_stage::ack)})); // a system's own lease
  CHECK(!after({step(boot_stage::script, "boot.ipxe")}));
  auto aborted = step(boot_stage::tftp, "snponly.efi, 1 KiB");
  aborted.done = false;
  CHECK(after({aborted})); // the one before did arrive
}
