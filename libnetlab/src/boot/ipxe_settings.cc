#include <algorithm>

#include "netlab/bytes.h"
#include "netlab/ipxe_script.h"
#include "netlab/mac.h"
#include "netlab/text.h"
#include "netlab/uuid.h"

namespace netlab::boot {

namespace {

constexpr std::size_t expansion_limit = 200;
constexpr std::size_t length_limit = 64 * 1024;

// "net0/mac", "netX/dhcp/filename", "net0.dhcp/filename": the last part is what a virtual machine with one
// interface knows, unless the caller gave the full name.
std::string look_up(const ipxe_settings& settings, std::string_view name) {
  if (auto found = settings.find(std::string(name)); found != settings.end()) return found->second;
  if (auto slash = name.rfind('/'); slash != std::string_view::npos)
    if (auto found = settings.find(std::string(name.substr(slash + 1))); found != settings.end())
      return found->second;
  return {};
}

byte_vector raw_value(std::string_view name, const std::string& value) {
  auto slash = name.rfind('/');
  auto last = slash == std::string_view::npos ? name : name.substr(slash + 1);
  if (last == "mac")
    if (auto mac = mac_address::parse(value)) return {mac->octets.begin(), mac->octets.end()};
  if (last == "uuid")
    if (auto id = uuid::parse(value)) return {id->bytes.begin(), id->bytes.end()};
  auto bytes = as_bytes(value);
  return {bytes.begin(), bytes.end()};
}

result<std::string> format_setting(std::string_view name, std::string_view type, const std::string& value) {
  if (value.empty()) return value;
  if (type.empty() || type == "string" || type == "uuid" || type == "guid" || type == "ipv4" ||
      type == "ipv6" || type == "ip" || type == "int8" || type == "int16" || type == "int32" ||
      type == "uint8" || type == "uint16" || type == "uint32")
    return value;
  if (type == "uristring") return url_encode(value);
  if (type == "hex") return to_hex(raw_value(name, value), ":");
  if (type == "hexhyp") return to_hex(raw_value(name, value), "-");
  if (type == "hexraw") return to_hex(raw_value(name, value));
  return fail(errc::unsupported, "unknown setting type \"" + printable(type) + "\"", "ipxe.expand");
}

} // namespace

result<std::string> expand_ipxe(std::string_view text, const ipxe_settings& settings) {
  std::string out(text);
  // As iPXE does: the first "}" and the nearest "${" before it, again and again; so values are expanded too.
  for (std::size_t round = 0;; ++round) {
    std::size_t open = std::string::npos, close = 0;
    for (auto at = out.find("${"); at != std::string::npos; at = out.find("${", at + 2)) {
      auto end = out.find('}', at + 2);
      if (end == std::string::npos) break;
      auto next = out.find("${", at + 2);
      if (next != std::string::npos && next < end) continue;
      open = at;
      close = end;
      break;
    }
    if (open == std::string::npos) return out;
    if (round == expansion_limit || out.size() > length_limit)
      return fail(errc::limit, "a setting expands to itself", "ipxe.expand");
    std::string inner = out.substr(open + 2, close - open - 2);
    auto colon = inner.rfind(':');
    auto name = std::string_view(inner).substr(0, colon);
    auto type = colon == std::string::npos ? std::string_view{} : std::string_view(inner).substr(colon + 1);
    auto value = format_setting(name, type, look_up(settings, name));
    if (!value) return value;
    out.replace(open, close + 1 - open, *value);
  }
}

std::string resolve_url(std::string_view base, std::string_view reference) {
  auto colon = reference.find(':');
  auto slash = reference.find_first_of("/?#");
  if (colon != std::string_view::npos && colon > 0 && (slash == std::string_view::npos || colon < slash))
    return std::string(reference);
  auto scheme_end = base.find("://");
  if (scheme_end == std::string_view::npos) return std::string(reference);
  if (reference.starts_with("//"))
    return std::string(base.substr(0, scheme_end + 1)) + std::string(reference);
  auto path_at = base.find_first_of("/?#", scheme_end + 3);
  auto authority = base.substr(0, path_at);
  std::string_view path = path_at == std::string_view::npos ? std::string_view{} : base.substr(path_at);
  path = path.substr(0, path.find_first_of("?#"));
  if (reference.empty()) return std::string(base);
  if (reference.starts_with("?")) return std::string(authority) + std::string(path) + std::string(reference);
  std::string joined;
  if (reference.starts_with("/")) {
    joined = reference;
  } else {
    auto last = path.rfind('/');
    joined = last == std::string_view::npos ? "/" : std::string(path.substr(0, last + 1));
    joined += reference;
  }
  // Dot segments, RFC 3986 §5.2.4; the query is not a path.
  auto query_at = joined.find_first_of("?#");
  std::string query = query_at == std::string::npos ? "" : joined.substr(query_at);
  joined.resize(std::min(query_at, joined.size()));
  std::vector<std::string_view> kept;
  auto parts = split(std::string_view(joined).substr(1), '/');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    bool last = i + 1 == parts.size();
    if (parts[i] == ".." && !kept.empty()) kept.pop_back();
    if (parts[i] == "." || parts[i] == "..") {
      if (last) kept.emplace_back("");
    } else {
      kept.push_back(parts[i]);
    }
  }
  std::string out(authority);
  for (auto part : kept) out += "/" + std::string(part);
  if (kept.empty()) out += "/";
  return out + query;
}

