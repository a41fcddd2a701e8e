#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "netlab/bytes.h"
#include "netlab/ip.h"
#include "netlab/result.h"
#include "netlab/runtime.h"
#include "netlab/tftp.h"

namespace netlab::tftp {

struct get_options {
  endpoint server;  // port 0: 69
  std::string file; // as it goes into the request
  transfer_mode mode = transfer_mode::octet;
  std::optional<std::uint32_t> blksize = 1428; // 8 to 65464; absent: not asked for, 512
  std::optional<std::uint32_t> windowsize;     // 1 to 65535
  std::optional<std::uint32_t> timeout;        // seconds, 1 to 255
  bool tsize = true;                           // ask for the size
  bool probe = false; // only the size, as EDK2 finds it: tsize, then ERROR 8 "User aborted the transfer"
  std::uint64_t max_size = std::uint64_t{4} << 30; // bytes; a larger file is errc::limit
  duration retry = std::chrono::seconds(1);        // before the first retransmission; doubles up to 8 s
  unsigned retries = 5;                            // retransmissions without progress before errc::timeout
  endpoint local;                                  // where to send from; port 0: any
  std::string device;                              // bind to this interface only
};

// "tftp://10.0.0.1[:port]/file" with a numeric address; the file is percent-decoded.
result<get_options> parse_url(std::string_view url);

struct get_result {
  std::uint64_t bytes = 0;           // received, on the wire
  std::optional<std::uint64_t> size; // what the server's tsize said
  duration elapsed{};
  std::uint32_t blksize = default_blksize, windowsize = 1; // what held
  options granted;                                         // the server's OACK; nothing set without one
  endpoint server;                                         // where it sent from
  std::uint64_t blocks = 0;                                // received in order
  std::uint64_t duplicates = 0;                            // DATA that had come before
  std::uint64_t gaps = 0;                                  // times that a block of a window was missing
  std::uint64_t retransmissions = 0;                       // of ours
  std::uint64_t strangers = 0;                             // datagrams from another address or port
};

struct get_callbacks {
  // File content in order, netascii already converted. Must not drop the transfer.
  std::function<void(byte_view)> on_data;
  // After every acknowledged window; `size` is nullopt when the server did not say.
  std::function<void(std::uint64_t bytes, std::optional<std::uint64_t> size)> on_progress;
  // Once, never inside get(): errc::not_found and denied for the server's errors 1 and 2, refused for its
  // others, timeout, limit, protocol, or what the socket said. May drop the transfer.
  std::function<void(result<get_result>)> on_done;
};

// A running download. Owns its socket and timer, lives on its loop's thread. Dropping it cancels it, and
// no callback runs then; a server that was sending is told. Kept after the end, it still confirms the
// last block for a few seconds in case that the confirmation was lost.
class client_transfer {
public:
  virtual ~client_transfer() = default;
};

// Errors that show at once (no such local address, a file name that cannot be sent) are returned.
result<std::unique_ptr<client_transfer>> get(runtime& world, get_options what, get_callbacks callbacks);

} // namespace netlab::tftp
