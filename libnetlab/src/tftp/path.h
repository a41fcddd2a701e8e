#pragma once
#include <string>
#include <string_view>

#include "netlab/result.h"

namespace netlab::tftp {

// The name in a request as "/a/b": backslashes are separators (Windows loaders), doubled separators,
// "." and inner ".." are resolved, and the 0xFF bytes that some ROMs leave behind the DHCP file name are
// dropped. errc::denied when it leads out of the root or holds control bytes, errc::not_found when
// nothing is left.
result<std::string> clean_path(std::string_view name);

} // namespace netlab::tftp
