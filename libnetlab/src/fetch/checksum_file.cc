#include "checksum_file.h"

#include <optional>
#include <string>

#include "netlab/text.h"

namespace netlab::fetch {

namespace {

struct line_parts {
  std::string_view digest, name;
};

// "<digest>  <name>", "<digest> *<name>", "SHA256 (<name>) = <digest>", or the digest alone.
std::optional<line_parts> read_line(std::string_view line) {
  line = trim(line);
  if (line.empty() || line.front() == '#') return std::nullopt;
  if (line.front() == '\\') line.remove_prefix(1); // sha256sum's mark of an escaped name
  if (istarts_with(line, "sha256 (") || istarts_with(line, "sha512 (")) {
    auto close = line.rfind(") = ");
    if (close == std::string_view::npos) return std::nullopt;
    return line_parts{trim(line.substr(close + 4)), line.substr(8, close - 8)};
  }
  auto blank = line.find_first_of(" \t");
  if (blank == std::string_view::npos) return line_parts{line, {}};
  auto name = trim(line.substr(blank));
  if (!name.empty() && name.front() == '*') name.remove_prefix(1);
  return line_parts{line.substr(0, blank), name};
}

bool names(std::string_view path, std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  if (name.empty() || !path.ends_with(name)) return false;
  return path.size() == name.size() || name.front() == '/' || path[path.size() - name.size() - 1] == '/';
}

} // namespace

result<checksum> find_checksum(std::string_view list, std::string_view path) {
  std::optional<checksum> best;
  std::size_t best_length = 0, lines = 0;
  std::optional<checksum> alone;
  while (!list.empty()) {
    auto end = list.find('\n');
    auto line = list.substr(0, end);
    list = end == std::string_view::npos ? std::string_view{} : list.substr(end + 1);
    auto parts = read_line(line);
    if (!parts) continue;
    auto sum = checksum::parse(parts->digest);
    if (!sum) continue;
    ++lines;
    if (parts->name.empty()) {
      alone = *sum;
      continue;
    }
    if (!names(path, parts->name)) continue;
    bool stronger =
        best && sum->algorithm == digest_algorithm::sha512 && best->algorithm != digest_algorithm::sha512;
    if (parts->name.size() > best_length || (parts->name.size() == best_length && stronger)) {
      best = *sum;
      best_length = parts->name.size();
    }
  }
  if (best) return *best;
  if (alone && lines == 1) return *alone;
  return fail(errc::not_found,
              lines == 0 ? "the list holds no SHA-256 or SHA-512 checksum"
                         : "none of the list's " + std::to_string(lines) + " checksums is for " +
                               printable(path.substr(path.rfind('/') + 1)),
              "fetch.checksums");
}

} // namespace netlab::fetch
