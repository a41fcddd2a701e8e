#include "oci_manifest.h"

#include <nlohmann/json.hpp>

#include "netlab/json.h"
#include "netlab/text.h"

namespace netlab::fetch {

namespace {

constexpr std::size_t most_entries = 4096;

std::string text_of(const json& object, const char* key) {
  if (!object.is_object()) return {};
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

tl::unexpected<error> malformed(const std::string& why) {
  return fail(errc::protocol, "the manifest is malformed: " + why, "fetch.oci");
}

// A digest that addresses content; anything else would become part of a URL.
result<checksum> digest_of(const json& entry) {
  auto text = text_of(entry, "digest");
  if (text.find(':') == std::string::npos) return malformed("an entry without a digest");
  return checksum::parse(text);
}

result<oci_manifest> choose(const json& manifests, std::string_view arch) {
  oci_manifest out;
  std::string platforms;
  std::size_t fitting = 0;
  for (const auto& entry : manifests) {
    auto found = entry.is_object() ? entry.find("platform") : entry.end();
    auto platform = found != entry.end() ? *found : json::object();
    auto os = text_of(platform, "os"), cpu = text_of(platform, "architecture");
    if (os == "unknown") continue; // attestations of a build travel as such
    if (platforms.size() < 400) platforms += (platforms.empty() ? "" : ", ") + printable(os + "/" + cpu);
    bool fits = arch.empty() || ((os.empty() || os == "linux") && cpu == arch);
    if (!fits || ++fitting > 1) continue; // of several variants the first
    auto digest = digest_of(entry);
    if (!digest) return tl::unexpected(digest.error());
    out.next = digest->to_string();
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
  auto parsed = parse_json(text);
  if (!parsed) return malformed(parsed.error().message);
  const auto& root = *parsed;
  if (!root.is_object()) return malformed("it is no object");
  if (auto manifests = root.find("manifests"); manifests != root.end()) {
    if (!manifests->is_array() || manifests->size() > most_entries)
      return malformed("\"manifests\" is no list");
    return choose(*manifests, arch);
  }
  auto layers = root.find("layers");
  if (layers == root.end() || !layers->is_array() || layers->size() > most_entries)
    return malformed("it has neither \"manifests\" nor \"layers\"");
  oci_manifest out;
  for (const auto& entry : *layers) {
    oci_layer layer;
    auto digest = digest_of(entry);
    if (!digest) return tl::unexpected(digest.error());
    layer.digest = std::move(*digest);
    if (auto size = entry.find("size"); size != entry.end() && size->is_number_unsigned())
      layer.size = size->get<std::uint64_t>();
    auto type = text_of(entry, "mediaType");
    layer.archive = type.find(".tar") != std::string::npos || type.find("+tar") != std::string::npos ||
                    type.ends_with("/x-tar");
    if (auto notes = entry.find("annotations"); notes != entry.end())
      // A folder that oras packed has the folder's name as its title.
      layer.title = text_of(*notes, "io.deis.oras.content.unpack") == "true"
                        ? std::string()
                        : text_of(*notes, "org.opencontainers.image.title");
    out.layers.push_back(std::move(layer));
  }
  return out;
}

} // namespace netlab::fetch
