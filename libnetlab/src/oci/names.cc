#include <algorithm>

#include "netlab/oci.h"
#include "netlab/text.h"

namespace netlab::oci {

namespace {
bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
} // namespace

bool is_repository(std::string_view name) {
  if (name.empty() || name.size() > 255) return false;
  for (std::size_t begin = 0; begin <= name.size();) {
    auto end = std::min(name.find('/', begin), name.size());
    auto part = name.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || !lower_or_digit(part.front()) || !lower_or_digit(part.back())) return false;
    if (!std::all_of(part.begin(), part.end(),
                     [](char c) { return lower_or_digit(c) || c == '.' || c == '_' || c == '-'; }))
      return false;
  }
  return true;
}

bool is_tag(std::string_view tag) {
  auto word = [](char c) { return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !tag.empty() && tag.size() <= 128 && word(tag.front()) &&
         std::all_of(tag.begin(), tag.end(), [&](char c) { return word(c) || c == '.' || c == '-'; });
}

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= 255 && std::all_of(host.begin(), host.end(), [](char c) {
    return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == ':' || c == '[' ||
           c == ']';
  });
}

result<checksum> parse_digest(std::string_view text) {
  auto out = checksum::parse(text);
  // Digits alone are a checksum, but no digest; nor are upper-case ones, which another spelling would be.
  if (!out || out->to_string() != text)
    return fail(errc::invalid, "\"" + printable(text.substr(0, 160)) + "\" is no digest", "oci.digest");
  return out;
}

std::string image_name::to_string() const {
  return registry + "/" + repository + (reference.find(':') == std::string::npos ? ":" : "@") + reference;
}

std::string_view registry_name(std::string_view registry) {
  bool docker = registry == "index.docker.io" || registry == "registry-1.docker.io";
  return docker ? "docker.io" : registry;
}

std::string_view api_host(std::string_view registry) {
  return registry_name(registry) == "docker.io" ? "registry-1.docker.io" : registry;
}

result<image_name> parse_image(std::string_view text) {
  auto bad = [&](const std::string& why) {
    return fail(errc::invalid,
                "\"" + printable(text) + "\" " + why + ": write registry/repository:tag or …@sha256:…",
                "oci.image");
  };
  image_name out;
  auto rest = text;
  out.reference = "latest";
  auto at = rest.find('@');
  if (at != std::string_view::npos) {
    auto sum = parse_digest(rest.substr(at + 1));
    if (!sum) return bad("has a malformed digest");
    out.reference = sum->to_string();
    rest = rest.substr(0, at);
  }
  auto slash = rest.rfind('/');
  if (auto colon = rest.find(':', slash == std::string_view::npos ? 0 : slash);
      colon != std::string_view::npos) {
    if (!is_tag(rest.substr(colon + 1))) return bad("has a malformed tag");
    if (at == std::string_view::npos) out.reference = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }
  // The first component is a registry when it looks like a host, as for every other tool.
  auto first = rest.substr(0, rest.find('/'));
  bool host = first.size() < rest.size() &&
              (first.find_first_of(".:") != std::string_view::npos || first == "localhost");
  out.registry = host ? registry_name(first) : "docker.io";
  if (host) rest.remove_prefix(first.size() + 1);
  if (!is_host(out.registry) || !is_repository(rest)) return bad("has a malformed name");
  out.repository = rest;
  if (out.registry == "docker.io" && rest.find('/') == std::string_view::npos)
    out.repository = "library/" + out.repository;
  return out;
}

} // namespace netlab::oci
