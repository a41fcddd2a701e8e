#include "tar_reader.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace netlab::fetch {

namespace {

constexpr std::size_t block = 512;
constexpr std::uint64_t most_collected = 1u << 20; // of a long name or pax header

tl::unexpected<error> broken(const std::string& why) {
  return fail(errc::protocol, "the tar archive is damaged: " + why, "fetch.tar");
}

std::string field(std::string_view header, std::size_t at, std::size_t length) {
  auto text = header.substr(at, length);
  return std::string(text.substr(0, text.find('\0')));
}

// Octal digits, or GNU's base-256 when the first bit is set.
std::optional<std::uint64_t> number(std::string_view header, std::size_t at, std::size_t length) {
  auto text = header.substr(at, length);
  std::uint64_t out = 0;
  if (static_cast<unsigned char>(text[0]) & 0x80) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      auto byte = static_cast<unsigned char>(text[i]);
      if (i == 0) byte &= 0x7f;
      if (out >> 55) return std::nullopt;
      out = out << 8 | byte;
    }
    return out;
  }
  auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return 0;
  for (char c : text.substr(first)) {
    if (c == '\0' || c == ' ') break;
    if (c < '0' || c > '7' || out >> 60) return std::nullopt;
    out = out << 3 | static_cast<std::uint64_t>(c - '0');
  }
  return out;
}

std::string plain_name(std::string name) {
  for (;;) {
    if (name.starts_with("./"))
      name.erase(0, 2);
    else if (name.starts_with("/"))
      name.erase(0, 1);
    else
      return name;
  }
}

} // namespace

tar_reader::tar_reader(std::function<bool(const tar_entry&)> wants, std::function<void(byte_view)> data)
    : wants_(std::move(wants)), data_(std::move(data)) {}

result<void> tar_reader::feed(byte_view bytes) {
  while (!bytes.empty() && !ended_) {
    if (left_ > 0) {
      auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      auto piece = bytes.first(n);
      if (collecting_)
        collected_ += as_text(piece);
      else if (wanted_)
        data_(piece);
      left_ -= n;
      bytes = bytes.subspan(n);
      if (left_ == 0 && collecting_)
        if (auto ok = take_long(); !ok) return ok;
      continue;
    }
    if (padding_ > 0) {
      auto n = static_cast<std::size_t>(std::min<std::uint64_t>(padding_, bytes.size()));
      padding_ -= n;
      bytes = bytes.subspan(n);
      continue;
    }
    auto n = std::min(block - header_.size(), bytes.size());
    header_ += as_text(bytes.first(n));
    bytes = bytes.subspan(n);
    if (header_.size() == block)
      if (auto ok = take_header(); !ok) return ok;
  }
  return {};
}

result<void> tar_reader::take_header() {
  auto header = std::move(header_);
  header_.clear();
  if (header.find_first_not_of('\0') == std::string::npos) {
    ended_ = true;
    return {};
  }
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block; ++i)
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(header[i]);
  auto stored = number(header, 148, 8);
  if (!stored || *stored != sum) return broken("a header whose checksum is wrong");
  auto size = number(header, 124, 12);
  if (!size || *size >> 50) return broken("an impossible size");
  tar_entry entry;
  entry.type = header[156] == '\0' ? '0' : header[156];
  entry.size = *size;
  entry.name = field(header, 0, 100);
  entry.link = field(header, 157, 100);
  if (std::string_view(header).substr(257, 5) == "ustar")
    if (auto prefix = field(header, 345, 155); !prefix.empty() && header[263] != ' ')
      entry.name = prefix + "/" + entry.name;
  if (entry.type == 'L' || entry.type == 'K' || entry.type == 'x' || entry.type == 'g') {
    if (entry.size > most_collected) return broken("a name of " + std::to_string(entry.size) + " bytes");
    collecting_ = entry.type;
    collected_.clear();
    left_ = entry.size;
    padding_ = (block - entry.size % block) % block;
    return left_ == 0 ? take_long() : result<void>{};
  }
  if (!long_name_.empty()) entry.name = std::exchange(long_name_, {});
  if (!long_link_.empty()) entry.link = std::exchange(long_link_, {});
  if (std::exchange(has_pax_size_, false)) entry.size = pax_size_;
  entry.name = plain_name(std::move(entry.name));
  // Links, devices and folders have no body, whatever the size field says.
  if (entry.type >= '1' && entry.type <= '6') entry.size = 0;
  left_ = entry.size;
  padding_ = (block - entry.size % block) % block;
  wanted_ = wants_(entry);
  return {};
}

result<void> tar_reader::take_long() {
  auto kind = std::exchange(collecting_, '\0');
  auto text = std::exchange(collected_, {});
  if (kind == 'L' || kind == 'K') {
    text.resize(std::min(text.find('\0'), text.size()));
    (kind == 'L' ? long_name_ : long_link_) = std::move(text);
    return {};
  }
  if (kind == 'g') return {}; // nothing of it is of use here
  // "<length> <key>=<value>\n", the length counting itself.
  std::string_view rest = text;
  while (!rest.empty()) {
    std::size_t length = 0;
    auto [end, bad] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
    auto digits = static_cast<std::size_t>(end - rest.data());
    if (bad != std::errc() || length <= digits + 2 || length > rest.size() || rest[digits] != ' ' ||
        rest[length - 1] != '\n')
      return broken("a malformed pax header");
    auto record = rest.substr(digits + 1, length - digits - 2);
    rest.remove_prefix(length);
    auto equals = record.find('=');
    if (equals == std::string_view::npos) return broken("a malformed pax header");
    auto key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") long_name_ = value;
    if (key == "linkpath") long_link_ = value;
    if (key == "size") {
      auto [stop, wrong] = std::from_chars(value.data(), value.data() + value.size(), pax_size_);
      if (wrong != std::errc() || stop != value.data() + value.size() || pax_size_ >> 50)
        return broken("an impossible size");
      has_pax_size_ = true;
    }
  }
  return {};
}

} // namespace netlab::fetch
