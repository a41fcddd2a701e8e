#pragma once
#include <curl/curl.h>

#include <string>
#include <string_view>

#include "netlab/result.h"

namespace netlab::http {

// "GET https://host/path": a URL without its query, fragment and credentials, which may be secret.
std::string describe_request(std::string_view method, std::string_view url);

// What curl's code means to the operator. `detail` is curl's own text for this failure, `os_error` the
// errno of the connection attempt or 0.
error client_error(CURLcode code, const std::string& where, std::string_view detail, long os_error);

} // namespace netlab::http
