#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "netlab/clock.h"
#include "netlab/net.h"
#include "netlab/result.h"

namespace netlab::http {

// An open regular file with what a response says about it.
struct served_file {
  std::shared_ptr<open_file> file;
  std::shared_ptr<const std::string> content; // the whole file when it is small, else null
  std::uint64_t size = 0;
  std::int64_t modified = 0;
  std::string etag;   // strong: inode, time of change in nanoseconds and size
  std::string fields; // "ETag: …\r\nLast-Modified: …\r\n"
};
using served_file_ptr = std::shared_ptr<const served_file>;

// The served_file of a descriptor that somebody else opened; nothing of it is read.
result<served_file_ptr> describe(std::shared_ptr<open_file> file);

// Files that were asked for lately, kept open, small ones in memory. A hit costs a stat(2) at most once a
// second; what changed on the disk is served a second later at most. Holds at most `max_entries`
// descriptors and `max_memory` bytes. Used on the server's loop only; opening may block on the disk.
class file_cache {
public:
  static constexpr std::size_t max_entries = 64;
  static constexpr std::size_t small_file = 16u << 10; // bytes
  static constexpr std::size_t max_memory = 512u << 10;
  static constexpr duration fresh = std::chrono::seconds(1);
  static constexpr duration unused = std::chrono::seconds(10);

  // Opens `path`, following links wherever they lead.
  result<served_file_ptr> open(const std::string& path, boot_time now);
  // Opens `relative` in `root`; a link that leads out of it is errc::denied unless allowed. A folder is
  // errc::unsupported, anything that is no regular file errc::not_found.
  result<served_file_ptr> open_in(const std::string& root, std::string_view relative, bool follow_outside,
                                  boot_time now);
  // Closes what nobody asked for in a while.
  void expire(boot_time now);
  bool empty() const { return entries_.empty(); }

private:
  struct identity {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t changed = 0; // nanoseconds
    bool operator==(const identity&) const = default;
  };
  struct entry {
    served_file_ptr served;
    identity id;
    boot_time checked{}, used{};
  };
  struct hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  served_file_ptr find(boot_time now);
  result<served_file_ptr> add(int descriptor, boot_time now);
  void erase(std::unordered_map<std::string, entry, hash, std::equal_to<>>::iterator it);
  static identity identity_of(const struct ::stat& st);

  std::unordered_map<std::string, entry, hash, std::equal_to<>> entries_;
  std::string key_; // of the current call: how it may be reached, then the path; kept for its capacity
  std::size_t memory_ = 0;
};

// Opens `relative` below `root` for reading (a file or folder); links may not lead out unless allowed.
// The descriptor is the caller's.
result<int> open_beneath(const std::string& root, std::string_view relative, bool follow_outside);

// What a folder holds, as a small HTML page; `path` is its URL path. `descriptor` is taken over.
result<std::string> list_folder(int descriptor, std::string_view path);

} // namespace netlab::http
