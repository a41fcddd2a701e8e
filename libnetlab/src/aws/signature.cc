#include "netlab/aws_signature.h"

#include <algorithm>
#include <map>

#include "netlab/bytes.h"
#include "netlab/encoding.h"
#include "netlab/text.h"

namespace netlab::aws {

namespace {

// RFC 3986 §5.2.4 on a path, without a view of what it is relative to.
std::string normal_path(std::string_view path) {
  std::vector<std::string_view> kept;
  bool folder = path.empty() || path.back() == '/';
  for (auto part : split(path, '/')) {
    folder = part.empty() || part == "." || part == "..";
    if (part == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!part.empty() && part != ".") {
      kept.push_back(part);
    }
  }
  std::string out;
  for (auto part : kept) out += "/" + std::string(part);
  if (out.empty() || folder) out += '/';
  return out;
}

// Outer spaces go, inner runs of them become one.
std::string header_value(std::string_view value) {
  std::string out;
  for (char c : trim(value)) {
    if (c == '\t' || c == '\n' || c == '\r') c = ' ';
    if (c != ' ' || out.empty() || out.back() != ' ') out += c;
  }
  return out;
}

std::map<std::string, std::string> canonical_headers(const signable& r) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : r.headers) {
    auto key = to_lower(trim(name));
    auto [it, added] = out.emplace(key, header_value(value));
    if (!added) it->second += "," + header_value(value);
  }
  return out;
}

std::string signed_headers(const std::map<std::string, std::string>& headers) {
  std::string out;
  for (const auto& [name, value] : headers) out += (out.empty() ? "" : ";") + name;
  return out;
}

std::string scope_text(const signature_scope& s) {
  return amz_date(s.time).substr(0, 8) + "/" + s.region + "/" + s.service + "/aws4_request";
}

byte_view view(const sha256_digest& d) { return {d.data(), d.size()}; }

} // namespace

std::string amz_date(wall_time time) {
  std::string out;
  for (char c : format_time(time, false))
    if (c != '-' && c != ':') out += c;
  return out;
}

std::string canonical_query(std::vector<std::pair<std::string, std::string>> query) {
  // Sorted after encoding, by name and then by value.
  for (auto& [name, value] : query) {
    name = url_encode(name);
    value = url_encode(value);
  }
  std::sort(query.begin(), query.end());
  std::string out;
  for (const auto& [name, value] : query) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

std::string canonical_request(const signable& r, const signature_scope& s) {
  auto path = s.normalize_path ? normal_path(r.path) : r.path;
  if (s.encode_path) path = url_encode(path, true);
  auto headers = canonical_headers(r);
  std::string out = r.method + "\n" + path + "\n" + canonical_query(r.query) + "\n";
  for (const auto& [name, value] : headers) out += name + ":" + value + "\n";
  return out + "\n" + signed_headers(headers) + "\n" + r.payload_hash;
}

std::string string_to_sign(const std::string& canonical, const signature_scope& s) {
  return "AWS4-HMAC-SHA256\n" + amz_date(s.time) + "\n" + scope_text(s) + "\n" +
         to_hex(sha256_of(as_bytes(canonical)));
}

std::string signature_of(const std::string& text, const signature_scope& s) {
  auto key = hmac_sha256(as_bytes("AWS4" + s.secret_key), as_bytes(amz_date(s.time).substr(0, 8)));
  for (const auto* part : {&s.region, &s.service}) key = hmac_sha256(view(key), as_bytes(*part));
  key = hmac_sha256(view(key), as_bytes("aws4_request"));
  return to_hex(hmac_sha256(view(key), as_bytes(text)));
}

std::string authorization(const signable& r, const signature_scope& s) {
  auto signature = signature_of(string_to_sign(canonical_request(r, s), s), s);
  return "AWS4-HMAC-SHA256 Credential=" + s.access_key + "/" + scope_text(s) +
         ", SignedHeaders=" + signed_headers(canonical_headers(r)) + ", Signature=" + signature;
}

} // namespace netlab::aws
