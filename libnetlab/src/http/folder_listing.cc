#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "file_cache.h"
#include "netlab/encoding.h"
#include "netlab/text.h"
#include "netlab/units.h"

namespace netlab::http {

namespace {
std::string html(std::string_view text) {
  std::string out;
  for (char c : escape_markup(text)) // in attributes either quote may stand
    if (c == '\'')
      out += "&#39;";
    else
      out += c;
  return out;
}
constexpr std::size_t most_entries = 10'000;
} // namespace

result<std::string> list_folder(int descriptor, std::string_view path) {
  DIR* folder = ::fdopendir(descriptor);
  if (!folder) {
    auto e = errno;
    ::close(descriptor);
    return system_fail(e, "the folder", "list");
  }
  struct row {
    bool folder;
    std::uint64_t size;
  };
  std::map<std::string, row> rows; // sorted by name
  bool cut = false;
  while (auto* entry = ::readdir(folder)) {
    std::string name = entry->d_name;
    if (name.starts_with(".")) continue; // hidden files are served when asked for, not advertised
    struct stat st {};
    if (::fstatat(descriptor, name.c_str(), &st, 0) != 0 || !(S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)))
      continue;
    if (rows.size() == most_entries) {
      cut = true;
      break;
    }
    rows.emplace(std::move(name), row{S_ISDIR(st.st_mode), static_cast<std::uint64_t>(st.st_size)});
  }
  ::closedir(folder);

  // Links are absolute, so that a folder's page works without the slash at its end and without a redirect.
  std::string base(path);
  if (base.empty() || base.back() != '/') base += '/';
  auto title = html(printable(base));
  std::string out = "<!doctype html>\n<meta charset=\"utf-8\">\n<title>" + title + "</title>\n<h1>" + title +
                    "</h1>\n<table>\n";
  if (base != "/") {
    auto parent = base.substr(0, base.rfind('/', base.size() - 2) + 1);
    out += "<tr><td><a href=\"" + url_encode(parent, true) + "\">..</a></td><td></td></tr>\n";
  }
  for (const auto& [name, r] : rows) {
    auto shown = name + (r.folder ? "/" : "");
    out += "<tr><td><a href=\"" + url_encode(base + shown, true) + "\">" + html(printable(shown)) +
           "</a></td><td>" + (r.folder ? "" : format_size(r.size)) + "</td></tr>\n";
  }
  out += "</table>\n";
  if (cut) out += "<p>More than " + std::to_string(most_entries) + " entries; the rest is not shown.</p>\n";
  return out;
}

} // namespace netlab::http
