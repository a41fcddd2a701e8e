#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "netlab/boot_service.h"
#include "netlab/dhcp_engine.h"
#include "netlab/simulation.h"
#include "support/memory_lease_store.h"

// Raspberry Pis by the bytes: requests laid out as their ROM and boot loaders send them, DHCP and boot
// service answering together.
using namespace netlab;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

struct pi {
  const char* name;
  const char* mac;
  const char* discover; // options, hex
  const char* request;  // null: it sends none
};

// Option 97: 0x44 in every Pi 3; "RPi4" or "RPi5", board revision, end of the MAC and serial since 2020;
// before that the serial four times. The REQUEST of a Pi 4 leaves option 60 out.
constexpr pi pi3 = {
    "pi-3", "b8:27:eb:20:30:40",
    "350101 370c 2b3c4243 8081828384858687 5d020000 5e03010201 6111 00 44444444444444444444444444444444"
    "3c20 505845436c69656e743a417263683a30303030303a554e44493a303032303031 ff",
    nullptr};
constexpr pi pi4 = {
    "pi-4", "dc:a6:32:20:30:40",
    "350101 370e 01032b3c42438081828384858687 5d020000 5e03010201 6111 00 52506934 1131c000 32203040 40302010"
    "3c20 505845436c69656e743a417263683a30303030303a554e44493a303032303031 ff",
    "350103 32040a000065 36040a000001 370e 01032b3c42438081828384858687 5d020000 5e03010201 6111 00 52506934 "
    "1131c000 32203040 40302010 ff"};
constexpr pi pi5 = {
    "pi-5", "2c:cf:67:20:30:40",
    "350101 370e 01032b3c42438081828384858687 5d020000 5e03010201 6111 00 52506935 7041d000 67203040 80706050"
    "3c20 505845436c69656e743a417263683a30303030303a554e44493a303032303031 ff",
    "350103 32040a000066 36040a000001 370e 01032b3c42438081828384858687 5d020000 5e03010201 6111 00 52506935 "
    "7041d000 67203040 80706050 ff"};

byte_vector hex(std::string text) {
  std::erase(text, ' ');
  byte_vector out;
  REQUIRE(from_hex(text, out));
  return out;
}

