#pragma once
#include <map>
#include <string>
#include <string_view>

#include "netlab/result.h"

namespace netlab::aws {

// One section of the shared files: names in lower case. Nested settings ("s3 =" and indented lines) are
// "s3.addressing_style".
using profile_section = std::map<std::string, std::string>;
// "default", "profile lab", "sso-session home", "services dev" → settings.
using profile_file = std::map<std::string, profile_section>;

// The format of ~/.aws/config and ~/.aws/credentials. errc::invalid names the line. Pure.
result<profile_file> parse_profiles(std::string_view text, const std::string& name);

} // namespace netlab::aws
