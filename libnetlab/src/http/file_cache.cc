#include "file_cache.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "conditional.h"
#include "netlab/bytes.h"
#include "netlab/text.h"

namespace netlab::http {

namespace {

std::int64_t nanoseconds(const timespec& t) { return t.tv_sec * 1'000'000'000ll + t.tv_nsec; }

std::string hex(std::uint64_t value) {
  char out[17];
  int n = std::snprintf(out, sizeof out, "%llx", static_cast<unsigned long long>(value));
  return std::string(out, static_cast<std::size_t>(n));
}

std::shared_ptr<served_file> make_served(std::shared_ptr<open_file> file, const struct stat& st) {
  auto out = std::make_shared<served_file>();
  out->file = std::move(file);
  out->size = static_cast<std::uint64_t>(st.st_size);
  out->modified = st.st_mtim.tv_sec;
  out->etag = "\"" + hex(st.st_ino) + "-" + hex(static_cast<std::uint64_t>(nanoseconds(st.st_mtim))) + "-" +
              hex(out->size) + "\"";
  out->fields = "ETag: " + out->etag + "\r\nLast-Modified: " + format_http_date(out->modified) + "\r\n";
  return out;
}

// Missing names are quiet everywhere; these are the errno values that a wrong path can give.
tl::unexpected<error> open_error(int e, std::string_view path) {
  if (e == ENAMETOOLONG || e == ELOOP || e == ENXIO) e = ENOENT;
  return system_fail(e, path, "open");
}

} // namespace

result<served_file_ptr> describe(std::shared_ptr<open_file> file) {
  struct stat st {};
  if (::fstat(file->descriptor(), &st) != 0) return system_fail(errno, "the asset's file", "stat");
  return make_served(std::move(file), st);
}

file_cache::identity file_cache::identity_of(const struct stat& st) {
  return {st.st_dev, st.st_ino, static_cast<std::uint64_t>(st.st_size), nanoseconds(st.st_mtim)};
}

void file_cache::erase(decltype(entries_)::iterator it) {
  if (it->second.served->content) memory_ -= it->second.served->content->size();
  entries_.erase(it);
}

served_file_ptr file_cache::find(boot_time now) {
  auto it = entries_.find(std::string_view(key_));
  if (it == entries_.end()) return nullptr;
  auto& e = it->second;
  if (now - e.checked >= fresh) {
    struct stat st {};
    // The name may lead elsewhere by now; the same file is as reachable as it was when it was opened.
    if (::stat(key_.c_str() + 1, &st) != 0 || identity_of(st) != e.id) {
      erase(it);
      return nullptr;
    }
    e.checked = now;
  }
  e.used = now;
  return e.served;
}

result<served_file_ptr> file_cache::add(int descriptor, boot_time now) {
  struct stat st {};
  if (::fstat(descriptor, &st) != 0) {
    auto e = errno;
    ::close(descriptor);
    return open_error(e, key_.substr(1));
  }
  auto file = std::make_shared<open_file>(descriptor, static_cast<std::uint64_t>(st.st_size));
  file->modified = st.st_mtim.tv_sec;
  file->inode = st.st_ino;
  if (S_ISDIR(st.st_mode)) return fail(errc::unsupported, "\"" + key_.substr(1) + "\" is a folder", "open");
  if (!S_ISREG(st.st_mode))
    return fail(errc::not_found, "\"" + key_.substr(1) + "\" is no regular file", "open");
  auto served = make_served(std::move(file), st);
  if (served->size <= small_file && memory_ + served->size <= max_memory) {
    std::string content(served->size, '\0');
    std::size_t got = 0;
    while (got < content.size()) {
      auto n = ::pread(descriptor, content.data() + got, content.size() - got, static_cast<off_t>(got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return open_error(errno, key_.substr(1));
      if (n == 0) break;
      got += static_cast<std::size_t>(n);
    }
    // A file that shrinks while it is read is served from its descriptor and looked at again.
    if (got == content.size()) served->content = std::make_shared<const std::string>(std::move(content));
  }
  while (entries_.size() >= max_entries) {
    auto oldest = entries_.begin();
    for (auto it = entries_.begin(); it != entries_.end(); ++it)
      if (it->second.used < oldest->second.used) oldest = it;
    erase(oldest);
  }
  if (served->content) memory_ += served->content->size();
  entries_.emplace(key_, entry{served, identity_of(st), now, now});
  return served;
}

result<served_file_ptr> file_cache::open(const std::string& path, boot_time now) {
  key_.assign("a").append(path);
  if (auto hit = find(now)) return hit;
  if (path.find('\0') != std::string::npos) return fail(errc::not_found, "a NUL in a file name", "open");
  // Non-blocking, so that a FIFO among the assets cannot hold the loop.
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return open_error(errno, path);
  return add(descriptor, now);
}

result<served_file_ptr> file_cache::open_in(const std::string& root, std::string_view relative,
                                            bool follow_outside, boot_time now) {
  key_.assign(follow_outside ? "a" : "b").append(root);
  if (key_.back() != '/') key_ += '/';
  key_.append(relative);
  if (auto hit = find(now)) return hit;
  auto descriptor = open_beneath(root, relative, follow_outside);
  if (!descriptor) return tl::unexpected(descriptor.error());
  return add(*descriptor, now);
}

void file_cache::expire(boot_time now) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    auto next = std::next(it);
    if (now - it->second.used >= unused) erase(it);
    it = next;
  }
}

result<int> open_beneath(const std::string& root, std::string_view relative, bool follow_outside) {
  std::string name(relative.empty() ? std::string_view(".") : relative);
  std::string shown = root + "/" + name;
  if (name.find('\0') != std::string::npos) return fail(errc::not_found, "a NUL in a file name", "open");
  int folder = ::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return open_error(errno, root);
  constexpr int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  int descriptor = -1;
  if (follow_outside) {
    descriptor = ::openat(folder, name.c_str(), flags);
  } else {
    // The kernel refuses a way out while it walks the path: no race between a check and the opening.
    open_how how{};
    how.flags = flags;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    descriptor = static_cast<int>(::syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how));
    if (descriptor < 0 && (errno == ENOSYS || errno == EPERM)) {
      // No openat2 here (an old kernel, a sandbox's filter): open what the name leads to only after
      // checking where that is. Nothing but the operator changes links in between.
      char* real_root = ::realpath(root.c_str(), nullptr);
      char* real_name = ::realpath(shown.c_str(), nullptr);
      int why = errno;
      std::string base = real_root ? real_root : "", target = real_name ? real_name : "";
      ::free(real_root);
      ::free(real_name);
      if (base.empty() || target.empty()) {
        ::close(folder);
        return open_error(why, shown);
      }
      if (base.back() != '/') base += '/';
      if (target.starts_with(base) || target + "/" == base) {
        descriptor = ::open(target.c_str(), flags | O_NOFOLLOW);
      } else {
        errno = EXDEV;
      }
    }
  }
  int why = errno;
  ::close(folder);
  if (descriptor >= 0) return descriptor;
  if (why == EXDEV) return fail(errc::denied, "\"" + shown + "\" leads out of the served folder", "open");
  return open_error(why, shown);
}

} // namespace netlab::http
