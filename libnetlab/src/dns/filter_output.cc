#include "filter_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace netlab::dns {

namespace {

constexpr std::uint64_t behind = 1u << 20;

result<int> make_beside(const std::string& target, std::string& path) {
  path = target + ".XXXXXX";
  int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return system_fail(errno, target, "dns.filter");
  return fd;
}

} // namespace

result<output_file> output_file::create(const std::string& target) {
  std::string path;
  auto fd = make_beside(target, path);
  if (!fd) return tl::unexpected(fd.error());
  return output_file(*fd, path, target);
}

result<output_file> output_file::create_nameless(const std::string& target) {
  std::string path;
  auto fd = make_beside(target, path);
  if (!fd) return tl::unexpected(fd.error());
  unlink(path.c_str());
  return output_file(*fd, {}, target);
}

output_file::output_file(output_file&& other) noexcept
    : fd_(other.fd_), path_(std::move(other.path_)), target_(std::move(other.target_)), since_(other.since_) {
  other.fd_ = -1;
  other.path_.clear();
}

output_file::~output_file() {
  if (fd_ >= 0) close(fd_);
  if (!path_.empty()) unlink(path_.c_str());
}

void output_file::write_behind() {
  // Only clean pages can be dropped.
  sync_file_range(fd_, 0, 0,
                  SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  since_ = 0;
}

result<void> output_file::write(std::uint64_t offset, byte_view bytes) {
  since_ += bytes.size();
  while (!bytes.empty()) {
    auto n = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return system_fail(n < 0 ? errno : EIO, "writing beside " + target_, "dns.filter");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  if (since_ >= behind) write_behind();
  return {};
}

result<void> output_file::read(std::uint64_t offset, byte_span out) const {
  while (!out.empty()) {
    auto n = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return system_fail(n < 0 ? errno : EIO, "reading beside " + target_, "dns.filter");
    out = out.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

result<void> output_file::put_in_place() {
  if (fchmod(fd_, 0644) != 0 || fsync(fd_) != 0) return system_fail(errno, target_, "dns.filter");
  posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  if (rename(path_.c_str(), target_.c_str()) != 0) return system_fail(errno, target_, "dns.filter");
  path_.clear();
  // The new name must survive power loss as well.
  auto slash = target_.rfind('/');
  int folder = open(slash == std::string::npos ? "." : target_.substr(0, slash + 1).c_str(),
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
  return {};
}

result<void> section_writer::flush() {
  if (buffer_.empty()) return {};
  hash_.update(buffer_);
  if (auto wrote = file_.write(at_, buffer_); !wrote) return wrote;
  at_ += buffer_.size();
  buffer_.clear();
  return {};
}

result<void> section_writer::add(byte_view bytes) {
  if (buffer_.size() + bytes.size() > size)
    if (auto flushed = flush(); !flushed) return flushed;
  if (bytes.size() > size) {
    hash_.update(bytes);
    if (auto wrote = file_.write(at_, bytes); !wrote) return wrote;
    at_ += bytes.size();
    return {};
  }
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return {};
}

result<sha256_digest> section_writer::finish() {
  if (auto flushed = flush(); !flushed) return tl::unexpected(flushed.error());
  return hash_.finish();
}

} // namespace netlab::dns
