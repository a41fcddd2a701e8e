#pragma once
#include <string>
#include <string_view>

#include "netlab/result.h"

namespace netlab::fetch {

// One file of an artifact in a registry: "oci://ghcr.io/urmanac/talos:v1#vmlinuz".
struct oci_reference {
  bool tls = true;              // oci+http:// is without
  std::string host;             // as written: "docker.io", "10.0.0.1:5000"
  std::string repository;       // "library/alpine"
  std::string reference;        // tag or "sha256:…"
  std::string file;             // title of a layer, or path in a layer's tar
  std::string base_url() const; // of the registry's API: Docker Hub's is not at docker.io
};
bool is_oci_url(std::string_view url);
// Grammar: OCI distribution-spec 1.1, "Pulling manifests" (name ≤ 255, tag ≤ 128 characters).
result<oci_reference> parse_oci_url(std::string_view url);

} // namespace netlab::fetch
