#include <algorithm>
#include <nlohmann/json.hpp>

#include "netlab/ip.h"
#include "netlab/json.h"
#include "netlab/oci.h"
#include "netlab/text.h"

namespace netlab::oci {

namespace {

tl::unexpected<error> malformed() {
  return fail(errc::protocol, "the server's demand for credentials is malformed", "oci.auth");
}

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string_view without_port(std::string_view host) {
  if (host.starts_with("["))
    return host.substr(1, host.find(']') == std::string_view::npos ? 0 : host.find(']') - 1);
  return host.substr(0, host.rfind(':'));
}

// The last two labels. Suffixes of countries ("co.uk") are taken for domains, so that strangers below one
// would count as one: there the hosts must be equal, which the length of the last label gives away.
std::string_view registrable(std::string_view host) {
  auto last = host.rfind('.');
  if (last == std::string_view::npos || last == 0) return host;
  auto second = host.rfind('.', last - 1);
  auto domain = second == std::string_view::npos ? host : host.substr(second + 1);
  bool country =
      host.size() - last - 1 == 2 && last - (second == std::string_view::npos ? 0 : second + 1) <= 3;
  return country ? host : domain;
}

} // namespace

result<auth_challenge> parse_challenge(std::string_view field) {
  field = trim(field);
  auth_challenge out;
  std::size_t at = 0;
  while (at < field.size() && is_token_char(field[at])) ++at;
  out.scheme = to_lower(field.substr(0, at));
  if (out.scheme.empty()) return malformed();
  for (;;) {
    while (at < field.size() && (field[at] == ' ' || field[at] == '\t' || field[at] == ',')) ++at;
    if (at == field.size()) return out;
    auto start = at;
    while (at < field.size() && is_token_char(field[at])) ++at;
    auto name = to_lower(field.substr(start, at - start));
    if (name.empty()) return malformed();
    while (at < field.size() && field[at] == ' ') ++at;
    if (at == field.size() || field[at] != '=') return out; // the next challenge's scheme
    ++at;
    while (at < field.size() && field[at] == ' ') ++at;
    std::string value;
    if (at < field.size() && field[at] == '"') {
      ++at;
      for (;; ++at) {
        if (at >= field.size()) return malformed();
        if (field[at] == '"') break;
        if (field[at] == '\\' && ++at >= field.size()) return malformed();
        value += field[at];
      }
      ++at;
    } else {
      while (at < field.size() && is_token_char(field[at])) value += field[at++];
    }
    out.parameters.emplace(name, std::move(value));
  }
}

bool may_share_credentials(std::string_view host, std::string_view other) {
  if (iequals(host, other)) return true;
  auto a = to_lower(without_port(host)), b = to_lower(without_port(other));
  if (a == b) return true;
  if (ip_address::parse(a) || ip_address::parse(b)) return false;
  return registrable(a) == registrable(b);
}

result<std::string> token_url(const auth_challenge& demand, std::string_view repository, bool tls) {
  auto realm = demand.parameters.find("realm");
  if (demand.scheme != "bearer" || realm == demand.parameters.end())
    return fail(errc::refused, "the registry wants credentials of a kind that netlab does not have",
                "oci.auth");
  const auto& where = realm->second;
  if (!where.starts_with("https://") && (tls || !where.starts_with("http://")))
    return fail(errc::refused, "the registry sends for tokens to a place without TLS", "oci.auth");
  auto url = where + (where.find('?') == std::string::npos ? "?" : "&") +
             "scope=" + url_encode("repository:" + std::string(repository) + ":pull");
  if (auto service = demand.parameters.find("service"); service != demand.parameters.end())
    url += "&service=" + url_encode(service->second);
  return url;
}

result<token> parse_token(std::string_view body) {
  auto read = parse_json(body);
  token out;
  if (read && read->is_object()) {
    for (const auto* name : {"token", "access_token"})
      if (auto found = read->find(name); out.value.empty() && found != read->end() && found->is_string())
        out.value = found->get<std::string>();
    if (auto lasts = read->find("expires_in"); lasts != read->end() && lasts->is_number())
      out.lasts =
          std::chrono::seconds(static_cast<std::int64_t>(std::clamp(lasts->get<double>(), 1.0, 86400.0)));
  }
  bool printable_token =
      std::all_of(out.value.begin(), out.value.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (out.value.empty() || !printable_token)
    return fail(errc::protocol, "the token server gives no token", "oci.auth");
  return out;
}

} // namespace netlab::oci
