#include <doctest/doctest.h>

#include "netlab/boot_client.h"

using namespace netlab;
using namespace netlab::boot;

namespace {

boot_request pxe(std::uint16_t number) {
  boot_request r;
  r.vendor_class = "PXEClient:Arch:00000:UNDI:003000";
  r.architectures = {number};
  r.node.mac = mac_address::parse("52:54:00:00:00:01").value();
  return r;
}

byte_vector bytes(std::string_view text) {
  auto view = as_bytes(text);
  return {view.begin(), view.end()};
}

} // namespace

TEST_CASE("classify: every IANA architecture has its row") {
  struct row {
    std::uint16_t number;
    const char* name;
    boot::cpu processor;
    boot::firmware fw;
    boot_transport transport;
  };
  const auto tftp = boot_transport::tftp, http = boot_transport::http;
  const row rows[] = {
      {0, "x86-bios", cpu::amd64, firmware::bios, tftp},
      {2, "itanium", cpu::other, firmware::other, tftp},
      {6, "ia32-uefi", cpu::i386, firmware::uefi, tftp},
      {7, "x64-uefi", cpu::amd64, firmware::uefi, tftp},
      {9, "x64-uefi", cpu::amd64, firmware::uefi, tftp},
      {10, "arm32-uefi", cpu::arm, firmware::uefi, tftp},
      {11, "arm64-uefi", cpu::arm64, firmware::uefi, tftp},
      {14, "power-opal", cpu::other, firmware::other, tftp},
      {15, "ia32-http", cpu::i386, firmware::uefi, http},
      {16, "x64-http", cpu::amd64, firmware::uefi, http},
      {17, "x64-http", cpu::amd64, firmware::uefi, http},
      {18, "arm32-http", cpu::arm, firmware::uefi, http},
      {19, "arm64-http", cpu::arm64, firmware::uefi, http},
      {20, "x86-bios-http", cpu::amd64, firmware::bios, http},
      {21, "arm32-uboot", cpu::arm, firmware::uboot, tftp},
      {22, "arm64-uboot", cpu::arm64, firmware::uboot, tftp},
      {23, "arm32-uboot-http", cpu::arm, firmware::uboot, http},
      {24, "arm64-uboot-http", cpu::arm64, firmware::uboot, http},
      {25, "riscv32-uefi", cpu::riscv32, firmware::uefi, tftp},
      {27, "riscv64-uefi", cpu::riscv64, firmware::uefi, tftp},
      {28, "riscv64-http", cpu::riscv64, firmware::uefi, http},
      {30, "riscv128-http", cpu::riscv128, firmware::uefi, http},
      {32, "s390x", cpu::other, firmware::other, tftp},
      {37, "loong32-uefi", cpu::loong32, firmware::uefi, tftp},
      {39, "loong64-uefi", cpu::loong64, firmware::uefi, tftp},
      {40, "loong64-http", cpu::loong64, firmware::uefi, http},
      {41, "raspberry-pi-5", cpu::arm64, firmware::raspberry_pi, tftp},
  };
  for (const auto& row : rows) {
    CAPTURE(row.number);
    auto kind = classify(pxe(row.number));
    CHECK(kind.netboot);
    CHECK(kind.name == row.name);
    CHECK(kind.cpu == row.processor);
    CHECK(kind.firmware == row.fw);
    CHECK(kind.transport == row.transport);
    CHECK(kind.architecture == row.number);
    CHECK_FALSE(kind.ipxe);
  }
}

TEST_CASE("classify: the vendor class speaks when option 93 does not") {
  boot_request r;
  r.vendor_class = "PXEClient:Arch:00011:UNDI:003000";
  CHECK(classify(r).name == "arm64-uefi");
  r.architectures = {60000}; // pftf's firmware sends a number that nobody knows
  CHECK(classify(r).name == "arm64-uefi");
  r.vendor_class = "HTTPClient:Arch:00016:UNDI:003001";
  CHECK(classify(r).name == "x64-http");
  r.vendor_class = "PXEClient:Arch:zz:UNDI";
  CHECK(classify(r).name == "arch-60000");
  CHECK(classify(r).firmware == firmware::unknown);
  r.architectures.clear();
  r.vendor_class = "PXEClient";
  CHECK(classify(r).name == "x86-bios"); // what there was before RFC 4578
  r.vendor_class = "HTTPClient";
  CHECK(classify(r).firmware == firmware::unknown);
}

TEST_CASE("classify: a list is searched for what can be booted, and HTTPClient decides the transport") {
  auto r = pxe(2);
  r.architectures = {2, 7};
  CHECK(classify(r).name == "x64-uefi");
  r.architectures = {7};
  r.vendor_class = "HTTPClient:Arch:00007:UNDI:003001";
  CHECK(classify(r).name == "x64-http");
  CHECK(classify(r).transport == boot_transport::http);
}

