#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "netlab/boot_service.h"
#include "netlab/ipxe_script.h"
#include "netlab/simulation.h"
#include "netlab/text.h"

using namespace netlab;
using namespace netlab::boot;
namespace fs = std::filesystem;

namespace {

// A PE image that says what it is for, as far as assembling looks at it.
std::string pe_for(std::uint16_t machine) {
  std::string s(0x1000, '\0');
  auto put = [&](std::size_t at, std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) s[at + i] = static_cast<char>(value >> (8 * i));
  };
  s.replace(0, 2, "MZ");
  put(0x3c, 0x40, 4);
  s.replace(0x40, 2, "PE");
  put(0x44, machine, 2);
  put(0x46, 1, 2);
  put(0x54, 240, 2);
  put(0x58, 0x20b, 2);
  put(0x58 + 32, 0x1000, 4);
  put(0x58 + 36, 0x200, 4);
  put(0x58 + 56, 0x2000, 4);
  put(0x58 + 60, 0x400, 4);
  put(0x58 + 108, 16, 4);
  auto table = 0x58 + 240;
  s.replace(static_cast<std::size_t>(table), 5, ".text");
  put(static_cast<std::size_t>(table) + 8, 0x100, 4);
  put(static_cast<std::size_t>(table) + 12, 0x1000, 4);
  put(static_cast<std::size_t>(table) + 16, 0x200, 4);
  put(static_cast<std::size_t>(table) + 20, 0x400, 4);
  return s;
}

struct lab {
  fs::path root;
  manual_time time;
  std::vector<boot_event> events;
  node talos_1;
  service_options options;
  std::unique_ptr<service> boot;
  bool with_stub = true;

  lab() {
    std::string name = (fs::temp_directory_path() / "netlab-boot-XXXXXX").string();
    root = ::mkdtemp(name.data());
    for (auto folder : {"assets/amd64", "assets/arm64", "ipxe", "stub", "else"})
      fs::create_directories(root / folder);
    for (auto file : {"ipxe/snponly.efi", "ipxe/undionly.kpxe", "assets/amd64/initrd.gz",
                      "assets/arm64/initrd.gz", "assets/linux.efi", "else/kernel-x", "assets/plain.txt"})
      write(file, std::string("content of ") + file);
    write("assets/amd64/vmlinuz", pe_for(0x8664));
    write("assets/arm64/vmlinuz", pe_for(0xaa64));
    write("stub/linuxaa64.efi.stub", pe_for(0xaa64));
    write("worker.yaml", "role: {{role|worker}}\nname: {{name}}\n");

    talos_1.name = "talos-1";
    talos_1.macs = {mac_address::parse("52:54:00:0a:4d:11").value()};
    talos_1.ip = ip_address::parse("10.77.0.11").value();
    talos_1.role = "controlplane";

    options.assets = (root / "assets").string();
    options.http_port = 8080;
    options.ipxe_folders = {(root / "ipxe").string()};
    options.stub_folders = {(root / "stub").string()};
    profile guest;
    guest.name = "guest";
    guest.variants["amd64"] = {"amd64/vmlinuz", std::vector<std::string>{"amd64/initrd.gz"},
                               std::vector<std::string>{"console=ttyS0", "lab.node={{name}}",
                                                        "talos.config={{boot_url}}/config?mac=${mac:hexhyp}"},
                               std::nullopt};
    guest.variants["arm64"] = {"arm64/vmlinuz", std::vector<std::string>{"arm64/initrd.gz"},
                               std::vector<std::string>{"console=ttyAMA0", "lab.node={{name|none}}"},
                               std::nullopt};
    guest.config = [this](const document_request& r, document_reply_fn reply) {
      asked.push_back(r);
      document d;
      d.file = (root / "worker.yaml").string();
      reply(d);
    };
    options.profiles.push_back(guest);
    profile image;
    image.name = "image";
    image.common.uki = "linux.efi";
    options.profiles.push_back(image);
    options.groups = {{"", {}, "guest", {{"zone", "b"}}}};
  }
  ~lab() {
    boot.reset();
    fs::remove_all(root);
  }
  std::vector<document_request> asked;

  void write(const std::string& name, const std::string& bytes) {
    std::ofstream(root / name, std::ios::binary) << bytes;
  }

  service& start() {
    service_world w;
    w.clock = &time;
    w.on_event = [this](const boot_event& e) { events.push_back(e); };
    w.find_node = [this](const node_identity& who) -> const node* {
      if (who.mac && *who.mac == talos_1.macs[0]) return &talos_1;
      if (who.address && who.address == talos_1.ip) return &talos_1;
      return nullptr;
    };
    boot = std::make_unique<service>(options, w);
    return *boot;
  }

