#include "netlab/dns_over_https.h"

#include <algorithm>

#include "netlab/dns_message.h"
#include "netlab/encoding.h"
#include "netlab/text.h"

namespace netlab::dns {

namespace {

// RFC 4648 §5, without padding (RFC 8484 §4.1); false for anything else.
bool base64url_octets(std::string_view text, byte_vector& out) {
  if (text.find_first_of("+/= \t\r\n") != std::string_view::npos) return false;
  std::string usual(text);
  std::replace(usual.begin(), usual.end(), '-', '+');
  std::replace(usual.begin(), usual.end(), '_', '/');
  auto octets = base64_decode(usual);
  if (octets) out.assign(octets->begin(), octets->end());
  return octets.has_value();
}

} // namespace

doh_query read_doh(std::string_view method, std::string_view query_string, std::string_view content_type,
                   std::string_view body) {
  doh_query out;
  if (method == "POST") {
    auto kind = trim(content_type.substr(0, content_type.find(';')));
    if (!iequals(kind, doh_content_type)) {
      out.refusal = 415;
      return out;
    }
    out.bytes.assign(as_bytes(body).begin(), as_bytes(body).end());
  } else if (method == "GET" || method == "HEAD") {
    bool found = false;
    while (!query_string.empty() && !found) {
      auto end = std::min(query_string.find('&'), query_string.size());
      auto pair = query_string.substr(0, end);
      query_string.remove_prefix(std::min(end + 1, query_string.size()));
      if (!pair.starts_with("dns=")) continue;
      found = true;
      if (pair.size() > max_message * 4 / 3 + 8 || !base64url_octets(pair.substr(4), out.bytes))
        out.refusal = 400;
    }
    if (!found) out.refusal = 400;
  } else {
    out.refusal = 405;
  }
  if (out.refusal == 0 && out.bytes.size() > max_message) out.refusal = 413;
  // An answer sent as a query, or less than a header, gets none (RFC 8484 §4.2.1).
  if (out.refusal == 0 && (out.bytes.size() < header_size || (out.bytes[2] & 0x80) != 0)) out.refusal = 400;
  return out;
}

std::uint32_t doh_max_age(byte_view reply) {
  auto m = decode(reply);
  if (!m || (m->rcode != rcode::no_error && m->rcode != rcode::name_error)) return 0;
  std::uint32_t least = 0x7fffffff;
  for (const auto* section : {&m->answers, &m->authorities})
    for (const auto& r : *section) least = std::min(least, r.ttl);
  return least == 0x7fffffff ? 0 : least;
}

} // namespace netlab::dns
