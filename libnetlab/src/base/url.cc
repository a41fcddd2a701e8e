#include "netlab/url.h"

#include "netlab/text.h"

namespace netlab {

namespace {

struct pieces {
  std::string_view scheme, host, path; // scheme with "://"
};

pieces cut(std::string_view url) {
  auto mark = url.find("://");
  if (mark == std::string_view::npos) return {{}, {}, url};
  auto rest = url.substr(mark + 3);
  auto slash = rest.find_first_of("/?#");
  auto authority = rest.substr(0, slash);
  auto at = authority.rfind('@');
  return {url.substr(0, mark + 3), at == std::string_view::npos ? authority : authority.substr(at + 1),
          slash == std::string_view::npos ? std::string_view{} : rest.substr(slash)};
}

} // namespace

std::string shown_url(std::string_view url) {
  auto p = cut(url);
  return printable(std::string(p.scheme) + std::string(p.host) +
                   std::string(p.path.substr(0, p.path.find('?'))));
}

std::string_view host_of(std::string_view url) { return cut(url).host; }

} // namespace netlab
