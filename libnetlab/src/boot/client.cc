#include "netlab/boot_client.h"

#include <algorithm>
#include <array>
#include <optional>

#include "netlab/text.h"

namespace netlab::boot {

namespace {

struct architecture_row {
  std::uint16_t number;
  boot::cpu cpu;
  boot::firmware firmware;
  boot_transport transport;
  std::string_view name;
};

// IANA "Processor Architecture Types" (RFC 5970 §3.3 started it). 9 is "EBC", which every x64 firmware of
// its time sent by an erratum of RFC 4578; 17 is its HTTP sibling.
constexpr architecture_row rows[] = {
    {0, cpu::amd64, firmware::bios, boot_transport::tftp, "x86-bios"},
    {1, cpu::other, firmware::other, boot_transport::tftp, "pc98"},
    {2, cpu::other, firmware::other, boot_transport::tftp, "itanium"},
    {3, cpu::other, firmware::other, boot_transport::tftp, "alpha"},
    {4, cpu::other, firmware::other, boot_transport::tftp, "arc-x86"},
    {5, cpu::other, firmware::other, boot_transport::tftp, "lean-client"},
    {6, cpu::i386, firmware::uefi, boot_transport::tftp, "ia32-uefi"},
    {7, cpu::amd64, firmware::uefi, boot_transport::tftp, "x64-uefi"},
    {8, cpu::other, firmware::other, boot_transport::tftp, "xscale"},
    {9, cpu::amd64, firmware::uefi, boot_transport::tftp, "x64-uefi"},
    {10, cpu::arm, firmware::uefi, boot_transport::tftp, "arm32-uefi"},
    {11, cpu::arm64, firmware::uefi, boot_transport::tftp, "arm64-uefi"},
    {12, cpu::other, firmware::other, boot_transport::tftp, "ppc-open-firmware"},
    {13, cpu::other, firmware::other, boot_transport::tftp, "ppc-epapr"},
    {14, cpu::other, firmware::other, boot_transport::tftp, "power-opal"},
    {15, cpu::i386, firmware::uefi, boot_transport::http, "ia32-http"},
    {16, cpu::amd64, firmware::uefi, boot_transport::http, "x64-http"},
    {17, cpu::amd64, firmware::uefi, boot_transport::http, "x64-http"},
    {18, cpu::arm, firmware::uefi, boot_transport::http, "arm32-http"},
    {19, cpu::arm64, firmware::uefi, boot_transport::http, "arm64-http"},
    {20, cpu::amd64, firmware::bios, boot_transport::http, "x86-bios-http"},
    {21, cpu::arm, firmware::uboot, boot_transport::tftp, "arm32-uboot"},
    {22, cpu::arm64, firmware::uboot, boot_transport::tftp, "arm64-uboot"},
    {23, cpu::arm, firmware::uboot, boot_transport::http, "arm32-uboot-http"},
    {24, cpu::arm64, firmware::uboot, boot_transport::http, "arm64-uboot-http"},
    {25, cpu::riscv32, firmware::uefi, boot_transport::tftp, "riscv32-uefi"},
    {26, cpu::riscv32, firmware::uefi, boot_transport::http, "riscv32-http"},
    {27, cpu::riscv64, firmware::uefi, boot_transport::tftp, "riscv64-uefi"},
    {28, cpu::riscv64, firmware::uefi, boot_transport::http, "riscv64-http"},
    {29, cpu::riscv128, firmware::uefi, boot_transport::tftp, "riscv128-uefi"},
    {30, cpu::riscv128, firmware::uefi, boot_transport::http, "riscv128-http"},
    {31, cpu::other, firmware::other, boot_transport::tftp, "s390"},
    {32, cpu::other, firmware::other, boot_transport::tftp, "s390x"},
    {33, cpu::other, firmware::uefi, boot_transport::tftp, "mips32-uefi"},
    {34, cpu::other, firmware::uefi, boot_transport::tftp, "mips64-uefi"},
    {35, cpu::other, firmware::uefi, boot_transport::tftp, "sunway32-uefi"},
    {36, cpu::other, firmware::uefi, boot_transport::tftp, "sunway64-uefi"},
    {37, cpu::loong32, firmware::uefi, boot_transport::tftp, "loong32-uefi"},
    {38, cpu::loong32, firmware::uefi, boot_transport::http, "loong32-http"},
    {39, cpu::loong64, firmware::uefi, boot_transport::tftp, "loong64-uefi"},
    {40, cpu::loong64, firmware::uefi, boot_transport::http, "loong64-http"},
    {41, cpu::arm64, firmware::raspberry_pi, boot_transport::tftp, "raspberry-pi"},
};

const architecture_row* row_of(int number) {
  for (const auto& row : rows)
    if (row.number == number) return &row;
  return nullptr;
}

// "PXEClient:Arch:00011:UNDI:003000" → 11.
std::optional<int> vendor_class_architecture(std::string_view text) {
  auto parts = split(text, ':');
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    if (!iequals(parts[i], "Arch")) continue;
    auto digits = parts[i + 1];
    if (digits.empty() || digits.size() > 5) return std::nullopt;
    int value = 0;
    for (char c : digits) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + (c - '0');
    }
    return value;
  }
  return std::nullopt;
}