  boot_reply ask(std::uint16_t arch, const std::string& vendor = "PXEClient",
                 const std::string& user_class = "", const char* mac = "52:54:00:0a:4d:11") {
    if (!boot) start();
    boot_request r;
    r.node.mac = mac_address::parse(mac).value();
    r.architectures = {arch};
    r.vendor_class = vendor;
    r.user_class = user_class;
    r.server = ip_address::parse("10.77.0.1").value();
    return boot->decide(r);
  }

  result<asset> get(const std::string& url, asset_protocol protocol = asset_protocol::http, bool head = false,
                    const char* client = "10.77.0.11") {
    if (!boot) start();
    asset_request r;
    r.protocol = protocol;
    r.client = {ip_address::parse(client).value(), 1234};
    r.server = ip_address::parse("10.77.0.1").value();
    r.server_port = protocol == asset_protocol::http ? 8080 : 69;
    r.head = head;
    auto q = url.find('?');
    r.path = url.substr(0, q);
    r.query = q == std::string::npos ? "" : url.substr(q + 1);
    std::optional<result<asset>> out;
    boot->open(r, [&](result<asset> a) { out = std::move(a); });
    REQUIRE(out.has_value());
    return std::move(*out);
  }
  std::string text(const std::string& url) {
    auto a = get(url);
    if (!a) return "error: " + a.error().message;
    auto* shared = std::get_if<std::shared_ptr<const std::string>>(&a->content);
    return shared ? **shared : "(a file)";
  }
  std::string file(const std::string& url, asset_protocol protocol = asset_protocol::http) {
    auto a = get(url, protocol);
    if (!a) return "error: " + std::string(to_string(a.error().code));
    auto* path = std::get_if<asset::file_path>(&a->content);
    if (!path) return "(text)";
    auto relative = fs::relative(path->path, root).string();
    return relative;
  }
};

transfer_report done(std::uint64_t bytes) {
  return {bytes, bytes, std::chrono::milliseconds(120), true, false, {}};
}

} // namespace

TEST_CASE("policy: each kind of client gets what it can start") {
  lab l;
  auto pxe = l.ask(7);
  CHECK(pxe.what == boot_reply::kind::boot);
  CHECK(pxe.file == "snponly.efi");
  CHECK(pxe.next_server.to_string() == "10.77.0.1");
  CHECK(pxe.vendor_class.empty()); // EDK2 would go to port 4011
  CHECK(pxe.summary == "x64-uefi → snponly.efi");

  auto ipxe = l.ask(7, "PXEClient", "iPXE");
  CHECK(ipxe.file == "http://10.77.0.1:8080/boot.ipxe");
  REQUIRE(ipxe.options.size() == 1);
  CHECK(ipxe.options[0] == std::pair<std::uint8_t, byte_vector>{175, {0xb0, 1, 1}});

  CHECK(l.ask(0).file == "undionly.kpxe");
  CHECK(l.ask(0, "PXEClient", "iPXE").file == "http://10.77.0.1:8080/boot.ipxe");
  CHECK(l.ask(11).file == "uki/52-54-00-0a-4d-11/guest-arm64.efi");
  CHECK(l.ask(22, "U-Boot.armv8").file == "extlinux.conf"); // its own network boot
  CHECK(l.ask(24, "U-Boot.armv8").file == "http://10.77.0.1:8080/extlinux.conf");

  auto http = l.ask(19, "HTTPClient:Arch:00019");
  CHECK(http.vendor_class == "HTTPClient");
  CHECK(http.file == "http://10.77.0.1:8080/uki/52-54-00-0a-4d-11/guest-arm64.efi");
  CHECK(l.ask(16, "HTTPClient:Arch:00016").file == "http://10.77.0.1:8080/ipxe/snponly.efi");

  boot_request ordinary;
  ordinary.vendor_class = "dhcpcd";
  CHECK(l.boot->decide(ordinary).what == boot_reply::kind::ignore);
}

