#include "messages.h"

#include <array>

#include "netlab/boot_service.h"

namespace netlab::boot {

constexpr message no_group{
    "NL-BOOT-001", log_level::warn,
    "A machine asked to boot, but no source of the boot service has anything for it, no group of the recipe "
    "matches it, and there is no default group.",
    "Add a group whose match fits the machine, or one without match for everybody."};
constexpr message unknown_profile{"NL-BOOT-002", log_level::error,
                                  "A group names a profile that the recipe does not have.",
                                  "Correct the group's profile, or add the profile."};
constexpr message no_variant{"NL-BOOT-003", log_level::warn,
                             "The profile that was chosen has nothing for this machine's processor.",
                             "Give the profile a variant (amd64 = { … }, arm64 = { … }), or let a group with "
                             "match = { arch = … } choose another profile."};
constexpr message uki_on_bios{
    "NL-BOOT-004", log_level::warn,
    "The profile is a unified kernel image, which only UEFI firmware can start, and the "
    "machine booted by BIOS.",
    "Switch the machine to UEFI, or give the profile kernel and initrd."};
constexpr message no_ipxe{"NL-BOOT-005", log_level::warn,
                          "The machine must be given an iPXE program and there is none on this host.",
                          "Install Debian's package ipxe, or name the file: boot.service { ipxe = { … } }."};
constexpr message no_stub{
    "NL-BOOT-006", log_level::warn,
    "Kernel and initramfs must be put into one EFI program for this machine, and systemd's "
    "stub for its processor is missing.",
    "Put linuxaa64.efi.stub (arm64) or linuxx64.efi.stub (amd64) of Debian's package "
    "systemd-boot-efi into the assets, or name it: boot.service { stub = { … } }."};
constexpr message asset_missing{"NL-BOOT-007", log_level::warn, "A file that a profile names is not there.",
                                "Put the file into the assets folder, or correct its name."};
constexpr message loader_loop{
    "NL-BOOT-008", log_level::warn,
    "A machine asked for the same loader again and again within a minute: the loader "
    "starts and falls back to the firmware.",
    "Look at the machine's screen; often the loader does not know its network card, or "
    "another DHCP server answers the loader."};
constexpr message unsupported_machine{"NL-BOOT-009", log_level::warn,
                                      "The machine says that it is of a kind that netlab has no way to boot.",
                                      "Boot it from a disk, or exclude it from netboot."};
constexpr message no_tftp{
    "NL-BOOT-010", log_level::warn,
    "The machine loads its first file over TFTP, and no TFTP server serves the boot service.",
    "Add tftp.server { listen = lan:at(69), serve = { boot } }, or switch the machine to UEFI "
    "HTTP boot."};
constexpr message no_http{"NL-BOOT-011", log_level::warn,
                          "The machine boots over HTTP, and no HTTP server serves the boot service.",
                          "Add http.server { listen = lan:at(8080), serve = { boot } }."};
constexpr message template_failed{
    "NL-BOOT-012", log_level::error,
    "A template in a profile's arguments or configuration uses a name that has no "
    "value for this machine.",
    "Give the node or its group that value, or write a default: {{role|worker}}."};
constexpr message uki_failed{
    "NL-BOOT-013", log_level::error, "The unified kernel image for a machine could not be assembled.",
    "The line says which file is wrong; a UKI needs a kernel with an EFI stub for the "
    "machine's own processor, and room in the cache folder."};
constexpr message document_failed{"NL-BOOT-014", log_level::error,
                                  "The configuration of a machine could not be made.",
                                  "The line carries the error of the recipe's function or of the file."};
constexpr message no_document{"NL-BOOT-015", log_level::warn,
                              "A machine asked for a configuration that its profile does not have.",
                              "Give the profile a config, or take talos.config= out of its arguments."};
constexpr message bad_profile{"NL-BOOT-016", log_level::error,
                              "A profile is incomplete: it needs a kernel or a uki.",
                              "Add kernel = … (with initrd) or uki = … to the profile."};
constexpr message pi_files_missing{
    "NL-BOOT-017", log_level::warn, "A Raspberry Pi asked for its boot files, and the assets hold none.",
    "Put the Pi's firmware (start4.elf, config.txt, RPI_EFI.fd or u-boot.bin …) into "
    "the folder raspberry-pi of the assets."};
constexpr message second_default_group{"NL-BOOT-018", log_level::warn,
                                       "Two groups match every machine; the second is never used.",
                                       "Give one of them a match, or remove it."};
constexpr message bad_name{
    "NL-BOOT-019", log_level::error,
    "A profile's name is part of addresses and may hold only letters, digits, '.', '_' and "
    "'-'; a variant's name is a processor.",
    "Rename it."};
constexpr message outside_assets{"NL-BOOT-020", log_level::error,
                                 "An asset name leads out of the assets folder.",
                                 "Use an absolute path for files that lie elsewhere."};
constexpr message bad_selector{"NL-BOOT-021", log_level::error, "A selector of a group can never match.",
                               "Correct the MAC address, UUID or processor name."};
constexpr message url_not_fetched{
    "NL-BOOT-022", log_level::error,
    "A profile names a URL for a file that netlab itself must read or serve, and it "
    "could not be downloaded.",
    "Check the address, or put the file into the assets."};
constexpr message no_groups{"NL-BOOT-023", log_level::error,
                            "The boot service has no group, so that no machine gets anything.",
                            "Add groups = { { profile = \"…\" } }."};
constexpr message bad_argument{
    "NL-BOOT-024", log_level::error,
    "A kernel argument cannot be carried by a script: it holds control characters, or a "
    "word that iPXE takes for its own.",
    "Change the argument; line breaks often come in with a template's value."};
constexpr message override_set{
    "NL-BOOT-025", log_level::info,
    "An operator chose another profile for a machine's next boot, or that choice ended.", ""};
constexpr message source_failed{
    "NL-BOOT-043", log_level::error,
    "A source of the boot service (a plugin, or a function of the recipe) could not answer a machine, "
    "which got 404.",
    "The line names the source and what is wrong: a file and its line, or the line of the Lua code that "
    "raised."};

constexpr message no_grub{
    "NL-BOOT-040", log_level::warn, "The machine must be given GRUB and there is none on this host.",
    "Install Debian's package grub-efi-amd64-bin, grub-efi-arm64-bin or grub-efi-ia32-bin (for loader = "
    "\"shim\": grub-efi-amd64-signed or grub-efi-arm64-signed), or name the file: boot.service { grub = { … "
    "} }."};
constexpr message no_shim{"NL-BOOT-041", log_level::warn,
                          "The machine must be given shim and there is none on this host.",
                          "Install Debian's package shim-signed of the machine's architecture, or name the "
                          "file: boot.service { shim = "
                          "{ … } }."};
constexpr message grub_over_http{"NL-BOOT-042", log_level::warn,
                                 "The machine uses UEFI HTTP boot, and its profile is started by GRUB. GRUB "
                                 "takes its network settings from "
                                 "PXE only, so that it would stand at its prompt.",
                                 "Switch the machine to PXE, or give the profile a uki or another loader. "
                                 "Most firmware tries PXE by itself "
                                 "when HTTP boot gets nothing."};
constexpr message no_extlinux{"NL-BOOT-060", log_level::warn,
                              "U-Boot asked for its boot configuration, and the profile is nothing that this "
                              "can name: a unified image, or "
                              "more than one initrd.",
                              "Give the profile a kernel and one initrd (join several: cat a.gz b.gz > "
                              "both.gz), or let U-Boot boot as UEFI "
                              "(bootefi), which starts a unified image."};
constexpr message asset_fetching{
    "NL-BOOT-044", log_level::info,
    "A machine asked for something that needs a file which is still being fetched from its source. iPXE is "
    "told how far it is and asks again; other loaders wait some seconds for the answer.",
    "Nothing: the machine goes on when the file is here. netlab status shows how far it is."};
constexpr message asset_unavailable{
    "NL-BOOT-045", log_level::warn,
    "A machine asked for something that needs a file which could not be fetched from its source, and there "
    "is no copy of it here.",
    "The line has the reason; netlab tries again by itself. A file put into the assets folder by hand is "
    "served as well."};

std::span<const message* const> messages() {
  static constexpr std::array all = {
      &no_group,        &unknown_profile,   &no_variant,
      &uki_on_bios,     &no_ipxe,           &no_stub,
      &asset_missing,   &loader_loop,       &unsupported_machine,
      &no_tftp,         &no_http,           &template_failed,
      &uki_failed,      &document_failed,   &no_document,
      &bad_profile,     &pi_files_missing,  &second_default_group,
      &bad_name,        &outside_assets,    &bad_selector,
      &url_not_fetched, &no_groups,         &bad_argument,
      &override_set,    &source_failed,     &no_grub,
      &no_shim,         &grub_over_http,    &no_extlinux,
      &asset_fetching,  &asset_unavailable,
  };
  return all;
}

} // namespace netlab::boot
