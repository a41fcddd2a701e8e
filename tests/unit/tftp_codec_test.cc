#include <doctest/doctest.h>

#include "netlab/simulation.h"
#include "tftp/netascii.h"
#include "tftp/packet.h"
#include "tftp/path.h"
#include "tftp/sender.h"

using namespace netlab;
using namespace netlab::tftp;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {
// The packet must outlive what was decoded from it.
struct decoded {
  explicit decoded(std::string text) : bytes(std::move(text)), value(decode(as_bytes(bytes))) {}
  std::string bytes;
  result<packet> value;
};
} // namespace

TEST_CASE("tftp codec: requests, options in any case and order") {
  decoded in("\0\1boot/snponly.efi\0OCTET\0TSIZE\0"
             "0\0BlkSize\0"
             "1468\0windowsize\0"
             "16\0timeout\0"
             "3\0multicast\0\0"s);
  REQUIRE(in.value);
  const auto& r = std::get<request>(*in.value);
  CHECK_FALSE(r.write);
  CHECK(r.file == "boot/snponly.efi");
  CHECK(r.mode == transfer_mode::octet);
  CHECK(r.wanted.tsize == 0u);
  CHECK(r.wanted.blksize == 1468u);
  CHECK(r.wanted.windowsize == 16u);
  CHECK(r.wanted.timeout == 3u);
  CHECK(r.wanted.unknown == 1);

  decoded write("\0\2x\0NetASCII\0"s);
  REQUIRE(write.value);
  CHECK(std::get<request>(*write.value).write);
  CHECK(std::get<request>(*write.value).mode == transfer_mode::netascii);
  decoded mail("\0\1x\0mail\0"s);
  REQUIRE(mail.value);
  CHECK(std::get<request>(*mail.value).mode == transfer_mode::other);
}

TEST_CASE("tftp codec: option values that are no numbers are not understood; the first of two counts") {
  decoded in("\0\1x\0octet\0blksize\0twelve\0blksize\0"
             "1400\0blksize\0"
             "600\0tsize\0-1\0timeout\0\0windowsize\0"
             "99999999999999\0"s);
  REQUIRE(in.value);
  const auto& wanted = std::get<request>(*in.value).wanted;
  CHECK(wanted.blksize == 1400u);
  CHECK_FALSE(wanted.tsize);
  CHECK_FALSE(wanted.timeout);
  CHECK_FALSE(wanted.windowsize);
  CHECK(wanted.unknown == 4);
}

TEST_CASE("tftp codec: zero bytes behind a request's options are let through") {
  decoded in("\0\1x\0octet\0blksize\0"
             "1400\0\0\0\0\0"s);
  REQUIRE(in.value);
  CHECK(std::get<request>(*in.value).wanted.blksize == 1400u);
  CHECK(std::get<request>(*in.value).wanted.unknown == 0);
}

TEST_CASE("tftp codec: broken packets say why") {
  for (auto bytes : {""s, "\0"s, "\0\0"s, "\0\7rest"s, "\1\1x\0octet\0"s, "\0\1"s, "\0\1x"s, "\0\1x\0"s,
                     "\0\1x\0octet"s, "\0\1x\0octet\0blksize"s, "\0\1x\0octet\0blksize\0"s,
                     "\0\1x\0octet\0blksize\0"
                     "14"s,
                     "\0\3"s, "\0\3\0"s, "\0\4"s, "\0\4\0"s, "\0\4\0\1\0"s, "\0\5\0"s, "\0\6blksize\0"s}) {
    decoded in(bytes);
    CAPTURE(to_hex(as_bytes(bytes)));
    REQUIRE_FALSE(in.value);
    CHECK(in.value.error().code == errc::protocol);
    CHECK_FALSE(in.value.error().message.empty());
  }
  CHECK_FALSE(decoded("\0\1"s + std::string(max_request_size, 'x') + "\0octet\0"s).value);
}

TEST_CASE("tftp codec: what is encoded decodes to the same") {
  request asked;
  asked.file = "a b/c";
  asked.mode = transfer_mode::netascii;
  asked.wanted.blksize = 1428;
  asked.wanted.tsize = 0;
  asked.wanted.windowsize = 65535;
  asked.wanted.timeout = 255;
  auto bytes = encode(asked);
  auto back = decode(bytes);
  REQUIRE(back);
  CHECK(std::get<request>(*back).file == asked.file);
  CHECK(std::get<request>(*back).mode == asked.mode);
  CHECK(std::get<request>(*back).wanted == asked.wanted);

  CHECK(to_hex(encode(ack{0xabcd})) == "0004abcd");
  bytes = encode(oack{asked.wanted});
  back = decode(bytes);
  REQUIRE(back);
  CHECK(std::get<oack>(*back).granted == asked.wanted);

  bytes = encode_error(error_code::file_not_found, "no\0hidden"s);
  CHECK(as_text(bytes) == "\0\5\0\1no\0"s);
  back = decode(bytes);
  REQUIRE(back);
  CHECK(std::get<error_packet>(*back).text == "no");
  CHECK(encode_error(error_code::undefined, std::string(5000, 'x')).size() == 485);
  decoded unterminated("\0\5\0\1gone"s);
  REQUIRE(unterminated.value);
  CHECK(std::get<error_packet>(*unterminated.value).text == "gone");

  std::uint8_t header[4];
  write_data_header(header, 0x1234);
  CHECK(to_hex(header) == "00031234");
}