TEST_CASE("policy: a ready image goes to UEFI as it is, and is refused to a BIOS") {
  lab l;
  l.options.groups = {{"", {}, "image", {}}};
  CHECK(l.ask(7).file == "uki/52-54-00-0a-4d-11/image-amd64.efi");
  CHECK(l.ask(11).file == "uki/52-54-00-0a-4d-11/image-arm64.efi");
  auto bios = l.ask(0);
  CHECK(bios.what == boot_reply::kind::refuse);
  CHECK(bios.message_id == "NL-BOOT-004");
  CHECK(l.file("/uki/52-54-00-0a-4d-11/image-arm64.efi") == "assets/linux.efi");
  CHECK(l.file("/uki/image-arm64.efi", asset_protocol::tftp) == "assets/linux.efi");
}

TEST_CASE("policy: every refusal says why to DHCP, which tells the timeline in its turn") {
  auto refusal = [](lab& l, std::uint16_t arch, const std::string& vendor = "PXEClient") {
    auto r = l.ask(arch, vendor);
    CHECK(r.what == boot_reply::kind::refuse);
    CHECK_FALSE(r.reason.empty());
    CHECK(r.file.empty());
    CHECK(l.ask(arch, vendor).message_id == r.message_id);
    CHECK(l.events.empty());
    return r.message_id;
  };
  {
    lab l;
    l.options.groups = {{"", {{"arch", {"arm64"}}}, "guest", {}}};
    CHECK(refusal(l, 7) == "NL-BOOT-001");
  }
  {
    lab l;
    l.options.groups[0].profile = "gest";
    CHECK(refusal(l, 7) == "NL-BOOT-002");
  }
  {
    lab l;
    CHECK(refusal(l, 27) == "NL-BOOT-003");
  }
  {
    lab l;
    l.options.ipxe_folders.clear();
    CHECK(refusal(l, 0) == "NL-BOOT-005");
  }
  {
    lab l;
    l.options.ipxe_folders.clear();
    CHECK(refusal(l, 7) == "NL-BOOT-005");
  }
  {
    lab l;
    l.options.stub_folders.clear();
    CHECK(refusal(l, 11) == "NL-BOOT-006");
  }
  {
    lab l;
    CHECK(refusal(l, 32) == "NL-BOOT-009");
  }
  {
    lab l;
    l.options.tftp = false;
    CHECK(refusal(l, 7) == "NL-BOOT-010");
  }
  {
    lab l;
    l.options.tftp = false;
    CHECK(refusal(l, 11) == "NL-BOOT-010");
  }
  {
    lab l;
    l.options.http_port = 0;
    CHECK(refusal(l, 19, "HTTPClient") == "NL-BOOT-011");
  }
  {
    lab l;
    l.options.profiles[0].variants.clear();
    CHECK(refusal(l, 7) == "NL-BOOT-016");
  }
}

TEST_CASE("policy: an iPXE never gets iPXE again, and a loop ends with its reason") {
  lab l;
  for (int i = 0; i < 40; ++i) {
    auto r = l.ask(7, "PXEClient", i % 2 ? "netlab" : "iPXE");
    CHECK(r.file == "http://10.77.0.1:8080/boot.ipxe");
    l.time.advance(std::chrono::milliseconds(100));
  }
  int granted = 0;
  boot_reply last;
  for (int i = 0; i < 8; ++i) {
    last = l.ask(7);
    CHECK(l.ask(7).what == last.what); // DISCOVER and REQUEST are one exchange
    granted += last.what == boot_reply::kind::boot;
    l.time.advance(std::chrono::seconds(5));
  }
  CHECK(granted == 6);
  CHECK(last.message_id == "NL-BOOT-008");
  CHECK(last.reason.find("talos-1 asked for snponly.efi 7 times") == 0);
  // Other machines are not meant, and a minute later it is forgiven; iPXE's own request forgives at once.
  CHECK(l.ask(7, "PXEClient", "", "52:54:00:00:00:99").what == boot_reply::kind::boot);
  (void)l.ask(7, "PXEClient", "iPXE");
  CHECK(l.ask(7).what == boot_reply::kind::boot);
}

TEST_CASE("policy: an iPXE without HTTP is given one that has it") {
  lab l;
  l.start();
  boot_request r;
  r.node.mac = l.talos_1.macs[0];
  r.architectures = {0};
  r.vendor_class = "PXEClient";
  r.user_class = "iPXE";
  r.ipxe = {0x15, 1, 1};
  r.server = ip_address::parse("10.77.0.1").value();
  CHECK(l.boot->decide(r).file == "undionly.kpxe");
}

