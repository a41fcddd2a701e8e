#pragma once
#include <memory>
#include <string>

#include "netlab/net.h"
#include "netlab/result.h"

namespace netlab::tftp {

// Opens `path` (cleaned, begins with "/") below `root`. Symbolic links are followed as long as they stay
// inside. errc::not_found when there is no regular file, errc::denied when it lies outside.
result<std::shared_ptr<open_file>> open_in_root(const std::string& root, const std::string& path);

} // namespace netlab::tftp
