#include "packet.h"

#include <algorithm>
#include <charconv>

#include "netlab/text.h"

namespace netlab::tftp {

namespace {

tl::unexpected<error> malformed(std::string why) {
  return fail(errc::protocol, std::move(why), "tftp.decode");
}

// A string up to its NUL; false when there is none.
bool take_text(byte_view bytes, std::size_t& at, std::string_view& out) {
  auto text = as_text(bytes.subspan(at));
  auto end = text.find('\0');
  if (end == std::string_view::npos) return false;
  out = text.substr(0, end);
  at += end + 1;
  return true;
}

template<class T>
bool parse_number(std::string_view text, T& out) {
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  return problem == std::errc{} && end == text.data() + text.size() && !text.empty();
}

template<class T>
bool keep(std::optional<T>& slot, std::string_view value) {
  T number{};
  if (!parse_number(value, number)) return false;
  if (!slot) slot = number; // RFC 2347: an option may be given once; the first counts
  return true;
}

// RFC 2347: pairs of NUL-terminated strings, names compared without case.
result<options> take_options(byte_view bytes, std::size_t at) {
  options out;
  while (at < bytes.size()) {
    if (std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(),
                    [](std::uint8_t b) { return b == 0; }))
      break;
    std::string_view name, value;
    if (!take_text(bytes, at, name)) return malformed("an option's name is not terminated");
    if (!take_text(bytes, at, value)) return malformed("an option's value is missing or not terminated");
    bool understood = false;
    if (iequals(name, "blksize"))
      understood = keep(out.blksize, value);
    else if (iequals(name, "windowsize"))
      understood = keep(out.windowsize, value);
    else if (iequals(name, "timeout"))
      understood = keep(out.timeout, value);
    else if (iequals(name, "tsize"))
      understood = keep(out.tsize, value);
    if (!understood) ++out.unknown;
  }
  return out;
}

// RFC 1350 §5, figure 5-1.
result<packet> take_request(byte_view bytes, bool write) {
  if (bytes.size() > max_request_size) return malformed("the request is too long");
  request out;
  out.write = write;
  std::size_t at = 2;
  std::string_view mode;
  if (!take_text(bytes, at, out.file)) return malformed("the file name is not terminated");
  if (!take_text(bytes, at, mode)) return malformed("the mode is missing or not terminated");
  if (iequals(mode, "octet"))
    out.mode = transfer_mode::octet;
  else if (iequals(mode, "netascii"))
    out.mode = transfer_mode::netascii;
  else
    out.mode = transfer_mode::other;
  auto wanted = take_options(bytes, at);
  if (!wanted) return tl::unexpected(wanted.error());
  out.wanted = *wanted;
  return packet{out};
}

void put_text(byte_vector& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
  out.push_back(0);
}

void put_u16(byte_vector& out, std::uint16_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

void put_options(byte_vector& out, const options& values) {
  auto put = [&out](std::string_view name, std::uint64_t value) {
    put_text(out, name);
    put_text(out, std::to_string(value));
  };
  if (values.tsize) put("tsize", *values.tsize);
  if (values.blksize) put("blksize", *values.blksize);
  if (values.windowsize) put("windowsize", *values.windowsize);
  if (values.timeout) put("timeout", *values.timeout);
}

} // namespace

std::string_view to_string(error_code code) {
  switch (code) {
  case error_code::undefined: return "error";
  case error_code::file_not_found: return "file not found";
  case error_code::access_violation: return "access violation";
  case error_code::disk_full: return "disk full";
  case error_code::illegal_operation: return "illegal operation";
  case error_code::unknown_transfer_id: return "unknown transfer ID";
  case error_code::file_exists: return "file exists";
  case error_code::no_such_user: return "no such user";
  case error_code::option_refused: return "option refused";
  }
  return "error";
}

result<packet> decode(byte_view bytes) {
  byte_reader in(bytes);
  auto op = in.u16();
  if (in.failed()) return malformed("shorter than an opcode");
  switch (static_cast<opcode>(op)) {
  case opcode::rrq: return take_request(bytes, false);
  case opcode::wrq: return take_request(bytes, true);
  case opcode::data: {
    data_block out;
    out.block = in.u16();
    if (in.failed()) return malformed("DATA without a block number");
    out.bytes = in.rest();
    return packet{out};
  }
  case opcode::ack: {
    ack out{in.u16()};
    if (in.failed() || in.remaining() != 0) return malformed("an ACK is exactly four bytes long");
    return packet{out};
  }
  case opcode::error: {
    error_packet out;
    out.code = in.u16();
    if (in.failed()) return malformed("ERROR without a code");
    auto text = as_text(in.rest());
    out.text = text.substr(0, text.find('\0'));
    return packet{out};
  }
  case opcode::oack: {
    auto granted = take_options(bytes, 2);
    if (!granted) return tl::unexpected(granted.error());
    return packet{oack{*granted}};
  }
  }
  return malformed("unknown opcode " + std::to_string(op));
}

byte_vector encode(const request& value) {
  byte_vector out;
  put_u16(out, static_cast<std::uint16_t>(value.write ? opcode::wrq : opcode::rrq));
  put_text(out, value.file);
  put_text(out, value.mode == transfer_mode::netascii ? "netascii" : "octet");
  put_options(out, value.wanted);
  return out;
}

byte_vector encode(const ack& value) {
  byte_vector out;
  put_u16(out, static_cast<std::uint16_t>(opcode::ack));
  put_u16(out, value.block);
  return out;
}

byte_vector encode(const oack& value) {
  byte_vector out;
  put_u16(out, static_cast<std::uint16_t>(opcode::oack));
  put_options(out, value.granted);
  return out;
}

byte_vector encode_error(error_code code, std::string_view text) {
  byte_vector out;
  put_u16(out, static_cast<std::uint16_t>(opcode::error));
  put_u16(out, static_cast<std::uint16_t>(code));
  text = text.substr(0, text.find('\0'));
  put_text(out, text.substr(0, 480));
  return out;
}

void write_data_header(std::uint8_t* out, std::uint16_t block) {
  out[0] = 0;
  out[1] = static_cast<std::uint8_t>(opcode::data);
  out[2] = static_cast<std::uint8_t>(block >> 8);
  out[3] = static_cast<std::uint8_t>(block);
}

} // namespace netlab::tftp
