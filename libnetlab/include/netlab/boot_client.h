#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "netlab/boot_policy.h"

namespace netlab::boot {

// What the processor of a machine runs. The names of to_string() are those of a profile's variants.
enum class cpu {
  unknown,
  i386,
  amd64,
  arm,
  arm64,
  riscv32,
  riscv64,
  riscv128,
  loong32,
  loong64,
  other, // known to IANA, but nothing that netlab has a loader for (Itanium, POWER, s390, MIPS …)
};
// "amd64", "arm64", "i386", "arm", "riscv64", "loong64" …
std::string_view to_string(cpu value);
// Any common spelling: "x86_64", "x64", "aarch64", iPXE's buildarch names … `cpu::unknown` for none of them.
cpu parse_cpu(std::string_view text);

enum class firmware { unknown, bios, uefi, uboot, raspberry_pi, other };
enum class boot_transport { tftp, http };

// What asks to be booted, as far as DHCP options can tell.
struct client_kind {
  bool netboot = false; // false: an ordinary DHCP client
  boot::cpu cpu = cpu::unknown;
  boot::firmware firmware = firmware::unknown;
  boot_transport transport = boot_transport::tftp;
  bool ipxe = false;     // an iPXE of whatever origin
  bool ours = false;     // an iPXE that one of our scripts marked with user class "netlab"
  bool ipxe_http = true; // that iPXE speaks HTTP (option 175 says so, or says nothing)
  int raspberry_pi = 0;  // its generation, 3 to 5, where its own boot loader asks
  int architecture = -1; // the IANA number that decided, -1 when none did
  std::string name;      // "x64-uefi", "arm64-http", "x86-bios", "x64-ipxe", "raspberry-pi-4" …
};

// Reads options 93 (every value, RFC 4578 §2.1, IANA "Processor Architecture Types"), 60 (`Arch:00011`,
// when 93 is missing or unusable), 77 (raw or RFC 3004), 175, 97 and the MAC. Total: every input has an
// answer.
client_kind classify(const boot_request& request);

} // namespace netlab::boot
