#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "netlab/boot_service.h"
#include "netlab/simulation.h"

using namespace netlab;
using namespace netlab::boot;
namespace fs = std::filesystem;

namespace {

const mac_address board{{0x52, 0x54, 0, 0x0a, 0x4d, 0x11}};

struct lab {
  fs::path root;
  manual_time time;
  std::vector<boot_event> events;
  service_options options;
  std::unique_ptr<service> boot;

  lab() {
    std::string name = (fs::temp_directory_path() / "netlab-extlinux-XXXXXX").string();
    root = ::mkdtemp(name.data());
    fs::create_directories(root / "assets/arm64");
    for (auto file : {"assets/arm64/vmlinuz", "assets/arm64/initrd.gz", "assets/linux.efi", "Image"})
      std::ofstream(root / file) << file;
    options.assets = (root / "assets").string();
    options.http_port = 8080;
    add("guest", "arm64/vmlinuz", {"arm64/initrd.gz"},
        {"console=ttyAMA0", "talos.config={{boot_url}}/config?mac=${mac:hexhyp}&uuid=${uuid}"});
    options.groups = {{"", {}, "guest", {}}};
  }
  ~lab() {
    boot.reset();
    fs::remove_all(root);
  }
  void add(const char* name, const std::string& kernel, std::vector<std::string> initrd,
           std::vector<std::string> args) {
    profile p;
    p.name = name;
    p.variants["arm64"] = {kernel, std::move(initrd), std::move(args), std::nullopt};
    options.profiles.push_back(p);
  }
  void use(const char* name) { options.groups = {{"", {}, name, {}}}; }

  // As U-Boot's DHCP says who it is.
  boot_reply ask(std::uint16_t architecture = 22) {
    start();
    boot_request r;
    r.node.mac = board;
    r.node.address = ip_address::v4(10, 77, 0, 150);
    r.architectures = {architecture};
    r.vendor_class = "U-Boot.armv8";
    r.server = ip_address::v4(10, 77, 0, 1);
    return boot->decide(r);
  }
  std::string get(const std::string& path, asset_protocol protocol = asset_protocol::tftp,
                  const char* client = "10.77.0.150") {
    start();
    asset_request r;
    r.protocol = protocol;
    r.client = {ip_address::parse(client).value(), 1234};
    r.server = ip_address::v4(10, 77, 0, 1);
    r.server_port = protocol == asset_protocol::http ? 8080 : 69;
    r.path = path;
    std::string got;
    boot->open(r, [&](result<asset> a) {
      if (!a) {
        got = "error: " + a.error().message;
        return;
      }
      auto* text = std::get_if<std::shared_ptr<const std::string>>(&a->content);
      got = text ? **text : "(a file)";
      if (a->on_done) a->on_done({1, 1, {}, true, false, {}});
    });
    return got;
  }
  void start() {
    if (boot) return;
    service_world w;
    w.clock = &time;
    w.on_event = [this](const boot_event& e) { events.push_back(e); };
    boot = std::make_unique<service>(options, w);
  }
};

const std::string whole =
    "# 52:54:00:0a:4d:11 boots guest (arm64)\ndefault netlab\nprompt 0\nlabel netlab\n"
    "  menu label 52:54:00:0a:4d:11 boots guest (arm64)\n  kernel assets/arm64/vmlinuz\n"
    "  initrd assets/arm64/initrd.gz\n  append console=ttyAMA0 "
    "talos.config=http://10.77.0.1:8080/config?mac=52-54-00-0a-4d-11&uuid=\n";

} // namespace

TEST_CASE("extlinux: one configuration under each name that U-Boot tries") {
  lab l;
  auto told = l.ask();
  CHECK(told.file == "extlinux.conf");
  CHECK(told.server_name_option);
  CHECK(told.summary == "arm64-uboot → extlinux.conf");
  for (auto name :
       {"/extlinux.conf", "/pxelinux.cfg/01-52-54-00-0a-4d-11", "/pxelinux.cfg/0A4D0096",
        "/pxelinux.cfg/default-arm-bcm2711", "/pxelinux.cfg/default-arm", "/pxelinux.cfg/default"}) {
    CAPTURE(name);
    CHECK(l.get(name) == whole);
  }
  CHECK(l.events.back().stage == boot_stage::script);
  CHECK(l.events.back().node.mac == board);
  // Shorter addresses stand for networks; other names and folders for nothing.
  for (auto name : {"/pxelinux.cfg/0A4D009", "/pxelinux.cfg/01-zz", "/pxelinux.cfg/", "/pxelinux.cfg/x",
                    "/boot.scr.uimg", "/pxelinux.cfg/sub/default", "/uki/pxelinux.cfg/default"})
    CHECK(l.get(name).starts_with("error: "));
  // The names in it can be fetched.
  CHECK(l.get("/assets/arm64/vmlinuz") == "(a file)");
}

TEST_CASE("extlinux: over HTTP the paths are addresses") {
  lab l;
  l.ask();
  CHECK(l.ask(24).file == "http://10.77.0.1:8080/extlinux.conf");
  auto text = l.get("/pxelinux.cfg/default", asset_protocol::http);
  CHECK(text.find("kernel http://10.77.0.1:8080/assets/arm64/vmlinuz\n") != std::string::npos);
}

TEST_CASE("extlinux: files outside the assets, and boards that nobody has met") {
  lab l;
  l.add("outside", (l.root / "Image").string(), {}, {});
  l.use("outside");
  CHECK(l.get("/pxelinux.cfg/01-52-54-00-0a-4d-99").find("  kernel profiles/outside/arm64/Image\n") !=
        std::string::npos);
  CHECK(l.get("/profiles/outside/arm64/Image") == "(a file)");
  CHECK(l.get("/pxelinux.cfg/default", asset_protocol::tftp, "10.77.0.9").find("# 10.77.0.9 boots outside") ==
        0);
}

TEST_CASE("extlinux: what cannot be said in it is refused with its reason") {
  lab l;
  l.add("two", "arm64/vmlinuz", {"arm64/initrd.gz", "arm64/initrd.gz"}, {});
  l.use("two");
  l.ask();
  CHECK(l.get("/pxelinux.cfg/default").find("NL-BOOT-060") != std::string::npos);
  CHECK(l.events.back().stage == boot_stage::refused);
  lab image;
  profile p;
  p.name = "image";
  p.common.uki = "linux.efi";
  image.options.profiles.push_back(p);
  image.use("image");
  CHECK(image.ask().file == "uki/52-54-00-0a-4d-11/image-arm64.efi"); // it starts it as UEFI
  CHECK(image.get("/pxelinux.cfg/default").find("unified kernel image") != std::string::npos);
  lab gone;
  fs::remove(gone.root / "assets/arm64/initrd.gz");
  CHECK(gone.get("/pxelinux.cfg/default").find("NL-BOOT-007") != std::string::npos);
  lab remote;
  remote.add("remote", "https://example.org/vmlinuz", {}, {});
  remote.use("remote");
  CHECK(remote.get("/pxelinux.cfg/default").find("NL-BOOT-022") != std::string::npos);
  lab broken;
  broken.add("broken", "arm64/vmlinuz", {}, {"a\nkernel evil"});
  broken.use("broken");
  CHECK(broken.get("/pxelinux.cfg/default").find("NL-BOOT-024") != std::string::npos);
  lab nobody;
  nobody.options.groups = {{"", {{"mac", {"02:*"}}}, "guest", {}}};
  CHECK(nobody.get("/pxelinux.cfg/default").find("NL-BOOT-001") != std::string::npos);
}
