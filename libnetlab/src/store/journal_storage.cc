#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "messages.h"
#include "netlab/files.h"
#include "netlab/lease_journal.h"

namespace netlab {

namespace {

class descriptor {
public:
  explicit descriptor(int fd = -1) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

private:
  int fd_;
};

// Zeros that are written behind the last record at a time. A sync of bytes inside the file writes these
// bytes; one that makes the file longer writes its inode too (or commits the file system's journal), which
// doubles its time and more. The reserve is written when it runs out, once in about a thousand leases.
constexpr std::size_t reserve_step = 128u << 10;

class disk_file final : public journal_file {
public:
  disk_file(descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  result<std::uint64_t> size() override {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0) return system_fail(errno, path_, "fstat");
    return static_cast<std::uint64_t>(info.st_size);
  }
  result<std::size_t> read(std::uint64_t offset, byte_span out) override {
    std::size_t filled = 0;
    while (filled < out.size()) {
      auto n =
          ::pread(fd_.get(), out.data() + filled, out.size() - filled, static_cast<off_t>(offset + filled));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return system_fail(errno, path_, "read");
      if (n == 0) break;
      filled += static_cast<std::size_t>(n);
    }
    return filled;
  }
  result<void> append(std::uint64_t offset, byte_view bytes) override {
    if (auto wrote = write(offset, bytes); !wrote) return wrote;
    auto end = offset + bytes.size();
    if (!reserved_) {
      struct stat info {};
      reserved_ = ::fstat(fd_.get(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : end;
    }
    if (end < *reserved_) return {};
    // A full disk has no room for the reserve, but the records are written: the next append tries again.
    static constexpr std::uint8_t zeros[reserve_step] = {};
    reserved_ = write(end, zeros) ? end + reserve_step : end;
    return {};
  }
  result<void> sync() override {
    // Never repeated on EINTR or EIO: after a failed sync the kernel may have dropped the pages and call
    // the next sync a success.
    if (::fdatasync(fd_.get()) != 0) return system_fail(errno, path_, "fdatasync");
    return {};
  }
  result<void> truncate(std::uint64_t size) override {
    reserved_.reset();
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return system_fail(errno, path_, "ftruncate");
    return {};
  }

private:
  result<void> write(std::uint64_t offset, byte_view bytes) {
    while (!bytes.empty()) {
      auto n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return system_fail(n < 0 ? errno : ENOSPC, path_, "write");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }

  descriptor fd_;
  std::string path_;
  std::optional<std::uint64_t> reserved_; // where the zeros end; not known before the first append
};

class disk_storage final : public journal_storage {
public:
  explicit disk_storage(std::string path) : path_(std::move(path)), folder_(folder_of(path_)) {}

  std::string name() const override { return path_; }

  result<std::unique_ptr<journal_file>> open() override {
    std::error_code bad;
    std::filesystem::create_directories(folder_, bad);
    if (bad) return system_fail(bad.value(), folder_, "mkdir");
    if (auto locked = lock(); !locked) return tl::unexpected(locked.error());
    return open_file(path_, O_RDWR | O_CREAT);
  }
  result<std::unique_ptr<journal_file>> make_replacement() override {
    return open_file(replacement(), O_RDWR | O_CREAT | O_TRUNC);
  }
  result<void> replace() override {
    if (::rename(replacement().c_str(), path_.c_str()) != 0) return system_fail(errno, path_, "rename");
    return {};
  }
  result<void> sync_folder() override {
    descriptor fd(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return system_fail(errno, folder_, "open");
    if (::fsync(fd.get()) != 0) return system_fail(errno, folder_, "fsync");
    return {};
  }

private:
  std::string replacement() const { return path_ + ".new"; }

  static result<std::unique_ptr<journal_file>> open_file(const std::string& path, int flags) {
    descriptor fd(::open(path.c_str(), flags | O_CLOEXEC, 0640));
    if (fd.get() < 0) return system_fail(errno, path, "open");
    return std::make_unique<disk_file>(std::move(fd), path);
  }

  // A file of its own, because a compaction replaces the journal's inode and with it a lock on that.
  result<void> lock() {
    auto path = path_ + ".lock";
    descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (fd.get() < 0) return system_fail(errno, path, "open");
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return system_fail(errno, path, "flock");
      char text[32] = {};
      auto n = ::pread(fd.get(), text, sizeof text - 1, 0);
      long pid = n > 0 ? std::strtol(text, nullptr, 10) : 0;
      std::string holder = pid == ::getpid() ? "this process already"
                           : pid > 0         ? "process " + std::to_string(pid)
                                             : std::string("another process");
      return fail(errc::conflict,
                  std::string(messages::journal_locked.id) + ": " + path_ + " is held by " + holder + ". " +
                      messages::journal_locked.remedy,
                  "lease_journal.open");
    }
    char text[32];
    auto length = std::snprintf(text, sizeof text, "%ld\n", static_cast<long>(::getpid()));
    // Without its pid the lock still holds: only the other side's message is poorer.
    if (::ftruncate(fd.get(), 0) == 0) (void)!::pwrite(fd.get(), text, static_cast<std::size_t>(length), 0);
    lock_ = std::move(fd);
    return {};
  }

  std::string path_, folder_;
  descriptor lock_;
};

} // namespace

std::unique_ptr<journal_storage> make_journal_storage(std::string path) {
  return std::make_unique<disk_storage>(std::move(path));
}

} // namespace netlab
