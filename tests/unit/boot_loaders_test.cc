#include <doctest/doctest.h>

#include <fstream>

#include "netlab/boot_service.h"
#include "netlab/simulation.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::boot;
using netlab::test::temporary_folder;

namespace {

// A boot service with every loader that Debian packages, as empty files, and one profile.
struct loader_lab {
  temporary_folder folder;
  manual_time time;
  std::vector<boot_event> events;
  service_options options;
  std::unique_ptr<service> boot;

  explicit loader_lab(boot_loader loader, bool uki = false) {
    for (auto file :
         {"assets/vmlinuz", "assets/initrd.gz", "assets/signed.efi", "ipxe/snponly.efi", "ipxe/undionly.kpxe",
          "grub/x86_64-efi/monolithic/grubnetx64.efi", "grub/x86_64-efi-signed/grubnetx64.efi.signed",
          "grub/arm64-efi/monolithic/grubnetaa64.efi", "grub/arm64-efi-signed/grubnetaa64.efi.signed",
          "grub/i386-efi/monolithic/grubnetia32.efi", "grub/arm64-efi/http.mod", "grub/arm64-efi/command.lst",
          "grub/arm64-efi/moddep.txt", "shim/shimx64.efi.signed", "shim/shimaa64.efi.signed",
          "shim/mmaa64.efi"})
      write(file);
    options.assets = path("assets");
    options.http_port = 8080;
    options.ipxe_folders = {path("ipxe")};
    options.stub_folders = {};
    options.grub_folders = {path("grub")};
    options.shim_folders = {path("shim")};
    profile p;
    p.name = "guest";
    p.loader = loader;
    if (uki)
      p.common.uki = "signed.efi";
    else
      p.common = {"vmlinuz", std::vector<std::string>{"initrd.gz"}, std::vector<std::string>{"console=ttyS0"},
                  std::nullopt};
    options.profiles.push_back(p);
    options.groups = {{"", {}, "guest", {}}};
  }

  std::string path(const std::string& name) const { return folder.path() + "/" + name; }
  void write(const std::string& name) const {
    auto whole = path(name);
    std::filesystem::create_directories(std::filesystem::path(whole).parent_path());
    std::ofstream(whole) << name;
  }
  void remove(const std::string& name) const { std::filesystem::remove(path(name)); }

  service& start() {
    if (boot) return *boot;
    service_world w;
    w.clock = &time;
    w.on_event = [this](const boot_event& e) { events.push_back(e); };
    boot = std::make_unique<service>(options, w);
    return *boot;
  }

  boot_reply ask(std::uint16_t arch, const std::string& vendor = "PXEClient",
                 const std::string& user_class = "") {
    boot_request r;
    r.node.mac = mac_address::parse("52:54:00:0a:4d:11").value();
    r.architectures = {arch};
    r.vendor_class = vendor;
    r.user_class = user_class;
    r.server = ip_address::parse("10.77.0.1").value();
    return start().decide(r);
  }

  result<asset> get(const std::string& name, asset_protocol protocol = asset_protocol::tftp) {
    asset_request r;
    r.protocol = protocol;
    r.client = {ip_address::parse("10.77.0.11").value(), 1234};
    r.server = ip_address::parse("10.77.0.1").value();
    r.server_port = protocol == asset_protocol::http ? 8080 : 69;
    auto q = name.find('?');
    r.path = name.substr(0, q);
    r.query = q == std::string::npos ? "" : name.substr(q + 1);
    std::optional<result<asset>> out;
    start().open(r, [&](result<asset> a) { out = std::move(a); });
    REQUIRE(out.has_value());
    return std::move(*out);
  }
  // The file behind a name, relative to the lab's folder, or why there is none.
  std::string file(const std::string& name, asset_protocol protocol = asset_protocol::tftp) {
    auto a = get(name, protocol);
    if (!a) return "error: " + std::string(to_string(a.error().code));
    auto* found = std::get_if<asset::file_path>(&a->content);
    return found ? found->path.substr(folder.path().size() + 1) : "(text)";
  }
  std::string text(const std::string& name, asset_protocol protocol = asset_protocol::tftp) {
    auto a = get(name, protocol);
    if (!a) return "error: " + a.error().message;
    auto* shared = std::get_if<std::shared_ptr<const std::string>>(&a->content);
    return shared ? **shared : "(a file)";
  }
  void finish(const std::string& name) {
    auto a = get(name);
    REQUIRE(a);
    REQUIRE(a->on_done);
    a->on_done({100, 100, std::chrono::milliseconds(5), true, false, {}});
  }
};

} // namespace

