#pragma once
#include <cstdint>
#include <string_view>

#include "netlab/bytes.h"

namespace netlab::dns {

// DNS over HTTPS (RFC 8484) without HTTP: what a request asks, and what its answer's fields are.

inline constexpr std::string_view doh_path = "/dns-query";
inline constexpr std::string_view doh_content_type = "application/dns-message";

// The query in a request, or the HTTP status that refuses it. `query_string` is what follows "?",
// `content_type` the request's.
struct doh_query {
  int refusal = 0; // 0: none
  byte_vector bytes;
};
doh_query read_doh(std::string_view method, std::string_view query_string, std::string_view content_type,
                   std::string_view body);

// Seconds for which an HTTP cache may keep a reply (RFC 8484 §5.1): the least of its records' TTLs.
std::uint32_t doh_max_age(byte_view reply);

} // namespace netlab::dns
