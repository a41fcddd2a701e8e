#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "netlab/clock.h"

namespace netlab::aws {

// A request as its signature sees it.
struct signable {
  std::string method = "GET";
  std::string path = "/";                                   // as it is sent
  std::vector<std::pair<std::string, std::string>> query;   // decoded
  std::vector<std::pair<std::string, std::string>> headers; // all are signed; "host" must be among them
  std::string payload_hash; // SHA-256 of the body in hex, or "UNSIGNED-PAYLOAD"
};

struct signature_scope {
  std::string access_key, secret_key;
  std::string region, service;
  wall_time time;
  // Every service but S3 takes the path's normal form, and encodes what is sent once more.
  bool normalize_path = true, encode_path = true;
};

// Signature Version 4 (AWS General Reference, "Create a signed request"): pure, no I/O.
std::string canonical_request(const signable& r, const signature_scope& s);
std::string string_to_sign(const std::string& canonical, const signature_scope& s);
std::string signature_of(const std::string& text, const signature_scope& s);
// The value of the Authorization header.
std::string authorization(const signable& r, const signature_scope& s);
// "20150830T123600Z", the value of X-Amz-Date.
std::string amz_date(wall_time time);
// Encodes all but RFC 3986's unreserved characters, digits in upper case.
std::string canonical_query(std::vector<std::pair<std::string, std::string>> query);

} // namespace netlab::aws
