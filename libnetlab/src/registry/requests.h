#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/http_server.h"

namespace netlab::registry {

// What a path of the distribution API asks for (distribution-spec 1.1, "Endpoints").
struct request {
  enum class kind {
    ping,      // /v2/
    manifest,  // /v2/<name>/manifests/<reference>
    blob,      // /v2/<name>/blobs/<digest>
    upload,    // /v2/<name>/blobs/uploads/[<id>]
    tags,      // /v2/<name>/tags/list
    referrers, // /v2/<name>/referrers/<digest>
    catalog,   // /v2/_catalog
    none,
  };
  kind what = kind::none;
  std::string_view name;      // as sent, a registry in front included
  std::string_view reference; // tag, digest or upload
};
// Names and references are not looked into yet.
request read_request(std::string_view path);

// The value of a parameter of a query, decoded; empty without one.
std::string parameter(std::string_view query, std::string_view name);

// Errors as clients of registries know them (distribution-spec, "Error Codes").
http_reply refusal(int status, std::string_view code, std::string_view message);
// The fields that every answer has.
http_headers common_fields();

// A page of sorted names: those behind `last`, at most `limit` of them (0: all). `more`: some are left.
struct name_page {
  std::vector<std::string> names;
  bool more = false;
};
name_page page_of(const std::vector<std::string>& sorted, std::string_view last, std::size_t limit);

// The target of a Link field with rel="next" (RFC 8288): a path, or a URL whose path counts. Empty: none.
std::string next_link(std::string_view field);

} // namespace netlab::registry