TEST_CASE("policy: a Raspberry Pi gets its words and its files") {
  lab l;
  const char* mac = "dc:a6:32:01:02:03";
  auto none = l.ask(0, "PXEClient:Arch:00000:UNDI:002001", "", mac);
  CHECK(none.message_id == "NL-BOOT-017");
  fs::create_directories(l.root / "assets/raspberry-pi");
  l.write("assets/raspberry-pi/start4.elf", "elf");
  auto r = l.ask(0, "PXEClient:Arch:00000:UNDI:002001", "", mac);
  REQUIRE(r.what == boot_reply::kind::boot);
  CHECK(r.vendor_class == "PXEClient");
  CHECK(r.server_name_option);
  CHECK(to_hex(r.vendor_options) == "0601030a04005058450914000011"
                                    "52617370626572727920506920426f6f74"
                                    "ff");
  CHECK(l.file("/start4.elf", asset_protocol::tftp) == "assets/raspberry-pi/start4.elf");
  CHECK(l.file("/1a2b3c4d/start4.elf", asset_protocol::tftp) == "assets/raspberry-pi/start4.elf");
  CHECK(l.file("/dc-a6-32-01-02-03/start4.elf", asset_protocol::tftp) == "assets/raspberry-pi/start4.elf");
  CHECK(l.file("/zz/start4.elf", asset_protocol::tftp) == "error: not_found");
  CHECK(l.file("/1a2b3c4d/pieeprom.sig", asset_protocol::tftp) == "error: not_found");
  CHECK(l.file("/start4.elf") == "error: not_found"); // over TFTP only
}

TEST_CASE("policy: without HTTP, iPXE goes on over TFTP; a configured url wins") {
  lab l;
  l.options.http_port = 0;
  CHECK(l.ask(7, "PXEClient", "iPXE").file == "tftp://10.77.0.1/boot.ipxe");
  lab m;
  m.options.url = "http://bastion.lab:80/";
  CHECK(m.ask(7, "PXEClient", "iPXE").file == "http://bastion.lab:80/boot.ipxe");
}

TEST_CASE("service: the iPXE script of a node, word by word") {
  lab l;
  CHECK(l.text("/ipxe?mac=52-54-00-0a-4d-11&arch=x86_64&platform=efi") ==
        "#!ipxe\n"
        "echo netlab: talos-1 boots guest (amd64)\n"
        "imgfree\n"
        "kernel http://10.77.0.1:8080/assets/amd64/vmlinuz console=ttyS0 lab.node=talos-1 "
        "talos.config=http://10.77.0.1:8080/config?mac=${mac:hexhyp} initrd=initrd.gz || goto failed\n"
        "initrd --name initrd.gz http://10.77.0.1:8080/assets/amd64/initrd.gz || goto failed\n"
        "boot || goto failed\n"
        ":failed\n"
        "echo netlab: it did not start: ${errmsg}\n"
        "isset ${netlab-boots} || set netlab-boots 0\n"
        "inc netlab-boots\n"
        "iseq ${netlab-boots} 10 && exit 1 ||\n"
        "sleep 5\n"
        "chain --replace --autofree http://10.77.0.1:8080/boot.ipxe || goto failed\n");
  // Under BIOS the initramfs needs no name.
  CHECK(l.text("/ipxe?mac=52-54-00-0a-4d-11&arch=i386&platform=pcbios").find("initrd=") == std::string::npos);
  CHECK(l.text("/grub?mac=52-54-00-0a-4d-11&arch=x86_64") ==
        "set default=0\nset fallback=1\nset timeout=0\n"
        "menuentry 'netlab: talos-1 boots guest (amd64)' {\n"
        "  echo 'netlab: talos-1 boots guest (amd64)'\n"
        "  linux (http,10.77.0.1:8080)/assets/amd64/vmlinuz 'console=ttyS0' 'lab.node=talos-1' "
        "'talos.config=http://10.77.0.1:8080/config?mac=${mac:hexhyp}'\n"
        "  initrd (http,10.77.0.1:8080)/assets/amd64/initrd.gz\n"
        "}\n"
        "menuentry 'netlab: start over' {\n"
        "  echo 'netlab: it did not start; this machine starts over in 10 seconds'\n"
        "  sleep 10\n"
        "  reboot\n"
        "}\n");
}

