#pragma once
#include <string>

#include "netlab/part_file.h"
#include "netlab/result.h"

namespace netlab::fetch {

struct unpacked_file {
  part_file::digests digests;
  std::uint64_t bytes = 0;
};
// Takes one file out of a layer (a tar archive, compressed or not) into `target`, synced. `wanted` is its
// path there, or its last part when no other file has that. errc::not_found names what the archive has
// instead.
result<unpacked_file> unpack_file(const std::string& archive, const std::string& wanted,
                                  const std::string& target, std::uint64_t reserve, bool with_sha512);

} // namespace netlab::fetch
