#pragma once
#include <string>
#include <utility>
#include <vector>

#include "netlab/http_client.h"
#include "netlab/json.h"
#include "netlab/result.h"
#include "shapes.h"

namespace netlab::aws {

// A request before it has a host and a signature.
struct wire_request {
  std::string method = "POST";
  std::string path = "/";                                 // encoded
  std::vector<std::pair<std::string, std::string>> query; // decoded
  http_headers headers;
  std::string body;
  std::string bucket; // S3: goes into the host's name or before the path
};

// Input in snake_case → the request. Pure. errc::invalid names the member that is missing or of a kind that
// cannot be sent. `filters` and `tags` may be written as tables: { ["tag:x"] = "y" }.
result<wire_request> encode(const service_shape& service, const std::string& action, const json& input);

// The answer of a 2xx response, in snake_case. Pure. errc::protocol when it is not what the service sends.
result<json> decode(const service_shape& service, const std::string& action, const http_response& response);

// What an error response says: a code such as "DependencyViolation", its text and the request's id.
struct wire_error {
  std::string code, message, request_id;
  std::string encoded; // the message that sts:DecodeAuthorizationMessage reads
};
wire_error decode_error(const service_shape& service, const http_response& response);

} // namespace netlab::aws
