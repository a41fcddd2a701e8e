#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/result.h"

namespace netlab::boot {

// Texts for boot loaders, made from values that are final: URLs absolute, arguments rendered.
struct script_input {
  std::string title;    // "virtual-1 boots guest (amd64)"
  std::string boot_url; // where /boot.ipxe is, without a slash at the end
  std::string kernel;   // URL of a kernel or unified image
  std::vector<std::string> initrd;
  std::vector<std::string> args;
  // The same over TFTP, for a GRUB that cannot load its module for HTTP; empty: it has come by HTTP.
  std::string tftp_kernel;
  std::vector<std::string> tftp_initrd;
  bool uki = false;
  bool efi = true; // the loader runs under UEFI
};

// What iPXE gets first: asks for its own script, and again while the server does not answer. `query`: what it
// asked with itself, carried on where the script says nothing of its own.
std::string first_script(const std::map<std::string, std::string>& query = {});
// Fails with errc::invalid when an argument cannot stand in a script line.
result<std::string> ipxe_boot_script(const script_input& in);
// Shows why there is nothing to boot, then asks again every half minute for ten minutes.
std::string ipxe_refusal_script(std::string_view boot_url, std::string_view id, std::string_view reason,
                                std::string_view remedy);
// What GRUB reads first: asks, from the same server, for the script of its own machine.
result<std::string> first_grub_script(std::string_view boot_url);
// errc::unsupported for URLs that GRUB cannot read.
// What iPXE shows and does while a file is fetched: it asks again every few seconds.
std::string ipxe_wait_script(std::string_view boot_url, std::string_view what);
result<std::string> grub_script(const script_input& in);
// A pxelinux.cfg file as U-Boot reads it: its paths are relative, its `append` is filled in already.
result<std::string> extlinux_config(const script_input& in);
std::string grub_refusal_script(std::string_view id, std::string_view reason);

} // namespace netlab::boot