// iPXE sends option 77 as bare text although RFC 3004 wants a list of length-prefixed items; others frame it.
bool has_user_class(std::string_view raw, std::string_view name) {
  if (raw == name) return true;
  auto rest = raw;
  while (!rest.empty()) {
    std::size_t length = static_cast<unsigned char>(rest.front());
    if (length == 0 || length >= rest.size()) return false;
    if (rest.substr(1, length) == name) return true;
    rest.remove_prefix(1 + length);
  }
  return false;
}

// Option 175 is a list of encapsulated options; 0x13 is the feature "HTTP" (iPXE's features.h). Only an
// iPXE that lists features without it is known to lack it.
bool ipxe_speaks_http(byte_view options) {
  bool listed = false;
  std::size_t i = 0;
  while (i < options.size()) {
    auto tag = options[i];
    if (tag == 0) {
      ++i;
      continue;
    }
    if (tag == 0xff || i + 1 >= options.size()) break;
    if (tag == 0x13) return true;
    if (tag >= 0x10 && tag <= 0x4f) listed = true;
    i += 2 + std::size_t{options[i + 1]};
  }
  return !listed;
}

// Its generation; 0: it is none.
int raspberry_pi(const boot_request& request) {
  constexpr std::array<std::array<std::uint8_t, 3>, 6> prefixes = {{
      {0xb8, 0x27, 0xeb},
      {0xdc, 0xa6, 0x32},
      {0xe4, 0x5f, 0x01},
      {0xd8, 0x3a, 0xdd},
      {0x28, 0xcd, 0xc1},
      {0x2c, 0xcf, 0x67},
  }};
  // The boot loader of a Pi 4 and 5 begins its GUID with the four characters "RPi4" or "RPi5".
  auto guid = as_text(request.guid);
  if (guid.size() == 17) {
    if (guid.substr(1, 3) == "RPi") return guid[4] == '5' ? 5 : 4;
    if (guid.substr(2, 3) == "iPR") return guid[1] == '5' ? 5 : 4;
  }
  if (!request.node.mac) return 0;
  const auto& o = request.node.mac->octets;
  for (const auto& p : prefixes)
    if (std::equal(p.begin(), p.end(), o.begin())) return p == prefixes[0] ? 3 : 4;
  return 0;
}

std::string_view ipxe_name(cpu value, boot::firmware fw) {
  if (fw == firmware::bios) return "bios-ipxe";
  switch (value) {
  case cpu::amd64: return "x64-ipxe";
  case cpu::i386: return "ia32-ipxe";
  case cpu::arm: return "arm32-ipxe";
  case cpu::arm64: return "arm64-ipxe";
  case cpu::riscv64: return "riscv64-ipxe";
  case cpu::loong64: return "loong64-ipxe";
  default: return "ipxe";
  }
}

} // namespace

