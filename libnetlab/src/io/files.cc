#include "netlab/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>

#include "netlab/net.h"
#include "netlab/text.h"
#include "sockets.h"

namespace netlab {

open_file::~open_file() { ::close(descriptor_); }

result<std::shared_ptr<open_file>> open_file::open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO that somebody left in the folder must not hang.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return system_fail(errno, path, "open");
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return fail(errc::not_found, path + ": not a regular file", "open");
  }
  auto out = std::make_shared<open_file>(fd, static_cast<std::uint64_t>(info.st_size));
  out->modified = info.st_mtime;
  out->inode = info.st_ino;
  return out;
}

result<std::size_t> open_file::read(std::uint64_t offset, byte_span out) const {
  std::size_t have = 0;
  while (have < out.size()) {
    auto n = pread(descriptor_, out.data() + have, out.size() - have, static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_fail(errno, "reading a file", "read");
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  return have;
}

std::string folder_of(std::string_view path) {
  auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

std::string join_path(std::string_view folder, std::string_view path) {
  std::string joined;
  if (path.empty() || path.front() != '/') joined = std::string(folder) + "/";
  joined += path;
  bool absolute = !joined.empty() && joined.front() == '/';
  std::vector<std::string_view> parts;
  for (auto part : split(joined, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == ".." && !parts.empty() && parts.back() != "..")
      parts.pop_back();
    else if (part != ".." || !absolute)
      parts.push_back(part);
  }
  std::string out = absolute ? "/" : "";
  for (std::size_t i = 0; i < parts.size(); ++i) out += (i ? "/" : "") + std::string(parts[i]);
  return out.empty() ? "." : out;
}

bool is_inside(const std::string& root, const std::string& path) {
  char a[PATH_MAX], b[PATH_MAX];
  if (!realpath(root.c_str(), a) || !realpath(path.c_str(), b)) return false;
  std::string_view r = a, p = b;
  if (r == "/") return true;
  return p.starts_with(r) && (p.size() == r.size() || p[r.size()] == '/');
}

namespace io {

namespace {

class system_files final : public files {
public:
  explicit system_files(loop& owner) : loop_(owner) {}

  result<std::string> read(const std::string& path, std::size_t limit) override {
    auto file = open_file::open(path);
    if (!file) return tl::unexpected(file.error());
    auto complain = [&] { return fail(errc::limit, path + " is larger than " + format_size(limit), "read"); };
    if ((*file)->size() > limit) return complain();
    std::string out;
    // Files of /proc say that they are empty: read until there is no more.
    for (;;) {
      auto have = out.size();
      out.resize(std::min(limit + 1, std::max<std::size_t>(have * 2, (*file)->size() + 1024)));
      auto got = (*file)->read(
          have, byte_span(reinterpret_cast<std::uint8_t*>(out.data()) + have, out.size() - have));
      if (!got) return system_fail(errno, path, "read");
      bool more = *got == out.size() - have;
      out.resize(have + *got);
      if (out.size() > limit) return complain();
      if (!more) return out;
    }
  }

  result<void> write(const std::string& path, std::string_view content, int mode) override {
    auto temporary = path + ".XXXXXX";
    descriptor fd(mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) return system_fail(errno, path, "write");
    auto give_up = [&]() -> result<void> {
      int why = errno;
      unlink(temporary.c_str());
      return system_fail(why, path, "write");
    };
    while (!content.empty()) {
      auto n = ::write(fd.get(), content.data(), content.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return give_up();
      content.remove_prefix(static_cast<std::size_t>(n));
    }
    if (fchmod(fd.get(), static_cast<mode_t>(mode)) != 0 || fsync(fd.get()) != 0) return give_up();
    if (rename(temporary.c_str(), path.c_str()) != 0) return give_up();
    // The new name itself must survive power loss as well.
    auto slash = path.rfind('/');
    descriptor folder(::open(slash == std::string::npos ? "." : path.substr(0, slash + 1).c_str(),
                             O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder) fsync(folder.get());
    return {};
  }

  result<file_info> info(const std::string& path) override {
    struct stat s {};
    if (stat(path.c_str(), &s) != 0) return system_fail(errno, path, "stat");
    return to_info(path.substr(path.rfind('/') + 1), s);
  }

  result<std::vector<file_info>> list(const std::string& folder) override {
    DIR* dir = opendir(folder.c_str());
    if (!dir) return system_fail(errno, folder, "list");
    std::vector<file_info> out;
    while (auto* entry = readdir(dir)) {
      std::string name = entry->d_name;
      struct stat s {};
      if (name == "." || name == ".." || fstatat(dirfd(dir), entry->d_name, &s, 0) != 0) continue;
      out.push_back(to_info(std::move(name), s));
    }
    closedir(dir);
    std::ranges::sort(out, {}, &file_info::name);
    return out;
  }

  result<void> make_folders(const std::string& path, int mode) override {
    for (std::size_t at = 1; at <= path.size(); ++at) {
      if (at < path.size() && path[at] != '/') continue;
      if (mkdir(path.substr(0, at).c_str(), static_cast<mode_t>(mode)) != 0 && errno != EEXIST)
        return system_fail(errno, path.substr(0, at), "mkdir");
    }
    struct stat s {};
    if (stat(path.c_str(), &s) != 0 || !S_ISDIR(s.st_mode))
      return fail(errc::exists, path + " exists and is not a folder", "mkdir");
    return {};
  }

  result<void> remove(const std::string& path) override {
    if (::remove(path.c_str()) != 0) return system_fail(errno, path, "remove");
    return {};
  }

  result<std::shared_ptr<void>> watch(const std::string& path, std::function<void()> fn) override {
    struct state {
      uv_fs_event_t event{};
      std::function<void()> fn;
    };
    auto* s = new state;
    s->fn = std::move(fn);
    s->event.data = s;
    uv_fs_event_init(loop_.uv(), &s->event);
    std::shared_ptr<void> out(s, [](state* dropped) {
      dropped->fn = nullptr;
      uv_fs_event_stop(&dropped->event);
      uv_close(reinterpret_cast<uv_handle_t*>(&dropped->event),
               [](uv_handle_t* h) { delete static_cast<state*>(h->data); });
    });
    int code = uv_fs_event_start(
        &s->event,
        [](uv_fs_event_t* e, const char*, int, int) {
          auto call = static_cast<state*>(e->data)->fn;
          if (call) call();
        },
        path.c_str(), 0);
    if (code != 0) return system_fail(-code, path, "watch");
    return out;
  }

private:
  static file_info to_info(std::string name, const struct stat& s) {
    return {std::move(name), S_ISDIR(s.st_mode) != 0, static_cast<std::uint64_t>(s.st_size), s.st_mtime,
            std::int64_t{s.st_ctim.tv_sec} * 1'000'000 + s.st_ctim.tv_nsec / 1000};
  }
  loop& loop_;
};

} // namespace

std::unique_ptr<netlab::files> make_files(loop& owner) { return std::make_unique<system_files>(owner); }

} // namespace io
} // namespace netlab
