#include "message_writer.h"

namespace netlab::dns {

namespace {

// Whether the name at `at` in what was written equals an uncompressed one. Pointers in it are our own.
bool same_name(byte_view written, std::size_t at, byte_view wire) {
  std::size_t i = 0;
  for (;;) {
    while ((written[at] & 0xc0) == 0xc0) at = (written[at] & 0x3fu) << 8 | written[at + 1];
    auto length = written[at];
    if (length != wire[i]) return false;
    if (length == 0) return true;
    for (unsigned k = 1; k <= length; ++k)
      if (lower_octet(written[at + k]) != lower_octet(wire[i + k])) return false;
    at += length + std::size_t{1};
    i += length + std::size_t{1};
  }
}

std::uint16_t suffix_hash(byte_view wire) {
  std::uint32_t h = 2166136261u;
  for (auto c : wire) h = (h ^ lower_octet(c)) * 16777619u;
  return static_cast<std::uint16_t>(h ^ h >> 16);
}

} // namespace

bool message_writer::put(byte_view bytes) {
  if (bytes.size() + reserved_ > out_.size() - at_) return false;
  if (!bytes.empty()) std::memcpy(out_.data() + at_, bytes.data(), bytes.size());
  at_ += bytes.size();
  return true;
}

bool message_writer::put_name(byte_view wire, bool compress) {
  if (!compress) return put(wire);
  const auto known = suffixes_; // a pointer into this very name would lead to bytes not written yet
  for (std::size_t from = 0; wire[from] != 0; from += wire[from] + std::size_t{1}) {
    auto suffix = wire.subspan(from);
    auto hash = suffix_hash(suffix);
    for (std::size_t i = 0; i < known; ++i) {
      if (hashes_[i] != hash || !same_name(out_, offsets_[i], suffix)) continue;
      std::uint8_t pointer[2];
      put16(pointer, static_cast<std::uint16_t>(0xc000 | offsets_[i]));
      return put(pointer);
    }
    if (suffixes_ < max_suffixes && at_ < 0x4000) {
      offsets_[suffixes_] = static_cast<std::uint16_t>(at_);
      hashes_[suffixes_++] = hash;
    }
    if (!put(suffix.first(wire[from] + std::size_t{1}))) return false;
  }
  return put(wire.last(1));
}

bool message_writer::put_data(std::uint16_t type, byte_view data) {
  auto layout = rdata_layout(type);
  if (layout.find('c') == std::string_view::npos) return put(data);
  std::size_t at = 0;
  for (char c : layout) {
    std::size_t length = 0;
    if (c == 'c') {
      while (at + length < data.size() && data[at + length] != 0)
        length += data[at + length] + std::size_t{1};
      ++length;
      if (at + length > data.size()) return false;
      if (!put_name(data.subspan(at, length), true)) return false;
    } else {
      length = static_cast<std::size_t>(c - '0');
      if (at + length > data.size() || !put(data.subspan(at, length))) return false;
    }
    at += length;
  }
  return at == data.size();
}

bool message_writer::question(const name& qname, std::uint16_t type, std::uint16_t klass) {
  auto start = at_, known = suffixes_;
  std::uint8_t rest[4];
  put16(rest, type);
  put16(rest + 2, klass);
  if (out_.size() < header_size || !put_name(qname.wire(), true) || !put(rest)) {
    at_ = start;
    suffixes_ = known;
    return false;
  }
  ++counts_[0];
  return true;
}

bool message_writer::add(section where, const name& owner, std::uint16_t type, std::uint16_t klass,
                         std::uint32_t ttl, byte_view data) {
  auto start = at_, known = suffixes_;
  std::uint8_t fixed[10];
  put16(fixed, type);
  put16(fixed + 2, klass);
  put32(fixed + 4, ttl);
  put16(fixed + 8, 0);
  auto give_up = [&] {
    at_ = start;
    suffixes_ = known;
    return false;
  };
  if (!put_name(owner.wire(), true)) return give_up();
  auto fixed_at = at_;
  if (!put(fixed) || !put_data(type, data)) return give_up();
  auto length = at_ - fixed_at - sizeof fixed;
  if (length > 0xffff) return give_up();
  put16(out_.data() + fixed_at + 8, static_cast<std::uint16_t>(length));
  if (ttl_offsets) ttl_offsets->push_back(static_cast<std::uint16_t>(fixed_at + 4));
  ++counts_[1 + static_cast<std::size_t>(where)];
  return true;
}

bool message_writer::opt(const edns& value, std::uint16_t code) {
  auto start = at_;
  reserved_ = 0;
  std::size_t length = 0;
  for (const auto& o : value.options) length += 4 + o.data.size();
  if (length > 0xffff) return false;
  std::uint8_t fixed[11] = {0};
  put16(fixed + 1, rtype::opt);
  put16(fixed + 3, value.udp_size);
  fixed[5] = static_cast<std::uint8_t>(code >> 4);
  fixed[6] = value.version;
  put16(fixed + 7, value.dnssec_ok ? 0x8000 : 0);
  put16(fixed + 9, static_cast<std::uint16_t>(length));
  if (out_.size() - at_ < sizeof fixed + length) return false;
  put(fixed);
  for (const auto& o : value.options) {
    std::uint8_t head[4];
    put16(head, o.code);
    put16(head + 2, static_cast<std::uint16_t>(o.data.size()));
    if (!put(head) || !put(o.data)) {
      at_ = start;
      return false;
    }
  }
  ++counts_[3];
  return true;
}

std::size_t message_writer::finish(std::uint16_t id, std::uint16_t flags) {
  put16(out_.data(), id);
  put16(out_.data() + 2, flags);
  for (std::size_t i = 0; i < 4; ++i) put16(out_.data() + 4 + 2 * i, counts_[i]);
  return at_;
}

} // namespace netlab::dns
