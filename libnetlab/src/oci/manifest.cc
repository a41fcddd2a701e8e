#include <nlohmann/json.hpp>

#include "netlab/json.h"
#include "netlab/oci.h"

namespace netlab::oci {

namespace {

constexpr std::size_t most_entries = 4096;

std::string text_of(const json& object, const char* key) {
  if (!object.is_object()) return {};
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

tl::unexpected<error> malformed(const std::string& why) {
  return fail(errc::protocol, "the manifest is malformed: " + why, "oci.manifest");
}

result<descriptor> read_descriptor(const json& entry) {
  descriptor out;
  auto text = text_of(entry, "digest");
  // A digest addresses content and becomes part of URLs and file names: nothing else passes.
  if (text.find(':') == std::string::npos) return malformed("an entry without a digest");
  auto digest = checksum::parse(text);
  if (!digest) return malformed(digest.error().message);
  out.digest = *digest;
  if (auto size = entry.find("size"); size != entry.end() && size->is_number_unsigned())
    out.size = size->get<std::uint64_t>();
  out.media_type = text_of(entry, "mediaType");
  out.artifact_type = text_of(entry, "artifactType");
  if (auto notes = entry.find("annotations"); notes != entry.end()) {
    out.title = text_of(*notes, "org.opencontainers.image.title");
    out.packed_folder = text_of(*notes, "io.deis.oras.content.unpack") == "true";
  }
  if (auto platform = entry.find("platform"); platform != entry.end() && platform->is_object()) {
    out.with_platform = true;
    out.os = text_of(*platform, "os");
    out.architecture = text_of(*platform, "architecture");
    out.variant = text_of(*platform, "variant");
  }
  return out;
}

result<void> read_list(const json& root, const char* key, std::vector<descriptor>& out) {
  auto list = root.find(key);
  if (list == root.end()) return {};
  if (!list->is_array() || list->size() > most_entries)
    return malformed("\"" + std::string(key) + "\" is no list");
  for (const auto& entry : *list) {
    auto read = read_descriptor(entry);
    if (!read) return tl::unexpected(read.error());
    out.push_back(std::move(*read));
  }
  return {};
}

result<void> read_one(const json& root, const char* key, std::optional<descriptor>& out) {
  auto entry = root.find(key);
  if (entry == root.end() || entry->is_null()) return {};
  auto read = read_descriptor(*entry);
  if (!read) return tl::unexpected(read.error());
  out = std::move(*read);
  return {};
}

} // namespace

result<manifest> parse_manifest(std::string_view text) {
  auto parsed = parse_json(text);
  if (!parsed) return malformed(parsed.error().message);
  const auto& root = *parsed;
  if (!root.is_object()) return malformed("it is no object");
  manifest out;
  out.index = root.contains("manifests");
  if (!out.index && !root.contains("layers") && !root.contains("config"))
    return malformed("it has neither \"manifests\" nor \"layers\"");
  out.media_type = text_of(root, "mediaType");
  out.artifact_type = text_of(root, "artifactType");
  if (auto ok = read_one(root, "config", out.config); !ok) return tl::unexpected(ok.error());
  if (auto ok = read_one(root, "subject", out.subject); !ok) return tl::unexpected(ok.error());
  if (auto ok = read_list(root, "layers", out.layers); !ok) return tl::unexpected(ok.error());
  if (auto ok = read_list(root, "manifests", out.manifests); !ok) return tl::unexpected(ok.error());
  if (auto notes = root.find("annotations"); notes != root.end() && notes->is_object())
    out.annotations = notes->dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

} // namespace netlab::oci
