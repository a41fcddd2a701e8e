#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/digest.h"
#include "netlab/result.h"

namespace netlab::fetch {

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
