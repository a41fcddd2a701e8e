#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/digest.h"
#include "netlab/result.h"

namespace netlab::fetch {

// What is accepted as a manifest or an index of manifests, for the Accept field.
inline constexpr std::string_view manifest_types =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

struct oci_layer {
  checksum digest;
  std::uint64_t size = 0;
  std::string title;    // org.opencontainers.image.title: the layer is that file as it is; empty without
  bool archive = false; // a tar by its media type, compressed or not
};

// Either `next`, the digest of the manifest to read instead, or the layers, in the order of the image.
struct oci_manifest {
  std::string next;
  std::vector<oci_layer> layers;
};

// Reads a manifest or index (OCI image-spec 1.1, Docker schema 2). Of an index the entry for linux on `arch`
// is taken; with an empty `arch` the only one. errc::not_found names the platforms that there are.
result<oci_manifest> read_manifest(std::string_view text, std::string_view arch);

} // namespace netlab::fetch
