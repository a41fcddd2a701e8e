#include "routes.h"

#include <algorithm>

#include "netlab/text.h"
#include "request.h"

namespace netlab::http {

result<void> route_table::add(route added) {
  auto shown = "\"" + printable(added.prefix) + "\"";
  std::string resolved;
  if (added.prefix.empty() || added.prefix.front() != '/')
    return fail(errc::invalid, "the HTTP prefix " + shown + " must begin with \"/\"", "http.route");
  if (!resolve_path(url_encode(added.prefix, true), resolved) || resolved != added.prefix)
    return fail(errc::invalid, "the HTTP prefix " + shown + " must hold no \"//\", \".\" or \"..\"",
                "http.route");
  if (added.prefix.back() == '/') added.prefix.pop_back();
  for (const auto& r : routes_)
    if (r.prefix == added.prefix)
      return fail(errc::exists, "the HTTP prefix " + shown + " is served twice", "http.route");
  auto longer = [](const route& a, const route& b) { return a.prefix.size() > b.prefix.size(); };
  routes_.insert(std::upper_bound(routes_.begin(), routes_.end(), added, longer), std::move(added));
  return {};
}

const route* route_table::find(std::string_view path, std::string_view& rest) const {
  for (const auto& r : routes_) {
    if (!path.starts_with(r.prefix)) continue;
    auto behind = path.substr(r.prefix.size());
    if (!behind.empty() && behind.front() != '/') continue;
    rest = behind.empty() ? behind : behind.substr(1);
    return &r;
  }
  return nullptr;
}

} // namespace netlab::http
