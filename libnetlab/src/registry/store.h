#pragma once
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "disk_worker.h"
#include "index.h"
#include "netlab/http_server.h"
#include "netlab/part_file.h"
#include "netlab/runtime.h"

namespace netlab::registry {

// A manifest as it came: exactly these bytes, under this digest and media type.
struct stored_manifest {
  std::string digest, media_type;
  std::shared_ptr<const std::string> text;
  std::shared_ptr<const http_content> answer; // as it is served
};
using manifest_ptr = std::shared_ptr<const stored_manifest>;
// A media type that no header field can hold becomes that of an image manifest.
manifest_ptr make_manifest(std::string digest, std::string media_type, std::string text);

// The cache's folder:
//   blobs/sha256/ab/<digits>-<bytes>   whole and right; the size tells a torn file at a glance
//   manifests/sha256/<digits>          the media type, a line break, the manifest
//   tags/<repository>.json             what the tags of a repository were
//   parts/sha256-<digits>              blobs that are being fetched, or were when the process ended
// Owns the folder (a lock keeps a second process out), the index of what is there, the manifests that are
// used now, and the thread that syncs. Nothing gets its final name before it is whole, right and on the disk.
// One loop's thread.
class store {
public:
  store(const runtime& world, std::string folder, std::uint64_t max_size, std::uint64_t reserve);
  ~store();
  store(const store&) = delete;
  store& operator=(const store&) = delete;

  struct findings {
    std::size_t blobs = 0, manifests = 0, tags = 0, parts = 0;
    std::size_t damaged = 0; // torn or unreadable files, which were removed
    std::size_t expired = 0; // parts that nobody went on with
  };
  // Reads the folder, removing what is damaged. errc::exists: another process has it.
  result<findings> open();

  cache_index& index() { return index_; }
  const cache_index& index() const { return index_; }
  disk_worker& worker() { return worker_; }
  std::uint64_t max_size() const { return max_size_; }
  const std::string& folder() const { return folder_; }

  // Null when it is not here. What turns out to be damaged is removed.
  manifest_ptr manifest(std::string_view digest);
  // Visible at once; on the disk soon. The caller has checked the digest.
  void put(manifest_ptr m);

  // A whole blob, opened: its size is that of the index, or it is removed and errc::not_found.
  result<std::shared_ptr<open_file>> blob(const std::string& digest);
  std::string part_path(const std::string& digest) const;
  std::string blob_path(const std::string& digest, std::uint64_t size) const;
  // Evicts so that `more` bytes fit below the cache's size and on the disk; false when they do not.
  bool make_room(std::uint64_t more);
  // Bytes that fills under way will need, so that two of them do not count on the same room.
  void reserve(std::uint64_t bytes) { reserved_ += bytes; }
  void unreserve(std::uint64_t bytes) { reserved_ -= bytes; }
  // The part at `path` was synced and got the blob's name: it is visible from now on.
  void blob_added(const std::string& digest, std::uint64_t size);
  // Deletes content and forgets it.
  void remove(const std::string& digest);
  // Evicts down to the limit; how many bytes left.
  std::uint64_t trim();
  // Writes down tags that changed.
  void save_tags();
  // Writes pins down, which are images as they were named.
  void save_pins(const std::map<std::string, std::string>& pins);
  std::map<std::string, std::string> read_pins();
  // Parts that nobody has gone on with for a day are removed; `busy` tells those that are in use.
  std::size_t expire_parts(const std::function<bool(const std::string& digest)>& busy);

  std::uint64_t evicted_bytes() const { return evicted_; }

private:
  std::string manifest_path(const std::string& digest) const;
  std::string tags_path(const std::string& repository) const;
  void unlink_content(const std::string& digest, std::uint64_t size, bool manifest);
  std::uint64_t evict_to(std::uint64_t goal);
  void read_blobs(findings& out);
  void read_manifests(findings& out);
  void read_tags(findings& out);
  void keep_in_memory(const manifest_ptr& m);
  bool fits_disk(std::uint64_t more, std::uint64_t beside = 0) const;

  const runtime& world_;
  std::string folder_;
  std::uint64_t max_size_, reserve_;
  std::uint64_t reserved_ = 0, evicted_ = 0;
  int lock_ = -1;
  cache_index index_;
  std::list<manifest_ptr> recent_; // latest use first
  std::unordered_map<std::string_view, std::list<manifest_ptr>::iterator> in_memory_;
  std::size_t memory_bytes_ = 0;
  disk_worker worker_;
};

// Writes a file beside its place, syncs it and gives it its name. Any thread.
result<void> write_durably(const std::string& path, std::string_view first, std::string_view rest);

} // namespace netlab::registry
