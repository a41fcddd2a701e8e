#pragma once
#include <string>
#include <string_view>
#include <variant>

#include "netlab/bytes.h"
#include "netlab/result.h"
#include "netlab/tftp.h"

// Bytes to values and back; nothing here waits, sends or decides.
namespace netlab::tftp {

enum class opcode : std::uint16_t { rrq = 1, wrq = 2, data = 3, ack = 4, error = 5, oack = 6 };

inline constexpr std::size_t header_size = 4; // of DATA and ACK: opcode and block number
// RFC 2347 allows 512 bytes for a request; some loaders append tracing labels to the name.
inline constexpr std::size_t max_request_size = 1024;

// Views point into the bytes that were decoded.
struct request {
  bool write = false;
  std::string_view file; // as the client wrote it
  transfer_mode mode = transfer_mode::octet;
  options wanted;
};
struct data_block {
  std::uint16_t block = 0;
  byte_view bytes;
};
struct ack {
  std::uint16_t block = 0;
};
struct error_packet {
  std::uint16_t code = 0;
  std::string_view text; // not safe to print as it is
};
struct oack {
  options granted;
};
using packet = std::variant<request, data_block, ack, error_packet, oack>;

// errc::protocol with the reason for anything that is not exactly one TFTP packet. An ERROR without
// its final NUL and zero bytes after a request's last option are let through, because firmware in the
// field sends both.
result<packet> decode(byte_view bytes);

byte_vector encode(const request& value);
byte_vector encode(const ack& value);
byte_vector encode(const oack& value);
// The text is cut to 480 bytes and at its first NUL.
byte_vector encode_error(error_code code, std::string_view text);
void write_data_header(std::uint8_t* out, std::uint16_t block);

} // namespace netlab::tftp
