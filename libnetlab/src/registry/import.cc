#include "import.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "netlab/net.h"
#include "netlab/oci.h"
#include "netlab/part_file.h"
#include "netlab/text.h"

namespace netlab::registry {

namespace {

constexpr const char* layout = "/docker/registry/v2";

result<void> copy_file(const std::string& from, const std::string& to) {
  auto source = open_file::open(from);
  if (!source) return tl::unexpected(source.error());
  part_file out(to, 0);
  if (auto ok = out.open(false, false); !ok) return ok;
  std::array<std::uint8_t, 65536> piece;
  for (std::uint64_t at = 0;;) {
    auto got = (*source)->read(at, piece);
    if (!got) return tl::unexpected(got.error());
    if (*got == 0) break;
    if (auto ok = out.write(byte_view(piece).first(*got)); !ok) return ok;
    at += *got;
  }
  return out.sync();
}

} // namespace

bool is_storage(files& disk, const std::string& folder) { return disk.info(folder + layout).has_value(); }

std::string imported_blob(files& disk, const std::string& folder, const std::string& digest) {
  auto colon = digest.find(':');
  auto digits = digest.substr(colon + 1);
  auto path = folder + layout + "/blobs/" + digest.substr(0, colon) + "/" + digits.substr(0, 2) + "/" +
              digits + "/data";
  return disk.info(path) ? path : std::string();
}

std::optional<std::string> imported_tag(files& disk, const std::string& folder, const std::string& repository,
                                        const std::string& tag) {
  auto text = disk.read(
      folder + layout + "/repositories/" + repository + "/_manifests/tags/" + tag + "/current/link", 4096);
  if (!text) return std::nullopt;
  auto digest = std::string(trim(*text));
  if (!oci::parse_digest(digest)) return std::nullopt;
  return digest;
}

result<std::uint64_t> adopt(const std::string& from, const std::string& beside, const std::string& digest) {
  ::unlink(beside.c_str());
  if (::link(from.c_str(), beside.c_str()) != 0)
    if (auto copied = copy_file(from, beside); !copied) {
      ::unlink(beside.c_str());
      return tl::unexpected(copied.error());
    }
  auto expected = oci::parse_digest(digest);
  auto found = checksum_of_file(beside, expected->algorithm);
  struct stat info {};
  if (found && *found == *expected && ::stat(beside.c_str(), &info) == 0)
    return static_cast<std::uint64_t>(info.st_size);
  ::unlink(beside.c_str());
  if (!found) return tl::unexpected(found.error());
  return fail(errc::conflict, from + " is not what its digest says", "registry.import");
}

} // namespace netlab::registry
