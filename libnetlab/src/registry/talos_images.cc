#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "netlab/oci.h"
#include "netlab/registry.h"
#include "netlab/text.h"

namespace netlab::registry {

namespace {

// What each release of Talos runs unless its machine config says otherwise. From the tags of
// github.com/siderolabs/talos (pkg/machinery/constants, pkg/images, the containerd of v1.7 for its pause
// image), read on 2026-11-22.
struct talos_release {
  std::string_view version, kubernetes, etcd, coredns, flannel, pause;
  std::string_view install_cni, network_policies; // empty: it has none
};

constexpr std::array talos_releases = std::to_array<talos_release>({
    // clang-format off
    {"v1.7.0", "v1.30.0", "v3.5.13", "v1.11.1", "v0.25.1", "3.8", "v1.7.0-1-gbb76755", ""},
    {"v1.7.1", "v1.30.0", "v3.5.13", "v1.11.1", "v0.25.1", "3.8", "v1.7.0-1-gbb76755", ""},
    {"v1.7.2", "v1.30.1", "v3.5.13", "v1.11.1", "v0.25.1", "3.8", "v1.7.0-1-gbb76755", ""},
    {"v1.7.3", "v1.30.1", "v3.5.13", "v1.11.1", "v0.25.1", "3.8", "v1.7.0-1-gbb76755", ""},
    {"v1.7.4", "v1.30.1", "v3.5.13", "v1.11.1", "v0.25.1", "3.8", "v1.7.0-1-gbb76755", ""},
    {"v1.7.5", "v1.30.1", "v3.5.13", "v1.11.1", "v0.25.3", "3.8", "v1.7.0-2-g7c627a8", ""},
    {"v1.7.6", "v1.30.3", "v3.5.13", "v1.11.1", "v0.25.3", "3.8", "v1.7.0-2-g7c627a8", ""},
    {"v1.7.7", "v1.30.5", "v3.5.13", "v1.11.1", "v0.25.3", "3.8", "v1.7.0-2-g7c627a8", ""},
    {"v1.8.0", "v1.31.1", "v3.5.16", "v1.11.3", "v0.25.6", "3.9", "", ""},
    {"v1.8.1", "v1.31.1", "v3.5.16", "v1.11.3", "v0.25.7", "3.9", "", ""},
    {"v1.8.2", "v1.31.2", "v3.5.16", "v1.11.3", "v0.25.7", "3.9", "", ""},
    {"v1.8.3", "v1.31.2", "v3.5.16", "v1.11.3", "v0.25.7", "3.10", "", ""},
    {"v1.8.4", "v1.31.4", "v3.5.17", "v1.11.3", "v0.25.7", "3.10", "", ""},
    {"v1.9.0", "v1.32.0", "v3.5.17", "v1.12.0", "v0.26.1", "3.10", "", ""},
    {"v1.9.1", "v1.32.0", "v3.5.17", "v1.12.0", "v0.26.1", "3.10", "", ""},
    {"v1.9.2", "v1.32.0", "v3.5.17", "v1.12.0", "v0.26.1", "3.10", "", ""},
    {"v1.9.3", "v1.32.1", "v3.5.18", "v1.12.0", "v0.26.1", "3.10", "", ""},
    {"v1.9.4", "v1.32.2", "v3.5.18", "v1.12.0", "v0.26.4", "3.10", "", ""},
    {"v1.9.5", "v1.32.3", "v3.5.19", "v1.12.0", "v0.26.5", "3.10", "", ""},
    {"v1.9.6", "v1.32.4", "v3.5.21", "v1.12.0", "v0.26.5", "3.10", "", ""},
    {"v1.10.0", "v1.33.0", "v3.5.21", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.10.1", "v1.33.0", "v3.5.21", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.10.2", "v1.33.0", "v3.5.21", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.10.3", "v1.33.1", "v3.5.21", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.10.4", "v1.33.1", "v3.5.21", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.10.5", "v1.33.2", "v3.5.21", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.10.6", "v1.33.3", "v3.5.21", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.10.7", "v1.33.4", "v3.5.21", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.10.8", "v1.33.6", "v3.5.21", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.10.9", "v1.33.6", "v3.5.26", "v1.12.1", "v0.26.7", "3.10", "", ""},
    {"v1.11.0", "v1.34.0", "v3.6.4", "v1.12.2", "v0.27.2", "3.10", "", ""},
    {"v1.11.1", "v1.34.0", "v3.6.4", "v1.12.3", "v0.27.2", "3.10", "", ""},
    {"v1.11.2", "v1.34.1", "v3.6.4", "v1.12.3", "v0.27.2", "3.10", "", ""},
    {"v1.11.3", "v1.34.1", "v3.6.5", "v1.12.4", "v0.27.4", "3.10", "", ""},
    {"v1.11.4", "v1.34.1", "v3.6.5", "v1.12.4", "v0.27.4", "3.10", "", ""},
    {"v1.11.5", "v1.34.1", "v3.6.5", "v1.12.4", "v0.27.4", "3.10", "", ""},
    {"v1.11.6", "v1.34.1", "v3.6.5", "v1.12.4", "v0.27.4", "3.10", "", ""},
    {"v1.12.0", "v1.35.0", "v3.6.7", "v1.13.2", "v0.27.4", "3.10", "", ""},
    {"v1.12.1", "v1.35.0", "v3.6.7", "v1.13.2", "v0.27.4", "3.10", "", ""},
    {"v1.12.2", "v1.35.0", "v3.6.7", "v1.13.2", "v0.27.4", "3.10", "", ""},
    {"v1.12.3", "v1.35.0", "v3.6.7", "v1.13.2", "v0.27.4", "3.10", "", ""},
    {"v1.12.4", "v1.35.0", "v3.6.7", "v1.13.2", "v0.27.4", "3.10", "", ""},
    {"v1.12.5", "v1.35.2", "v3.6.8", "v1.13.2", "v0.27.4", "3.10", "", ""},
    {"v1.12.6", "v1.35.2", "v3.6.8", "v1.13.2", "v0.27.4", "3.10", "", ""},
    {"v1.12.7", "v1.35.4", "v3.6.9", "v1.13.2", "v0.27.4", "3.10", "", ""},
    {"v1.12.8", "v1.35.4", "v3.6.11", "v1.14.3", "v0.27.4", "3.10.1", "", ""},
    {"v1.12.9", "v1.35.4", "v3.6.11", "v1.14.2", "v0.27.4", "3.10.1", "", ""},
    {"v1.12.10", "v1.35.4", "v3.6.11", "v1.14.2", "v0.27.4", "3.10.1", "", ""},
    {"v1.12.11", "v1.35.4", "v3.6.11", "v1.14.2", "v0.27.4", "3.10.1", "", ""},
    {"v1.13.0", "v1.36.0", "v3.6.9", "v1.14.2", "v0.28.4", "3.10.1", "", "v1.0.0"},
    {"v1.13.1", "v1.36.0", "v3.6.11", "v1.14.2", "v0.28.4", "3.10.1", "", "v1.0.0"},
    {"v1.13.2", "v1.36.0", "v3.6.11", "v1.14.2", "v0.28.4", "3.10.1", "", "v1.0.0"},
    {"v1.13.3", "v1.36.1", "v3.6.11", "v1.14.2", "v0.28.4", "3.10.1", "", "v1.0.0"},
    {"v1.13.4", "v1.36.1", "v3.6.12", "v1.14.2", "v0.28.5", "3.10.1", "", "v1.0.0"},
    {"v1.13.5", "v1.36.2", "v3.6.12", "v1.14.2", "v0.28.5", "3.10.1", "", "v1.0.0"},
    {"v1.13.6", "v1.36.2", "v3.6.12", "v1.14.2", "v0.28.5", "3.10.1", "", "v1.0.0"},
    {"v1.13.7", "v1.36.2", "v3.6.12", "v1.14.4", "0.28.7", "3.10.1", "", "v1.1.0"},
    {"v1.13.8", "v1.36.2", "v3.6.12", "v1.14.6", "0.28.8", "3.10.1", "", "v1.1.0"},
    {"v1.13.9", "v1.36.3", "v3.6.12", "v1.14.6", "0.28.8", "3.10.1", "", "v1.1.0"},
    {"v1.14.0-rc.1", "v1.37.0-rc.0", "3.7.1", "v1.14.6", "0.28.9", "3.10.2", "", "v1.1.1"},
    // clang-format on
});

// "1.11.5" as "v1.11.5"; empty when it is no version of three numbers that could be a tag.
std::string whole_version(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  auto parts = split(text.substr(0, text.find('-')), '.');
  bool numbers = parts.size() == 3 && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
                   return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
                 });
  auto out = "v" + std::string(text);
  return numbers && oci::is_tag(out) ? out : std::string();
}

// The table knows no other major version than 1.
int minor_of(std::string_view version) {
  int out = 0;
  auto digits = split(version, '.')[1];
  std::from_chars(digits.data(), digits.data() + digits.size(), out);
  return out;
}

error unknown_release(const std::string& version) {
  auto first = talos_releases.front().version, last = talos_releases.back().version;
  auto minor = version.substr(0, version.find('.', version.find('.') + 1) + 1);
  std::string_view newest;
  for (const auto& r : talos_releases)
    if (r.version.starts_with(minor)) newest = r.version;
  std::string near;
  if (!newest.empty()) near = ", of " + minor.substr(0, minor.size() - 1) + " up to " + std::string(newest);
  return {errc::not_found,
          "which images Talos " + version + " runs is not known here, only that of " + std::string(first) +
              " to " + std::string(last) + near +
              "; the talosctl of that version says it: talosctl image default | netlab registry prefetch "
              "--file -",
          "registry.talos"};
}

} // namespace