TEST_CASE("service: a virtual iPXE walks from the first script to the kernel") {
  lab l;
  ipxe_machine m({{"mac", "52:54:00:0a:4d:11"}, {"buildarch", "x86_64"}, {"platform", "efi"}});
  auto action = m.start("http://10.77.0.1:8080/boot.ipxe");
  for (int i = 0; i < 10; ++i) {
    auto* fetch = std::get_if<ipxe_fetch>(&action);
    if (!fetch) break;
    auto path = fetch->url.substr(std::string("http://10.77.0.1:8080").size());
    auto found = l.get(path);
    if (!found) {
      action = m.fetched(tl::unexpected(found.error()));
      continue;
    }
    auto* text = std::get_if<std::shared_ptr<const std::string>>(&found->content);
    action = m.fetched(ipxe_image{text ? **text : "MZ", 2});
  }
  auto* boot = std::get_if<ipxe_boot>(&action);
  REQUIRE(boot);
  CHECK(boot->cmdline ==
        "console=ttyS0 lab.node=talos-1 talos.config=http://10.77.0.1:8080/config?mac=52-54-00-0a-4d-11 "
        "initrd=initrd.gz");
  REQUIRE(boot->initrds.size() == 1);
  CHECK(boot->initrds[0].name == "initrd.gz");
}

TEST_CASE("service: iPXE is told why there is nothing, in words that are safe in a script") {
  lab l;
  l.options.profiles[0].variants["amd64"].args = std::vector<std::string>{"x={{nmae}}"};
  auto script = l.text("/ipxe?mac=52-54-00-0a-4d-11&arch=x86_64&platform=efi");
  CHECK(script.starts_with(
      "#!ipxe\necho netlab: this machine gets nothing to boot\necho NL-BOOT-012: talos-1: an argument of "
      "profile \"guest\": line 1: nothing is called {{nmae}}"));
  REQUIRE(l.events.size() == 1);
  CHECK(l.events[0].message_id == "NL-BOOT-012");
  // It asks again for ten minutes, and then gives up.
  ipxe_machine m({});
  auto action = m.start(script, "http://10.77.0.1:8080/ipxe");
  duration slept{};
  while (true) {
    if (auto* s = std::get_if<ipxe_sleep>(&action)) {
      slept += s->time;
      action = m.slept();
    } else if (std::get_if<ipxe_fetch>(&action)) {
      action = m.fetched(ipxe_image{script, script.size()});
    } else {
      break;
    }
  }
  REQUIRE(std::get_if<ipxe_exit>(&action));
  CHECK(std::get<ipxe_exit>(action).code == 1);
  CHECK(slept == std::chrono::seconds(19 * 30));

  for (auto bad : {"a\nboot", "a || shell", "#x", "end\\"}) {
    lab b;
    b.options.profiles[0].variants["amd64"].args = std::vector<std::string>{bad};
    CHECK(b.text("/ipxe?arch=x86_64").find("NL-BOOT-024") != std::string::npos);
  }
}