TEST_CASE("loaders: a profile that wants GRUB gets the image of the machine's firmware") {
  loader_lab l(boot_loader::grub);
  CHECK(l.ask(7).file == "grubnetx64.efi");
  CHECK(l.ask(11).file == "grubnetaa64.efi");
  CHECK(l.ask(6).file == "grubnetia32.efi");
  CHECK(l.file("/grubnetaa64.efi") == "grub/arm64-efi/monolithic/grubnetaa64.efi");
  CHECK(l.file("/grub/grubnetia32.efi") == "grub/i386-efi/monolithic/grubnetia32.efi");
  // BIOS machines have no GRUB to load.
  CHECK(l.ask(0).file == "undionly.kpxe");
  // GRUB that UEFI HTTP boot starts finds no network; the firmware goes on to PXE when it is refused.
  auto http = l.ask(19, "HTTPClient");
  CHECK(http.what == boot_reply::kind::refuse);
  CHECK(http.message_id == "NL-BOOT-042");
}

TEST_CASE("loaders: 32-bit UEFI goes through GRUB by itself") {
  loader_lab l(boot_loader::automatic);
  CHECK(l.ask(6).file == "grubnetia32.efi");
  CHECK(l.ask(7).file == "snponly.efi");
  CHECK(l.ask(11).file == "grubnetaa64.efi"); // no stub and no iPXE for arm64 here
  l.remove("grub/i386-efi/monolithic/grubnetia32.efi");
  auto none = l.ask(6);
  CHECK(none.what == boot_reply::kind::refuse);
  CHECK(none.message_id == "NL-BOOT-040");
  CHECK(none.reason.find("i386") != std::string::npos);

  loader_lab image(boot_loader::automatic, true);
  CHECK(image.ask(7).file == "uki/52-54-00-0a-4d-11/guest-amd64.efi");
  auto mixed = image.ask(6);
  CHECK(mixed.what == boot_reply::kind::refuse);
  CHECK(mixed.message_id == "NL-BOOT-003");
}

TEST_CASE("loaders: shim finds its second stage beside itself, and the machine's MAC tells which") {
  loader_lab l(boot_loader::shim);
  auto reply = l.ask(11);
  CHECK(reply.file == "shim/52-54-00-0a-4d-11/shimaa64.efi");
  CHECK(l.file("/" + reply.file) == "shim/shimaa64.efi.signed");
  CHECK(l.file("/shim/52-54-00-0a-4d-11/grubaa64.efi") == "grub/arm64-efi-signed/grubnetaa64.efi.signed");
  CHECK(l.file("/grubaa64.efi") == "grub/arm64-efi-signed/grubnetaa64.efi.signed");
  CHECK(l.file("/shim/52-54-00-0a-4d-11/mmaa64.efi") == "shim/mmaa64.efi");
  CHECK(l.file("/shim/52-54-00-0a-4d-11/fbaa64.efi") == "error: not_found");
  CHECK(l.file("/shim/52-54-00-0a-4d-11/revocations_sbat.efi") == "error: not_found");
  CHECK(l.file("/shim/nobody/grubaa64.efi") == "error: not_found");
  // An unsigned GRUB is no second stage.
  l.remove("grub/arm64-efi-signed/grubnetaa64.efi.signed");
  CHECK(l.ask(11).message_id == "NL-BOOT-040");
  CHECK(l.get("/grubaa64.efi").error().message.starts_with("NL-BOOT-040"));
  l.remove("shim/shimaa64.efi.signed");
  CHECK(l.ask(11).message_id == "NL-BOOT-041");
}

TEST_CASE("loaders: with a unified image, shim's second stage is that image, over HTTP boot too") {
  loader_lab l(boot_loader::shim, true);
  CHECK(l.ask(7).file == "shim/52-54-00-0a-4d-11/shimx64.efi");
  auto http = l.ask(16, "HTTPClient");
  CHECK(http.vendor_class == "HTTPClient");
  CHECK(http.file == "http://10.77.0.1:8080/shim/52-54-00-0a-4d-11/shimx64.efi");
  CHECK(l.file("/shim/52-54-00-0a-4d-11/grubx64.efi", asset_protocol::http) == "assets/signed.efi");
  l.remove("assets/signed.efi");
  CHECK(l.file("/shim/52-54-00-0a-4d-11/grubx64.efi", asset_protocol::http) == "error: not_found");
  CHECK(l.events.back().stage == boot_stage::refused);
}

