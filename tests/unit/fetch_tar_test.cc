#include <doctest/doctest.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdio>
#include <fstream>

#include "fetch/tar_reader.h"
#include "fetch/unpack.h"
#include "fetch/unpack_file.h"
#include "support/tar_archive.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::fetch;
using netlab::test::tar_archive;

namespace {

struct found {
  tar_entry entry;
  std::string body;
};

// Everything in the archive, fed in pieces of `step` bytes.
result<std::vector<found>> read_all(const std::string& bytes, std::size_t step) {
  std::vector<found> out;
  tar_reader reader(
      [&](const tar_entry& e) {
        out.push_back({e, {}});
        return true;
      },
      [&](byte_view piece) { out.back().body += as_text(piece); });
  for (std::size_t at = 0; at < bytes.size(); at += step)
    if (auto ok = reader.feed(as_bytes(std::string_view(bytes).substr(at, step))); !ok)
      return tl::unexpected(ok.error());
  return out;
}

} // namespace

TEST_CASE("tar: files, long names, links, in pieces of any size") {
  std::string long_name = "deep/" + std::string(180, 'x') + "/vmlinuz";
  auto archive = tar_archive()
                     .file("./boot/vmlinuz", std::string(1000, 'k'))
                     .file("empty", "")
                     .link("vmlinuz", "boot/vmlinuz")
                     .gnu_long(long_name, "long")
                     .pax("naïve", "pax")
                     .bytes();
  for (std::size_t step : {std::size_t(1), std::size_t(511), std::size_t(512), archive.size()}) {
    auto all = read_all(archive, step);
    REQUIRE(all);
    REQUIRE(all->size() == 5);
    CHECK((*all)[0].entry.name == "boot/vmlinuz");
    CHECK((*all)[0].body == std::string(1000, 'k'));
    CHECK((*all)[1].body.empty());
    CHECK((*all)[2].entry.type == '2');
    CHECK((*all)[2].entry.link == "boot/vmlinuz");
    CHECK((*all)[3].entry.name == long_name);
    CHECK((*all)[3].body == "long");
    CHECK((*all)[4].entry.name == "naïve");
    CHECK((*all)[4].body == "pax");
  }
}

TEST_CASE("tar: damage is an error") {
  auto archive = tar_archive().file("vmlinuz", "kernel").bytes();
  auto flipped = archive;
  flipped[3] ^= 1;
  CHECK_FALSE(read_all(flipped, 512));
  CHECK_FALSE(read_all(std::string(512, 'x'), 512));
  CHECK_FALSE(read_all(tar_archive().raw_pax("99999 path=x\n").bytes(), 512));
  CHECK_FALSE(read_all(tar_archive().raw_pax("0 path=x\n").bytes(), 512));
  CHECK_FALSE(read_all(tar_archive().raw_pax("12 size=abc\n").bytes(), 512));
  CHECK_FALSE(
      read_all(tar_archive().sized("x", "77777777777").bytes().substr(0, 512).replace(156, 1, "L"), 512));
}

TEST_CASE("unpacking: gzip, zstd, plain; cut off, damaged, too large") {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "line " + std::to_string(i) + "\n";
  auto gzip = test::gzip(text), zstd = test::zstd(text);
  auto unpack = [](const std::string& bytes, std::size_t step, std::uint64_t limit) -> result<std::string> {
    std::string out;
    unpacker u(
        [&](byte_view piece) -> result<void> {
          out += as_text(piece);
          return {};
        },
        limit);
    for (std::size_t at = 0; at < bytes.size(); at += step)
      if (auto ok = u.feed(as_bytes(std::string_view(bytes).substr(at, step))); !ok)
        return tl::unexpected(ok.error());
    if (auto ok = u.finish(); !ok) return tl::unexpected(ok.error());
    return out;
  };
  for (std::size_t step : {std::size_t(1), std::size_t(4096), std::size_t(1) << 20}) {
    CHECK(unpack(gzip, step, 1 << 20) == text);
    CHECK(unpack(zstd, step, 1 << 20) == text);
    CHECK(unpack(text, step, 1 << 20) == text);
  }
  CHECK(unpack(gzip + gzip, 100, 1 << 20) == text + text);
  CHECK(unpack("ab", 1, 10) == "ab");
  CHECK_FALSE(unpack(gzip.substr(0, gzip.size() / 2), 4096, 1 << 20));
  CHECK_FALSE(unpack(zstd.substr(0, zstd.size() / 2), 4096, 1 << 20));
  auto damaged = gzip;
  damaged[damaged.size() / 2] ^= 0x55;
  CHECK_FALSE(unpack(damaged, 4096, 1 << 20));
  auto large = unpack(gzip, 4096, 1000);
  REQUIRE_FALSE(large);
  CHECK(large.error().code == errc::limit);
}

TEST_CASE("one file out of a layer") {
  test::temporary_folder folder;
  auto put = [&](const std::string& bytes) {
    std::ofstream(folder / "layer", std::ios::binary) << bytes;
    return folder / "layer";
  };
  auto read = [&](const std::string& name) {
    std::ifstream in(folder / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  auto archive =
      tar_archive().file("boot/vmlinuz", "kernel").file("etc/x", "x").link("latest", "boot/vmlinuz");
  auto got = unpack_file(put(test::gzip(archive.bytes())), "vmlinuz", folder / "out", 0, true);
  REQUIRE(got);
  CHECK(read("out") == "kernel");
  CHECK(got->bytes == 6);
  CHECK(got->digests.sha512);
  CHECK(unpack_file(put(archive.bytes()), "boot/vmlinuz", folder / "out", 0, false));
  auto link = unpack_file(put(archive.bytes()), "latest", folder / "out", 0, false);
  REQUIRE_FALSE(link);
  CHECK(link.error().code == errc::not_found);
  CHECK(link.error().message.find("latest → boot/vmlinuz is a link") != std::string::npos);
  auto missing = unpack_file(put(archive.bytes()), "initramfs.xz", folder / "out", 0, false);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message == "the layer has no file initramfs.xz; it has boot/vmlinuz, etc/x");
  auto twice = tar_archive().file("a/vmlinuz", "1").file("b/vmlinuz", "2");
  auto unclear = unpack_file(put(twice.bytes()), "vmlinuz", folder / "out", 0, false);
  REQUIRE_FALSE(unclear);
  CHECK(unclear.error().message.find("two files are called vmlinuz") != std::string::npos);
  CHECK_FALSE(unpack_file(put(archive.bytes().substr(0, 515)), "vmlinuz", folder / "out", 0, false));
  auto full = unpack_file(put(archive.bytes()), "vmlinuz", folder / "out", std::uint64_t{1} << 60, false);
  REQUIRE_FALSE(full);
  CHECK(full.error().op == "part.room");
}
