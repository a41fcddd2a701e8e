#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/boot_client.h"
#include "netlab/bytes.h"
#include "netlab/result.h"

namespace netlab::boot {

// Unified kernel images: a PE/COFF program (systemd's EFI stub) with kernel, initramfs and command line as
// further sections. Field offsets are those of Microsoft's "PE Format", revision 2023.

struct pe_section {
  std::string name;
  std::uint32_t virtual_size = 0, virtual_address = 0;
  std::uint32_t raw_size = 0, raw_offset = 0;
  std::uint32_t characteristics = 0;
};

struct pe_image {
  std::uint16_t machine = 0;
  bool plus = false; // PE32+, else PE32
  std::uint32_t section_alignment = 0, file_alignment = 0;
  std::uint32_t size_of_image = 0, size_of_headers = 0;
  std::uint32_t coff_offset = 0, optional_offset = 0, table_offset = 0; // in the file
  std::vector<pe_section> sections;
};

// Reads the headers of a PE image of which `head` is the beginning and `file_size` the whole length. Strict:
// every header must lie in `head`, every section in the file.
result<pe_image> parse_pe(byte_view head, std::uint64_t file_size);
// The processor that a PE image is for; `cpu::unknown` for machines that netlab does not boot.
cpu cpu_of_machine(std::uint16_t machine);

// A part of a file that is being assembled: `bytes`, or `length` bytes of a file, then `padding` zeros.
struct file_piece {
  std::string bytes;
  std::string file;
  std::uint64_t length = 0;
  std::uint64_t padding = 0;
};

struct new_section {
  std::string name;                // at most 8 bytes
  std::vector<file_piece> content; // in order
  bool code = false;
};

// What the finished file consists of.
struct pe_plan {
  std::vector<file_piece> pieces;
  std::uint64_t size = 0;
};

// Appends sections to a PE image held in memory: grows its section table (moving the sections' bytes when
// the headers have no room left), gives every new section its place, and clears the checksum and the
// signature, which no longer hold. errc::limit when the image would pass 4 GiB or the first section's
// address leaves no room for the headers.
result<pe_plan> append_sections(byte_view image, const std::vector<new_section>& sections);

struct uki_input {
  boot::cpu cpu = cpu::unknown;
  std::string stub;                // path
  std::string kernel;              // path; a PE image, or gzip of one
  std::vector<std::string> initrd; // paths, one cpio archive after the other
  std::string cmdline;
  std::string os_release; // text of .osrel
  std::string uname;      // text of .uname; empty: no such section
};

// Assembles the image in `folder` and returns its path; the name is a digest of everything that goes in
// (inputs by path, size and time), so that what is there already is used again. Blocks for as long as it
// takes to copy the inputs: run it where that may be. Readers never see half a file. When the folder holds
// more than `keep_bytes`, what was not used for ten minutes goes, the oldest first.
result<std::string> assemble_uki(const uki_input& input, const std::string& folder,
                                 std::uint64_t keep_bytes = std::uint64_t{2} << 30);

// iPXE fills in `${mac:hexhyp}` itself; under a UKI nobody knows the suffix, so that Talos' own variables
// (uuid, serial, mac, hostname) lose it: "${mac:hexhyp}" becomes "${mac}".
std::string without_ipxe_formats(std::string_view cmdline);

} // namespace netlab::boot
