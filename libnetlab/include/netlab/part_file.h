#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "netlab/bytes.h"
#include "netlab/digest.h"
#include "netlab/result.h"

namespace netlab {

// A file that grows until it is whole: written, counted and hashed in one go. Owns its descriptor; the file
// itself stays when it is dropped. One thread at a time.
class part_file {
public:
  // `reserve`: bytes of the file system that must stay free.
  part_file(std::string path, std::uint64_t reserve) : path_(std::move(path)), reserve_(reserve) {}
  ~part_file();
  part_file(const part_file&) = delete;
  part_file& operator=(const part_file&) = delete;

  // Opens it with what it has, hashing that, or empties it.
  result<void> open(bool keep, bool with_sha512);
  // Whether `more` bytes fit beside the reserve: errc::limit says how much is missing.
  result<void> room_for(std::uint64_t more) const;
  // On an error, bytes() tells how much of it is there.
  result<void> write(byte_view bytes);
  // Counts in the digests alone: what follows the file's end and is not kept.
  void hash(byte_view bytes);
  result<void> sync();
  void close(); // the file stays
  std::uint64_t bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  struct digests {
    checksum sha256;
    std::optional<checksum> sha512;
  };
  digests finish(); // once, after the last byte

private:
  std::string path_;
  std::uint64_t reserve_;
  int descriptor_ = -1;
  std::uint64_t bytes_ = 0, looked_at_ = 0;
  std::optional<hasher> sha256_, sha512_;
};

// The checksum of a file on disk.
result<checksum> checksum_of_file(const std::string& path, digest_algorithm algorithm);

} // namespace netlab
