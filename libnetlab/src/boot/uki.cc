#include "netlab/uki.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>

#include "netlab/digest.h"
#include "netlab/text.h"

namespace netlab::boot {

namespace {

constexpr std::size_t copy_chunk = std::size_t{1} << 20;
constexpr std::uint64_t kernel_limit = std::uint64_t{512} << 20;

class descriptor {
public:
  explicit descriptor(int fd) : fd_(fd) {}
  ~descriptor() { close(); }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int get() const { return fd_; }
  int close() {
    int rc = fd_ >= 0 ? ::close(fd_) : 0;
    fd_ = -1;
    return rc;
  }

private:
  int fd_;
};

struct file_facts {
  std::string path;
  std::uint64_t size = 0;
  std::string stamp; // changes whenever the file does
};

result<file_facts> facts_of(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return system_fail(errno, path, "boot.uki");
  if (!S_ISREG(st.st_mode)) return fail(errc::invalid, path + " is not a regular file", "boot.uki");
  file_facts out{path, static_cast<std::uint64_t>(st.st_size), {}};
  out.stamp = path + '\0' + std::to_string(st.st_size) + '\0' + std::to_string(st.st_mtim.tv_sec) + '.' +
              std::to_string(st.st_mtim.tv_nsec) + '\0' + std::to_string(st.st_ino) + '\0';
  return out;
}

result<std::string> read_start(const std::string& path, std::size_t limit) {
  descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return system_fail(errno, path, "boot.uki");
  std::string out(limit, '\0');
  std::size_t have = 0;
  while (have < limit) {
    auto n = ::read(file.get(), out.data() + have, limit - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_fail(errno, path, "boot.uki");
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  out.resize(have);
  return out;
}

result<void> write_all(int fd, const char* data, std::size_t size, const std::string& path) {
  while (size > 0) {
    auto n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_fail(errno, path, "boot.uki");
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return {};
}

// A file that appears under its name only when it is whole and on disk; else it leaves nothing behind.
class new_file {
public:
  static result<std::unique_ptr<new_file>> create(const std::string& path) {
    std::string temporary = path + ".XXXXXX";
    int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
    if (fd < 0) return system_fail(errno, path, "boot.uki");
    return std::unique_ptr<new_file>(new new_file(fd, temporary, path));
  }
  ~new_file() {
    if (!done_) ::unlink(temporary_.c_str());
  }
  result<void> write(const char* data, std::size_t size) { return write_all(file_.get(), data, size, path_); }
  result<void> zeros(std::uint64_t count) {
    static const std::string block(65536, '\0');
    while (count > 0) {
      auto n = std::min<std::uint64_t>(count, block.size());
      if (auto ok = write(block.data(), n); !ok) return ok;
      count -= n;
    }
    return {};
  }
  result<void> commit() {
    if (::fchmod(file_.get(), 0644) != 0 || ::fdatasync(file_.get()) != 0 || file_.close() != 0 ||
        ::rename(temporary_.c_str(), path_.c_str()) != 0)
      return system_fail(errno, path_, "boot.uki");
    done_ = true;
    return {};
  }

private:
  new_file(int fd, std::string temporary, std::string path)
      : file_(fd), temporary_(std::move(temporary)), path_(std::move(path)) {}
  descriptor file_;
  std::string temporary_, path_;
  bool done_ = false;
};

result<void> copy_file(new_file& out, const std::string& path, std::uint64_t length) {
  descriptor in(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (in.get() < 0) return system_fail(errno, path, "boot.uki");
  std::string buffer(copy_chunk, '\0');
  while (length > 0) {
    auto n = ::read(in.get(), buffer.data(), std::min<std::uint64_t>(length, buffer.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_fail(errno, path, "boot.uki");
    if (n == 0) return fail(errc::conflict, path + " shrank while it was read", "boot.uki");
    if (auto ok = out.write(buffer.data(), static_cast<std::size_t>(n)); !ok) return ok;
    length -= static_cast<std::uint64_t>(n);
  }
  return {};
}

struct gzip_reader {
  gzFile file;
  explicit gzip_reader(const std::string& path) : file(::gzopen(path.c_str(), "rbe")) {}
  ~gzip_reader() {
    if (file) ::gzclose_r(file);
  }
  gzip_reader(const gzip_reader&) = delete;
  gzip_reader& operator=(const gzip_reader&) = delete;
};

// arm64 kernels travel as gzip ("Image.gz"); firmware wants the program inside.
result<std::string> unpack_kernel(const file_facts& kernel, const std::string& folder) {
  auto path = folder + "/kernel-" + to_hex(sha256_of(as_bytes(kernel.stamp))).substr(0, 24);
  if (::access(path.c_str(), R_OK) == 0) {
    ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
    return path;
  }
  gzip_reader in(kernel.path);
  if (!in.file) return system_fail(errno, kernel.path, "boot.uki");
  auto out = new_file::create(path);
  if (!out) return tl::unexpected(out.error());
  std::string buffer(copy_chunk, '\0');
  std::uint64_t total = 0;
  for (;;) {
    int n = ::gzread(in.file, buffer.data(), static_cast<unsigned>(buffer.size()));
    if (n < 0) return fail(errc::invalid, kernel.path + " is damaged gzip", "boot.uki");
    if (n == 0) {
      // A stream that ends early reads as a short file unless asked.
      int code = Z_OK;
      (void)::gzerror(in.file, &code);
      if (code != Z_OK && code != Z_STREAM_END)
        return fail(errc::invalid, kernel.path + " is cut off", "boot.uki");
      break;
    }
    total += static_cast<std::uint64_t>(n);
    if (total > kernel_limit)
      return fail(errc::limit,
                  kernel.path + " unpacks to more than " + std::to_string(kernel_limit >> 20) + " MiB",
                  "boot.uki");
    if (auto ok = (*out)->write(buffer.data(), static_cast<std::size_t>(n)); !ok)
      return tl::unexpected(ok.error());
  }
  if (auto ok = (*out)->commit(); !ok) return tl::unexpected(ok.error());
  return path;
}

result<void> check_machine(const pe_image& pe, cpu wanted, const std::string& path) {
  auto is = cpu_of_machine(pe.machine);
  if (wanted == cpu::unknown || is == wanted) return {};
  return fail(errc::invalid,
              path + " is for " + std::string(to_string(is)) + ", this machine is " +
                  std::string(to_string(wanted)),
              "boot.uki");
}

// Removes what nobody used for a while, oldest first, until the rest fits. Failing to is not worth failing
// for.
void prune(const std::string& folder, std::uint64_t keep_bytes) {
  struct entry {
    std::filesystem::path path;
    std::filesystem::file_time_type used;
    std::uint64_t size;
  };
  std::error_code ec;
  std::vector<entry> entries;
  std::uint64_t total = 0;
  for (std::filesystem::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    auto name = it->path().filename().string();
    if (!name.starts_with("uki-") && !name.starts_with("kernel-")) continue;
    std::error_code quiet;
    auto size = it->file_size(quiet);
    auto used = it->last_write_time(quiet);
    if (quiet) continue;
    entries.push_back({it->path(), used, size});
    total += size;
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.used < b.used; });
  auto recent = std::filesystem::file_time_type::clock::now() - std::chrono::minutes(10);
  for (const auto& e : entries) {
    if (total <= keep_bytes || e.used > recent) break;
    std::error_code quiet;
    if (std::filesystem::remove(e.path, quiet)) total -= e.size;
  }
}

} // namespace

result<std::string> assemble_uki(const uki_input& input, const std::string& folder,
                                 std::uint64_t keep_bytes) {
  if (input.cmdline.find('\0') != std::string::npos)
    return fail(errc::invalid, "the kernel command line holds a zero byte", "boot.uki");
  auto stub = facts_of(input.stub);
  if (!stub) return tl::unexpected(stub.error());
  auto kernel = facts_of(input.kernel);
  if (!kernel) return tl::unexpected(kernel.error());
  std::vector<file_facts> initrds;
  for (const auto& path : input.initrd) {
    auto facts = facts_of(path);
    if (!facts) return tl::unexpected(facts.error());
    initrds.push_back(std::move(*facts));
  }
  std::error_code ec;
  std::filesystem::create_directories(folder, ec);
  if (ec) return system_fail(ec.value(), folder, "boot.uki");

  sha256 digest;
  auto feed = [&](const std::string& text) {
    digest.update(as_bytes(std::to_string(text.size()) + ":"));
    digest.update(as_bytes(text));
  };
  feed("netlab-uki-1");
  feed(stub->stamp);
  feed(kernel->stamp);
  for (const auto& i : initrds) feed("initrd " + i.stamp);
  feed(input.cmdline);
  feed(input.os_release);
  feed(input.uname);
  auto path = folder + "/uki-" + to_hex(digest.finish()).substr(0, 32) + ".efi";
  if (::access(path.c_str(), R_OK) == 0) {
    // Its time says when it was used last.
    ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
    return path;
  }

  if (stub->size > (std::uint64_t{16} << 20))
    return fail(errc::limit, input.stub + " is too large for an EFI stub", "boot.uki");
  auto stub_bytes = read_start(input.stub, stub->size);
  if (!stub_bytes) return tl::unexpected(stub_bytes.error());
  auto stub_pe = parse_pe(as_bytes(*stub_bytes), stub_bytes->size());
  if (!stub_pe) return fail(errc::invalid, input.stub + ": " + stub_pe.error().message, "boot.uki");
  if (auto ok = check_machine(*stub_pe, input.cpu, input.stub); !ok) return tl::unexpected(ok.error());

  auto head = read_start(input.kernel, 65536);
  if (!head) return tl::unexpected(head.error());
  if (head->starts_with("\x1f\x8b")) {
    auto unpacked = unpack_kernel(*kernel, folder);
    if (!unpacked) return unpacked;
    kernel = facts_of(*unpacked);
    if (!kernel) return tl::unexpected(kernel.error());
    head = read_start(kernel->path, 65536);
    if (!head) return tl::unexpected(head.error());
  }
  auto kernel_pe = parse_pe(as_bytes(*head), kernel->size);
  if (!kernel_pe)
    return fail(errc::invalid,
                input.kernel + " has no EFI stub (" + kernel_pe.error().message +
                    "): a UKI needs a kernel built with CONFIG_EFI_STUB",
                "boot.uki");
  if (auto ok = check_machine(*kernel_pe, input.cpu, input.kernel); !ok) return tl::unexpected(ok.error());

  auto text = [](std::string name, std::string value) {
    new_section s{std::move(name), {}, false};
    s.content.push_back(file_piece{std::move(value), {}, 0, 0});
    return s;
  };
  std::vector<new_section> sections;
  sections.push_back(text(".osrel", input.os_release));
  sections.push_back(text(".cmdline", input.cmdline));
  if (!input.uname.empty()) sections.push_back(text(".uname", input.uname));
  if (!initrds.empty()) {
    new_section s{".initrd", {}, false};
    // The kernel reads archives one after the other, each beginning at a multiple of four bytes.
    for (const auto& i : initrds) s.content.push_back(file_piece{{}, i.path, i.size, (4 - i.size % 4) % 4});
    sections.push_back(std::move(s));
  }
  // Last, because a kernel that unpacks itself in place may run over what follows.
  new_section linux{".linux", {}, true};
  linux.content.push_back(file_piece{{}, kernel->path, kernel->size, 0});
  sections.push_back(std::move(linux));

  auto plan = append_sections(as_bytes(*stub_bytes), sections);
  if (!plan) return fail(plan.error().code, input.stub + ": " + plan.error().message, "boot.uki");
  auto out = new_file::create(path);
  if (!out) return tl::unexpected(out.error());
  for (const auto& piece : plan->pieces) {
    auto ok = piece.file.empty() ? (*out)->write(piece.bytes.data(), piece.bytes.size())
                                 : copy_file(**out, piece.file, piece.length);
    if (ok) ok = (*out)->zeros(piece.padding);
    if (!ok) return tl::unexpected(ok.error());
  }
  if (auto ok = (*out)->commit(); !ok) return tl::unexpected(ok.error());
  prune(folder, keep_bytes);
  return path;
}

std::string without_ipxe_formats(std::string_view cmdline) {
  static constexpr std::string_view names[] = {"uuid", "serial", "mac", "hostname"};
  std::string out;
  std::size_t at = 0;
  while (at < cmdline.size()) {
    auto open = cmdline.find("${", at);
    auto close = open == std::string_view::npos ? open : cmdline.find('}', open);
    if (close == std::string_view::npos) break;
    auto inner = cmdline.substr(open + 2, close - open - 2);
    auto colon = inner.find(':');
    auto name = inner.substr(0, colon);
    // "${net0/mac:hexhyp}" names one interface for iPXE; Talos knows only the one it booted from.
    if (name.starts_with("net") && name.find('/') != std::string_view::npos)
      name.remove_prefix(name.find('/') + 1);
    bool known = std::any_of(std::begin(names), std::end(names), [&](auto n) { return iequals(n, name); });
    out += cmdline.substr(at, open - at);
    if (known)
      out += "${" + std::string(name) + "}";
    else
      out += cmdline.substr(open, close + 1 - open);
    at = close + 1;
  }
  if (at < cmdline.size()) out += cmdline.substr(at);
  return out;
}

} // namespace netlab::boot
