#include "netlab/part_file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "netlab/net.h"
#include "netlab/units.h"

namespace netlab {

namespace {

constexpr std::uint64_t look_every = 4u << 20; // bytes between two looks at the room that is left
constexpr std::size_t piece = 256u << 10;

template<class F>
result<std::uint64_t> read_all(const std::string& path, F&& take) {
  auto file = open_file::open(path);
  if (!file) return tl::unexpected(file.error());
  std::vector<std::uint8_t> buffer(piece);
  std::uint64_t at = 0;
  for (;;) {
    auto got = (*file)->read(at, buffer);
    if (!got) return tl::unexpected(got.error());
    if (*got == 0) return at;
    take(byte_view(buffer.data(), *got));
    at += *got;
  }
}

} // namespace

part_file::~part_file() { close(); }

void part_file::close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

result<void> part_file::open(bool keep, bool with_sha512) {
  bytes_ = looked_at_ = 0;
  sha256_.emplace(digest_algorithm::sha256);
  sha512_.reset();
  if (with_sha512) sha512_.emplace(digest_algorithm::sha512);
  close();
  descriptor_ =
      ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (keep ? O_APPEND : O_TRUNC | O_APPEND), 0644);
  if (descriptor_ < 0) return system_fail(errno, path_, "part.open");
  if (!keep) return {};
  auto read = read_all(path_, [&](byte_view bytes) { hash(bytes); });
  if (!read) return tl::unexpected(read.error());
  bytes_ = *read;
  return {};
}

result<void> part_file::room_for(std::uint64_t more) const {
  struct statvfs info {};
  if (::statvfs(path_.c_str(), &info) != 0) return {}; // the write itself will tell
  auto free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  if (free >= reserve_ && free - reserve_ >= more) return {};
  return fail(errc::limit,
              "the disk is full: " + format_size(more) + " are needed, " + format_size(free) + " are free" +
                  (reserve_ ? " and " + format_size(reserve_) + " of them are kept for others" : ""),
              "part.room");
}

result<void> part_file::write(byte_view bytes) {
  if (bytes_ >= looked_at_) {
    if (auto room = room_for(bytes.size()); !room) return room;
    looked_at_ = bytes_ + look_every;
  }
  while (!bytes.empty()) {
    auto n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
      return fail(errc::limit, "the disk is full", "part.room");
    if (n < 0) return system_fail(errno, path_, "part.write");
    hash(bytes.first(static_cast<std::size_t>(n)));
    bytes_ += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

void part_file::hash(byte_view bytes) {
  sha256_->update(bytes);
  if (sha512_) sha512_->update(bytes);
}

result<void> part_file::sync() {
  if (::fsync(descriptor_) == 0) return {};
  if (errno == ENOSPC || errno == EDQUOT) return fail(errc::limit, "the disk is full", "part.room");
  return system_fail(errno, path_, "part.sync");
}

part_file::digests part_file::finish() {
  digests out{sha256_->finish(), std::nullopt};
  if (sha512_) out.sha512 = sha512_->finish();
  return out;
}

result<checksum> checksum_of_file(const std::string& path, digest_algorithm algorithm) {
  hasher sum(algorithm);
  auto read = read_all(path, [&](byte_view bytes) { sum.update(bytes); });
  if (!read) return tl::unexpected(read.error());
  return sum.finish();
}

} // namespace netlab