std::string_view to_string(cpu value) {
  switch (value) {
  case cpu::unknown: return "unknown";
  case cpu::i386: return "i386";
  case cpu::amd64: return "amd64";
  case cpu::arm: return "arm";
  case cpu::arm64: return "arm64";
  case cpu::riscv32: return "riscv32";
  case cpu::riscv64: return "riscv64";
  case cpu::riscv128: return "riscv128";
  case cpu::loong32: return "loong32";
  case cpu::loong64: return "loong64";
  case cpu::other: return "other";
  }
  return "unknown";
}

cpu parse_cpu(std::string_view text) {
  struct spelling {
    std::string_view name;
    boot::cpu value;
  };
  static constexpr spelling spellings[] = {
      {"amd64", cpu::amd64},     {"x86_64", cpu::amd64},    {"x64", cpu::amd64},
      {"x86-64", cpu::amd64},    {"arm64", cpu::arm64},     {"aarch64", cpu::arm64},
      {"i386", cpu::i386},       {"i686", cpu::i386},       {"ia32", cpu::i386},
      {"386", cpu::i386},        {"x86", cpu::i386},        {"arm", cpu::arm},
      {"arm32", cpu::arm},       {"armhf", cpu::arm},       {"armv7", cpu::arm},
      {"riscv32", cpu::riscv32}, {"riscv64", cpu::riscv64}, {"riscv128", cpu::riscv128},
      {"loong32", cpu::loong32}, {"loong64", cpu::loong64}, {"loongarch64", cpu::loong64},
  };
  for (const auto& s : spellings)
    if (iequals(s.name, text)) return s.value;
  return cpu::unknown;
}

client_kind classify(const boot_request& request) {
  client_kind out;
  bool pxe = istarts_with(request.vendor_class, "PXEClient");
  bool http = istarts_with(request.vendor_class, "HTTPClient");
  out.ours = has_user_class(request.user_class, "netlab");
  out.ipxe = out.ours || has_user_class(request.user_class, "iPXE") || !request.ipxe.empty();
  out.netboot = pxe || http || out.ipxe || !request.architectures.empty();
  if (!out.netboot) return out;
  if (out.ipxe) out.ipxe_http = ipxe_speaks_http(request.ipxe);

  // The client lists what it can run in order of preference; the first that somebody could serve decides.
  const architecture_row* row = nullptr;
  for (auto number : request.architectures) {
    const auto* candidate = row_of(number);
    if (candidate && (!row || (row->cpu == cpu::other && candidate->cpu != cpu::other))) row = candidate;
  }
  if (!row) {
    if (auto number = vendor_class_architecture(request.vendor_class)) row = row_of(*number);
  }
  // Before RFC 4578 there was nothing but BIOS, so a PXE client that says nothing is one.
  bool said_nothing = request.architectures.empty() && !vendor_class_architecture(request.vendor_class);
  if (!row && pxe && said_nothing) row = row_of(0);
  if (row) {
    out.cpu = row->cpu;
    out.firmware = row->firmware;
    out.transport = row->transport;
    out.architecture = row->number;
    out.name = row->name;
  } else {
    out.name = "unknown";
    if (!request.architectures.empty()) out.name = "arch-" + std::to_string(request.architectures.front());
  }
  // Some firmware asks for HTTP boot with its PXE number: the vendor class is what the reply must match.
  if (http && out.transport == boot_transport::tftp) {
    out.transport = boot_transport::http;
    auto dash = out.name.find('-');
    if (row && out.firmware == firmware::uefi) out.name = out.name.substr(0, dash) + "-http";
  }
  if (out.ipxe) {
    out.name = ipxe_name(out.cpu, out.firmware);
    return out;
  }
  // Every Pi boot loader claims to be a BIOS; UEFI or U-Boot on a Pi says what it is.
  if (out.firmware == firmware::raspberry_pi || out.firmware == firmware::bios || !row)
    if (!http) out.raspberry_pi = raspberry_pi(request);
  if (out.firmware == firmware::raspberry_pi && out.raspberry_pi == 0)
    out.raspberry_pi = 5; // newer than its name
  if (out.raspberry_pi != 0) {
    out.firmware = firmware::raspberry_pi;
    out.cpu = cpu::arm64;
    out.transport = boot_transport::tftp;
    out.name = "raspberry-pi-" + std::to_string(out.raspberry_pi);
  }
  return out;
}

} // namespace netlab::boot