TEST_CASE("classify: ordinary clients are not netboot clients") {
  boot_request r;
  CHECK_FALSE(classify(r).netboot);
  r.vendor_class = "MSFT 5.0";
  CHECK_FALSE(classify(r).netboot);
  r.vendor_class = "dhcpcd-9.4.1";
  r.user_class = "something";
  CHECK_FALSE(classify(r).netboot);
  r.node.mac = mac_address::parse("b8:27:eb:00:00:01").value(); // Linux on a Pi
  CHECK_FALSE(classify(r).netboot);
}

TEST_CASE("classify: iPXE by its user class, framed or not, or by option 175") {
  auto r = pxe(7);
  r.user_class = "iPXE";
  CHECK(classify(r).name == "x64-ipxe");
  CHECK(classify(r).ipxe);
  CHECK_FALSE(classify(r).ours);
  r.user_class = std::string("\x04iPXE", 5);
  CHECK(classify(r).ipxe);
  r.user_class = std::string("\x03"
                             "abc\x06netlab",
                             11);
  CHECK(classify(r).ours);
  r.user_class = std::string("\x09iPXE", 5); // length past the end
  CHECK_FALSE(classify(r).ipxe);
  r.user_class.clear();
  r.ipxe = {0xb1, 0x05, 0x01, 0x1a, 0xf4, 0x10, 0x00};
  CHECK(classify(r).ipxe);
  CHECK(classify(r).ipxe_http); // it lists no features
  r.ipxe = {0x15, 0x01, 0x01, 0x21, 0x01, 0x01};
  CHECK_FALSE(classify(r).ipxe_http); // TFTP and PXE, no HTTP
  r.ipxe = {0x15, 0x01, 0x01, 0x13, 0x01, 0x01, 0xff};
  CHECK(classify(r).ipxe_http);
  r.ipxe = {0x15, 0xff}; // cut off
  CHECK_FALSE(classify(r).ipxe_http);
  auto bios = pxe(0);
  bios.user_class = "iPXE";
  CHECK(classify(bios).name == "bios-ipxe");
  auto arm = pxe(11);
  arm.user_class = "iPXE";
  CHECK(classify(arm).name == "arm64-ipxe");
}

TEST_CASE("classify: a Raspberry Pi claims to be a BIOS") {
  auto r = pxe(0);
  r.vendor_class = "PXEClient:Arch:00000:UNDI:002001";
  for (auto mac : {"b8:27:eb:01:02:03", "dc:a6:32:01:02:03", "e4:5f:01:01:02:03", "d8:3a:dd:01:02:03",
                   "28:cd:c1:01:02:03", "2c:cf:67:01:02:03"}) {
    r.node.mac = mac_address::parse(mac).value();
    CHECK(classify(r).name ==
          (std::string_view(mac).starts_with("b8") ? "raspberry-pi-3" : "raspberry-pi-4"));
  }
  // By its GUID, whatever network card it uses.
  r.node.mac = mac_address::parse("52:54:00:00:00:01").value();
  r.guid = bytes(std::string_view("\0RPi5\x14\x31\xd0\0\1\2\3\4\5\6\7\x08", 17));
  CHECK(classify(r).name == "raspberry-pi-5");
  r.guid.resize(16);
  CHECK(classify(r).name == "x86-bios");
  // UEFI and iPXE on the same board say what they are.
  auto uefi = pxe(11);
  uefi.node.mac = mac_address::parse("dc:a6:32:01:02:03").value();
  CHECK(classify(uefi).name == "arm64-uefi");
  // The REQUEST of a Pi 4 has no vendor class.
  auto request = pxe(0);
  request.vendor_class.clear();
  request.node.mac = mac_address::parse("dc:a6:32:01:02:03").value();
  CHECK(classify(request).name == "raspberry-pi-4");
}

TEST_CASE("parse_cpu: the spellings of Debian, UEFI, uname and iPXE") {
  CHECK(parse_cpu("x86_64") == cpu::amd64);
  CHECK(parse_cpu("AMD64") == cpu::amd64);
  CHECK(parse_cpu("aarch64") == cpu::arm64);
  CHECK(parse_cpu("arm32") == cpu::arm);
  CHECK(parse_cpu("i386") == cpu::i386);
  CHECK(parse_cpu("riscv64") == cpu::riscv64);
  CHECK(parse_cpu("") == cpu::unknown);
  CHECK(parse_cpu("amd46") == cpu::unknown);
}
