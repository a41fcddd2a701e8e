#pragma once
#include <cstdint>
#include <functional>
#include <optional>

#include "netlab/bytes.h"
#include "netlab/lease.h"
#include "netlab/result.h"

// The lease journal's bytes. All numbers are in network order.
//
//   header   two equal copies of 32 bytes: "netlab-leases\n\0\0", u16 format, u16 bytes of both copies,
//            u64 secret of this file, u32 CRC-32C of the 28 bytes before it
//   record   u16 0x4c52, u16 payload bytes, u32 CRC-32C of (secret, offset of the record, the first four
//            bytes, payload, padding), payload, zeros to a multiple of 8
//   payload  u8 kind, i64 wall clock when written (nanoseconds since 1970), then
//     lease  u8 family (4 | 6), address, u8 state, u8[6] mac, u64 version, i64 starts, i64 expires,
//            and client, hostname, network as u16 length + bytes
//     step   i64 nanoseconds by which the wall clock was moved: earlier records move with it
namespace netlab::journal {

inline constexpr std::uint16_t format_version = 1;
inline constexpr std::size_t header_size = 64;
inline constexpr std::size_t max_payload = 4096;
inline constexpr std::size_t max_record = 8 + max_payload;
inline constexpr std::size_t alignment = 8;

// Castagnoli's CRC-32, continued from `crc` (0 at the start).
std::uint32_t crc32c(byte_view bytes, std::uint32_t crc = 0);

void write_header(byte_vector& out, std::uint64_t secret);

// What the first bytes of a file say.
struct header {
  enum class kind {
    ours,
    empty,   // nothing, or what a power cut leaves of a file being made: no record was ever in it
    newer,   // a later format: `version` says which
    foreign, // not a journal, or both copies destroyed
  } what = kind::foreign;
  std::uint16_t version = 0;
  std::uint64_t secret = 0;
  bool damaged = false; // ours, but one copy is destroyed
};
// `bytes`: at most the first header_size of the file, whose whole length is `file_size`.
header read_header(byte_view bytes, std::uint64_t file_size);

struct record {
  enum class kind : std::uint8_t { lease = 1, step = 2 } what = kind::lease;
  wall_time written{};
  netlab::lease lease; // kind::lease
  duration step{};     // kind::step
};

// Appends the record as it must stand at `offset`; false, with nothing appended, when it is too large.
bool write_lease(byte_vector& out, std::uint64_t secret, std::uint64_t offset, const lease& l,
                 wall_time written);
void write_step(byte_vector& out, std::uint64_t secret, std::uint64_t offset, duration step,
                wall_time written);

// The whole length of the record at the start of `bytes`, which stand at `offset`; 0 when there is none
// that checks out. Needs at most max_record bytes.
std::size_t check_record(byte_view bytes, std::uint64_t secret, std::uint64_t offset);
// Decodes a record that check_record() accepted; nothing when its content makes no sense here.
std::optional<record> read_record(byte_view bytes);

// Reads a journal from front to back through a window, whatever its size.
class scanner {
public:
  // Fills the span from a file offset; fewer bytes only at the end of the file.
  using read_fn = std::function<result<std::size_t>(std::uint64_t offset, byte_span out)>;
  scanner(read_fn read, std::uint64_t secret, std::uint64_t begin, std::uint64_t end);

  struct found {
    std::uint64_t offset;
    byte_view bytes; // the whole record; valid until the next call
  };
  // The next record that checks out; nothing at the end.
  result<std::optional<found>> next();
  // Where the last record found ends.
  std::uint64_t good_end() const { return good_end_; }
  // Bytes skipped so far that lay before a found record.
  std::uint64_t damaged() const { return damaged_; }
  std::uint64_t position() const { return at_; }

private:
  result<byte_view> window(std::size_t wanted);

  read_fn read_;
  std::uint64_t secret_, at_, end_;
  std::uint64_t good_end_, damaged_ = 0;
  byte_vector buffer_;
  std::uint64_t buffer_at_ = 0; // file offset of buffer_[0]
  std::size_t filled_ = 0;
};

} // namespace netlab::journal