TEST_CASE("loaders: GRUB's first configuration leads to the machine's own, over TFTP under Secure Boot") {
  loader_lab l(boot_loader::grub);
  auto first = l.text("/grub/grub.cfg");
  CHECK(first.find(
            "if source (tftp,10.77.0.1)/grub/$grub_cpu-$grub_platform/grub.cfg-01-$net_default_mac; then") !=
        std::string::npos);
  CHECK(l.text("/grub/grub.cfg", asset_protocol::http).find("source (http,10.77.0.1:8080)/grub/") !=
        std::string::npos);
  CHECK(l.text("/grub/arm64-efi/grub.cfg-01-52:54:00:0a:4d:11") ==
        "set default=0\nset fallback=1\nset timeout=0\n"
        "menuentry 'netlab: 52:54:00:0a:4d:11 boots guest (arm64)' {\n"
        "  echo 'netlab: 52:54:00:0a:4d:11 boots guest (arm64)'\n"
        "  set over=tftp\n"
        "  if [ \"$lockdown\" != y ]; then\n"
        "    if insmod http; then set over=http; fi\n"
        "  fi\n"
        "  if [ $over = http ]; then\n"
        "    linux (http,10.77.0.1:8080)/assets/vmlinuz 'console=ttyS0'\n"
        "    initrd (http,10.77.0.1:8080)/assets/initrd.gz\n"
        "  else\n"
        "    linux (tftp,10.77.0.1)/assets/vmlinuz 'console=ttyS0'\n"
        "    initrd (tftp,10.77.0.1)/assets/initrd.gz\n"
        "  fi\n"
        "}\n"
        "menuentry 'netlab: start over' {\n"
        "  echo 'netlab: it did not start; this machine starts over in 10 seconds'\n"
        "  sleep 10\n"
        "  reboot\n"
        "}\n");
  // 32-bit GRUB is given the 64-bit kernel.
  CHECK(l.text("/grub/i386-efi/grub.cfg-01-52:54:00:0a:4d:11").find("assets/vmlinuz") != std::string::npos);
  // Without a MAC the address tells the machine; a platform that GRUB does not have tells nothing.
  CHECK(l.text("/grub/x86_64-efi/grub.cfg").find("(amd64)") != std::string::npos);
  CHECK(l.file("/grub/pdp11-efi/grub.cfg") == "error: not_found");
}

TEST_CASE("loaders: names that TFTP must get undecoded, and quoted for GRUB") {
  loader_lab l(boot_loader::grub);
  l.write("assets/my kernel$1");
  l.options.profiles[0].common.kernel = "my kernel$1";
  auto text = l.text("/grub/arm64-efi/grub.cfg-01-52:54:00:0a:4d:11");
  CHECK(text.find("linux (http,10.77.0.1:8080)/assets/my%20kernel%241 ") != std::string::npos);
  CHECK(text.find("linux (tftp,10.77.0.1)'/assets/my kernel$1' ") != std::string::npos);
}

TEST_CASE("loaders: GRUB's modules are served, and nothing else of its folder") {
  loader_lab l(boot_loader::grub);
  CHECK(l.file("/grub/arm64-efi/http.mod") == "grub/arm64-efi/http.mod");
  CHECK(l.file("/grub/arm64-efi/command.lst") == "grub/arm64-efi/command.lst");
  CHECK(l.file("/grub/arm64-efi/moddep.txt") == "error: not_found");
  CHECK(l.file("/grub/arm64-efi/absent.mod") == "error: not_found");
  CHECK(l.file("/grub/arm64-efi-signed/grubnetaa64.efi.signed") == "error: not_found");
  CHECK(l.file("/grub/arm64-efi/monolithic/grubnetaa64.efi") == "error: not_found");
  CHECK(l.events.empty());
  // The operator's own come first.
  l.write("assets/grub/arm64-efi/http.mod");
  CHECK(l.file("/grub/arm64-efi/http.mod") == "assets/grub/arm64-efi/http.mod");
}

