#include "journal_format.h"

#include <algorithm>
#include <array>

namespace netlab::journal {

namespace {

constexpr std::uint8_t magic[16] = {'n', 'e', 't', 'l', 'a', 'b',  '-', 'l',
                                    'e', 'a', 's', 'e', 's', '\n', 0,   0};
constexpr std::uint16_t marker = 0x4c52;

// Eight tables let the CRC take eight bytes a step.
constexpr auto crc_tables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? 0x82f63b78u ^ (c >> 1) : c >> 1;
    t[0][i] = c;
  }
  for (std::uint32_t i = 0; i < 256; ++i)
    for (std::size_t k = 1; k < 8; ++k) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xff];
  return t;
}();

std::uint32_t little32(const std::uint8_t* p) {
  return p[0] | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[3]} << 24;
}

template<class T>
void put(byte_vector& out, T value) {
  auto bits = static_cast<std::uint64_t>(value);
  for (std::size_t i = sizeof(T); i-- > 0;) out.push_back(static_cast<std::uint8_t>(bits >> (8 * i)));
}
void put(byte_vector& out, byte_view bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }
void put_field(byte_vector& out, byte_view bytes) {
  put(out, static_cast<std::uint16_t>(bytes.size()));
  put(out, bytes);
}

std::int64_t ticks(wall_time t) { return t.time_since_epoch().count(); }
wall_time from_ticks(std::uint64_t bits) { return wall_time{duration{static_cast<std::int64_t>(bits)}}; }

std::uint32_t record_crc(std::uint64_t secret, std::uint64_t offset, byte_view head, byte_view body) {
  std::uint8_t seed[16];
  byte_writer w(seed);
  w.u64(secret);
  w.u64(offset);
  return crc32c(body, crc32c(head, crc32c(seed)));
}

std::size_t padded(std::size_t payload) { return (8 + payload + alignment - 1) / alignment * alignment; }

// Reserves a record's head; close_record() fills it in.
std::size_t open_record(byte_vector& out) {
  auto start = out.size();
  out.resize(start + 8);
  return start;
}
void close_record(byte_vector& out, std::size_t start, std::uint64_t secret, std::uint64_t offset) {
  auto payload = out.size() - start - 8;
  out.resize(start + padded(payload));
  auto all = byte_span(out).subspan(start);
  byte_writer head(all.first(8));
  head.u16(marker);
  head.u16(static_cast<std::uint16_t>(payload));
  head.u32(record_crc(secret, offset, all.first(4), all.subspan(8)));
}

struct header_copy {
  bool valid = false;
  std::uint16_t version = 0;
  std::uint64_t secret = 0;
};
header_copy read_copy(byte_view bytes) {
  if (bytes.size() < 32 || !std::equal(std::begin(magic), std::end(magic), bytes.begin())) return {};
  byte_reader r(bytes.subspan(16));
  header_copy out;
  out.version = r.u16();
  (void)r.u16();
  out.secret = r.u64();
  out.valid = r.u32() == crc32c(bytes.first(28)) && out.version != 0;
  return out;
}

} // namespace

std::uint32_t crc32c(byte_view bytes, std::uint32_t crc) {
  const auto& t = crc_tables;
  const std::uint8_t* p = bytes.data();
  auto n = bytes.size();
  crc = ~crc;
  for (; n >= 8; n -= 8, p += 8) {
    auto a = crc ^ little32(p);
    auto b = little32(p + 4);
    crc = t[7][a & 0xff] ^ t[6][a >> 8 & 0xff] ^ t[5][a >> 16 & 0xff] ^ t[4][a >> 24] ^ t[3][b & 0xff] ^
          t[2][b >> 8 & 0xff] ^ t[1][b >> 16 & 0xff] ^ t[0][b >> 24];
  }
  for (; n > 0; --n, ++p) crc = t[0][(crc ^ *p) & 0xff] ^ (crc >> 8);
  return ~crc;
}

void write_header(byte_vector& out, std::uint64_t secret) {
  for (int copy = 0; copy < 2; ++copy) {
    auto start = out.size();
    put(out, byte_view(magic));
    put(out, format_version);
    put(out, static_cast<std::uint16_t>(header_size));
    put(out, secret);
    put(out, crc32c(byte_view(out).subspan(start, 28)));
  }
}

header read_header(byte_view bytes, std::uint64_t file_size) {
  header out;
  auto a = read_copy(bytes), b = read_copy(bytes.size() > 32 ? bytes.subspan(32) : byte_view{});
  // A later format may keep nothing but the first copy's place.
  for (const auto& copy : {a, b}) {
    if (!copy.valid || copy.version <= format_version) continue;
    out.what = header::kind::newer;
    out.version = copy.version;
    return out;
  }
  if (file_size >= header_size && (a.valid || b.valid)) {
    out.what = header::kind::ours;
    out.version = format_version;
    out.secret = a.valid ? a.secret : b.secret;
    out.damaged = !a.valid || !b.valid;
    return out;
  }
  // The header is durable before the first record is written, so a file without a whole one never held a
  // lease: it is a beginning of ours, or the zeros that some file systems leave.
  if (file_size <= header_size) {
    auto torn = std::min(bytes.size(), sizeof magic);
    bool zeros = std::all_of(bytes.begin(), bytes.end(), [](auto byte) { return byte == 0; });
    if (zeros || std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(torn), magic))
      out.what = header::kind::empty;
  }
  return out;
}

