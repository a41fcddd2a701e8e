#include "requests.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "netlab/json.h"
#include "netlab/text.h"

namespace netlab::registry {

request read_request(std::string_view path) {
  request out;
  if (path == "/v2" || path == "/v2/") {
    out.what = request::kind::ping;
    return out;
  }
  if (!path.starts_with("/v2/")) return out;
  path.remove_prefix(4);
  if (path == "_catalog") {
    out.what = request::kind::catalog;
    return out;
  }
  if (path.ends_with("/tags/list")) {
    out.what = request::kind::tags;
    out.name = path.substr(0, path.size() - 10);
    return out;
  }
  if (path.ends_with("/blobs/uploads") && path.size() > 14) {
    out.what = request::kind::upload;
    out.name = path.substr(0, path.size() - 14);
    return out;
  }
  auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return out;
  auto before = path.substr(0, slash), last = path.substr(slash + 1);
  constexpr std::pair<std::string_view, request::kind> words[] = {{"/manifests", request::kind::manifest},
                                                                  {"/blobs", request::kind::blob},
                                                                  {"/blobs/uploads", request::kind::upload},
                                                                  {"/referrers", request::kind::referrers}};
  for (const auto& [word, what] : words) {
    if (!before.ends_with(word) || before.size() == word.size()) continue;
    if (last.empty() && what != request::kind::upload) break;
    out.what = what;
    out.name = before.substr(0, before.size() - word.size());
    out.reference = last;
    break;
  }
  return out;
}

std::string parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    auto end = query.find('&');
    auto pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    auto equals = pair.find('=');
    if (pair.substr(0, equals) != name || equals == std::string_view::npos) continue;
    return url_decode(pair.substr(equals + 1), true).value_or(std::string());
  }
  return {};
}

http_headers common_fields() { return {{"Docker-Distribution-API-Version", "registry/2.0"}}; }

http_reply refusal(int status, std::string_view code, std::string_view message) {
  http_reply out;
  out.status = status;
  out.content_type = "application/json";
  out.headers = common_fields();
  json body = {
      {"errors", json::array({{{"code", code}, {"message", printable(message)}, {"detail", nullptr}}})}};
  out.body = body.dump();
  return out;
}

name_page page_of(const std::vector<std::string>& sorted, std::string_view last, std::size_t limit) {
  name_page out;
  auto at = last.empty() ? sorted.begin() : std::upper_bound(sorted.begin(), sorted.end(), last);
  auto left = static_cast<std::size_t>(sorted.end() - at);
  auto take = limit == 0 ? left : std::min(left, limit);
  out.names.assign(at, at + static_cast<std::ptrdiff_t>(take));
  out.more = take < left;
  return out;
}

std::string next_link(std::string_view field) {
  while (!field.empty()) {
    auto open = field.find('<');
    auto close = open == std::string_view::npos ? open : field.find('>', open);
    if (close == std::string_view::npos) return {};
    auto target = field.substr(open + 1, close - open - 1);
    auto end = field.find(',', close);
    auto parameters =
        to_lower(field.substr(close + 1, end == std::string_view::npos ? end : end - close - 1));
    field = end == std::string_view::npos ? std::string_view{} : field.substr(end + 1);
    if (parameters.find("rel=\"next\"") == std::string::npos &&
        parameters.find("rel=next") == std::string::npos)
      continue;
    if (auto scheme = target.find("://"); scheme != std::string_view::npos) {
      auto slash = target.find('/', scheme + 3);
      target = slash == std::string_view::npos ? std::string_view{} : target.substr(slash);
    }
    return target.starts_with("/v2/") ? std::string(target) : std::string();
  }
  return {};
}

} // namespace netlab::registry
