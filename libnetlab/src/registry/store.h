#pragma once
#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "disk_worker.h"
#include "index.h"
#include "netlab/http_server.h"
#include "netlab/part_file.h"
#include "netlab/runtime.h"
#include "parts.h"

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
// Contents and parts stay within max_size at every moment, a part with all that it may grow to; what is
// pushed and pinned may exceed it, and then nothing else is kept. The small files beside them are not
// counted. Owns the folder (a lock keeps a second process out), the index of what is there, the manifests
// that are used now, and the thread that syncs. Nothing gets its final name before it is whole, right and on
// the disk. One loop's thread.
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
  // Visible at once; on the disk soon. The caller has checked the digest. One that does not fit beside what
  // stays is only remembered while it is used.
  void put(manifest_ptr m);

  // A whole blob, opened: its size is that of the index, or it is removed and errc::not_found.
  result<std::shared_ptr<open_file>> blob(const std::string& digest);
  std::string blob_path(const std::string& digest, std::uint64_t size) const;

  // --- parts, by the name of their file
  static std::string part_name(const std::string& digest);
  std::string part_path(const std::string& name) const { return folder_ + "/parts/" + name; }
  // Takes a part to write to it; what the file has is kept and counted.
  parts::part& take_part(const std::string& name) { return parts_.take(name); }
  // Lets it grow to that many bytes in all: evicts what has to go for it. False: that does not fit.
  bool claim(parts::part& p, std::uint64_t bytes);
  // The same for what stays whatever the limit says: only the disk can refuse.
  bool claim_anyway(parts::part& p, std::uint64_t bytes);
  // It grows no more: it counts with what it has.
  void settle_part(parts::part& p) { parts_.claim(p, p.written); }
  // Nobody writes to it any more. What is on the disk of it stays until its room is needed.
  void rest_part(const parts::part& p);
  // It is of no use any more.
  void drop_part(const parts::part& p);
  // It was synced and got the blob's name: the blob is visible from now on.
  void part_is_blob(const parts::part& p, const std::string& digest, std::uint64_t size);
  // Parts that nobody has gone on with for a day are removed.
  std::size_t expire_parts();

  // Bytes of contents and parts that are there.
  std::uint64_t bytes() const { return index_.bytes() + parts_.written(); }
  // Deletes content and forgets it.
  void remove(const std::string& digest);
  // Evicts down to the limit.
  void trim();
  // Writes down tags that changed.
  void save_tags();
  // Writes pins down, which are images as they were named.
  void save_pins(const std::map<std::string, std::string>& pins);
  std::map<std::string, std::string> read_pins();
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
  void forget_in_memory(std::string_view digest);
  void read_parts(findings& out);
  bool drop_oldest_part(const std::function<bool(const parts::part&)>& may);
  // Bytes that are spoken for.
  std::uint64_t used() const { return index_.bytes() + parts_.claimed(); }
  // Evicts so that `more` bytes fit below the cache's size and on the disk; false when they do not.
  bool make_room(std::uint64_t more);
  bool make_room_on_disk(std::uint64_t more);
  // Whether the file system takes so many bytes more, beside those of parts that are still to come, when
  // `gone` bytes leave it.
  bool fits_disk(std::uint64_t more, std::uint64_t gone = 0) const;

  const runtime& world_;
  std::string folder_;
  std::uint64_t max_size_, reserve_;
  std::uint64_t evicted_ = 0;
  int lock_ = -1;
  cache_index index_;
  parts parts_;
  // Manifests on their way to the disk; true: removed meanwhile.
  std::unordered_map<std::string, std::shared_ptr<std::atomic<bool>>> writes_;
  std::list<manifest_ptr> recent_; // latest use first
  std::unordered_map<std::string_view, std::list<manifest_ptr>::iterator> in_memory_;
  std::size_t memory_bytes_ = 0;
  disk_worker worker_;
};

// Writes a file beside its place, syncs it and gives it its name. Any thread.
result<void> write_durably(const std::string& path, std::string_view first, std::string_view rest);

} // namespace netlab::registry