TEST_CASE("loaders: a refusal is shown by GRUB, and the machine goes on to its next way to boot") {
  loader_lab l(boot_loader::grub);
  l.remove("assets/vmlinuz");
  auto text = l.text("/grub/arm64-efi/grub.cfg-01-52:54:00:0a:4d:11");
  CHECK(text.find("NL-BOOT-007") != std::string::npos);
  CHECK(text.ends_with("sleep 30\nexit\n"));
  REQUIRE(l.events.size() == 1);
  CHECK(l.events[0].message_id == "NL-BOOT-007");
}

TEST_CASE("loaders: a card's own iPXE is replaced once where the profile wants ours") {
  loader_lab l(boot_loader::ipxe);
  auto rom = l.ask(0, "PXEClient", "iPXE");
  CHECK(rom.file == "tftp://10.77.0.1/ipxe/52-54-00-0a-4d-11/undionly.kpxe");
  CHECK(rom.next_server.to_string() == "10.77.0.1");
  CHECK(l.file("/ipxe/52-54-00-0a-4d-11/undionly.kpxe") == "ipxe/undionly.kpxe");
  // Asking is not yet having: only what arrived whole asks next.
  CHECK(l.ask(0, "PXEClient", "iPXE").file == rom.file);
  l.finish("/ipxe/52-54-00-0a-4d-11/undionly.kpxe");
  CHECK(l.ask(0, "PXEClient", "iPXE").file == "http://10.77.0.1:8080/boot.ipxe");
  // Much later it is the card's again.
  l.time.advance(std::chrono::minutes(5));
  CHECK(l.ask(0, "PXEClient", "iPXE").file == rom.file);
  // One that says it is ours is ours.
  CHECK(l.ask(0, "PXEClient", "netlab").file == "http://10.77.0.1:8080/boot.ipxe");
  // Without TFTP, or without the program, the card's own will do.
  l.remove("ipxe/undionly.kpxe");
  CHECK(l.ask(0, "PXEClient", "iPXE").file == "http://10.77.0.1:8080/boot.ipxe");

  loader_lab plain(boot_loader::automatic);
  CHECK(plain.ask(0, "PXEClient", "iPXE").file == "http://10.77.0.1:8080/boot.ipxe");
}

TEST_CASE("loaders: a replaced iPXE that never comes back is a loop, and ends") {
  loader_lab l(boot_loader::ipxe);
  bool refused = false;
  for (int i = 0; i < 8 && !refused; ++i) {
    auto reply = l.ask(0, "PXEClient", "iPXE");
    refused = reply.what == boot_reply::kind::refuse;
    if (refused) CHECK(reply.message_id == "NL-BOOT-008");
    l.time.advance(std::chrono::seconds(5));
  }
  CHECK(refused);
}

TEST_CASE("loaders: check() names what a profile's loader lacks") {
  loader_lab l(boot_loader::shim);
  auto ids = [&] {
    std::string out;
    for (const auto& issue : l.start().check()) out += issue.id + " ";
    return out;
  };
  CHECK(ids().empty());
  l.remove("shim/shimx64.efi.signed");
  l.remove("grub/x86_64-efi-signed/grubnetx64.efi.signed");
  CHECK(ids() == "NL-BOOT-041 NL-BOOT-040 ");
}

TEST_CASE("loaders: iPXE goes first where a group asks for what only it can tell") {
  loader_lab l(boot_loader::automatic, true);
  profile other;
  other.name = "other";
  other.common.uki = "signed.efi";
  l.options.profiles.push_back(other);
  l.options.groups.push_back({"", {{"manufacturer", {"HP"}}}, "other", {}});
  CHECK(l.ask(7).file == "snponly.efi");
  CHECK(l.text("/ipxe?mac=52-54-00-0a-4d-11&arch=x86_64&platform=efi&manufacturer=HP", asset_protocol::http)
            .find("boots other") != std::string::npos);
  // Known from now on: the image itself.
  CHECK(l.ask(7).file == "uki/52-54-00-0a-4d-11/other-amd64.efi");
  // Where there is no iPXE, what is known decides.
  CHECK(l.ask(11).file == "uki/52-54-00-0a-4d-11/other-arm64.efi");
}
