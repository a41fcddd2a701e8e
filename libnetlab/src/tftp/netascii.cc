#include "netascii.h"

namespace netlab::tftp {

void netascii_encoder::convert(byte_view& in, byte_span& out) {
  std::size_t used = 0, made = 0;
  while (made < out.size()) {
    if (pending_ >= 0) {
      out[made++] = static_cast<std::uint8_t>(pending_);
      pending_ = -1;
      continue;
    }
    if (used == in.size()) break;
    auto byte = in[used++];
    if (byte == '\n') {
      out[made++] = '\r';
      pending_ = '\n';
    } else {
      out[made++] = byte;
      if (byte == '\r') pending_ = 0;
    }
  }
  in = in.subspan(used);
  out = out.subspan(made);
}

void netascii_decoder::convert(byte_view in, std::string& out) {
  for (auto byte : in) {
    if (after_cr_) {
      after_cr_ = false;
      if (byte == '\n' || byte == 0) {
        out += byte == 0 ? '\r' : '\n';
        continue;
      }
      out += '\r';
    }
    if (byte == '\r')
      after_cr_ = true;
    else
      out += static_cast<char>(byte);
  }
}

void netascii_decoder::finish(std::string& out) {
  if (after_cr_) out += '\r';
  after_cr_ = false;
}

} // namespace netlab::tftp