byte_vector request_of(const pi& p, const char* options) {
  byte_vector out(236);
  byte_writer w(out);
  w.u8(1);
  w.u8(1);
  w.u8(6);
  w.u8(0);
  w.u32(0x26f30339);
  w.fill(0, 20);
  auto mac = mac_address::parse(p.mac).value();
  w.bytes(mac.octets);
  for (auto b : {0x63, 0x82, 0x53, 0x63}) out.push_back(static_cast<std::uint8_t>(b));
  auto rest = hex(options);
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

struct lab {
  fs::path root;
  manual_time time;
  memory_lease_store store;
  std::vector<boot_event> events;
  std::vector<node> nodes;
  std::unique_ptr<boot::service> boot;
  std::unique_ptr<dhcp::engine> engine;
  dhcp::actions out;
  std::vector<dhcp::reply> replies;

  explicit lab(bool probe = false, dhcp::service mode = dhcp::service::full) {
    std::string name = (fs::temp_directory_path() / "netlab-pi-XXXXXX").string();
    root = ::mkdtemp(name.data());
    fs::create_directories(root / "raspberry-pi/overlays");
    fs::create_directories(root / "pi");
    for (auto file : {"raspberry-pi/bootcode.bin", "raspberry-pi/start.elf", "raspberry-pi/start4.elf",
                      "raspberry-pi/overlays/vc4.dtbo", "pi/kernel8.img", "pi/initrd.gz", "pi/u-boot.bin",
                      "pi/RPI_EFI.fd"})
      std::ofstream(root / file) << file;

    node one;
    one.name = "pi4-1";
    one.macs = {mac_address::parse(pi4.mac).value()};
    nodes.push_back(one);

    boot::service_options options;
    options.assets = root.string();
    options.http_port = 8080;
    boot::profile linux;
    linux.name = "linux";
    linux.raspberry = boot::raspberry_files{.kernel = "pi/kernel8.img",
                                            .uefi = {},
                                            .initrd = {"pi/initrd.gz"},
                                            .args = {"console=serial0,115200", "lab.node={{name|none}}"},
                                            .config = {"dtoverlay=disable-bt"}};
    boot::profile talos;
    talos.name = "talos";
    talos.raspberry =
        boot::raspberry_files{.kernel = "pi/u-boot.bin", .uefi = {}, .initrd = {}, .args = {}, .config = {}};
    boot::profile uefi;
    uefi.name = "uefi";
    uefi.raspberry =
        boot::raspberry_files{.kernel = {}, .uefi = "pi/RPI_EFI.fd", .initrd = {}, .args = {}, .config = {}};
    options.profiles = {linux, talos, uefi};
    options.groups = {{"", {{"mac", {"b8:27:eb:*"}}}, "talos", {}},
                      {"", {{"firmware", {"raspberry-pi-5"}}}, "uefi", {}},
                      {"", {}, "linux", {}}};
    boot::service_world world;
    world.clock = &time;
    world.on_event = [this](const boot_event& e) { events.push_back(e); };
    world.find_node = [this](const node_identity& who) -> const node* {
      for (const auto& n : nodes)
        if ((who.mac && *who.mac == n.macs[0]) || (!who.name.empty() && who.name == n.name)) return &n;
      return nullptr;
    };
    boot = std::make_unique<boot::service>(options, world);

    dhcp::server_config config;
    dhcp::network_config n;
    n.name = "lan";
    n.subnet = cidr::parse("10.0.0.0/24").value();
    n.server = ip_address::v4(10, 0, 0, 1);
    n.ranges = {ip_range::parse("10.0.0.101-10.0.0.199").value()};
    n.options.routers = {ip_address::v4(10, 0, 0, 254)};
    n.probe = probe;
    n.mode = mode;
    config.networks = {n};
    dhcp::engine_hooks hooks;
    hooks.boot = boot->policy();
    engine = std::make_unique<dhcp::engine>(config, hooks);
  }
  ~lab() {
    engine.reset();
    boot.reset();
    fs::remove_all(root);
  }

  dhcp::moment at() const { return {time.now(), time.wall()}; }
  // Everything that leaves, as hex from op on, padding after the end left out.
  std::vector<std::string> send(const pi& p, const char* options) {
    dhcp::arrival from{{ip_address::v4(0), 68}, ip_address::v4(0xffffffff), 2, 0, true, false};
    engine->handle(request_of(p, options), from, at(), out);
    return take();
  }
  std::vector<std::string> take() {
    std::vector<std::string> sent;
    for (int turn = 0; turn < 3; ++turn) {
      for (const auto& r : out.replies) {
        replies.push_back(r);
        auto bytes = out.payload(r);
        auto end = bytes.size();
        while (end > 0 && bytes[end - 1] == 0) --end;
        sent.push_back(to_hex(bytes.first(end)));
      }
      for (const auto& e : out.events) events.push_back(e);
      auto commits = std::move(out.commits);
      out.clear();
      for (auto& c : commits)
        store.claim(c.next, [this, token = c.token](lease_store::outcome o) {
          engine->committed(token, std::move(o), at(), out);
        });
      store.run();
    }
    return sent;
  }

  std::string get(const std::string& path, const char* client = "10.0.0.101") {
    asset_request r;
    r.protocol = asset_protocol::tftp;
    r.client = {ip_address::parse(client).value(), 1234};
    r.server = ip_address::v4(10, 0, 0, 1);
    r.path = path;
    std::string got;
    boot->open(r, [&](result<asset> a) {
      if (!a) {
        got = "error: " + std::string(to_string(a.error().code));
      } else if (auto* text = std::get_if<std::shared_ptr<const std::string>>(&a->content)) {
        got = **text;
      } else {
        got = fs::relative(std::get<asset::file_path>(a->content).path, root).string();
        if (a->on_done) a->on_done({9, 9, 5ms, true, false, {}});
      }
    });
    return got;
  }
};

// op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, cookie.
std::string head(const char* yiaddr, const char* mac) {
  std::string hexmac(mac);
  std::erase(hexmac, ':');
  return "0201060026f303390000000000000000" + std::string(yiaddr) + "0a00000100000000" + hexmac +
         std::string(20, '0') + std::string(384, '0') + "63825363";
}

std::string join(std::initializer_list<std::string> parts) {
  std::string out;
  for (auto p : parts) {
    std::erase(p, ' ');
    out += p;
  }
  return out;
}

const std::string server_id = "36040a000001", times = "33040000a8c0 3a0400005460 3b04000093a8",
                  where = "0104ffffff00 03040a0000fe", pxe_client = "3c09505845436c69656e74",
                  next_server = "420831302e302e302e31",
                  menu = "2b20 060103 0a0400505845 0914 0000 11 52617370626572727920506920426f6f74 ff",
                  menu_of_3 =
                      "2b23 060103 0a0400505845 0917 0000 14 52617370626572727920506920426f6f74202020 ff";

} // namespace

