#pragma once
#include <string_view>

#include "netlab/digest.h"
#include "netlab/result.h"

namespace netlab::fetch {

// The checksum of the file at `path` (of its URL) in a list as sha256sum and sha512sum write it, plain or
// with --tag, or in a file that holds one digest alone. A name in the list counts when `path` ends with it;
// of several the longest wins, because lists of a tree hold many files called "linux". errc::not_found when
// there is none.
result<checksum> find_checksum(std::string_view list, std::string_view path);

} // namespace netlab::fetch
