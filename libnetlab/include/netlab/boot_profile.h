#pragma once
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "netlab/boot_client.h"
#include "netlab/mac.h"
#include "netlab/node.h"
#include "netlab/result.h"

namespace netlab::boot {

using text_map = std::map<std::string, std::string>;

// What is known about a machine, for matching and for templates.
struct machine_facts {
  std::vector<mac_address> macs;
  std::string uuid, serial, name, role, address;
  boot::cpu cpu = cpu::unknown;
  std::string firmware; // "x64-uefi" …
  std::string hostname; // what its DHCP lease calls it
  text_map labels, query;
};

// Who asks for a document, and how.
struct document_request {
  node_identity node;
  machine_facts facts;
  text_map metadata; // of the group that matched
  std::string profile;
  std::string group;
  std::string path; // "/config", "/generic", "/ignition", "/cloud"
};

// A document: its text, or the absolute path of a file that holds it.
struct document {
  std::string text;
  std::string file;
  bool literal = false; // true: {{name}} stays as it is
  std::string content_type = "text/plain; charset=utf-8";
};
using document_reply_fn = std::function<void(result<document>)>;
// Makes a document for one node; `reply` runs once, on the same thread, now or later.
using document_fn = std::function<void(const document_request&, document_reply_fn)>;

// What to boot. Values are asset names (relative to the assets folder), absolute paths or URLs.
struct boot_files {
  std::optional<std::string> kernel;
  std::optional<std::vector<std::string>> initrd;
  std::optional<std::vector<std::string>> args;
  std::optional<std::string> uki;
  std::optional<std::string> cmdline; // a file whose text is kernel arguments, in front of `args`
};

// What a Raspberry Pi's own boot loader gets over TFTP.
struct raspberry_files {
  std::string firmware = "raspberry-pi"; // folder of the Pi's boot files: in the assets, or absolute
  std::string kernel;                    // what these start: Linux, or U-Boot's u-boot.bin; empty with `uefi`
  std::string uefi;                      // RPI_EFI.fd: UEFI firmware in place of the ARM stub
  std::vector<std::string> initrd;
  std::vector<std::string> args;   // cmdline.txt
  std::vector<std::string> config; // further lines of config.txt
};

// Which program stands between a UEFI machine's firmware and the kernel.
enum class boot_loader {
  automatic, // iPXE where there is one for the processor, else one EFI program, else GRUB
  ipxe,      // our iPXE, also in place of the one that a network card brings along
  grub,      // GRUB's netboot image
  shim,      // shim, then GRUB for a kernel or the unified image itself: what Secure Boot lets start
};

struct profile {
  std::string name; // letters, digits, ".", "_" and "-"
  boot_files common;
  std::map<std::string, boot_files> variants; // "amd64", "arm64" …: what is set there overrides `common`
  document_fn config, generic, ignition, cloud;
  std::optional<raspberry_files> raspberry;
  boot_loader loader = boot_loader::automatic; // BIOS machines always get iPXE
};

// A selector holds when one of its patterns matches the machine's value ("*" and "?" are wildcards; an empty
// pattern matches an absent value).
struct selector {
  // mac, uuid, serial, arch, name, role, firmware, ip, hostname, manufacturer, product, instance_id, tag, a
  // label or a query parameter
  std::string key;
  std::vector<std::string> any;
};

struct group {
  std::string name;
  std::vector<selector> match; // empty: the default group
  std::string profile;
  text_map metadata; // nested keys joined by "."
  // Decides instead of selectors, at once; goes before every group with selectors.
  std::function<bool(const machine_facts&)> decide;
};

// A profile as one processor gets it.
struct resolved_files {
  std::string arch;        // "amd64", …
  std::string kernel, uki; // exactly one is set
  std::vector<std::string> initrd, args;
  std::string cmdline; // empty: none
};
// errc::not_found when the profile has nothing for this processor, errc::invalid when it is incomplete.
result<resolved_files> resolve(const profile& p, cpu processor);

// What of a machine only a boot loader tells, by the names of its query parameters and selectors: its board's
// manufacturer and product, and in EC2 the instance's id and the tag in its user data.
std::span<const std::string_view> told_by_loader();

// The winner: a function that says yes, then most selectors, then the recipe's order; null when none matches.
const group* select_group(std::span<const group> groups, const machine_facts& facts);
// The winner if the machine's boot loader, once it runs, told the manufacturer and product that a group
// wants; the same as select_group() when they are known or nobody asks.
const group* select_group_later(std::span<const group> groups, const machine_facts& facts);
// Whether one group matches; exposed because `netlab check` explains near misses.
bool matches(const group& g, const machine_facts& facts);

using template_lookup = std::function<std::optional<std::string>(std::string_view name)>;

// Fills in `{{name}}`, or `{{name|default}}` where the name may be empty. `\{{` is a plain `{{`; `${…}` and
// braces that hold no name (`{{ .Values.x }}`, `{{- if`) stay as they are. An unknown name, or one without a
// value and default, is an error that names it and its line.
result<std::string> render(std::string_view text, const template_lookup& lookup);

} // namespace netlab::boot