bool write_lease(byte_vector& out, std::uint64_t secret, std::uint64_t offset, const lease& l,
                 wall_time written) {
  // Bounds each length before it is narrowed to 16 bits.
  if (l.client.size() + l.hostname.size() + l.network.size() > max_payload - 128) return false;
  auto start = open_record(out);
  put(out, static_cast<std::uint8_t>(record::kind::lease));
  put(out, ticks(written));
  put(out, static_cast<std::uint8_t>(l.address.is_v4() ? 4 : 6));
  put(out, l.address.bytes());
  put(out, static_cast<std::uint8_t>(l.state));
  put(out, byte_view(l.mac.octets));
  put(out, l.version);
  put(out, ticks(l.starts));
  put(out, ticks(l.expires));
  put_field(out, l.client);
  put_field(out, as_bytes(l.hostname));
  put_field(out, as_bytes(l.network));
  close_record(out, start, secret, offset);
  return true;
}

void write_step(byte_vector& out, std::uint64_t secret, std::uint64_t offset, duration step,
                wall_time written) {
  auto start = open_record(out);
  put(out, static_cast<std::uint8_t>(record::kind::step));
  put(out, ticks(written));
  put(out, step.count());
  close_record(out, start, secret, offset);
}

std::size_t check_record(byte_view bytes, std::uint64_t secret, std::uint64_t offset) {
  byte_reader r(bytes);
  if (r.u16() != marker) return 0;
  std::size_t payload = r.u16();
  auto crc = r.u32();
  if (r.failed() || payload == 0 || payload > max_payload || padded(payload) > bytes.size()) return 0;
  auto all = bytes.first(padded(payload));
  return record_crc(secret, offset, all.first(4), all.subspan(8)) == crc ? all.size() : 0;
}

std::optional<record> read_record(byte_view bytes) {
  byte_reader head(bytes);
  head.skip(2);
  std::size_t payload = head.u16();
  head.skip(4);
  byte_reader r(head.bytes(payload));
  record out;
  auto kind = r.u8();
  out.written = from_ticks(r.u64());
  if (kind == static_cast<std::uint8_t>(record::kind::step)) {
    out.what = record::kind::step;
    out.step = duration{static_cast<std::int64_t>(r.u64())};
    return r.failed() ? std::nullopt : std::optional(std::move(out));
  }
  if (kind != static_cast<std::uint8_t>(record::kind::lease)) return {};
  auto& l = out.lease;
  auto family = r.u8();
  if (family == 4) {
    l.address = ip_address::v4(r.u32());
  } else if (family == 6) {
    auto a = r.bytes(16);
    if (a.size() != 16) return {};
    std::array<std::uint8_t, 16> value;
    std::copy(a.begin(), a.end(), value.begin());
    l.address = ip_address::v6(value);
  } else {
    return {};
  }
  auto state = r.u8();
  if (state > static_cast<std::uint8_t>(lease_state::declined)) return {};
  l.state = static_cast<lease_state>(state);
  l.mac = mac_address::from(r.bytes(6));
  l.version = r.u64();
  l.starts = from_ticks(r.u64());
  l.expires = from_ticks(r.u64());
  auto client = r.bytes(r.u16());
  l.client.assign(client.begin(), client.end());
  l.hostname = as_text(r.bytes(r.u16()));
  l.network = as_text(r.bytes(r.u16()));
  if (r.failed()) return {};
  return out;
}

scanner::scanner(read_fn read, std::uint64_t secret, std::uint64_t begin, std::uint64_t end)
    : read_(std::move(read)), secret_(secret), at_(begin), end_(end), good_end_(begin) {}

result<byte_view> scanner::window(std::size_t wanted) {
  wanted = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, end_ - at_));
  if (at_ < buffer_at_ || at_ + wanted > buffer_at_ + filled_) {
    constexpr std::size_t span = 128u << 10;
    buffer_.resize(span);
    buffer_at_ = at_;
    auto n = read_(
        at_, byte_span(buffer_).first(static_cast<std::size_t>(std::min<std::uint64_t>(span, end_ - at_))));
    if (!n) return tl::unexpected(n.error());
    filled_ = *n;
    if (filled_ < wanted) { // the file became shorter than it said
      end_ = at_ + filled_;
      wanted = filled_;
    }
  }
  return byte_view(buffer_).subspan(static_cast<std::size_t>(at_ - buffer_at_), wanted);
}

result<std::optional<scanner::found>> scanner::next() {
  while (at_ < end_) {
    auto bytes = window(max_record);
    if (!bytes) return tl::unexpected(bytes.error());
    if (auto length = check_record(*bytes, secret_, at_)) {
      damaged_ += at_ - good_end_;
      found out{at_, bytes->first(length)};
      at_ += length;
      good_end_ = at_;
      return out;
    }
    at_ = std::min<std::uint64_t>(end_, (at_ / alignment + 1) * alignment);
  }
  return std::nullopt;
}

} // namespace netlab::journal
