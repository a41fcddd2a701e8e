#include "netlab/dns_upstream.h"

#include <algorithm>

#include "netlab/dns_name.h"
#include "netlab/text.h"

namespace netlab::dns {

std::string_view to_string(transport t) {
  switch (t) {
  case transport::udp: return "udp";
  case transport::tcp: return "tcp";
  case transport::tls: return "tls";
  case transport::https: return "https";
  }
  return "?";
}

result<upstream> upstream::parse(std::string_view text) {
  upstream out;
  out.text = text;
  auto wrong = [&](const std::string& why) {
    return fail(errc::invalid, "\"" + printable(text) + "\" is no upstream: " + why, "dns.upstream");
  };
  auto rest = text;
  bool scheme = false;
  for (auto t : {transport::udp, transport::tcp, transport::tls, transport::https}) {
    auto prefix = std::string(to_string(t)) + "://";
    if (!istarts_with(rest, prefix)) continue;
    out.over = t;
    rest.remove_prefix(prefix.size());
    scheme = true;
    break;
  }
  if (!scheme && rest.find("://") != std::string_view::npos)
    return wrong("the scheme is one of udp, tcp, tls and https");
  if (auto hash = rest.find('#'); hash != std::string_view::npos) {
    if (out.over != transport::tls) return wrong("\"#name\" belongs to tls:// only");
    out.server_name = rest.substr(hash + 1);
    rest = rest.substr(0, hash);
    if (!name::parse(out.server_name)) return wrong("the name after \"#\" is no domain name");
  }
  std::string path;
  if (out.over == transport::https) {
    auto slash = std::min(rest.find('/'), rest.size());
    path = rest.substr(slash);
    rest = rest.substr(0, slash);
    if (path.empty()) path = "/dns-query";
  }
  std::uint16_t port = out.over == transport::tls ? 853 : out.over == transport::https ? 443 : 53;
  auto bare = rest;
  if (bare.size() > 2 && bare.front() == '[' && bare.back() == ']') bare = bare.substr(1, bare.size() - 2);
  if (auto address = ip_address::parse(bare)) {
    out.address = {*address, port};
  } else if (auto whole = endpoint::parse(rest); whole && rest.front() != ':') {
    out.address = *whole;
  } else {
    auto colon = rest.rfind(':');
    out.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) {
      auto digits = rest.substr(colon + 1);
      unsigned value = 0;
      for (char c : digits)
        value = c >= '0' && c <= '9' && value < 65536 ? value * 10 + unsigned(c - '0') : 65536;
      if (digits.empty() || value == 0 || value > 65535) return wrong("the port is from 1 to 65535");
      port = static_cast<std::uint16_t>(value);
    }
    out.address.port = port;
    auto host = name::parse(out.host);
    if (!host || host->is_root())
      return wrong("expected an address, such as \"1.1.1.1\" or \"tls://1.1.1.1\"");
    if (!is_encrypted(out.over))
      return wrong("a resolver is named by its address; a name would have to be looked up by itself");
  }
  if (out.address.port == 0) return wrong("the port is from 1 to 65535");
  if (out.server_name.empty())
    out.server_name = out.host.empty() ? out.address.address.to_string() : out.host;
  if (out.over == transport::https) out.url = "https://" + std::string(rest) + path;
  return out;
}

result<void> upstream_group::check() const {
  const upstream* plain = nullptr;
  const upstream* secret = nullptr;
  for (const auto& m : members) (is_encrypted(m.over) ? secret : plain) = &m;
  if (plain && secret)
    return fail(
        errc::invalid,
        "\"" + plain->text + "\" is plain and \"" + secret->text +
            "\" is encrypted: the faster one would be asked, which drops the encryption without a word",
        "dns.upstreams");
  return {};
}

} // namespace netlab::dns
