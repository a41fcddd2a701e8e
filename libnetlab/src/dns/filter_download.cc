#include "filter_download.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "netlab/units.h"

namespace netlab::dns {

namespace {
constexpr std::uint64_t send_every = 256u << 10, keep_cached = 1u << 20;
} // namespace

void download_file::discard() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  if (!path_.empty()) unlink(path_.c_str());
  path_.clear();
}

result<void> download_file::open() {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) return system_fail(errno, path_, "dns.filter");
  return {};
}

void download_file::write(byte_view bytes, std::uint64_t limit) {
  if (!failed_ || fd_ < 0) return;
  if (bytes.size() > limit - size_) {
    failed_ = fail(errc::limit, "it is larger than " + format_size(limit), "dns.filter");
    return;
  }
  while (!bytes.empty()) {
    auto n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      failed_ = system_fail(n < 0 ? errno : EIO, path_, "dns.filter");
      return;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    size_ += static_cast<std::uint64_t>(n);
  }
  if (size_ - sent_ < send_every) return;
  sync_file_range(fd_, static_cast<off_t>(sent_), static_cast<off_t>(size_ - sent_), SYNC_FILE_RANGE_WRITE);
  sent_ = size_;
  if (size_ > keep_cached)
    posix_fadvise(fd_, 0, static_cast<off_t>(size_ - keep_cached), POSIX_FADV_DONTNEED);
}

result<void> download_file::finish() {
  if (fd_ >= 0 && close(fd_) != 0 && failed_) failed_ = system_fail(errno, path_, "dns.filter");
  fd_ = -1;
  return failed_;
}

result<void> download_file::keep(const std::string& path, const std::string& target) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return system_fail(errno, path, "dns.filter");
  bool synced = fsync(fd) == 0;
  int why = errno;
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
  if (!synced) return system_fail(why, path, "dns.filter");
  if (rename(path.c_str(), target.c_str()) != 0) return system_fail(errno, target, "dns.filter");
  return {};
}

} // namespace netlab::dns
