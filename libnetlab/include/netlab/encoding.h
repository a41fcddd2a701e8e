#pragma once
#include <string>
#include <string_view>

#include "netlab/bytes.h"
#include "netlab/digest.h"
#include "netlab/result.h"

namespace netlab {

// RFC 4648 §4, with padding.
std::string base64(std::string_view bytes);
// White space is skipped; anything else that is not base64 is errc::invalid.
result<std::string> base64_decode(std::string_view text);

// Text as XML and HTML have it between tags and in double quotes: & < > " become entities.
std::string escape_markup(std::string_view text);

// RFC 2104 over SHA-256.
sha256_digest hmac_sha256(byte_view key, byte_view text);

// Only where a file format names its files so (the AWS command line's session cache): SHA-1 protects nothing.
std::string sha1_hex(std::string_view text);

} // namespace netlab
