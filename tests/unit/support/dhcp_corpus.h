#pragma once
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/dhcp_packet.h"
#include "source_folder.h"

// Requests laid out as the named software sends them: option order, lengths and quirks included.
struct corpus_entry {
  std::string_view name;
  std::string_view options; // hex, after the magic cookie
  std::uint16_t flags;
  std::size_t size; // padded to; 0: as long as it is
};

inline constexpr corpus_entry dhcp_corpus[] = {
    {"OVMF x64 PXE DISCOVER",
     "350101 390205c0 3723 0102030405060c0d0f111216171c28292a2b3233363a3b3c4243618081828384858"
     "687 61110078563412341278569abcdef012345678 5e03010310 5d020007 3c20 505845436c69656e743a"
     "417263683a30303030373a554e44493a303033303136 ff",
     0x8000, 0},
    {"OVMF x64 HTTP DISCOVER",
     "350101 390205c0 371b 0102030405060c0d0f111216171c28292a2b3233363a3b3c424361 611100785634"
     "12341278569abcdef012345678 5e03010310 5d020010 3c21 48545450436c69656e743a417263683a3030"
     "3031363a554e44493a303033303031 ff",
     0x8000, 0},
    {"AAVMF arm64 PXE REQUEST",
     "350103 36040a000001 32040a000064 390205c0 3723 0102030405060c0d0f111216171c28292a2b32333"
     "63a3b3c4243618081828384858687 61110000112233445566778899aabbccddeeff 5e03010310 5d02000b"
     " 3c20 505845436c69656e743a417263683a30303031313a554e44493a303033303030 ff",
     0x8000, 0},
    {"iPXE DISCOVER (raw option 77)",
     "350101 390205c0 5d020007 5e0301030a 3c20 505845436c69656e743a417263683a30303030373a554e4"
     "4493a303033303130 4d0469505845 3717 010306070c0f111a2b3c4243778081828384858687afcb af2ab"
     "105018086100eeb03000001170101220101130101140101110101270101190101100102210101150101 3d07"
     "01020000000009 61110078563412341278569abcdef012345678 ff",
     0, 0},
    {"BIOS PXE ROM DISCOVER",
     "350101 3719 0102030506070b0c0d0f10112b363c42438081828384858687 390204ec 61110044454c4c43"
     "0010438034b3c04f323532 5d020000 5e03010201 3c20 505845436c69656e743a417263683a3030303030"
     "3a554e44493a303032303031 ff",
     0x8000, 548},
    {"Raspberry Pi 4 DISCOVER",
     "350101 370e 01032b3c42438081828384858687 5d020000 5e03010201 61110052506934 1131c000 a1b"
     "2c3d4 10203040 3c20 505845436c69656e743a417263683a30303030303a554e44493a303032303031 ff",
     0, 0},
    {"udhcpc DISCOVER",
     "350101 3d0701020000000009 39020240 3708 0103060c0f1c2a79 3c0c 756468637020312e33352e30 f"
     "f",
     0, 300},
    {"dhclient REQUEST (INIT-REBOOT)",
     "350103 32040a000065 0c0664656269616e 370d 011c02030f06770c2c2f1a792a ff", 0, 300},
    {"dhcpcd DISCOVER (DUID)",
     "350101 3d13ff000000030001 0001 2a3b4c5d 020000000009 740101 390205c0 3c16 6468637063642d"
     "392e342e313a4c696e75782d362e31 910101 370d 01792103060f1a1c33363a3b77 ff",
     0, 0},
};

inline netlab::byte_vector corpus_packet(const corpus_entry& e) {
  using namespace netlab;
  byte_vector options, out(236);
  if (!from_hex(e.options, options)) return {};
  byte_writer w(out);
  w.u8(1);
  w.u8(1);
  w.u8(6);
  w.u8(0);
  w.u32(0x11223344);
  w.u16(0);
  w.u16(e.flags);
  w.fill(0, 16);
  const std::uint8_t mac[] = {2, 0, 0, 0, 0, 9};
  w.bytes(mac);
  for (auto b : {0x63, 0x82, 0x53, 0x63}) out.push_back(static_cast<std::uint8_t>(b));
  out.insert(out.end(), options.begin(), options.end());
  if (out.size() < e.size) out.resize(e.size);
  return out;
}

// Packets as they were on the wire: firmware, iPXE and system clients against netlab and dnsmasq.
struct captured_packet {
  std::string name;
  netlab::byte_vector bytes;
};

inline std::vector<captured_packet> captured_packets() {
  std::vector<captured_packet> out;
  for (const auto& entry : std::filesystem::directory_iterator(netlab::test::source_folder() +
                                                               "/tests/fuzz/corpus/dhcp_packet")) {
    auto name = entry.path().filename().string();
    if (!name.starts_with("captured_")) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    out.push_back({name, {std::istreambuf_iterator<char>(file), {}}});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}
