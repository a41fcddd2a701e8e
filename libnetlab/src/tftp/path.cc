#include "path.h"

#include <vector>

namespace netlab::tftp {

result<std::string> clean_path(std::string_view name) {
  while (!name.empty() && name.back() == '\xff') name.remove_suffix(1);
  std::vector<std::string_view> parts;
  while (!name.empty()) {
    auto end = name.find_first_of("/\\");
    auto part = name.substr(0, end);
    name.remove_prefix(end == std::string_view::npos ? name.size() : end + 1);
    if (part.empty() || part == ".") continue;
    for (unsigned char c : part)
      if (c < 0x20 || c == 0x7f) return fail(errc::denied, "the name holds control bytes", "tftp.path");
    if (part != "..") {
      parts.push_back(part);
      continue;
    }
    if (parts.empty()) return fail(errc::denied, "the name leads out of the served folder", "tftp.path");
    parts.pop_back();
  }
  if (parts.empty()) return fail(errc::not_found, "the request names no file", "tftp.path");
  std::string out;
  for (auto part : parts) {
    out += '/';
    out += part;
  }
  return out;
}

} // namespace netlab::tftp
