#pragma once
#include <cstdint>
#include <string>

#include "netlab/bytes.h"
#include "netlab/result.h"

namespace netlab::dns {

// A list on its way from the network to the disk. Writes on the control loop, which must not wait: what was
// written is sent to the disk behind it, and dropped from the page cache further behind. Removes its file
// unless that was kept.
class download_file {
public:
  explicit download_file(std::string path) : path_(std::move(path)) {}
  ~download_file() { discard(); }
  download_file(const download_file&) = delete;
  download_file& operator=(const download_file&) = delete;

  result<void> open();
  // Nothing more is written after an error, or when `limit` would be passed.
  void write(byte_view bytes, std::uint64_t limit);
  // Closes the file; the first error, if there was one.
  result<void> finish();
  // Puts it in the place of `target`, with its bytes on the disk first. Blocking.
  static result<void> keep(const std::string& path, const std::string& target);
  const std::string& path() const { return path_; }
  void kept() { path_.clear(); }
  void discard();

private:
  std::string path_;
  int fd_ = -1;
  std::uint64_t size_ = 0, sent_ = 0;
  result<void> failed_;
};

} // namespace netlab::dns
