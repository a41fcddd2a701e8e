#include "boot/raspberry.h"

#include "host/api.h"
#include "host/bindings.h"
#include "host/handle.h"

namespace netlab::lua {

namespace {

schema raspberry_schema() {
  schema s;
  s.name = "boot.raspberry";
  s.help = "What the boot loader of a Raspberry Pi 3, CM3, 4, CM4 or 5 loads over TFTP: the `raspberry` of a "
           "profile. "
           "config.txt and cmdline.txt are made for each node.";
  s.options = {
      optional("name", type::string(), "how messages call it"),
      with_default(
          "firmware", type::string(), "raspberry-pi",
          "folder of the Pi's own boot files (bootcode.bin, start4.elf, fixup4.dat, device trees, overlays): "
          "in the assets, or absolute. A config.txt there stays in force, and <serial>/… there goes first"),
      optional("kernel", type::string(),
               "what these files start, an asset or absolute path: a Linux kernel, or U-Boot's u-boot.bin, "
               "which asks "
               "DHCP again and gets the profile's arm64 files"),
      optional("uefi", type::string(),
               "instead of `kernel`, UEFI firmware (RPI_EFI.fd): it asks DHCP again as any arm64 UEFI "
               "machine does"),
      optional("initrd", type::list(type::string()), "the kernel's initrds, in order"),
      optional("args", type::list(type::string()), "cmdline.txt; {{name}} is filled in by netlab"),
      optional("config", type::list(type::string()),
               "further lines of config.txt, such as \"dtoverlay=disable-bt\""),
  };
  s.example =
      "profiles = { linux = { raspberry = netlab.boot.raspberry { kernel = \"pi/kernel8.img\", args = { "
      "\"console=serial0,115200\" } } } }";
  return s;
}

result<object_ptr> create_raspberry(host&, const options& o) {
  auto out = std::make_shared<raspberry_object>();
  auto& f = out->files;
  f.firmware = o.get<std::string>("firmware");
  f.kernel = o.maybe<std::string>("kernel").value_or("");
  f.uefi = o.maybe<std::string>("uefi").value_or("");
  f.initrd = o.list<std::string>("initrd");
  f.args = o.list<std::string>("args");
  f.config = o.list<std::string>("config");
  if (!f.kernel.empty() && !f.uefi.empty())
    return fail(errc::invalid, "a Pi starts either a kernel or UEFI firmware, not both", "uefi");
  if (f.kernel.empty() && !f.initrd.empty())
    return fail(errc::invalid, "an initrd goes with a kernel, and none is given", "initrd");
  return out;
}

} // namespace

void bind_boot_raspberry(api& a) {
  a.constructor(raspberry_schema(), "boot.raspberry", create_raspberry);
  a.kind({"boot.raspberry", "The boot files of Raspberry Pis: goes into `raspberry` of a profile.", {}, {}});
}

} // namespace netlab::lua