result<std::vector<std::string>> talos_images(std::string_view version, std::string_view kubernetes,
                                              const std::vector<std::string>& platforms) {
  auto wanted = whole_version(version);
  if (wanted.empty())
    return fail(errc::invalid, "\"" + printable(version) + "\" is no version of Talos such as v1.11.5",
                "registry.talos");
  auto found = std::find_if(talos_releases.begin(), talos_releases.end(),
                            [&](const auto& r) { return r.version == wanted; });
  if (found == talos_releases.end()) return tl::unexpected(unknown_release(wanted));
  auto k = kubernetes.empty() ? std::string(found->kubernetes) : whole_version(kubernetes);
  if (k.empty())
    return fail(errc::invalid,
                "\"" + printable(kubernetes) + "\" is no version of Kubernetes such as v1.34.1",
                "registry.talos");
  auto minor = minor_of(wanted);
  std::vector<std::string> out;
  auto add = [&](std::string_view repository, std::string_view tag) {
    if (!tag.empty()) out.push_back(std::string(repository) + ":" + std::string(tag));
  };
  // From 1.14 on it comes from the Image Factory: this is the one without extensions.
  add(minor < 14 ? "ghcr.io/siderolabs/installer"
                 : "factory.talos.dev/metal-installer/"
                   "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
      wanted);
  add("ghcr.io/siderolabs/kubelet", k);
  for (auto each : {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"})
    add(std::string("registry.k8s.io/") + each, k);
  auto etcd = minor < 12 ? "gcr.io/etcd-development/etcd" : "registry.k8s.io/etcd";
  auto for_architecture = [&](std::string_view name) {
    return platforms.empty() || std::any_of(platforms.begin(), platforms.end(), [&](const auto& p) {
             return p == "linux/" + std::string(name) || p.starts_with("linux/" + std::string(name) + "/");
           });
  };
  // Until then, etcd for arm64 had a tag of its own.
  bool by_architecture = minor < 8;
  if (!by_architecture || for_architecture("amd64")) add(etcd, found->etcd);
  if (by_architecture && for_architecture("arm64")) add(etcd, std::string(found->etcd) + "-arm64");
  add("registry.k8s.io/coredns/coredns", found->coredns);
  add("registry.k8s.io/pause", found->pause);
  add("ghcr.io/siderolabs/flannel", found->flannel);
  add("ghcr.io/siderolabs/install-cni", found->install_cni);
  add("registry.k8s.io/networking/kube-network-policies", found->network_policies);
  return out;
}

} // namespace netlab::registry
