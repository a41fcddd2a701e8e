#include "request.h"

#include <algorithm>
#include <array>

#include "netlab/text.h"

namespace netlab::http {

namespace {
constexpr auto token_table = [] {
  std::array<bool, 256> out{};
  for (int c = '0'; c <= '9'; ++c) out[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) out[c] = out[c - 32] = true;
  for (unsigned char c : std::string_view("!#$%&'*+-.^_`|~")) out[c] = true;
  return out;
}();

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(unsigned char c) { return c < 0x20 || c == 0x7f; }
} // namespace

bool is_token_char(unsigned char c) { return token_table[c]; }

bool is_token(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return token_table[c]; });
}

bool is_field_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return is_control(c) && c != '\t'; });
}

const std::string_view* request::find(std::string_view name) const {
  for (const auto& f : fields)
    if (f.name.size() == name.size() && iequals(f.name, name)) return &f.value;
  return nullptr;
}

bool has_token(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    auto comma = list.find(',');
    if (iequals(trim(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

bool resolve_path(std::string_view raw, std::string& out) {
  out.clear();
  out.reserve(raw.size() + 1);
  std::size_t segment = 0; // where the segment that is being written begins, behind its "/"
  auto end_segment = [&] {
    std::string_view last(out.data() + segment, out.size() - segment);
    if (last == ".") {
      out.resize(segment);
    } else if (last == "..") {
      out.resize(segment);
      if (segment > 1) { // drop the parent as well: "/a/" -> "/"
        auto parent = out.rfind('/', segment - 2);
        out.resize(parent + 1);
        segment = out.size();
      }
    }
  };
  out += '/';
  segment = 1;
  auto plain = [](char c) { return c != '%' && c != '/' && !is_control(static_cast<unsigned char>(c)); };
  for (std::size_t i = 0; i < raw.size(); ++i) {
    auto end = i;
    while (end < raw.size() && plain(raw[end])) ++end;
    out.append(raw, i, end - i); // most of a path at once
    if (end == raw.size()) break;
    i = end;
    char c = raw[i];
    if (c == '%') {
      if (i + 2 >= raw.size()) return false;
      int high = hex_value(raw[i + 1]), low = hex_value(raw[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (is_control(static_cast<unsigned char>(c))) return false;
    if (c != '/') {
      out += c;
      continue;
    }
    end_segment();
    if (out.back() != '/') {
      out += '/';
      segment = out.size();
    }
  }
  end_segment();
  return true;
}

} // namespace netlab::http
