#include <algorithm>
#include <array>
#include <utility>

#include "netlab/http_server.h"

namespace netlab {

namespace {
using row = std::pair<std::string_view, std::string_view>;
// Sorted by extension. The EFI types are what UEFI firmware tells a program from a disk image by
// (UEFI 2.10 §24.7.2); everything that a boot loader fetches without looking is octet-stream.
constexpr std::array table = std::to_array<row>({
    {"cfg", "text/plain; charset=utf-8"},
    {"conf", "text/plain; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"efi", "application/efi"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/x-icon"},
    {"ign", "application/json"},
    {"img", "application/vnd.efi-img"},
    {"ipxe", "text/plain; charset=utf-8"},
    {"iso", "application/vnd.efi-iso"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"log", "text/plain; charset=utf-8"},
    {"lua", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"pdf", "application/pdf"},
    {"pem", "application/x-pem-file"},
    {"png", "image/png"},
    {"sh", "text/plain; charset=utf-8"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tgz", "application/gzip"},
    {"toml", "application/toml"},
    {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"webp", "image/webp"},
    {"xml", "application/xml"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
});
static_assert(std::is_sorted(table.begin(), table.end()));
} // namespace

std::string_view content_type_of(std::string_view name) {
  constexpr std::string_view unknown = "application/octet-stream";
  auto slash = name.rfind('/');
  if (slash != std::string_view::npos) name.remove_prefix(slash + 1);
  auto dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return unknown;
  auto extension = name.substr(dot + 1);
  char lower[8];
  if (extension.size() > sizeof lower) return unknown;
  std::transform(extension.begin(), extension.end(), lower,
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::string_view key(lower, extension.size());
  auto it = std::lower_bound(table.begin(), table.end(), key,
                             [](const row& r, std::string_view wanted) { return r.first < wanted; });
  return it != table.end() && it->first == key ? it->second : unknown;
}

} // namespace netlab
