#include "unpack_file.h"

#include <vector>

#include "netlab/net.h"
#include "netlab/text.h"
#include "netlab/units.h"
#include "tar_reader.h"
#include "unpack.h"

namespace netlab::fetch {

namespace {

constexpr std::uint64_t most_unpacked = std::uint64_t{32} << 30;
constexpr std::size_t shown_names = 8;

} // namespace

result<unpacked_file> unpack_file(const std::string& archive, const std::string& wanted,
                                  const std::string& target, std::uint64_t reserve, bool with_sha512) {
  auto source = open_file::open(archive);
  if (!source) return tl::unexpected(source.error());
  part_file out(target, reserve);
  std::optional<error> failure;
  std::string found, link, names;
  std::size_t files = 0;
  auto fits = [&](const std::string& name) {
    return name == wanted || (wanted.find('/') == std::string::npos && name.ends_with("/" + wanted));
  };
  tar_reader tar(
      [&](const tar_entry& e) {
        bool file = e.type == '0' || e.type == '7';
        if (file && ++files <= shown_names) names += (names.empty() ? "" : ", ") + printable(e.name);
        if (!fits(e.name) || failure) return false;
        if (!file) {
          if (e.type == '1' || e.type == '2') link = e.name + " → " + e.link;
          return false;
        }
        if (found == wanted) return false; // the exact path was there already
        if (!found.empty() && e.name != wanted) {
          failure = error{errc::not_found,
                          "two files are called " + wanted + ": " + printable(found) + " and " +
                              printable(e.name) + "; write the path of one",
                          "fetch.unpack"};
          return false;
        }
        found = e.name;
        if (auto ok = out.open(false, with_sha512); !ok)
          failure = ok.error();
        else if (auto room = out.room_for(e.size); !room)
          failure = room.error();
        return !failure;
      },
      [&](byte_view bytes) {
        if (failure) return;
        if (auto ok = out.write(bytes); !ok) failure = ok.error();
      });
  unpacker plain(
      [&](byte_view bytes) -> result<void> {
        if (auto ok = tar.feed(bytes); !ok) return ok;
        if (failure) return tl::unexpected(*failure);
        return {};
      },
      most_unpacked);
  std::vector<std::uint8_t> buffer(256u << 10);
  for (std::uint64_t at = 0;;) {
    auto got = (*source)->read(at, buffer);
    if (!got) return tl::unexpected(got.error());
    if (*got == 0) break;
    if (auto ok = plain.feed(byte_view(buffer.data(), *got)); !ok) return tl::unexpected(ok.error());
    at += *got;
  }
  if (auto ok = plain.finish(); !ok) return tl::unexpected(ok.error());
  if (failure) return tl::unexpected(*failure);
  if (!tar.ended() && !tar.between_entries())
    return fail(errc::protocol, "the tar archive ends in the middle of a file", "fetch.tar");
  if (found.empty())
    return fail(errc::not_found,
                "the layer has no file " + printable(wanted) +
                    (link.empty() ? "" : " (" + printable(link) + " is a link: name what it leads to)") +
                    "; it has " + (names.empty() ? "no files" : names) +
                    (files > shown_names ? " and " + std::to_string(files - shown_names) + " more" : ""),
                "fetch.unpack");
  if (auto ok = out.sync(); !ok) return tl::unexpected(ok.error());
  auto bytes = out.bytes();
  return unpacked_file{out.finish(), bytes};
}

} // namespace netlab::fetch
