#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/result.h"

namespace netlab {

struct file_info {
  std::string name; // without its folder
  bool folder = false;
  std::uint64_t size = 0;
  std::int64_t modified = 0; // seconds since the epoch
  // Microseconds since the epoch of the last change of content, name or attributes: a file that was moved
  // here or got its times set is a changed one. As fine as the system's clock tick.
  std::int64_t changed = 0;
};

// Small files, read and written whole. Calls block and belong on the control loop; what may be large or
// cold goes through open_file on the bytes loop.
class files {
public:
  virtual ~files() = default;
  // At most `limit` bytes; a larger file is an error.
  virtual result<std::string> read(const std::string& path, std::size_t limit = 64u << 20) = 0;
  // Writes beside the target, syncs, then renames over it: readers see the old or the new content.
  virtual result<void> write(const std::string& path, std::string_view content, int mode = 0644) = 0;
  virtual result<file_info> info(const std::string& path) = 0;
  virtual result<std::vector<file_info>> list(const std::string& folder) = 0; // sorted by name
  virtual result<void> make_folders(const std::string& path, int mode = 0755) = 0;
  virtual result<void> remove(const std::string& path) = 0;
  // Runs `fn` after something in `path` (a file or folder) changed, until the returned object is dropped.
  [[nodiscard]] virtual result<std::shared_ptr<void>> watch(const std::string& path,
                                                            std::function<void()> fn) = 0;
};

// `path` seen from `folder` when it is relative; `.` and `..` are resolved in text, without the disk.
std::string join_path(std::string_view folder, std::string_view path);
// The folder that `path` names a thing in, "." for a bare name; in text, without the disk.
std::string folder_of(std::string_view path);
// True when `path`, its links followed, lies in `root`.
bool is_inside(const std::string& root, const std::string& path);

} // namespace netlab
