#include <doctest/doctest.h>

#include "netlab/boot_diagnosis.h"
#include "netlab/timeline.h"

using namespace netlab;
using namespace std::chrono_literals;

namespace {

struct told {
  boot_record boot;
  boot_evidence evidence;

  explicit told(std::initializer_list<boot_stage> stages, duration idle,
                std::string architecture = "x64-uefi") {
    boot.label = "talos-1";
    boot.architecture = std::move(architecture);
    boot.idle = idle;
    for (auto stage : stages) {
      boot_step s;
      s.event.stage = stage;
      s.event.detail = std::string(to_string(stage)) + "-detail";
      boot.steps.push_back(s);
      if (stage != boot_stage::refused && stage != boot_stage::nak)
        boot.furthest = std::max(boot.furthest, stage);
    }
  }
  std::string id() const {
    auto d = diagnose(boot, evidence);
    return d ? d->what->id : "";
  }
  std::string cause() const {
    auto d = diagnose(boot, evidence);
    return d ? d->cause : "";
  }
  told& other(bool won = false) {
    evidence.other_servers.push_back({ip_address::v4(10, 0, 0, 1), "DHCP", won});
    return *this;
  }
  bool says(std::string_view words) const { return cause().find(words) != std::string::npos; }
};

using enum boot_stage;

} // namespace

TEST_CASE("diagnosis: nothing is said of a boot that goes on, is ready, or is no netboot") {
  CHECK(told({}, 1h).id() == "");
  CHECK(told({discover}, 1s).id() == "");
  CHECK(told({discover, offer, ack}, 9s).id() == "");
  CHECK(told({discover, offer, ack, tftp, script, kernel}, 170s).id() == "");
  CHECK(told({discover, offer, ack, tftp, config, ready}, 24h).id() == "");
  CHECK(told({discover, offer, ack}, 24h, "").id() == ""); // a phone
}

TEST_CASE("diagnosis: a system that runs asks DHCP by itself") {
  CHECK(told({discover, offer, ack, tftp, script, kernel, initrd, ack}, 60s).id() == "");
  CHECK(told({discover, offer, ack, tftp, script, kernel, config, discover, offer, ack}, 60s).id() == "");
  CHECK(told({discover, offer, ack, tftp, script, kernel, config, ack}, 60s).other().id() == "");
  CHECK(told({discover, offer, ack, tftp, script, kernel, initrd, ack}, 200s).id() == "NL-BOOT-112");
}

TEST_CASE("diagnosis: refusals speak for themselves, at once") {
  told with_address({discover, refused, discover, offer, ack}, 0s);
  CHECK(with_address.id() == "NL-BOOT-101");
  told mended({discover, refused, discover, offer, discover, offer, ack}, 0s);
  CHECK(mended.id() == "");
  told t({discover, refused}, 0s);
  CHECK(t.id() == "NL-BOOT-101");
  CHECK(t.cause() == "talos-1 was refused: refused-detail.");
}

TEST_CASE("diagnosis: no offer") {
  told t({discover}, 5s);
  t.boot.steps[0].repeats = 4;
  CHECK(t.id() == "NL-BOOT-102");
  CHECK(t.says("4 times"));
  t.other();
  CHECK(t.id() == "NL-BOOT-102");
  CHECK(t.says("DHCP server 10.0.0.1"));
}

TEST_CASE("diagnosis: another server's offer won") {
  CHECK(told({discover, offer}, 0s).other(true).id() == "NL-BOOT-103");
  told t({discover, offer}, 5s);
  CHECK(t.other().id() == "NL-BOOT-103");
  CHECK(t.says("likely"));
}

TEST_CASE("diagnosis: the offer was ignored") {
  CHECK(told({discover, offer}, 9s).id() == "");
  CHECK(told({discover, offer}, 10s).id() == "NL-BOOT-104");
}

TEST_CASE("diagnosis: a NAK that led nowhere") {
  CHECK(told({discover, offer, nak}, 4s).id() == "");
  CHECK(told({discover, offer, nak}, 5s).id() == "NL-BOOT-105");
}

TEST_CASE("diagnosis: an address, and no boot file asked for") {
  told t({discover, offer, ack}, 10s);
  t.evidence.boot_file = "snponly.efi";
  CHECK(t.id() == "NL-BOOT-107");
  CHECK(t.says("snponly.efi"));
  CHECK(t.says("firewall"));
  t.evidence.reached_us = true;
  CHECK(t.says("it reaches this machine"));
  t.other();
  CHECK(t.id() == "NL-BOOT-108");
  CHECK(t.says("10.0.0.1"));
  told none({discover, offer, ack}, 10s);
  none.evidence.boot_file_offered = false;
  CHECK(none.id() == "NL-BOOT-106");
  CHECK(none.says("x64-uefi"));
  // iPXE has its address and does not come for its script.
  told ipxe({discover, offer, ack, tftp, discover, offer, ack}, 10s);
  CHECK(ipxe.id() == "NL-BOOT-107");
  CHECK(ipxe.says("runs its boot loader"));
}

