#pragma once
#include <map>
#include <string>
#include <string_view>

#include "netlab/result.h"

namespace netlab::fetch {

// A server's demand for credentials (RFC 9110 §11.6.1, RFC 6750 §3).
struct auth_challenge {
  std::string scheme;                            // lower case: "bearer", "basic"
  std::map<std::string, std::string> parameters; // names in lower case
};
// Reads the first challenge of a WWW-Authenticate field. errc::protocol when it is malformed.
result<auth_challenge> parse_challenge(std::string_view field);

// Whether credentials for one host may go to another: the same host, or one of the same registrable domain,
// as auth.docker.io is for registry-1.docker.io. Addresses only go to themselves.
bool may_share_credentials(std::string_view host, std::string_view other);

} // namespace netlab::fetch
