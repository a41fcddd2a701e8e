#include "sender.h"

#include <algorithm>

#include "netlab/text.h"

namespace netlab::tftp {

namespace {
// Read ahead, so that small blocks do not cost a system call each.
constexpr std::size_t read_ahead = 32u << 10;

bool mentions_abort(std::string_view text) { return to_lower(text).find("abort") != std::string::npos; }
} // namespace

agreement negotiate(const options& wanted, const send_limits& limits, std::optional<std::uint64_t> size) {
  agreement out;
  out.timeout = limits.timeout;
  out.max_timeout = std::max(limits.timeout, limits.max_timeout);
  out.retries = limits.retries;
  if (wanted.blksize && *wanted.blksize >= min_blksize) {
    out.blksize = std::clamp(std::min(*wanted.blksize, limits.max_blksize), min_blksize, max_blksize);
    out.reply.blksize = out.blksize;
  }
  if (wanted.windowsize && *wanted.windowsize >= 1 && *wanted.windowsize <= 65535) {
    auto fits = std::max<std::size_t>(1, limits.max_window_bytes / out.blksize);
    out.windowsize = static_cast<std::uint32_t>(
        std::min<std::size_t>({*wanted.windowsize, std::max(1u, limits.max_windowsize), fits}));
    out.reply.windowsize = out.windowsize;
  }
  if (wanted.timeout && *wanted.timeout >= 1 && *wanted.timeout <= 255) { // RFC 2349
    out.timeout = out.max_timeout = std::chrono::seconds(*wanted.timeout);
    // A client may ask for minutes of silence, but not for a slot that it holds for half an hour.
    auto patience = std::chrono::seconds(60);
    out.retries = std::clamp(static_cast<unsigned>(patience / out.timeout), std::min(2u, limits.retries),
                             limits.retries);
    out.reply.timeout = *wanted.timeout;
  }
  if (wanted.tsize) {
    out.size_asked = true;
    if (size) out.reply.tsize = *size;
  }
  return out;
}

sender::sender(std::unique_ptr<content> what, const agreement& terms, boot_time now)
    : content_(std::move(what)), terms_(terms), started_(now), ended_(now), deadline_(now), window_sent_(now),
      wait_(terms.timeout) {
  if (terms_.reply.any()) phase_ = phase::oack;
}

sender::output sender::start(boot_time now) {
  if (phase_ != phase::oack) return send_window(now);
  small_ = encode(oack{terms_.reply});
  window_sent_ = now;
  copies_ = 1;
  deadline_ = now + wait_;
  return {small_, small_.size()};
}

sender::output sender::on_packet(byte_view bytes, boot_time now) {
  if (finished()) return {};
  // An ACK is nearly everything that comes here.
  if (bytes.size() == header_size && bytes[0] == 0 && bytes[1] == static_cast<std::uint8_t>(opcode::ack))
    return on_ack(static_cast<std::uint16_t>(bytes[2] << 8 | bytes[3]), now);
  auto packet = decode(bytes);
  if (packet)
    if (auto* complaint = std::get_if<error_packet>(&*packet)) return on_error(*complaint, now);
  ++ignored_;
  return {};
}

sender::output sender::on_ack(std::uint16_t block, boot_time now) {
  // The distance from the last acknowledged block survives the wrap of the 16-bit number.
  auto ahead = static_cast<std::uint16_t>(block - static_cast<std::uint16_t>(base_ - 1));
  if (phase_ == phase::oack) {
    if (ahead != 0) {
      ++ignored_;
      return {};
    }
    if (copies_ == 1) round_trip_ = now - window_sent_;
    echoes_ = copies_ - 1;
    phase_ = phase::sending;
    answered_ = true;
    progress(now);
    return send_window(now);
  }
  if (ahead == 0) {
    // RFC 1123 §4.2.3.1: in lockstep a repeated ACK never causes a DATA, or every delayed packet doubles
    // all that follow it (the Sorcerer's Apprentice). In a window it is how the client says that the first
    // block of it was lost (RFC 7440 §4): true only when it is no echo of our own copies and a round trip
    // has passed since the window left.
    bool echo = echoes_ > 0;
    if (echo) --echoes_;
    bool early = round_trip_ && now - window_sent_ < *round_trip_ * 3 / 4;
    if (terms_.windowsize == 1 || !answered_ || echo || early || copies_ > 1) {
      ++ignored_;
      return {};
    }
    return send_window(now);
  }
  if (ahead > sent_ - (base_ - 1)) {
    ++ignored_;
    return {};
  }
  answered_ = true;
  bool whole = base_ - 1 + ahead == sent_;
  if (whole && copies_ == 1) {
    auto took = now - window_sent_;
    round_trip_ = std::min(round_trip_.value_or(took), took);
  }
  echoes_ = copies_ - 1;
  base_ += ahead;
  progress(now);
  if (last_ && base_ > *last_) {
    ending_ = ending::completed;
    end({}, now);
    return {};
  }
  return send_window(now);
}

void sender::progress(boot_time now) {
  attempts_ = 0;
  copies_ = 0;
  wait_ = terms_.timeout;
  deadline_ = now + wait_;
}

// Sends [base, base + windowsize) from the buffer, which is read again from `base` on when it does not
// hold all of that.
sender::output sender::send_window(boot_time now) {
  auto end_of_buffer = buffer_first_ + buffer_count_;
  auto want = last_ ? std::min(base_ + terms_.windowsize, *last_ + 1) : base_ + terms_.windowsize;
  if (base_ < buffer_first_ || want > end_of_buffer) {
    if (!load(base_, now)) return {small_, small_.size()};
    want = std::min<std::uint64_t>(base_ + terms_.windowsize, buffer_first_ + buffer_count_);
  }
  auto count = static_cast<std::size_t>(want - base_);
  auto length = count * stride();
  if (last_ && want == *last_ + 1) length -= terms_.blksize - last_length_;
  if (furthest_ >= base_) retransmissions_ += std::min(furthest_, want - 1) - base_ + 1;
  sent_ = want - 1;
  furthest_ = std::max(furthest_, sent_);
  ++copies_;
  window_sent_ = now;
  deadline_ = now + wait_;
  auto from = static_cast<std::size_t>(base_ - buffer_first_) * stride();
  return {byte_view(buffer_).subspan(from, length), stride()};
}

bool sender::load(std::uint64_t first, boot_time now) {
  // Whole windows, so that a window never straddles the end of what was read.
  auto window = std::size_t{terms_.windowsize};
  auto blocks = window * std::max<std::size_t>(1, read_ahead / (window * stride()));
  // What is known to be short gets no more memory than it needs.
  if (auto size = content_->size()) {
    auto total = *size / terms_.blksize + 1;
    blocks = static_cast<std::size_t>(std::min<std::uint64_t>(blocks, total + 1 - std::min(first, total)));
  }
  if (buffer_.size() < blocks * stride()) buffer_.resize(blocks * stride());
  auto got =
      content_->read((first - 1) * terms_.blksize, block_layout{byte_span(buffer_).first(blocks * stride()),
                                                                header_size, terms_.blksize, blocks});
  if (!got) {
    fail_with(error_code::undefined, got.error().message, ending::local_error, now);
    return false;
  }
  buffer_first_ = first;
  buffer_count_ = blocks;
  if (*got < blocks * terms_.blksize) {
    last_ = first + *got / terms_.blksize;
    last_length_ = *got % terms_.blksize;
    buffer_count_ = *got / terms_.blksize + 1;
  }
  for (std::size_t i = 0; i < buffer_count_; ++i)
    write_data_header(buffer_.data() + i * stride(), static_cast<std::uint16_t>(first + i));
  return true;
}

sender::output sender::on_error(const error_packet& complaint, boot_time now) {
  // EDK2 learns the size first: it asks for tsize, answers the OACK with ERROR 8 "User aborted the
  // transfer" and asks again. Others abort with code 0. The same code with another text means that the
  // client did not like our OACK.
  bool aborted =
      complaint.code == 0 || complaint.code == static_cast<std::uint16_t>(error_code::option_refused);
  if (terms_.size_asked && base_ == 1 && aborted &&
      (complaint.text.empty() || mentions_abort(complaint.text))) {
    ending_ = ending::probe;
    end({}, now);
    return {};
  }
  ending_ = ending::client_error;
  auto reason = "the client ended it with error " + std::to_string(complaint.code);
  if (!complaint.text.empty()) reason += " \"" + printable(complaint.text) + "\"";
  end(std::move(reason), now);
  return {};
}

sender::output sender::on_deadline(boot_time now) {
  if (finished() || now < deadline_) return {};
  if (attempts_ >= terms_.retries) {
    std::string reason = "the client does not answer";
    if (last_ && sent_ == *last_)
      reason = "everything was sent, but the client never confirmed the end";
    else if (answered_)
      reason = "the client stopped answering";
    return fail_with(error_code::undefined, std::move(reason), ending::timeout, now);
  }
  ++attempts_;
  wait_ = std::min(wait_ * 2, terms_.max_timeout);
  if (phase_ != phase::oack) return send_window(now);
  ++copies_;
  ++retransmissions_;
  deadline_ = now + wait_;
  window_sent_ = now;
  return {small_, small_.size()};
}

sender::output sender::on_repeated_request(boot_time now) {
  if (finished() || answered_) return {};
  if (phase_ != phase::oack) return send_window(now);
  ++copies_;
  ++retransmissions_;
  window_sent_ = now;
  return {small_, small_.size()};
}

sender::output sender::abort(error_code code, std::string reason, boot_time now) {
  if (finished()) return {};
  return fail_with(code, std::move(reason), ending::abandoned, now);
}

sender::output sender::fail_with(error_code code, std::string reason, ending how, boot_time now) {
  small_ = encode_error(code, reason);
  ending_ = how;
  end(std::move(reason), now);
  return {small_, small_.size()};
}

void sender::end(std::string reason, boot_time now) {
  phase_ = phase::finished;
  reason_ = std::move(reason);
  ended_ = now;
}

transfer_report sender::report() const {
  transfer_report out;
  auto whole = last_ ? std::optional((*last_ - 1) * terms_.blksize + last_length_) : content_->size();
  out.bytes = furthest_ * terms_.blksize;
  if (last_ && furthest_ == *last_) out.bytes = *whole;
  out.size = whole.value_or(out.bytes);
  out.elapsed = ended_ - started_;
  out.completed = ending_ == ending::completed;
  out.probe = ending_ == ending::probe;
  out.reason = reason_;
  return out;
}

} // namespace netlab::tftp
