#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "netlab/log.h"

// What TFTP's server and client share (RFC 1350, 2347, 2348, 2349, 7440).
namespace netlab::tftp {

inline constexpr std::uint16_t default_port = 69;
inline constexpr std::uint32_t default_blksize = 512; // RFC 1350 §2
inline constexpr std::uint32_t min_blksize = 8;       // RFC 2348
inline constexpr std::uint32_t max_blksize = 65464;   // RFC 2348

// How the bytes travel (RFC 1350 §1). `other` is a mode that we do not speak, "mail" among them.
enum class transfer_mode : std::uint8_t { octet, netascii, other };

// RFC 1350 appendix, RFC 2347 for the last.
enum class error_code : std::uint16_t {
  undefined = 0,
  file_not_found = 1,
  access_violation = 2,
  disk_full = 3,
  illegal_operation = 4,
  unknown_transfer_id = 5,
  file_exists = 6,
  no_such_user = 7,
  option_refused = 8,
};
// "file not found" …; "error" for a number outside the list.
std::string_view to_string(error_code code);

// The options that we understand, as one side wrote them. Absent: not in the packet, or with a value
// that is no number.
struct options {
  std::optional<std::uint32_t> blksize;    // bytes of data in a block
  std::optional<std::uint32_t> windowsize; // blocks sent before an ACK is awaited
  std::optional<std::uint32_t> timeout;    // seconds between retransmissions
  std::optional<std::uint64_t> tsize;      // bytes of the whole file; 0 in a request for reading
  std::uint32_t unknown = 0;               // options with another name, or with a value that is no number

  bool any() const { return blksize || windowsize || timeout || tsize; }
  friend bool operator==(const options&, const options&) = default;
};

// Every message of this room, for the reference in docs/.
std::span<const message* const> messages();

} // namespace netlab::tftp
