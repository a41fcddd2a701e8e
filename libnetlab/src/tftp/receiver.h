#pragma once
#include <optional>
#include <string>

#include "netlab/clock.h"
#include "netlab/tftp_client.h"
#include "packet.h"

namespace netlab::tftp {

// The receiving side of one transfer. Trusts nothing that comes: blocks are bounded by what was agreed,
// the whole by max_size, and only the address and port that answered first are listened to.
// Does no I/O; one thread.
class receiver {
public:
  struct output {
    byte_view send; // one datagram; valid until the next call
    endpoint to;
    byte_view data; // content of the block that came in its turn; points into the datagram given
    bool progress = false;
  };

  receiver(const get_options& what, boot_time now);

  output start(boot_time now);
  output on_packet(const endpoint& from, byte_view bytes, boot_time now);
  output on_deadline(boot_time now);
  // Tells the server that we go away, where there is one to tell.
  output cancel(boot_time now);

  bool finished() const { return phase_ == phase::finished; }
  const std::optional<error>& failure() const { return failure_; }
  boot_time deadline() const { return deadline_; }
  const get_result& result() const { return result_; }

private:
  enum class phase { asking, receiving, finished };

  output on_data(const data_block& block, boot_time now);
  output on_oack(const oack& answer, boot_time now);
  output on_error(const error_packet& complaint, boot_time now);
  output acknowledge(std::uint64_t block);
  output reply_error(error_code code, std::string_view text, const endpoint& to);
  output give_up(errc code, std::string why, error_code wire, boot_time now);
  void end(boot_time now);
  void progress(boot_time now);

  get_options what_;
  options asked_;
  phase phase_ = phase::asking;
  byte_vector out_;              // the request, later the last ACK
  byte_vector error_;            // apart, because the request may have to go out again
  std::optional<endpoint> peer_; // the server's address of this transfer
  std::uint64_t expected_ = 1;   // the block that is next
  std::uint64_t acked_ = 0;      // the last that we acknowledged
  bool gap_told_ = false;        // this gap's ACK is out
  bool whole_ = false;           // ended with the last block: repeat its ACK when asked
  boot_time started_, deadline_;
  duration wait_;
  unsigned attempts_ = 0;
  std::optional<error> failure_;
  get_result result_;
};

} // namespace netlab::tftp