TEST_CASE("raspberry pi: a Pi 4 gets its bytes, in OFFER and ACK alike, without padding between them") {
  lab l;
  const std::string guid = "6111 00 52506934 1131c000 32203040 40302010";
  auto sent = l.send(pi4, pi4.discover);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0] == join({head("0a000065", pi4.mac), "350102", server_id, times, where, pxe_client, menu,
                         next_server, guid, "ff"}));
  CHECK_FALSE(l.replies[0].keep_arp);
  CHECK_FALSE(l.replies[0].nudge);
  CHECK(l.store.writes == 0);
  sent = l.send(pi4, pi4.request);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0] == join({head("0a000065", pi4.mac), "350105", server_id, times, where, pxe_client, menu,
                         next_server, guid, "ff"}));
  CHECK(l.store.writes == 1);
  CHECK(l.events.back().architecture == "raspberry-pi-4");
}

TEST_CASE("raspberry pi: a Pi 5 gets its bytes") {
  lab l;
  l.send(pi4, pi4.discover);
  auto sent = l.send(pi5, pi5.discover);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0] == join({head("0a000066", pi5.mac), "350102", server_id, times, where, pxe_client, menu,
                         next_server, "6111 00 52506935 7041d000 67203040 80706050", "ff"}));
  sent = l.send(pi5, pi5.request);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].find("350105") != std::string::npos);
}

TEST_CASE("raspberry pi: a Pi 3 takes the address with the OFFER, which is leased then") {
  for (bool probe : {false, true}) {
    lab l(probe);
    auto sent = l.send(pi3, pi3.discover);
    if (probe) {
      CHECK(sent.empty());
      CHECK(l.store.writes == 0);
      l.time.advance(300ms);
      l.engine->advance(l.at(), l.out);
      sent = l.take();
    }
    REQUIRE(sent.size() == 1);
    CHECK(sent[0] == join({head("0a000065", pi3.mac), "350102", server_id, times, where, pxe_client,
                           menu_of_3, next_server, "6111 00 44444444444444444444444444444444", "ff"}));
    CHECK(l.store.writes == 1);
    REQUIRE(l.engine->leases(l.at()).size() == 1);
    CHECK(l.replies[0].keep_arp);
    CHECK(l.replies[0].nudge);
    CHECK(l.replies[0].address == ip_address::v4(10, 0, 0, 101));
    // It asks five times; the lease is renewed, and another Pi 3 with the same GUID is another machine.
    CHECK(l.send(pi3, pi3.discover).size() == 1);
    pi other = pi3;
    other.mac = "b8:27:eb:20:30:41";
    l.send(other, other.discover);
    if (probe) {
      l.time.advance(300ms);
      l.engine->advance(l.at(), l.out);
      l.take();
    }
    CHECK(l.engine->leases(l.at()).size() == 2);
  }
}

TEST_CASE("raspberry pi: beside a router the same words, and no address") {
  lab l(false, dhcp::service::proxy);
  auto sent = l.send(pi4, pi4.discover);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0] == join({head("00000000", pi4.mac), "350102", server_id, pxe_client, menu, next_server,
                         "6111 00 52506934 1131c000 32203040 40302010", "ff"}));
  sent = l.send(pi3, pi3.discover);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0] == join({head("00000000", pi3.mac), "350102", server_id, pxe_client, menu_of_3, next_server,
                         "6111 00 44444444444444444444444444444444", "ff"}));
  CHECK(l.replies[1].nudge);
  CHECK(l.store.writes == 0);
}

