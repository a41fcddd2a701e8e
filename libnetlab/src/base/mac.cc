#include "netlab/mac.h"

#include <algorithm>

namespace netlab {

result<mac_address> mac_address::parse(std::string_view text) {
  std::string plain;
  for (char c : text)
    if (c != '.') plain += c;
  byte_vector raw;
  mac_address out;
  if (from_hex(plain, raw) && raw.size() == 6) {
    std::copy(raw.begin(), raw.end(), out.octets.begin());
    return out;
  }
  return fail(errc::invalid,
              "\"" + std::string(text) + "\" is not a MAC address; write it like 02:00:0a:14:0d:0b");
}

mac_address mac_address::from(byte_view bytes) {
  mac_address out;
  if (bytes.size() >= 6) std::copy_n(bytes.begin(), 6, out.octets.begin());
  return out;
}

std::string mac_address::to_string(char separator) const { return to_hex(octets, {&separator, 1}); }

} // namespace netlab
