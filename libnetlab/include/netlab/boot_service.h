#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/asset.h"
#include "netlab/asset_library.h"
#include "netlab/boot_event.h"
#include "netlab/boot_policy.h"
#include "netlab/boot_profile.h"
#include "netlab/boot_source.h"
#include "netlab/clock.h"
#include "netlab/log.h"
#include "netlab/nodes.h"

namespace netlab::boot {

struct service_options {
  std::string name = "boot";
  std::vector<boot::profile> profiles;
  std::vector<boot::group> groups;
  std::vector<source> sources; // asked in this order, before profiles and groups
  std::string assets;          // absolute; what asset names are relative to
  std::string cache;           // absolute; assembled images. Empty: the folder ".netlab-cache" in the assets
  std::uint64_t cache_bytes = std::uint64_t{2} << 30;
  // The address of this service for clients, "http://10.20.13.140:8080". Empty: the address that the client
  // asked, with http_port.
  std::string url;
  std::uint16_t http_port = 0; // of the HTTP server that serves this; 0: none does
  bool tftp = true;            // a TFTP server serves this
  // iPXE programs by what runs them: "bios", "amd64", "arm64", "i386" …. Absolute paths; what is not given is
  // looked for as Debian's package names it.
  text_map ipxe;
  // systemd's EFI stubs by processor: "amd64", "arm64" …. Absolute paths; what is not given is looked for.
  text_map stub;
  // GRUB's netboot images and shims by processor. Absolute paths; what is not given is looked for in the
  // assets and where Debian's packages have it.
  text_map grub, shim;
  std::vector<std::string> grub_folders = {"/usr/lib/grub"}, shim_folders = {"/usr/lib/shim"};
  std::vector<std::string> ipxe_folders = {"/usr/lib/ipxe"};
  std::vector<std::string> stub_folders = {"/usr/lib/systemd/boot/efi"}; // the assets folder comes first
  std::string raspberry_pi = "raspberry-pi";        // assets subfolder with the Pi's own boot files
  unsigned loader_limit = 6;                        // times a machine may ask for one loader …
  duration loader_window = std::chrono::minutes(1); // … in this time, before it counts as a loop
};

// The world of a boot service. `clock` is required; everything else may stay empty.
struct service_world {
  const netlab::clock* clock = nullptr;
  netlab::log log;
  boot_event_fn on_event;
  std::function<const node*(const node_identity&)> find_node;
  std::function<void(const node_identity&)> observe;
  // The host name of the machine's DHCP lease, empty when it has none.
  std::function<std::string(const node_identity&)> lease_name;
  // Where images are assembled, because that copies as much as an initramfs holds; without these it happens
  // at once, on the caller's thread.
  scheduler* home = nullptr;
  scheduler* worker = nullptr;
  // Downloads a profile's URL to a local file (cached by the host); without it a profile that needs one for
  // an assembled or TFTP-served image is refused.
  std::function<void(const std::string& url, std::function<void(result<std::string>)>)> fetch;
  // Which of the assets are fetched from elsewhere, and whether they are here yet. Null: none.
  asset_library* library = nullptr;
  // The list of boot_overrides() changed: the host stores it.
  std::function<void()> on_overrides;

  // Takes nodes from the lab's directory, which outlives the service.
  void use(node_directory& nodes) {
    find_node = [&nodes](const node_identity& who) { return nodes.find(who); };
    observe = [&nodes](const node_identity& who) { nodes.observe(who); };
  }
};

// "Boot once from another profile", set by an operator.
struct boot_override {
  std::string node; // "mac:…", "uuid:…" or "name:…"
  std::string profile;
  std::string origin; // who set it
  boot_time expires{};
};

struct check_issue {
  log_level level = log_level::warn; // error: the recipe cannot be right; warn: some machine will not boot
  std::string id;                    // "NL-BOOT-007"
  std::string text;
  std::string option; // the one at fault: "groups[2].profile"; empty: the whole
};

// Everything that a netbooting machine asks for after its address: loaders, scripts, kernels, unified images
// and configurations, over TFTP and HTTP alike; and the answer to DHCP's question what it shall boot. Owns
// profiles, groups and overrides. Control loop only; replies come there. Destroying it answers what is
// pending with errc::closed.
//
// Paths: /boot.ipxe /ipxe /grub /config /metadata /generic /ignition /cloud /assets/… as matchbox has them;
// /snponly.efi /undionly.kpxe /ipxe-<arch>.efi (loaders, also below /ipxe/ and /ipxe/<mac>/);
// /grubnet<suffix>.efi, /grub/grub.cfg and GRUB's modules /grub/<platform>/<name>.mod;
// /shim/<mac>/shim<suffix>.efi and beside it grub<suffix>.efi, both also at the root;
// /extlinux.conf and /pxelinux.cfg/… (what U-Boot asks for), and over TFTP a Raspberry Pi's files at the
// root, below its serial, its MAC or its node's name;
// /uki/[<mac>/]<profile>-<arch>.efi; /profiles/<profile>/<arch>/<file> for files that lie outside the assets.
// Sources are asked before the recipe's own profiles; with sources and no groups, what none of them has is
// 404.
class service final : public asset_source {
public:
  service(service_options options, service_world world);
  ~service() override;

  void open(const asset_request& request, asset_reply_fn reply) override;
  // What DHCP answers a machine that asks to boot. Total: an ordinary client is `ignore`.
  boot_reply decide(const boot_request& request);
  boot_policy_fn policy(); // decide(), as DHCP takes it; the service outlives it

  // Set when the recipe's graph is linked.
  void served_by_http(std::uint16_t port);
  void served_by_tftp(bool yes);

  // Everything that will not work, before anything runs: unknown profiles, missing assets, loaders and
  // stubs, impossible selectors. Looks at local files only.
  std::vector<check_issue> check() const;

  // The machine's next complete boot takes `profile_name`; forgotten after `within`. errc::not_found when
  // there is no such profile, errc::invalid when `who` has neither MAC, UUID nor name.
  result<void> boot_once(const node_identity& who, const std::string& profile_name, const std::string& origin,
                         duration within = std::chrono::hours(1));
  bool cancel_boot_once(const node_identity& who);
  std::vector<boot_override> boot_overrides() const;

  const service_options& options() const;

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

// The room's message table.
std::span<const message* const> messages();

} // namespace netlab::boot
