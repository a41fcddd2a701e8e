// Everything textual that clients of the registry proxy, upstreams and operators send: paths, queries, Link
// fields, manifests, tokens, image names, lists of images, Docker config files.
#include <cstdint>
#include <string>

#include "netlab/oci.h"
#include "netlab/registry.h"
#include "registry/requests.h"

using namespace netlab;
using namespace netlab::registry;

namespace {
void need(bool right) {
  if (!right) __builtin_trap();
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  auto asked = read_request(text);
  if (asked.what == request::kind::manifest || asked.what == request::kind::blob)
    need(!asked.reference.empty() && asked.reference.find('/') == std::string_view::npos);
  (void)parameter(text, "ns");
  if (auto link = next_link(text); !link.empty()) need(link.starts_with("/v2/"));
  // What is accepted becomes part of URLs and file names.
  if (auto digest = oci::parse_digest(text))
    need(digest->to_string() == text && text.find('/') == std::string::npos);
  if (oci::is_tag(text)) need(text.find('/') == std::string::npos && text[0] != '.');
  if (oci::is_repository(text)) need(text.find("..") != 0 && text.find("//") == std::string::npos);
  if (auto image = oci::parse_image(text)) {
    auto again = oci::parse_image(image->to_string());
    need(again && again->to_string() == image->to_string());
  }
  if (auto manifest = oci::parse_manifest(text))
    for (const auto& each : manifest->layers) need(each.digest.hex.size() >= 64);
  if (auto challenge = oci::parse_challenge(text)) (void)oci::token_url(*challenge, "team/app", true);
  if (auto token = oci::parse_token(text))
    for (unsigned char c : token->value) need(c > 0x20 && c < 0x7f);
  (void)account_of_docker_config(text, "docker.io");
  for (const auto& image : images_in(text)) need(oci::parse_image(image).has_value());
  return 0;
}