TEST_CASE("raspberry pi: files below the serial, the MAC and the name, made for the node that asks") {
  lab l;
  l.send(pi4, pi4.discover);
  l.send(pi4, pi4.request);
  for (std::string prefix : {"/10203040", "/dc-a6-32-20-30-40", "/pi4-1", ""}) {
    CAPTURE(prefix);
    if (!prefix.empty()) CHECK(l.get(prefix + "/start4.elf") == "raspberry-pi/start4.elf");
    CHECK(l.get(prefix + "/overlays/vc4.dtbo") == "raspberry-pi/overlays/vc4.dtbo");
    CHECK(l.get(prefix + "/kernel8.img") == "pi/kernel8.img");
    CHECK(l.get(prefix + "/initrd.gz") == "pi/initrd.gz");
    CHECK(l.get(prefix + "/fixup4.dat") == "error: not_found");
    if (prefix.empty()) continue; // nobody says yet whose address that is
    CHECK(l.get(prefix + "/cmdline.txt") == "console=serial0,115200 lab.node=pi4-1\n");
    CHECK(l.get(prefix + "/config.txt") ==
          "arm_64bit=1\nenable_uart=1\n# pi4-1: profile linux\nkernel=kernel8.img\n"
          "initramfs initrd.gz followkernel\ndtoverlay=disable-bt\n");
  }
  CHECK(l.get("/zz/start4.elf") == "error: not_found");
  CHECK(l.get("/10203040/../pi/kernel8.img") == "error: not_found");
  auto told = [&](boot_stage stage, const char* detail) {
    for (const auto& e : l.events)
      if (e.stage == stage && e.detail.starts_with(detail) &&
          e.node.mac == mac_address::parse(pi4.mac).value())
        return true;
    return false;
  };
  CHECK(told(boot_stage::tftp, "10203040/start4.elf"));
  CHECK(told(boot_stage::kernel, "10203040/kernel8.img"));
  CHECK(told(boot_stage::initrd, "dc-a6-32-20-30-40/initrd.gz"));
  // What the operator put there for this very Pi, and a config.txt of the firmware's, come first.
  fs::create_directories(l.root / "raspberry-pi/10203040");
  std::ofstream(l.root / "raspberry-pi/10203040/cmdline.txt") << "own";
  std::ofstream(l.root / "raspberry-pi/config.txt") << "hdmi_safe=1";
  CHECK(l.get("/10203040/cmdline.txt") == "raspberry-pi/10203040/cmdline.txt");
  CHECK(l.get("/10203040/config.txt")
            .starts_with("hdmi_safe=1\n\n[all]\n# pi4-1: profile linux\nkernel=kernel8.img\n"));
}

TEST_CASE("raspberry pi: U-Boot and UEFI are loaders, a Pi 3's serial leads to its MAC") {
  lab l;
  l.send(pi3, pi3.discover);
  CHECK(l.get("/a1203040/config.txt", "10.0.0.150").find("kernel=u-boot.bin\n") != std::string::npos);
  CHECK(l.get("/a1203040/u-boot.bin", "10.0.0.150") == "pi/u-boot.bin");
  CHECK(l.events.back().stage == boot_stage::tftp);
  CHECK(l.events.back().node.mac == mac_address::parse(pi3.mac).value());
  l.send(pi5, pi5.discover);
  CHECK(l.get("/50607080/config.txt").find("armstub=RPI_EFI.fd\ndisable_commandline_tags=1\n") !=
        std::string::npos);
  CHECK(l.get("/50607080/RPI_EFI.fd") == "pi/RPI_EFI.fd");
  CHECK(l.get("/50607080/kernel8.img") == "error: not_found"); // another profile's
}

TEST_CASE("raspberry pi: what is missing is refused with its reason") {
  lab l;
  fs::remove(l.root / "pi/kernel8.img");
  // An address, and nothing that a ROM would take for a boot server.
  auto plain = l.send(pi4, pi4.discover);
  REQUIRE(plain.size() == 1);
  CHECK(plain[0].find(to_hex(as_bytes("Raspberry Pi Boot"))) == std::string::npos);
  REQUIRE_FALSE(l.events.empty());
  bool said = false;
  for (const auto& e : l.events)
    said = said || (e.message_id == "NL-BOOT-007" && e.detail.find("kernel8.img") != std::string::npos);
  CHECK(said);
  CHECK(l.get("/10203040/kernel8.img") == "error: not_found");
  auto issues = l.boot->check();
  bool listed = std::any_of(issues.begin(), issues.end(), [](const auto& i) {
    return i.id == "NL-BOOT-007" && i.level == log_level::warn &&
           i.text.find("kernel8.img") != std::string::npos;
  });
  CHECK(listed);
  // A UEFI machine that ends up in such a profile is told that it is not meant.
  boot_request pc;
  pc.node.mac = mac_address::parse("52:54:00:00:00:01").value();
  pc.architectures = {7};
  pc.vendor_class = "PXEClient";
  auto reply = l.boot->decide(pc);
  CHECK(reply.message_id == "NL-BOOT-003");
  CHECK(reply.reason.find("Raspberry Pi alone") != std::string::npos);
}
