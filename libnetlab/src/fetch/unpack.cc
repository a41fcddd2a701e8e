#include "unpack.h"

#include <zlib.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "netlab/units.h"

namespace netlab::fetch {

namespace {

tl::unexpected<error> damaged(const std::string& why) {
  return fail(errc::protocol, "the compressed data is damaged: " + why, "fetch.unpack");
}

} // namespace

struct unpacker::state {
  enum class format { unknown, plain, gzip, zstd };
  std::function<result<void>(byte_view)> out;
  std::uint64_t limit, produced = 0;
  format kind = format::unknown;
  std::vector<std::uint8_t> begin; // until the format is known
  std::vector<std::uint8_t> buffer = std::vector<std::uint8_t>(128u << 10);
  z_stream gzip{};
  ZSTD_DStream* zstd = nullptr;
  bool whole = true; // at the end of a compressed member or frame

  ~state() {
    if (kind == format::gzip) inflateEnd(&gzip);
    ZSTD_freeDStream(zstd);
  }

  result<void> give(byte_view bytes) {
    produced += bytes.size();
    if (produced > limit)
      return fail(errc::limit, "unpacked it is larger than " + format_size(limit), "fetch.unpack");
    return bytes.empty() ? result<void>{} : out(bytes);
  }

  result<void> choose() {
    auto is = [&](std::initializer_list<std::uint8_t> magic) {
      return begin.size() >= magic.size() && std::equal(magic.begin(), magic.end(), begin.begin());
    };
    if (is({0x1f, 0x8b})) {
      kind = format::gzip;
      if (inflateInit2(&gzip, 15 + 16) != Z_OK)
        return fail(errc::limit, "no memory for zlib", "fetch.unpack");
    } else if (is({0x28, 0xb5, 0x2f, 0xfd})) {
      kind = format::zstd;
      zstd = ZSTD_createDStream();
      if (!zstd || ZSTD_isError(ZSTD_initDStream(zstd)))
        return fail(errc::limit, "no memory for zstd", "fetch.unpack");
    } else {
      kind = format::plain;
    }
    return {};
  }

  result<void> feed_gzip(byte_view bytes) {
    gzip.next_in = const_cast<Bytef*>(bytes.data());
    gzip.avail_in = static_cast<uInt>(bytes.size());
    whole = false;
    for (;;) {
      gzip.next_out = buffer.data();
      gzip.avail_out = static_cast<uInt>(buffer.size());
      int code = inflate(&gzip, Z_NO_FLUSH);
      auto produced_now = buffer.size() - gzip.avail_out;
      if (auto ok = give(byte_view(buffer.data(), produced_now)); !ok) return ok;
      if (code == Z_STREAM_END) {
        whole = true;
        if (gzip.avail_in == 0) return {};
        inflateReset(&gzip); // members may follow each other (RFC 1952 §2.2)
        whole = false;
        continue;
      }
      if (code == Z_BUF_ERROR || (code == Z_OK && gzip.avail_in == 0 && produced_now < buffer.size()))
        return {};
      if (code != Z_OK) return damaged(gzip.msg ? gzip.msg : "not gzip");
    }
  }

  result<void> feed_zstd(byte_view bytes) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer to{buffer.data(), buffer.size(), 0};
      auto before = in.pos;
      auto left = ZSTD_decompressStream(zstd, &to, &in);
      if (ZSTD_isError(left)) return damaged(ZSTD_getErrorName(left));
      whole = left == 0;
      if (auto ok = give(byte_view(buffer.data(), to.pos)); !ok) return ok;
      if (in.pos == in.size && to.pos < to.size) return {};
      if (in.pos == before && to.pos == 0) return {};
    }
  }

  result<void> feed(byte_view bytes) {
    if (bytes.empty()) return {};
    switch (kind) {
    case format::gzip: return feed_gzip(bytes);
    case format::zstd: return feed_zstd(bytes);
    default: return give(bytes);
    }
  }
};

unpacker::unpacker(std::function<result<void>(byte_view)> out, std::uint64_t limit)
    : state_(std::make_unique<state>()) {
  state_->out = std::move(out);
  state_->limit = limit;
}
unpacker::~unpacker() = default;

result<void> unpacker::feed(byte_view bytes) {
  auto& s = *state_;
  if (s.kind != state::format::unknown) return s.feed(bytes);
  s.begin.insert(s.begin.end(), bytes.begin(), bytes.end());
  if (s.begin.size() < 4) return {};
  if (auto ok = s.choose(); !ok) return ok;
  return s.feed(s.begin);
}

result<void> unpacker::finish() {
  auto& s = *state_;
  if (s.kind == state::format::unknown) {
    if (auto ok = s.choose(); !ok) return ok;
    if (auto ok = s.feed(s.begin); !ok) return ok;
  }
  if (!s.whole) return damaged("it ends in the middle");
  return {};
}

} // namespace netlab::fetch
