#pragma once
#include <memory>
#include <optional>
#include <string>

#include "content.h"
#include "netlab/asset.h"
#include "netlab/clock.h"
#include "packet.h"

namespace netlab::tftp {

// What a server is willing to grant.
struct send_limits {
  std::uint32_t max_blksize = tftp::max_blksize; // at least 8
  std::uint32_t max_windowsize = 64;             // at least 1
  std::size_t max_window_bytes = 512u << 10;     // bounds the buffer that a client can make us hold
  duration timeout = std::chrono::seconds(1); // before the first retransmission, when the client names none
  duration max_timeout = std::chrono::seconds(8);
  unsigned retries = 6; // retransmissions without progress before a transfer is given up
};

// What holds for one transfer after its request was read.
struct agreement {
  std::uint32_t blksize = default_blksize;
  std::uint32_t windowsize = 1;
  duration timeout{}, max_timeout{};
  unsigned retries = 0;
  bool size_asked = false;
  options reply; // what goes into the OACK; none is sent when it is empty
};

// RFC 2347: an option that is not understood or out of its range is left out of the OACK, larger values
// than ours are answered with ours (RFC 2348, 7440). `size` is nullopt when it is not known beforehand.
agreement negotiate(const options& wanted, const send_limits& limits, std::optional<std::uint64_t> size);

// The sending side of one transfer: OACK, windows of DATA, retransmission, the end. Owns what it sends
// and one buffer of ready-made datagrams; does no I/O but reading the content. One thread.
class sender {
public:
  // Datagrams to send to the client: all of `segment` bytes but the last. Valid until the next call.
  struct output {
    byte_view bytes;
    std::size_t segment = 0;
    bool empty() const { return bytes.empty(); }
  };

  sender(std::unique_ptr<content> what, const agreement& terms, boot_time now);

  output start(boot_time now);
  // A datagram from the client's transfer address.
  output on_packet(byte_view bytes, boot_time now);
  // deadline() has passed.
  output on_deadline(boot_time now);
  // The client's request came again. Our answer was lost, or passed it on the way.
  output on_repeated_request(boot_time now);
  // Ends the transfer with an ERROR to the client.
  output abort(error_code code, std::string reason, boot_time now);
  // Ends the transfer without a word: nobody listens there any more.
  void abandon(std::string reason, boot_time now) { end(std::move(reason), now); }

  bool finished() const { return phase_ == phase::finished; }
  // The client acknowledged something, the OACK included.
  bool answered() const { return answered_; }
  boot_time deadline() const { return deadline_; }
  const agreement& terms() const { return terms_; }
  transfer_report report() const;

  enum class ending { completed, probe, client_error, timeout, local_error, abandoned };
  ending how() const { return ending_; }
  std::uint64_t retransmissions() const { return retransmissions_; } // datagrams sent again
  std::uint64_t ignored() const { return ignored_; }                 // packets that meant nothing here

private:
  enum class phase { oack, sending, finished };

  output on_ack(std::uint16_t block, boot_time now);
  output on_error(const error_packet& packet, boot_time now);
  output send_window(boot_time now);
  bool load(std::uint64_t first, boot_time now);
  void progress(boot_time now);
  void end(std::string reason, boot_time now);
  output fail_with(error_code code, std::string reason, ending how, boot_time now);
  std::size_t stride() const { return terms_.blksize + header_size; }

  std::unique_ptr<content> content_;
  agreement terms_;
  phase phase_ = phase::sending;
  ending ending_ = ending::abandoned;
  bool answered_ = false;
  byte_vector small_; // OACK or ERROR

  // Blocks count from 1 and never wrap here; the wire carries their low 16 bits.
  std::uint64_t base_ = 1;     // first block that is not acknowledged
  std::uint64_t sent_ = 0;     // last block of the window that is out
  std::uint64_t furthest_ = 0; // last block that was ever sent
  std::optional<std::uint64_t> last_;
  std::size_t last_length_ = 0; // data bytes in block *last_

  byte_vector buffer_;
  std::uint64_t buffer_first_ = 0; // the block at its front
  std::size_t buffer_count_ = 0;   // blocks in it, the short last one included

  boot_time started_, ended_, deadline_, window_sent_;
  duration wait_{};
  std::optional<duration> round_trip_; // shortest seen
  unsigned attempts_ = 0;              // retransmissions since the last progress
  unsigned copies_ = 0;                // how often the window that is out was sent
  unsigned echoes_ = 0;                // duplicates of the last ACK that our own copies may cause
  std::uint64_t retransmissions_ = 0, ignored_ = 0;
  std::string reason_;
};

} // namespace netlab::tftp
