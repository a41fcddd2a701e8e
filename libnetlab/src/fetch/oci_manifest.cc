#include "oci_manifest.h"

#include "netlab/oci.h"
#include "netlab/text.h"

namespace netlab::fetch {

namespace {

result<oci_manifest> choose(const std::vector<oci::descriptor>& manifests, std::string_view arch) {
  oci_manifest out;
  std::string platforms;
  std::size_t fitting = 0;
  for (const auto& entry : manifests) {
    if (entry.os == "unknown") continue; // attestations of a build travel as such
    if (platforms.size() < 400)
      platforms += (platforms.empty() ? "" : ", ") + printable(entry.os + "/" + entry.architecture);
    bool fits = arch.empty() || ((entry.os.empty() || entry.os == "linux") && entry.architecture == arch);
    if (!fits || ++fitting > 1) continue; // of several variants the first
    out.next = entry.digest.to_string();
  }
  if (arch.empty() && fitting > 1)
    return fail(errc::not_found, "the image is made for " + platforms + ": say which with arch", "fetch.oci");
  if (out.next.empty())
    return fail(errc::not_found,
                "the image has nothing for linux/" + printable(arch) + " (it has " +
                    (platforms.empty() ? "nothing at all" : platforms) + ")",
                "fetch.oci");
  return out;
}

} // namespace

result<oci_manifest> read_manifest(std::string_view text, std::string_view arch) {
  auto parsed = oci::parse_manifest(text);
  if (!parsed) return tl::unexpected(parsed.error());
  if (parsed->index) return choose(parsed->manifests, arch);
  oci_manifest out;
  for (const auto& entry : parsed->layers) {
    oci_layer layer;
    layer.digest = entry.digest;
    layer.size = entry.size;
    const auto& type = entry.media_type;
    layer.archive = type.find(".tar") != std::string::npos || type.find("+tar") != std::string::npos ||
                    type.ends_with("/x-tar");
    if (!entry.packed_folder) layer.title = entry.title;
    out.layers.push_back(std::move(layer));
  }
  return out;
}

} // namespace netlab::fetch