TEST_CASE("service: an assembled image carries the node's own command line") {
  lab l;
  auto path = l.file("/uki/52-54-00-0a-4d-11/guest-arm64.efi", asset_protocol::tftp);
  REQUIRE(path.starts_with("assets/.netlab-cache/uki-"));
  std::ifstream in(l.root / path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  CHECK(bytes.find("console=ttyAMA0 lab.node=talos-1") != std::string::npos);
  CHECK(l.file("/uki/52-54-00-00-00-99/guest-arm64.efi") != path); // a stranger's
  CHECK(l.file("/uki/52-54-00-0a-4d-11/guest-arm64.efi") == path);
  CHECK(l.file("/" + path.substr(7)) == "error: not_found"); // the cache is not served by its name
  CHECK(l.file("/assets/.netlab-cache/" + path.substr(path.rfind('/') + 1)) == "error: not_found");
  CHECK(l.file("/uki/guest-riscv64.efi") == "error: not_found");
  CHECK(l.file("/uki/guest.efi") == "error: not_found");
  CHECK(l.file("/uki/x/guest-arm64.efi") == "error: not_found");
  CHECK(l.file("/uki/nobody-arm64.efi") == "error: not_found");
  fs::remove(l.root / "assets/arm64/initrd.gz");
  CHECK(l.file("/uki/52-54-00-0a-4d-11/guest-arm64.efi") == "error: not_found");
  CHECK(l.events.back().message_id == "NL-BOOT-007");
}

TEST_CASE("service: images are assembled on the worker, once for all who wait") {
  lab l;
  manual_time home, worker;
  service_world w;
  w.clock = &l.time;
  w.home = &home;
  w.worker = &worker;
  l.boot = std::make_unique<service>(l.options, w);
  asset_request r;
  r.client = {ip_address::parse("10.77.0.11").value(), 1};
  r.server = ip_address::parse("10.77.0.1").value();
  r.server_port = 8080;
  r.path = "/uki/52-54-00-0a-4d-11/guest-arm64.efi";
  int good = 0, bad = 0;
  auto count = [&](result<asset> a) { ++(a ? good : bad); };
  l.boot->open(r, count);
  l.boot->open(r, count);
  CHECK(good + bad == 0);
  worker.settle();
  CHECK(good + bad == 0);
  home.settle();
  CHECK(good == 2);
  // What is pending when the service ends is answered.
  r.path = "/uki/52-54-00-00-00-77/guest-arm64.efi";
  l.options.profiles[0].variants["arm64"].args->push_back("{{mac}}");
  l.boot = std::make_unique<service>(l.options, w);
  l.boot->open(r, count);
  l.boot.reset();
  CHECK(bad == 1);
  worker.settle();
  home.settle();
  CHECK(good == 2);
}

TEST_CASE("service: configurations are rendered for the node that asks, however it says who it is") {
  lab l;
  CHECK(l.text("/config?mac=52%3A54%3A00%3A0a%3A4d%3A11") == "role: controlplane\nname: talos-1\n");
  REQUIRE(l.asked.size() == 1);
  CHECK(l.asked[0].node.name == "talos-1");
  CHECK(l.asked[0].facts.role == "controlplane");
  CHECK(l.asked[0].metadata.at("zone") == "b");
  CHECK(l.asked[0].profile == "guest");
  CHECK(l.text("/config") == "role: controlplane\nname: talos-1\n"); // by its address
  CHECK(l.text("/config?mac=&uuid=nonsense") == "role: controlplane\nname: talos-1\n");
  CHECK(l.text("/ignition").find("NL-BOOT-015") != std::string::npos);
  auto stranger = l.get("/config?mac=52:54:00:00:00:99", asset_protocol::http, false, "10.77.0.50");
  REQUIRE_FALSE(stranger.has_value()); // {{name}} has no value
  CHECK(stranger.error().code == errc::not_found);
  CHECK(l.events.back().message_id == "NL-BOOT-012");
  CHECK(l.text("/metadata?mac=52-54-00-0a-4d-11") ==
        "REQUEST_QUERY_MAC=52-54-00-0a-4d-11\nREQUEST_RAW_QUERY=mac=52-54-00-0a-4d-11\nZONE=b\n");
}

TEST_CASE("service: a configuration that cannot be made is a 404 with its reason in the log's words") {
  lab l;
  l.options.profiles[0].config = [](const document_request&, document_reply_fn reply) {
    reply(fail(errc::invalid, "machine.lua:3: attempt to index nil"));
  };
  CHECK(l.text("/config") ==
        "error: NL-BOOT-014: talos-1: /config of profile \"guest\": machine.lua:3: attempt to index nil");
  l.boot.reset();
  l.options.profiles[0].config = [](const document_request&, document_reply_fn reply) {
    document d;
    d.file = "/nonexistent/worker.yaml";
    reply(d);
  };
  CHECK(l.text("/config").find("/nonexistent/worker.yaml") != std::string::npos);
  l.boot.reset();
  l.options.profiles[0].config = [](const document_request&, document_reply_fn reply) {
    document d;
    d.text = "{{ .Values.x }} {{plain}}";
    d.literal = true;
    reply(d);
  };
  CHECK(l.text("/config") == "{{ .Values.x }} {{plain}}");
}

TEST_CASE("service: assets and loaders, and no way out of their folders") {
  lab l;
  CHECK(l.file("/assets/amd64/vmlinuz") == "assets/amd64/vmlinuz");
  CHECK(l.file("/snponly.efi", asset_protocol::tftp) == "ipxe/snponly.efi");
  CHECK(l.file("/ipxe/snponly.efi") == "ipxe/snponly.efi");
  CHECK(l.file("/undionly.kpxe", asset_protocol::tftp) == "ipxe/undionly.kpxe");
  CHECK(l.get("/ipxe/snponly.efi")->content_type == "application/efi");
  for (auto path :
       {"/assets/../worker.yaml", "/assets/a/../../worker.yaml", "/assets/", "/assets", "/assets/amd64",
        "/assets//etc/passwd", "/../worker.yaml", "/ipxe/../worker.yaml", "/profiles/guest/amd64/passwd",
        "/worker.yaml", "/", "", "assets/plain.txt", "/uki/../../worker.yaml", "/nothing"})
    CHECK(l.file(path) == "error: not_found");
  CHECK(l.file(std::string("/assets/plain.txt\0x", 19)) == "error: not_found");
  CHECK(l.events.empty()); // what is not there is normal
  fs::remove(l.root / "assets/amd64/vmlinuz");
  CHECK(l.file("/assets/amd64/vmlinuz") == "error: not_found");
  REQUIRE(l.events.size() == 1); // but a profile's own file is not
  CHECK(l.events[0].message_id == "NL-BOOT-007");
}

TEST_CASE("service: files outside the assets are served by name, and only those of a profile") {
  lab l;
  l.options.profiles[0].variants["amd64"].kernel = (l.root / "else/kernel-x").string();
  l.options.profiles[0].variants["amd64"].initrd = std::vector<std::string>{"https://example.org/i.gz"};
  auto script = l.text("/ipxe?mac=52-54-00-0a-4d-11&arch=x86_64&platform=efi");
  CHECK(script.find("kernel http://10.77.0.1:8080/profiles/guest/amd64/kernel-x ") != std::string::npos);
  CHECK(script.find("initrd --name i.gz https://example.org/i.gz") != std::string::npos);
  CHECK(l.file("/profiles/guest/amd64/kernel-x") == "else/kernel-x");
  CHECK(l.file("/profiles/guest/arm64/kernel-x") == "error: not_found");
  CHECK(l.file("/profiles/nobody/amd64/kernel-x") == "error: not_found");
}

TEST_CASE("service: every transfer is a step of its node's boot; probes are none") {
  lab l;
  auto step = [&](const std::string& url, asset_protocol protocol = asset_protocol::http) {
    auto a = l.get(url, protocol);
    REQUIRE(a.has_value());
    REQUIRE(a->on_done);
    a->on_done(done(287744));
    REQUIRE_FALSE(l.events.empty());
    auto e = l.events.back();
    CHECK(e.node.name == "talos-1");
    CHECK(e.done);
    return e;
  };
  auto loader = step("/snponly.efi", asset_protocol::tftp);
  CHECK(loader.stage == boot_stage::tftp);
  CHECK(loader.detail == "snponly.efi, 281 KiB in 120 ms");
  CHECK(loader.bytes == 287744);
  CHECK(step("/ipxe/snponly.efi").stage == boot_stage::http);
  CHECK(step("/boot.ipxe").stage == boot_stage::script);
  CHECK(step("/ipxe?mac=52-54-00-0a-4d-11&arch=x86_64").stage == boot_stage::script);
  CHECK(step("/assets/amd64/vmlinuz").stage == boot_stage::kernel);
  CHECK(step("/assets/amd64/initrd.gz").stage == boot_stage::initrd);
  CHECK(step("/assets/linux.efi").stage == boot_stage::uki);
  CHECK(step("/uki/guest-arm64.efi").stage == boot_stage::uki);
  CHECK(step("/config").stage == boot_stage::config);
  CHECK(step("/assets/plain.txt").stage == boot_stage::http);

  auto count = l.events.size();
  CHECK_FALSE(l.get("/assets/amd64/vmlinuz", asset_protocol::http, true)->on_done); // HEAD
  auto probe = done(0);
  probe.probe = true;
  l.get("/snponly.efi", asset_protocol::tftp)->on_done(probe);
  CHECK(l.events.size() == count);
  transfer_report aborted{1024, 4096, std::chrono::seconds(3), false, false, "the client stopped answering"};
  l.get("/assets/amd64/vmlinuz")->on_done(aborted);
  CHECK_FALSE(l.events.back().done);
  CHECK(l.events.back().detail == "amd64/vmlinuz, 1 KiB of 4 KiB: the client stopped answering");
  // A transfer may end after its service.
  auto late = l.get("/assets/amd64/vmlinuz");
  count = l.events.size();
  l.boot.reset();
  late->on_done(done(1));
  CHECK(l.events.size() == count);
}

TEST_CASE("service: boot once from another profile, until its last step or its end") {
  lab l;
  l.start();
  node_identity who;
  who.mac = l.talos_1.macs[0];
  auto unknown = l.boot->boot_once(who, "imge", "operator");
  REQUIRE_FALSE(unknown.has_value());
  CHECK(unknown.error().message.find("did you mean \"image\"") != std::string::npos);
  CHECK_FALSE(l.boot->boot_once({}, "image", "operator").has_value());
  REQUIRE(l.boot->boot_once(who, "image", "operator").has_value());
  REQUIRE(l.boot->boot_overrides().size() == 1);
  CHECK(l.boot->boot_overrides()[0].origin == "operator");
  CHECK(l.ask(11).file == "uki/52-54-00-0a-4d-11/image-arm64.efi");
  auto a = l.get("/uki/52-54-00-0a-4d-11/image-arm64.efi", asset_protocol::tftp);
  transfer_report aborted{10, 20, {}, false, false, "gone"};
  a->on_done(aborted);
  CHECK(l.boot->boot_overrides().size() == 1);
  a->on_done(done(20));
  CHECK(l.boot->boot_overrides().empty());
  CHECK(l.ask(11).file == "uki/52-54-00-0a-4d-11/guest-arm64.efi");
  REQUIRE(l.boot->boot_once(who, "image", "operator", std::chrono::minutes(5)).has_value());
  l.time.advance(std::chrono::minutes(6));
  CHECK(l.boot->boot_overrides().empty());
  CHECK(l.ask(11).file == "uki/52-54-00-0a-4d-11/guest-arm64.efi");
  REQUIRE(l.boot->boot_once(who, "image", "operator").has_value());
  CHECK(l.boot->cancel_boot_once(who));
  CHECK_FALSE(l.boot->cancel_boot_once(who));
}

TEST_CASE("check: a good recipe is silent, and every mistake has its line") {
  {
    lab l;
    CHECK(l.start().check().empty());
  }
  auto has = [](lab& l, const char* id, const char* words) {
    auto issues = l.start().check();
    CAPTURE(words);
    bool found = std::any_of(issues.begin(), issues.end(), [&](const auto& i) {
      return i.id == id && i.text.find(words) != std::string::npos;
    });
    std::string all;
    for (const auto& i : issues) all += i.id + " " + i.text + "\n";
    CAPTURE(all);
    CHECK(found);
  };
  {
    lab l;
    l.options.groups[0].profile = "gest";
    has(l, "NL-BOOT-002", "did you mean \"guest\"");
  }
  {
    lab l;
    fs::remove(l.root / "assets/arm64/initrd.gz");
    has(l, "NL-BOOT-007", "arm64/initrd.gz");
  }
  {
    lab l;
    l.options.stub_folders.clear();
    has(l, "NL-BOOT-006", "arm64");
  }
  {
    lab l;
    l.options.ipxe_folders.clear();
    has(l, "NL-BOOT-005", "snponly.efi");
  }
  {
    lab l;
    l.options.groups.push_back({"two", {}, "guest", {}});
    has(l, "NL-BOOT-018", "\"two\"");
  }
  {
    lab l;
    l.options.profiles[0].name = "a b";
    has(l, "NL-BOOT-019", "a b");
  }
  {
    lab l;
    l.options.profiles.push_back(l.options.profiles[0]);
    has(l, "NL-BOOT-019", "two profiles");
  }
  {
    lab l;
    l.options.profiles[0].variants["amd_64"].kernel = "x";
    has(l, "NL-BOOT-019", "did you mean \"amd64\"");
  }
  {
    lab l;
    l.options.profiles[1].common.uki = "../x.efi";
    has(l, "NL-BOOT-020", "../x.efi");
  }
  {
    lab l;
    l.options.profiles[1].common.uki.reset();
    has(l, "NL-BOOT-016", "neither");
  }
  {
    lab l;
    l.options.groups[0].match = {{"mac", {"52:54:zz"}}};
    has(l, "NL-BOOT-021", "52:54:zz");
  }
  {
    lab l;
    l.options.groups[0].match = {{"uuid", {"x"}}};
    has(l, "NL-BOOT-021", "not a UUID");
  }
  {
    lab l;
    l.options.groups[0].match = {{"arch", {"amd_64"}}};
    has(l, "NL-BOOT-021", "did you mean \"amd64\"");
  }
  {
    lab l;
    l.options.groups[0].match = {{"name", {}}};
    has(l, "NL-BOOT-021", "empty list");
  }
  {
    lab l;
    l.options.groups.clear();
    has(l, "NL-BOOT-023", "no group");
  }
  {
    lab l;
    l.options.url = "bastion:8080";
    has(l, "NL-BOOT-011", "bastion:8080");
  }
}

TEST_CASE("messages: identifiers are unique and every text is there") {
  std::set<std::string> ids;
  for (const auto* m : boot::messages()) {
    CHECK(std::string(m->id).starts_with("NL-BOOT-"));
    CHECK(ids.insert(m->id).second);
    CHECK(std::string(m->explain).size() > 20);
  }
  CHECK(ids.size() == boot::messages().size());
}
