#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/digest.h"
#include "netlab/result.h"
#include "netlab/units.h"

namespace netlab::oci {

// The values of the OCI distribution-spec 1.1 and image-spec 1.1 that every room which speaks to registries
// needs: names, manifests, and what a registry demands of who asks. No I/O.

// "library/alpine": path components of lower-case letters and digits, at most 255 characters together.
bool is_repository(std::string_view name);
// At most 128 characters, as in "v1.11.3".
bool is_tag(std::string_view tag);
// "ghcr.io", "10.0.0.1:5000", "[fd00::1]:5000".
bool is_host(std::string_view host);
// The name by which a registry is known: "docker.io" for "index.docker.io" and "registry-1.docker.io", which
// are Docker's own spellings of its registry; any other as it is.
std::string_view registry_name(std::string_view registry);
// The host that answers for it: "registry-1.docker.io" for "docker.io"; of any other, its name.
std::string_view api_host(std::string_view registry);
// "sha256:<64 digits>" or "sha512:<128 digits>". errc::invalid for anything else.
result<checksum> parse_digest(std::string_view text);

// An image as people write it: "alpine", "ghcr.io/siderolabs/talos:v1.11.3",
// "registry.k8s.io/pause@sha256:…". Without a registry it is one of docker.io, whose own images live under
// "library".
struct image_name {
  std::string registry, repository;
  std::string reference; // tag or digest; "latest" when neither was given; the digest when both were
  std::string to_string() const;
};
result<image_name> parse_image(std::string_view text);

// What is accepted as a manifest or an index of manifests, for the Accept field.
inline constexpr std::string_view manifest_types =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view index_type = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view manifest_type = "application/vnd.oci.image.manifest.v1+json";

struct descriptor {
  checksum digest;
  std::uint64_t size = 0;
  std::string media_type, artifact_type;
  std::string title;                     // annotation org.opencontainers.image.title
  bool packed_folder = false;            // packed by oras from a folder, which is what the title names then
  bool with_platform = false;            // of an index
  std::string os, architecture, variant; // of its platform
};

// A manifest has a config and layers, an index has manifests.
struct manifest {
  bool index = false;
  std::string media_type, artifact_type; // as the document says; may be empty
  std::optional<descriptor> config, subject;
  std::vector<descriptor> layers, manifests;
  std::string annotations; // JSON object as written; empty without
};
// Reads a manifest or index (OCI, Docker schema 2). errc::protocol says what is malformed.
result<manifest> parse_manifest(std::string_view text);

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

// Where a bearer challenge sends for a token with which `repository` may be read: built from what is needed,
// because some registries answer with a placeholder of theirs as scope. errc::refused for another scheme, or
// for a realm without TLS that a registry with TLS names.
result<std::string> token_url(const auth_challenge& demand, std::string_view repository, bool tls);

struct token {
  std::string value;
  duration lasts = std::chrono::seconds(60); // the spec's default when the server does not say
};
// Reads a token server's answer. errc::protocol when there is no usable token in it.
result<token> parse_token(std::string_view body);

} // namespace netlab::oci
