#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/digest.h"
#include "netlab/result.h"

namespace netlab::dns {

// A file being written by the compiler. What was written is sent to the disk and dropped from the page cache
// every so often: a million names must not push out what the rest of the machine works with. One thread.
class output_file {
public:
  // Beside `target`, with a name of its own; the folder must be there.
  static result<output_file> create(const std::string& target);
  // The same, without a name: gone when it is closed.
  static result<output_file> create_nameless(const std::string& target);
  output_file(output_file&& other) noexcept;
  output_file& operator=(output_file&&) = delete;
  ~output_file(); // removes a file that was not put in place

  result<void> write(std::uint64_t offset, byte_view bytes);
  result<void> read(std::uint64_t offset, byte_span out) const;
  // Everything to the disk, then in the target's place.
  result<void> put_in_place();

private:
  output_file(int fd, std::string path, std::string target)
      : fd_(fd), path_(std::move(path)), target_(std::move(target)) {}
  void write_behind();
  int fd_;
  std::string path_, target_;
  std::uint64_t since_ = 0; // octets since the last write-behind
};

// Appends to one section of an output file through a buffer, and keeps its digest.
class section_writer {
public:
  section_writer(output_file& file, std::uint64_t offset) : file_(file), at_(offset) {
    buffer_.reserve(size);
  }
  result<void> add(byte_view bytes);
  template<class T>
  result<void> number(T value) { // in the machine's order
    return add({reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
  }
  result<sha256_digest> finish();
  std::uint64_t position() const { return at_ + buffer_.size(); }

private:
  static constexpr std::size_t size = 64u << 10;
  result<void> flush();
  output_file& file_;
  std::uint64_t at_;
  byte_vector buffer_;
  sha256 hash_;
};

} // namespace netlab::dns
