#include <doctest/doctest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "netlab/uki.h"

using namespace netlab;
using namespace netlab::boot;
namespace fs = std::filesystem;

namespace {

void put(std::string& s, std::size_t at, std::uint64_t value, std::size_t width) {
  if (s.size() < at + width) s.resize(at + width, '\0');
  for (std::size_t i = 0; i < width; ++i) s[at + i] = static_cast<char>(value >> (8 * i));
}

// A small PE32+ image with two sections; `first_raw` leaves more or less room behind the section table.
std::string small_pe(std::uint16_t machine, std::uint32_t first_raw = 0x400) {
  std::string s(0x40, '\0');
  s[0] = 'M';
  s[1] = 'Z';
  put(s, 0x3c, 0x40, 4);
  s += std::string("PE\0\0", 4);
  std::size_t coff = 0x44, opt = coff + 20, table = opt + 240;
  put(s, coff, machine, 2);
  put(s, coff + 2, 2, 2);
  put(s, coff + 16, 240, 2);
  put(s, opt, 0x20b, 2);
  put(s, opt + 32, 0x1000, 4);
  put(s, opt + 36, 0x200, 4);
  put(s, opt + 56, 0x3000, 4);
  put(s, opt + 60, first_raw, 4);
  put(s, opt + 64, 0xdeadbeef, 4);
  put(s, opt + 108, 16, 4);
  put(s, opt + 112 + 32, 0x1234, 4); // a signature
  auto section = [&](std::size_t i, const char* name, std::uint32_t va, std::uint32_t raw) {
    auto at = table + i * 40;
    put(s, at, 0, 8);
    s.replace(at, std::string(name).size(), name);
    put(s, at + 8, 0x100, 4);
    put(s, at + 12, va, 4);
    put(s, at + 16, 0x200, 4);
    put(s, at + 20, raw, 4);
    put(s, at + 36, 0x60000020, 4);
  };
  section(0, ".text", 0x1000, first_raw);
  section(1, ".data", 0x2000, first_raw + 0x200);
  s.resize(first_raw, '\0');
  s += std::string(0x200, 'T') + std::string(0x200, 'D');
  return s;
}

struct folder {
  fs::path path;
  folder() {
    std::string name = (fs::temp_directory_path() / "netlab-uki-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~folder() { fs::remove_all(path); }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
    return (path / name).string();
  }
};

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string section_bytes(const std::string& image, const pe_image& pe, std::string_view name) {
  for (const auto& s : pe.sections)
    if (s.name == name) return image.substr(s.raw_offset, s.virtual_size);
  return "(none)";
}

std::string gzip(const std::string& path, const std::string& bytes) {
  auto* f = ::gzopen(path.c_str(), "wb");
  ::gzwrite(f, bytes.data(), static_cast<unsigned>(bytes.size()));
  ::gzclose(f);
  return path;
}

} // namespace

TEST_CASE("pe: headers are read, and every truncation is refused without a crash") {
  auto image = small_pe(0xaa64);
  auto pe = parse_pe(as_bytes(image), image.size());
  REQUIRE(pe.has_value());
  CHECK(cpu_of_machine(pe->machine) == cpu::arm64);
  CHECK(pe->plus);
  REQUIRE(pe->sections.size() == 2);
  CHECK(pe->sections[1].name == ".data");
  CHECK(pe->sections[1].virtual_address == 0x2000);
  for (std::size_t n = 0; n < image.size(); ++n) {
    std::string cut = image.substr(0, n);
    CHECK_FALSE(parse_pe(as_bytes(cut), n).has_value());
    CHECK_FALSE(append_sections(as_bytes(cut), {}).has_value());
  }
}

TEST_CASE("pe: hostile headers are refused") {
  auto with = [](std::size_t at, std::uint64_t value, std::size_t width) {
    auto image = small_pe(0x8664);
    put(image, at, value, width);
    return parse_pe(as_bytes(image), image.size()).has_value();
  };
  std::size_t coff = 0x44, opt = coff + 20, table = opt + 240;
  CHECK(with(0x20, 0, 4)); // a field that does not matter
  CHECK_FALSE(with(0x3c, 0xfffffff0, 4));
  CHECK_FALSE(with(0x3c, 0, 4));
  CHECK_FALSE(with(0x40, 0, 1));
  CHECK_FALSE(with(coff + 2, 0xffff, 2));
  CHECK_FALSE(with(coff + 16, 0xffff, 2));
  CHECK_FALSE(with(coff + 16, 8, 2));
  CHECK_FALSE(with(opt, 0x107, 2));
  CHECK_FALSE(with(opt + 32, 0, 4));
  CHECK_FALSE(with(opt + 36, 3, 4));
  CHECK_FALSE(with(opt + 60, 0xffffffff, 4));
  CHECK_FALSE(with(table + 20, 0xffffff00, 4));
  CHECK_FALSE(with(table + 12, 0xffffffff, 4));
}

TEST_CASE("pe: sections are appended with places of their own, with or without room in the headers") {
  for (std::uint32_t first_raw : {0x400u, 0x200u}) {
    CAPTURE(first_raw);
    auto stub = small_pe(0xaa64, first_raw);
    std::vector<new_section> added;
    for (const char* name : {".osrel", ".cmdline", ".initrd", ".linux"})
      added.push_back(
          {name, {file_piece{std::string(5000, name[1]), {}, 0, 3}}, name == std::string(".linux")});
    auto plan = append_sections(as_bytes(stub), added);
    REQUIRE(plan.has_value());
    std::string image;
    for (const auto& p : plan->pieces) image += p.bytes + std::string(p.padding, '\0');
    CHECK(image.size() == plan->size);
    auto pe = parse_pe(as_bytes(image), image.size());
    REQUIRE(pe.has_value());
    REQUIRE(pe->sections.size() == 6);
    CHECK(section_bytes(image, *pe, ".text") == std::string(0x100, 'T'));
    CHECK(section_bytes(image, *pe, ".data") == std::string(0x100, 'D'));
    CHECK(section_bytes(image, *pe, ".linux") == std::string(5000, 'l') + std::string(3, '\0'));
    std::uint32_t address = 0;
    for (const auto& s : pe->sections) {
      CHECK(s.virtual_address % 0x1000 == 0);
      CHECK(s.virtual_address >= address);
      CHECK(s.raw_offset % 0x200 == 0);
      CHECK(s.raw_offset >= pe->size_of_headers);
      address = s.virtual_address + s.virtual_size;
    }
    CHECK(pe->size_of_image >= address);
    CHECK(pe->size_of_image % 0x1000 == 0);
    CHECK(image.substr(pe->optional_offset + 64, 4) == std::string(4, '\0'));       // checksum
    CHECK(image.substr(pe->optional_offset + 112 + 32, 8) == std::string(8, '\0')); // signature
    CHECK((pe->sections.back().characteristics & 0x20000000) != 0);                 // .linux may run
    CHECK((pe->sections[4].characteristics & 0x20000000) == 0);
    // Twice is once too often.
    CHECK(append_sections(as_bytes(image), added).error().code == errc::exists);
  }
}

TEST_CASE("pe: what does not fit is an error") {
  auto stub = small_pe(0xaa64, 0x200);
  std::vector<new_section> many(90, new_section{".x", {}, false});
  for (std::size_t i = 0; i < many.size(); ++i) many[i].name = ".s" + std::to_string(i);
  auto full = append_sections(as_bytes(stub), many); // 92 headers need 3.7 KiB: they fit below 0x1000
  CHECK(full.has_value());
  many.resize(95);
  for (std::size_t i = 0; i < many.size(); ++i) many[i].name = ".s" + std::to_string(i);
  CHECK_FALSE(append_sections(as_bytes(stub), many).has_value());
  CHECK(append_sections(as_bytes(stub), {{".linux", {file_piece{{}, "/x", std::uint64_t{3} << 30, 0}}, true}})
            .error()
            .code == errc::limit);
  CHECK_FALSE(append_sections(as_bytes(stub), {{".longer-than-8", {}, false}}).has_value());
}

TEST_CASE("uki: assembled once, used again, made anew when an input changes") {
  folder d;
  uki_input in;
  in.cpu = cpu::arm64;
  in.stub = d.write("stub", small_pe(0xaa64));
  in.kernel = d.write("vmlinuz", small_pe(0xaa64) + std::string(3000000, 'k'));
  in.initrd = {d.write("a", "12345"), d.write("b", "678")};
  in.cmdline = "console=ttyAMA0 talos.config=http://h/?mac=${mac}";
  in.os_release = "ID=netlab\n";
  in.uname = "6.1";
  auto cache = (d.path / "cache").string();
  auto path = assemble_uki(in, cache);
  REQUIRE(path.has_value());
  auto image = read(*path);
  auto pe = parse_pe(as_bytes(image), image.size()).value();
  CHECK(section_bytes(image, pe, ".cmdline") == in.cmdline);
  CHECK(section_bytes(image, pe, ".osrel") == "ID=netlab\n");
  CHECK(section_bytes(image, pe, ".uname") == "6.1");
  CHECK(section_bytes(image, pe, ".initrd") == std::string("12345\0\0\0"
                                                           "678\0",
                                                           12));
  CHECK(section_bytes(image, pe, ".linux") == read(in.kernel));
  CHECK(pe.sections.back().name == ".linux");

  auto before = fs::file_size(*path);
  CHECK(assemble_uki(in, cache).value() == *path);
  auto other = in;
  other.cmdline = "quiet";
  auto second = assemble_uki(other, cache);
  REQUIRE(second.has_value());
  CHECK(*second != *path);
  d.write("b", "6789abcdef");
  CHECK(assemble_uki(in, cache).value() != *path);
  CHECK(fs::file_size(*path) == before);
  // Nothing half-made stays behind.
  for (const auto& e : fs::directory_iterator(cache)) CHECK(e.path().extension() == ".efi");
}

TEST_CASE("uki: a gzip kernel is unpacked, and damage is named") {
  folder d;
  uki_input in;
  in.cpu = cpu::arm64;
  in.stub = d.write("stub", small_pe(0xaa64));
  auto kernel = small_pe(0xaa64) + std::string(100000, 'k');
  in.kernel = gzip((d.path / "vmlinuz.gz").string(), kernel);
  auto cache = (d.path / "cache").string();
  auto path = assemble_uki(in, cache);
  REQUIRE(path.has_value());
  auto image = read(*path);
  CHECK(section_bytes(image, parse_pe(as_bytes(image), image.size()).value(), ".linux") == kernel);

  auto whole = read(in.kernel);
  in.kernel = d.write("cut.gz", whole.substr(0, whole.size() / 2));
  auto cut = assemble_uki(in, cache);
  REQUIRE_FALSE(cut.has_value());
  CHECK(cut.error().message.find("cut.gz") != std::string::npos);
  in.kernel = gzip((d.path / "text.gz").string(), "not a kernel");
  CHECK(assemble_uki(in, cache).error().message.find("no EFI stub") != std::string::npos);
}

TEST_CASE("uki: wrong inputs are refused by name") {
  folder d;
  uki_input in;
  in.cpu = cpu::arm64;
  in.stub = d.write("stub", small_pe(0xaa64));
  in.kernel = d.write("vmlinuz", "ARMd not a PE");
  auto cache = (d.path / "cache").string();
  CHECK(assemble_uki(in, cache).error().message.find("CONFIG_EFI_STUB") != std::string::npos);
  in.kernel = d.write("amd64", small_pe(0x8664));
  CHECK(assemble_uki(in, cache).error().message.find("is for amd64, this machine is arm64") !=
        std::string::npos);
  in.kernel = (d.path / "missing").string();
  CHECK(assemble_uki(in, cache).error().code == errc::not_found);
  in.kernel = d.path.string();
  CHECK(assemble_uki(in, cache).error().code == errc::invalid);
  in.kernel = d.write("ok", small_pe(0xaa64));
  in.stub = d.write("stub2", "MZ");
  CHECK_FALSE(assemble_uki(in, cache).has_value());
  in.stub = d.write("stub", small_pe(0xaa64));
  in.initrd = {(d.path / "no-initrd").string()};
  CHECK(assemble_uki(in, cache).error().message.find("no-initrd") != std::string::npos);
}

TEST_CASE("uki: an x64 image from systemd's own stub satisfies another PE reader") {
  const std::string stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
  if (!fs::exists(stub) || std::system("command -v objdump >/dev/null") != 0) return;
  folder d;
  uki_input in;
  in.cpu = cpu::amd64;
  in.stub = stub;
  in.kernel = d.write("vmlinuz", small_pe(0x8664));
  in.initrd = {d.write("initrd", std::string(100001, 'i'))};
  in.cmdline = "quiet";
  in.os_release = "ID=netlab\n";
  auto path = assemble_uki(in, (d.path / "cache").string());
  REQUIRE(path.has_value());
  auto listing = (d.path / "sections").string();
  REQUIRE(std::system(("objdump -h " + *path + " > " + listing).c_str()) == 0);
  auto text = read(listing);
  for (const char* name : {".text", ".osrel", ".cmdline", ".initrd", ".linux"}) {
    CAPTURE(name);
    CHECK(text.find(name) != std::string::npos);
  }
}

TEST_CASE("uki: iPXE's formats leave Talos' variables") {
  CHECK(without_ipxe_formats("a=${mac:hexhyp}&b=${serial:uristring} ${net0/mac:hexhyp} ${uuid}") ==
        "a=${mac}&b=${serial} ${mac} ${uuid}");
  CHECK(without_ipxe_formats("${other:hex} ${open ${") == "${other:hex} ${open ${");
  CHECK(without_ipxe_formats("").empty());
}
