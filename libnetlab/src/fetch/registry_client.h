#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "netlab/fetch.h"
#include "oci_manifest.h"
#include "oci_reference.h"

namespace netlab::fetch {

// Reads manifests from registries (OCI distribution-spec 1.1), with the bearer tokens that they ask for.
// Owns its exchanges and tokens; dropping it ends what is under way without a word. Its loop's thread only.
class registry_client {
public:
  registry_client(const runtime& world, const fetch_options& options) : world_(world), options_(options) {}

  // The layers of an artifact; an index is followed to the manifest for `arch`. `done` runs once, later.
  void layers(const oci_reference& of, const std::string& arch,
              std::function<void(result<std::vector<oci_layer>>)> done);
  // What a request for one of its blobs must carry, known after layers().
  http_headers blob_headers(const oci_reference& of) const;
  static std::string blob_url(const oci_reference& of, const checksum& digest);

private:
  struct flow;
  static std::string key(const oci_reference& of);
  void read(const std::shared_ptr<flow>& f);
  void on_manifest(const std::shared_ptr<flow>& f, result<http_response> got);
  void authorise(const std::shared_ptr<flow>& f, const http_response& got);
  void on_token(const std::shared_ptr<flow>& f, result<http_response> got);
  void end(const std::shared_ptr<flow>& f, result<std::vector<oci_layer>> what);
  const credential* credential_of(const oci_reference& of) const;
  http_request request(std::string url) const;

  const runtime& world_;
  const fetch_options& options_;
  std::map<std::string, std::string> authorization_; // by registry and repository
  std::vector<std::shared_ptr<flow>> flows_;
};

} // namespace netlab::fetch
