#include "receiver.h"

#include <algorithm>

#include "netlab/text.h"

namespace netlab::tftp {

namespace {
constexpr duration longest_wait = std::chrono::seconds(8);
constexpr std::string_view abort_text = "User aborted the transfer"; // EDK2's words
} // namespace

receiver::receiver(const get_options& what, boot_time now)
    : what_(what), started_(now), deadline_(now), wait_(what.retry) {
  if (what_.server.port == 0) what_.server.port = default_port;
  asked_.blksize = what_.blksize;
  asked_.windowsize = what_.windowsize;
  asked_.timeout = what_.timeout;
  if (what_.tsize || what_.probe) asked_.tsize = 0;
  result_.server = what_.server;
}

receiver::output receiver::start(boot_time now) {
  out_ = encode(request{false, what_.file, what_.mode, asked_});
  deadline_ = now + wait_;
  return {out_, what_.server, {}, false};
}

receiver::output receiver::on_packet(const endpoint& from, byte_view bytes, boot_time now) {
  // RFC 1350 §4: what comes from another transfer ID is answered and disturbs nothing. Before the first
  // answer the server's port is not known yet, its address is.
  bool stranger = peer_ ? from != *peer_ : from.address != what_.server.address;
  auto packet = decode(bytes);
  if (stranger) {
    ++result_.strangers;
    if (!packet || std::holds_alternative<error_packet>(*packet)) return {};
    return reply_error(error_code::unknown_transfer_id, "unknown transfer ID", from);
  }
  if (finished()) {
    // Our last ACK was lost.
    if (whole_ && packet && std::holds_alternative<data_block>(*packet) &&
        std::get<data_block>(*packet).block == static_cast<std::uint16_t>(acked_))
      return acknowledge(acked_);
    return {};
  }
  if (!peer_) {
    peer_ = from;
    result_.server = from;
  }
  if (!packet)
    return give_up(errc::protocol, "the server sent a broken packet: " + packet.error().message,
                   error_code::illegal_operation, now);
  if (auto* block = std::get_if<data_block>(&*packet)) return on_data(*block, now);
  if (auto* answer = std::get_if<oack>(&*packet)) return on_oack(*answer, now);
  if (auto* complaint = std::get_if<error_packet>(&*packet)) return on_error(*complaint, now);
  return give_up(errc::protocol, "the server sent something that only clients send",
                 error_code::illegal_operation, now);
}

receiver::output receiver::on_oack(const oack& answer, boot_time now) {
  if (phase_ == phase::receiving) {
    // The OACK again: our ACK of it was lost. After the first block it is only late.
    if (expected_ == 1 && result_.granted.any()) return acknowledge(0);
    return {};
  }
  const auto& granted = answer.granted;
  auto refuse = [&](std::string why) {
    return give_up(errc::protocol, "the server's OACK " + why, error_code::option_refused, now);
  };
  // RFC 2347: only options that were asked for; RFC 2348 and 7440: never more than was asked for.
  if (granted.unknown != 0 || (granted.blksize && !asked_.blksize) ||
      (granted.windowsize && !asked_.windowsize) || (granted.timeout && !asked_.timeout) ||
      (granted.tsize && !asked_.tsize))
    return refuse("grants an option that was not asked for");
  if (granted.blksize && (*granted.blksize < min_blksize || *granted.blksize > *asked_.blksize))
    return refuse("has an impossible blksize of " + std::to_string(*granted.blksize));
  if (granted.windowsize && (*granted.windowsize < 1 || *granted.windowsize > *asked_.windowsize))
    return refuse("has an impossible windowsize of " + std::to_string(*granted.windowsize));
  if (granted.timeout && *granted.timeout != *asked_.timeout) // RFC 2349: the same value or none
    return refuse("changes the timeout to " + std::to_string(*granted.timeout));
  result_.granted = granted;
  result_.size = granted.tsize;
  result_.blksize = granted.blksize.value_or(default_blksize);
  result_.windowsize = granted.windowsize.value_or(1);
  if (what_.probe) {
    if (!granted.tsize) return refuse("does not tell the size");
    end(now);
    return reply_error(error_code::option_refused, abort_text, *peer_);
  }
  if (granted.tsize && *granted.tsize > what_.max_size)
    return give_up(errc::limit,
                   "the file is " + format_size(*granted.tsize) + ", more than the limit of " +
                       format_size(what_.max_size),
                   error_code::disk_full, now);
  phase_ = phase::receiving;
  progress(now);
  return acknowledge(0);
}

receiver::output receiver::on_data(const data_block& block, boot_time now) {
  if (phase_ == phase::asking) {
    // No OACK: the server knows no options, and RFC 1350's values hold.
    if (block.block != 1) return {};
    if (what_.probe)
      return give_up(errc::unsupported, "the server does not tell sizes (no tsize option)",
                     error_code::option_refused, now);
    phase_ = phase::receiving;
  }
  if (block.bytes.size() > result_.blksize)
    return give_up(errc::protocol,
                   "a block of " + std::to_string(block.bytes.size()) + " bytes where " +
                       std::to_string(result_.blksize) + " were agreed",
                   error_code::illegal_operation, now);
  auto ahead = static_cast<std::int16_t>(
      static_cast<std::uint16_t>(block.block - static_cast<std::uint16_t>(expected_)));
  if (ahead > 0) {
    if (ahead >= static_cast<int>(result_.windowsize)) return {};
    // RFC 7440 §4: a hole in the window; say once where it is, the server sends again from there.
    if (gap_told_) return {};
    gap_told_ = true;
    ++result_.gaps;
    return acknowledge(expected_ - 1);
  }
  if (ahead < 0) {
    ++result_.duplicates;
    // The last block that we acknowledged comes again when that ACK was lost.
    if (block.block == static_cast<std::uint16_t>(acked_)) return acknowledge(acked_);
    return {};
  }
  if (result_.bytes + block.bytes.size() > what_.max_size)
    return give_up(errc::limit, "the file is larger than the limit of " + format_size(what_.max_size),
                   error_code::disk_full, now);
  result_.bytes += block.bytes.size();
  ++result_.blocks;
  ++expected_;
  gap_told_ = false;
  progress(now);
  output out;
  bool final = block.bytes.size() < result_.blksize;
  if (final || expected_ - 1 - acked_ >= result_.windowsize) {
    out = acknowledge(expected_ - 1);
    out.progress = true;
  }
  out.data = block.bytes;
  if (final) {
    whole_ = true;
    end(now);
  }
  return out;
}

receiver::output receiver::on_error(const error_packet& complaint, boot_time now) {
  auto code = static_cast<error_code>(complaint.code);
  auto word = code == error_code::file_not_found     ? errc::not_found
              : code == error_code::access_violation ? errc::denied
                                                     : errc::refused;
  std::string why = "the server answered with error " + std::to_string(complaint.code) + " (";
  why += complaint.text.empty() ? std::string(to_string(code)) : printable(complaint.text);
  why += ")";
  failure_ = error{word, std::move(why), "tftp.get"};
  end(now);
  return {};
}

receiver::output receiver::on_deadline(boot_time now) {
  if (finished() || now < deadline_) return {};
  if (attempts_ >= what_.retries) {
    auto silent = phase_ == phase::asking && !peer_;
    return give_up(errc::timeout,
                   what_.server.to_string() +
                       (silent ? " does not answer (no TFTP server there, or a firewall in between)"
                               : " stopped sending after " + std::to_string(result_.blocks) + " blocks"),
                   error_code::undefined, now);
  }
  ++attempts_;
  ++result_.retransmissions;
  wait_ = std::min(wait_ * 2, std::max(longest_wait, what_.retry));
  deadline_ = now + wait_;
  if (phase_ == phase::asking) return {out_, what_.server, {}, false};
  gap_told_ = false;
  return acknowledge(expected_ - 1);
}

receiver::output receiver::cancel(boot_time now) {
  if (finished()) return {};
  return give_up(errc::cancelled, abort_text.data(), error_code::option_refused, now);
}

void receiver::progress(boot_time now) {
  attempts_ = 0;
  wait_ = what_.timeout ? duration(std::chrono::seconds(*what_.timeout)) : what_.retry;
  deadline_ = now + wait_;
}

receiver::output receiver::acknowledge(std::uint64_t block) {
  acked_ = block;
  out_.resize(header_size); // in place: this runs for every window
  byte_writer writer(out_);
  writer.u16(static_cast<std::uint16_t>(opcode::ack));
  writer.u16(static_cast<std::uint16_t>(block));
  return {out_, *peer_, {}, false};
}

receiver::output receiver::reply_error(error_code code, std::string_view text, const endpoint& to) {
  error_ = encode_error(code, text);
  return {error_, to, {}, false};
}

receiver::output receiver::give_up(errc code, std::string why, error_code wire, boot_time now) {
  failure_ = error{code, why, "tftp.get"};
  end(now);
  if (!peer_) return {};
  return reply_error(wire, why, *peer_);
}

void receiver::end(boot_time now) {
  phase_ = phase::finished;
  result_.elapsed = now - started_;
}

} // namespace netlab::tftp
