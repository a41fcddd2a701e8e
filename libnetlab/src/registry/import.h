#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "netlab/files.h"
#include "netlab/result.h"

namespace netlab::registry {

// The storage folder of a registry:2 (distribution's filesystem driver), read as it is asked for:
//   docker/registry/v2/blobs/sha256/ab/<digits>/data
//   docker/registry/v2/repositories/<name>/_manifests/tags/<tag>/current/link
// `folder` is what the registry was given as rootdirectory. Nothing in it is changed.

// Whether a folder is such a one at all.
bool is_storage(files& disk, const std::string& folder);
// The file with a blob's or manifest's content; empty when there is none. Its content is not looked at.
std::string imported_blob(files& disk, const std::string& folder, const std::string& digest);
// The digest that a tag had; nothing when it is not there.
std::optional<std::string> imported_tag(files& disk, const std::string& folder, const std::string& repository,
                                        const std::string& tag);
// Brings a blob into the cache under its final name, sharing the file where the file system can. Reads all of
// it: errc::conflict when it is not what its digest says. The size. Any thread.
result<std::uint64_t> adopt(const std::string& from, const std::string& beside, const std::string& digest);

} // namespace netlab::registry
