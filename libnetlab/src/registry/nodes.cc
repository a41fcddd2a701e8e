#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "netlab/encoding.h"
#include "netlab/json.h"
#include "netlab/oci.h"
#include "netlab/registry.h"
#include "netlab/text.h"

namespace netlab::registry {

namespace {

std::string quoted(const std::string& text) {
  return json(text).dump();
} // JSON's strings are TOML's and YAML's

std::string server_of(const std::string& registry) { return default_upstream(registry).url; }

} // namespace

std::map<std::string, std::string> containerd_hosts(const std::vector<mirror>& mirrors) {
  std::map<std::string, std::string> out;
  for (const auto& m : mirrors) {
    // containerd writes a port as "_5000_" in the folder's name.
    auto folder = m.registry;
    if (auto colon = folder.rfind(':'); colon != std::string::npos)
      folder = folder.substr(0, colon) + "_" + folder.substr(colon + 1) + "_";
    std::string text = "server = " + quoted(server_of(m.registry)) + "\n\n[host." + quoted(m.url) +
                       "]\n  capabilities = [\"pull\", \"resolve\"]\n";
    if (m.path) text += "  override_path = true\n";
    out.emplace(folder + "/hosts.toml", std::move(text));
  }
  return out;
}

std::string talos_registries(const std::vector<mirror>& mirrors) {
  std::string out = "machine:\n  registries:\n    mirrors:\n";
  for (const auto& m : mirrors) {
    out += "      " + quoted(m.registry) + ":\n        endpoints:\n          - " + quoted(m.url) + "\n";
    if (m.path) out += "        overridePath: true\n";
  }
  return out;
}

std::string talos_mirror_documents(const std::vector<mirror>& mirrors) {
  std::string out;
  for (const auto& m : mirrors) {
    out += "---\napiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: " + quoted(m.registry) +
           "\nendpoints:\n  - url: " + quoted(m.url) + "\n";
    if (m.path) out += "    overridePath: true\n";
  }
  return out;
}

std::string docker_daemon_json(const std::vector<mirror>& mirrors) {
  // Docker takes the root of a mirror only, and for its own registry only. Any port can be pulled from and
  // pushed to by its address, when Docker is told of those without TLS.
  json urls = json::array();
  std::set<std::string> plain;
  for (const auto& m : mirrors) {
    if (oci::registry_name(m.registry) == "docker.io" && !m.path) urls.push_back(m.url);
    if (m.url.starts_with("http://")) plain.insert(m.url.substr(7, m.url.find('/', 7) - 7));
  }
  json out = json::object();
  if (!urls.empty()) out["registry-mirrors"] = std::move(urls);
  if (!plain.empty()) out["insecure-registries"] = plain;
  return out.empty() ? std::string() : out.dump(2) + "\n";
}

std::vector<std::string> images_in(std::string_view text) {
  std::vector<std::string> out;
  auto add = [&](std::string_view word) {
    word = trim(word);
    if (auto comment = word.find(" #"); comment != std::string_view::npos)
      word = trim(word.substr(0, comment));
    if (word.size() >= 2 && (word.front() == '"' || word.front() == '\'') && word.back() == word.front())
      word = word.substr(1, word.size() - 2);
    if (word.empty() || !oci::parse_image(word)) return;
    if (std::find(out.begin(), out.end(), word) == out.end()) out.emplace_back(word);
  };
  // A manifest names images in fields; a list has nothing but images.
  bool manifest = false;
  for (auto line : split(text, '\n')) {
    auto t = trim(line);
    manifest =
        manifest || t.starts_with("image:") || t.starts_with("- image:") || t.starts_with("apiVersion:");
  }
  for (auto line : split(text, '\n')) {
    auto t = trim(line);
    if (t.starts_with("#")) continue;
    if (!manifest) {
      add(t);
      continue;
    }
    if (t.starts_with("- ")) t = trim(t.substr(2));
    if (t.starts_with("image:")) add(t.substr(6));
  }
  return out;
}

result<account> account_of_docker_config(std::string_view text, std::string_view registry) {
  auto data = parse_json(text);
  if (!data) return tl::unexpected(data.error());
  auto missing = [&](errc code, const std::string& why) {
    return fail(code, "the Docker config file " + why, "registry.credentials");
  };
  if (!data->is_object()) return missing(errc::invalid, "is no object");
  std::vector<std::string> names{std::string(registry), "https://" + std::string(registry),
                                 "https://" + std::string(registry) + "/v1/",
                                 "https://" + std::string(registry) + "/v2/"};
  if (registry == "docker.io")
    for (const char* each : {"https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io",
                             "https://registry-1.docker.io"})
      names.emplace_back(each);
  auto auths = data->find("auths");
  for (const auto& name : names) {
    if (auths == data->end() || !auths->is_object()) break;
    auto found = auths->find(name);
    if (found == auths->end() || !found->is_object()) continue;
    auto field = [&](const char* key) {
      auto f = found->find(key);
      return f != found->end() && f->is_string() ? f->get<std::string>() : std::string();
    };
    account out{field("username"), field("password")};
    if (auto both = field("auth"); out.username.empty() && !both.empty()) {
      auto decoded = base64_decode(both);
      auto colon = decoded ? decoded->find(':') : std::string::npos;
      if (colon == std::string::npos)
        return missing(errc::invalid, "has a malformed entry for " + std::string(registry));
      out = {decoded->substr(0, colon), decoded->substr(colon + 1)};
    }
    if (!out.username.empty()) return out;
  }
  if (data->contains("credsStore") || data->contains("credHelpers"))
    return missing(errc::unsupported, "leaves the credentials of " + std::string(registry) +
                                          " to a helper program, which is not run");
  return missing(errc::not_found, "has no credentials for " + std::string(registry));
}

} // namespace netlab::registry