result<std::string> talos_config_url(std::string_view cmdline, const talos_variables& variables) {
  std::optional<std::string_view> found;
  constexpr std::string_view key = "talos.config=";
  std::size_t at = 0;
  while (at < cmdline.size()) {
    auto end = cmdline.find_first_of(" \t\r\n", at);
    auto word = cmdline.substr(at, end == std::string_view::npos ? end : end - at);
    if (word.starts_with(key)) found = word.substr(key.size());
    if (end == std::string_view::npos) break;
    at = end + 1;
  }
  if (!found || found->empty())
    return fail(errc::not_found, "the kernel command line has no talos.config=", "talos.config");
  if (found->size() >= 2 && found->front() == '"' && found->back() == '"')
    found = found->substr(1, found->size() - 2);
  if (!found->starts_with("http://") && !found->starts_with("https://"))
    return fail(errc::unsupported, "talos.config=" + printable(*found) + " is not an HTTP address",
                "talos.config");

  auto value_of = [&](std::string_view name) -> std::optional<std::string> {
    if (iequals(name, "uuid")) return variables.uuid;
    if (iequals(name, "serial")) return variables.serial;
    if (iequals(name, "mac")) return variables.mac;
    if (iequals(name, "hostname")) return variables.hostname;
    if (iequals(name, "code")) return variables.code;
    return std::nullopt;
  };
  auto query_at = found->find('?');
  std::string out(found->substr(0, query_at));
  if (query_at == std::string_view::npos) return out;
  bool first = true;
  for (auto pair : split(found->substr(query_at + 1), '&')) {
    auto equals = pair.find('=');
    out += first ? '?' : '&';
    first = false;
    out += pair.substr(0, equals);
    if (equals == std::string_view::npos && !iequals(pair, "uuid")) continue;
    out += '=';
    auto rest = equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
    if (rest.empty() && iequals(pair.substr(0, equals), "uuid")) {
      out += url_encode(variables.uuid);
      continue;
    }
    while (!rest.empty()) {
      auto open = rest.find("${");
      auto close = open == std::string_view::npos ? open : rest.find('}', open);
      if (close == std::string_view::npos) {
        out += rest;
        break;
      }
      out += rest.substr(0, open);
      if (auto value = value_of(rest.substr(open + 2, close - open - 2)))
        out += url_encode(*value);
      else
        out += url_encode(rest.substr(open, close + 1 - open));
      rest.remove_prefix(close + 1);
    }
  }
  return out;
}

} // namespace netlab::boot
