#include "oci_reference.h"

#include "netlab/oci.h"
#include "netlab/text.h"

namespace netlab::fetch {

bool is_oci_url(std::string_view url) { return url.starts_with("oci://") || url.starts_with("oci+http://"); }

std::string oci_reference::base_url() const {
  return (tls ? "https://" : "http://") + std::string(oci::api_host(host)) + "/v2/" + repository;
}

result<oci_reference> parse_oci_url(std::string_view url) {
  auto bad = [&](const std::string& why) {
    return fail(errc::invalid,
                "\"" + printable(url) + "\" " + why + ": write oci://registry/repository:tag#file",
                "fetch.oci");
  };
  if (!is_oci_url(url)) return bad("is not the address of an artifact");
  oci_reference out;
  out.tls = url.starts_with("oci://");
  auto rest = url.substr(url.find("://") + 3);
  auto hash = rest.find('#');
  if (hash == std::string_view::npos || hash + 1 == rest.size()) return bad("names no file");
  out.file = rest.substr(hash + 1);
  while (out.file.starts_with("/")) out.file.erase(0, 1);
  rest = rest.substr(0, hash);
  auto slash = rest.find('/');
  if (slash == std::string_view::npos || !oci::is_host(rest.substr(0, slash)))
    return bad("names no registry");
  out.host = rest.substr(0, slash);
  rest.remove_prefix(slash + 1);
  out.reference = "latest";
  if (auto at = rest.find('@'); at != std::string_view::npos) {
    auto sum = oci::parse_digest(rest.substr(at + 1));
    if (!sum) return bad("has a malformed digest");
    out.reference = sum->to_string();
    rest = rest.substr(0, at);
    if (auto colon = rest.find(':'); colon != std::string_view::npos) rest = rest.substr(0, colon);
  } else if (auto colon = rest.find(':'); colon != std::string_view::npos) {
    if (!oci::is_tag(rest.substr(colon + 1))) return bad("has a malformed tag");
    out.reference = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }
  if (!oci::is_repository(rest)) return bad("has a malformed repository name");
  out.repository = rest;
  // Docker Hub's own images live under "library" (distribution's reference rules).
  if (out.host == "docker.io" && rest.find('/') == std::string_view::npos)
    out.repository = "library/" + out.repository;
  return out;
}

} // namespace netlab::fetch
