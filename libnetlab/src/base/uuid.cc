#include "netlab/uuid.h"

#include <algorithm>

namespace netlab {

namespace {
// The first three fields of a GUID are little-endian: swapping them is its own inverse.
std::array<std::uint8_t, 16> swap_fields(std::array<std::uint8_t, 16> b) {
  std::reverse(b.begin(), b.begin() + 4);
  std::reverse(b.begin() + 4, b.begin() + 6);
  std::reverse(b.begin() + 6, b.begin() + 8);
  return b;
}
} // namespace

result<uuid> uuid::parse(std::string_view text) {
  auto inner = text;
  if (inner.size() > 2 && inner.front() == '{' && inner.back() == '}')
    inner = inner.substr(1, inner.size() - 2);
  byte_vector raw;
  uuid out;
  if (inner.find(':') == std::string_view::npos && from_hex(inner, raw) && raw.size() == 16) {
    std::copy(raw.begin(), raw.end(), out.bytes.begin());
    return out;
  }
  return fail(errc::invalid, "\"" + std::string(text) + "\" is not a UUID");
}

uuid uuid::from_guid(byte_view guid) {
  uuid out;
  if (guid.size() >= 16) std::copy_n(guid.begin(), 16, out.bytes.begin());
  out.bytes = swap_fields(out.bytes);
  return out;
}

std::array<std::uint8_t, 16> uuid::to_guid() const { return swap_fields(bytes); }

std::string uuid::to_string() const {
  auto hex = to_hex(bytes);
  for (std::size_t at : {8u, 13u, 18u, 23u}) hex.insert(at, "-");
  return hex;
}

} // namespace netlab