TEST_CASE("tftp codec: every truncation of every packet is decoded or refused, never more") {
  for (auto whole : {"\0\1boot\0octet\0blksize\0"
                     "1428\0tsize\0"
                     "0\0"s,
                     "\0\6blksize\0"
                     "1428\0"s,
                     "\0\5\0\1text\0"s, "\0\3\0\1abc"s, "\0\4\0\1"s})
    for (std::size_t length = 0; length < whole.size(); ++length) {
      // On the heap with its exact size, so that a sanitizer sees a read past the end.
      byte_vector part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      auto got = decode(part);
      if (got)
        if (auto* data = std::get_if<data_block>(&*got)) CHECK(data->bytes.size() == length - 4);
    }
}

TEST_CASE("tftp paths: cleaned, and none leads out") {
  CHECK(clean_path("snponly.efi").value() == "/snponly.efi");
  CHECK(clean_path("//boot\\x64\\.\\wdsnbp.com").value() == "/boot/x64/wdsnbp.com");
  CHECK(clean_path("a/../b/./c//d/").value() == "/b/c/d");
  CHECK(clean_path("/undionly.kpxe\xff").value() == "/undionly.kpxe");
  CHECK(clean_path("..a/b..").value() == "/..a/b..");
  for (auto bad : {"..", "../etc/passwd", "/a/../../etc/passwd", "\\..\\x", "a/..\\..\\b", "x\ny", "x\x7f"}) {
    CAPTURE(bad);
    auto got = clean_path(bad);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::denied);
  }
  for (auto nothing : {"", "/", "\\", ".", "a/..", "\xff"}) {
    CAPTURE(nothing);
    auto got = clean_path(nothing);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::not_found);
  }
}

TEST_CASE("tftp netascii: there and back, cut anywhere") {
  std::string text = "one\ntwo\r\nthree\rfour\n\r";
  std::string wire = "one\r\ntwo\r\0\r\nthree\r\0four\r\n\r\0"s;
  for (std::size_t piece = 1; piece < wire.size(); ++piece) {
    netascii_encoder encoder;
    std::string made;
    auto in = as_bytes(text);
    for (;;) {
      byte_vector out(piece);
      byte_span rest(out);
      encoder.convert(in, rest);
      made.append(out.begin(), out.end() - static_cast<std::ptrdiff_t>(rest.size()));
      if (!rest.empty()) break;
    }
    CHECK(made == wire);
    netascii_decoder decoder;
    std::string back;
    for (std::size_t at = 0; at < wire.size(); at += piece)
      decoder.convert(as_bytes(std::string_view(wire).substr(at, piece)), back);
    decoder.finish(back);
    CHECK(back == text);
  }
  netascii_decoder decoder;
  std::string lone;
  decoder.convert(as_bytes("a\rb\r"), lone);
  decoder.finish(lone);
  CHECK(lone == "a\rb\r");
}

TEST_CASE("tftp negotiation: what is granted, lowered and left out") {
  send_limits limits;
  limits.max_blksize = 1468;
  limits.max_windowsize = 32;
  options wanted;
  auto plain = negotiate(wanted, limits, 100);
  CHECK(plain.blksize == 512);
  CHECK(plain.windowsize == 1);
  CHECK_FALSE(plain.reply.any());

  wanted.blksize = 65464;
  wanted.windowsize = 64;
  wanted.timeout = 5;
  wanted.tsize = 0;
  auto full = negotiate(wanted, limits, 100);
  CHECK(full.blksize == 1468);
  CHECK(full.reply.blksize == 1468u);
  CHECK(full.windowsize == 32);
  CHECK(full.reply.windowsize == 32u);
  CHECK(full.timeout == 5s);
  CHECK(full.reply.timeout == 5u);
  CHECK(full.reply.tsize == 100u);
  CHECK_FALSE(negotiate(wanted, limits, std::nullopt).reply.tsize);

  wanted = {};
  wanted.blksize = 7;
  wanted.windowsize = 0;
  wanted.timeout = 256;
  auto refused = negotiate(wanted, limits, 100);
  CHECK(refused.blksize == 512);
  CHECK(refused.windowsize == 1);
  CHECK(refused.timeout == limits.timeout);
  CHECK_FALSE(refused.reply.any());

  wanted = {};
  wanted.blksize = 65465;
  CHECK(negotiate(wanted, limits, 1).blksize == 1468);
  wanted.blksize = 8;
  CHECK(negotiate(wanted, limits, 1).reply.blksize == 8u);

  limits.max_blksize = max_blksize;
  limits.max_windowsize = 1024;
  wanted.blksize = 65464;
  wanted.windowsize = 65535;
  auto big = negotiate(wanted, limits, 1);
  CHECK(std::size_t{big.blksize} * big.windowsize <= limits.max_window_bytes);

  wanted.timeout = 255;
  CHECK(negotiate(wanted, limits, 1).retries == 2);
}