TEST_CASE("diagnosis: a transfer that did not finish") {
  told t({discover, offer, ack, tftp}, 10s);
  t.boot.steps.back().event.done = false;
  t.boot.steps.back().repeats = 3;
  CHECK(t.id() == "NL-BOOT-109");
  CHECK(t.says("tftp-detail (3 times)"));
  told k({discover, offer, ack, http, script, kernel}, 10s);
  k.boot.steps.back().event.done = false;
  CHECK(k.id() == "NL-BOOT-109");
}

TEST_CASE("diagnosis: loader, script, kernel, config and images that lead nowhere") {
  CHECK(told({discover, offer, ack, tftp}, 30s).id() == "NL-BOOT-110");
  CHECK(told({discover, offer, ack, http}, 30s).id() == "NL-BOOT-110");
  CHECK(told({discover, offer, ack, tftp, script}, 30s).id() == "NL-BOOT-111");
  told k({discover, offer, ack, tftp, script, kernel, initrd}, 3min);
  CHECK(k.id() == "NL-BOOT-112");
  CHECK(k.says("no network driver"));
  told up({discover, offer, ack, tftp, script, kernel, initrd, discover, offer, ack}, 3min);
  CHECK(up.id() == "NL-BOOT-112");
  CHECK(up.says("has an address"));
  CHECK(told({discover, offer, ack, http, uki}, 3min).id() == "NL-BOOT-112");
  CHECK(told({discover, offer, ack, script, initrd}, 3min).id() == "NL-BOOT-112");
  CHECK(told({discover, offer, ack, tftp, script, kernel, config}, 9min).id() == "");
  CHECK(told({discover, offer, ack, tftp, script, kernel, config}, 10min).id() == "NL-BOOT-113");
  CHECK(told({discover, offer, ack, tftp, script, kernel, config, image}, 15min).id() == "NL-BOOT-116");
}

TEST_CASE("diagnosis: an upstream that is down explains more than silence") {
  told t({discover, offer, ack, tftp, script}, 30s);
  t.evidence.upstream = "https://factory.talos.dev";
  CHECK(t.id() == "NL-BOOT-114");
  CHECK(t.says("factory.talos.dev"));
}

TEST_CASE("diagnosis: a step that came with a message points to it") {
  told t({discover, offer, ack, tftp, script}, 5s);
  t.boot.steps.back().event.message_id = "NL-HTTP-004";
  CHECK(t.id() == "NL-BOOT-115");
  CHECK(t.says("NL-HTTP-004"));
  auto text = format_story(t.boot, diagnose(t.boot));
  CHECK(text.find("  why:  talos-1 failed with NL-HTTP-004: script-detail. Silent for ") !=
        std::string::npos);
  CHECK(text.find("  do:   ") != std::string::npos);
}

TEST_CASE("diagnosis: every diagnosis carries its remedy, and hostile details are made printable") {
  told t({discover, refused}, 0s);
  t.boot.steps.back().event.detail = "\x1b[31mred";
  auto d = diagnose(t.boot);
  REQUIRE(d);
  CHECK(d->remedy == d->what->remedy);
  CHECK(d->cause.find('\x1b') == std::string::npos);
}

TEST_CASE("diagnosis: beside a proxy another server gives the address, and both halves may be missing") {
  told alone({discover, offer}, 10s);
  alone.boot.steps.back().event.proxied = true;
  CHECK(alone.id() == "NL-BOOT-117");
  CHECK(alone.says("none was seen here"));
  CHECK(alone.other().says("seen here: DHCP server 10.0.0.1"));
  CHECK(alone.id() == "NL-BOOT-117"); // that server is as it should be
  told taken({discover, offer, ack}, 10s);
  taken.boot.steps.back().event.proxied = taken.boot.steps.back().event.overheard = true;
  CHECK(taken.id() == "NL-BOOT-118");
  CHECK(taken.says("port 4011"));
  taken.boot.idle = 9s;
  CHECK(taken.id() == "");
  // Its system asks for an address once more, long after.
  told up({discover, offer, ack, tftp, script, kernel, ack}, 60s);
  up.boot.steps.back().event.proxied = up.boot.steps.back().event.overheard = true;
  CHECK(up.id() == "");
}

TEST_CASE("diagnosis: a program that firmware turned away is named at once") {
  told t({discover, offer}, 0s);
  t.boot.returned = boot_return{"linux.efi, 34 MiB in 1.2 s", 3s, 1};
  CHECK(t.id() == "NL-BOOT-120");
  CHECK(t.says("fetched linux.efi, 34 MiB in 1.2 s whole, and 3 s later"));
  t.boot.returned->times = 4;
  CHECK(t.says("(4 times)"));
  told then_refused({discover, refused}, 0s);
  then_refused.boot.returned = t.boot.returned;
  CHECK(then_refused.id() == "NL-BOOT-120");
}
