#include <doctest/doctest.h>

#include <algorithm>

#include "netlab/oci.h"
#include "netlab/registry.h"

using namespace netlab;
using netlab::registry::talos_images;

TEST_CASE("talos images: a release, with its Kubernetes or another") {
  auto got = talos_images("v1.11.5");
  REQUIRE(got);
  CHECK(*got == std::vector<std::string>{
                    "ghcr.io/siderolabs/installer:v1.11.5",
                    "ghcr.io/siderolabs/kubelet:v1.34.1",
                    "registry.k8s.io/kube-apiserver:v1.34.1",
                    "registry.k8s.io/kube-controller-manager:v1.34.1",
                    "registry.k8s.io/kube-scheduler:v1.34.1",
                    "registry.k8s.io/kube-proxy:v1.34.1",
                    "gcr.io/etcd-development/etcd:v3.6.5",
                    "registry.k8s.io/coredns/coredns:v1.12.4",
                    "registry.k8s.io/pause:3.10",
                    "ghcr.io/siderolabs/flannel:v0.27.4",
                });
  CHECK(*talos_images("1.11.5") == *got);
  auto other = talos_images("v1.11.5", "1.33.6");
  REQUIRE(other);
  CHECK(other->at(1) == "ghcr.io/siderolabs/kubelet:v1.33.6");
  CHECK(std::count(other->begin(), other->end(), "registry.k8s.io/kube-proxy:v1.33.6") == 1);
  CHECK(other->at(6) == got->at(6));
}

TEST_CASE("talos images: what came and went between releases") {
  auto has = [](std::string_view version, const std::string& image,
                const std::vector<std::string>& platforms = {}) {
    auto all = talos_images(version, {}, platforms);
    REQUIRE(all);
    return std::count(all->begin(), all->end(), image) == 1;
  };
  CHECK(has("v1.7.7", "ghcr.io/siderolabs/install-cni:v1.7.0-2-g7c627a8"));
  CHECK(has("v1.7.7", "gcr.io/etcd-development/etcd:v3.5.13"));
  CHECK(has("v1.7.7", "gcr.io/etcd-development/etcd:v3.5.13-arm64"));
  CHECK(has("v1.7.7", "gcr.io/etcd-development/etcd:v3.5.13", {"linux/amd64"}));
  CHECK_FALSE(has("v1.7.7", "gcr.io/etcd-development/etcd:v3.5.13-arm64", {"linux/amd64"}));
  CHECK_FALSE(has("v1.7.7", "gcr.io/etcd-development/etcd:v3.5.13", {"linux/arm64/v8"}));
  CHECK(has("v1.8.0", "gcr.io/etcd-development/etcd:v3.5.16", {"linux/arm64"}));
  CHECK(talos_images("v1.8.0")->size() == 10);
  CHECK(has("v1.12.0", "registry.k8s.io/etcd:v3.6.7"));
  CHECK(has("v1.13.9", "registry.k8s.io/networking/kube-network-policies:v1.1.0"));
  CHECK(has("v1.14.0-rc.1", "registry.k8s.io/etcd:3.7.1"));
  // Whatever is listed can be asked for.
  for (auto version : {"v1.7.0", "v1.9.6", "v1.10.9", "v1.14.0-rc.1"}) {
    auto all = talos_images(version);
    for (const auto& each : *all) {
      CAPTURE(each);
      auto image = oci::parse_image(each);
      REQUIRE(image);
      CHECK(image->to_string() == each);
      CHECK(oci::is_tag(image->reference));
    }
  }
}

TEST_CASE("talos images: what is not known says what is") {
  auto why = [](std::string_view version, std::string_view kubernetes = {}) {
    auto got = talos_images(version, kubernetes);
    REQUIRE_FALSE(got);
    return got.error();
  };
  auto later = why("v1.11.99");
  CHECK(later.code == errc::not_found);
  CHECK(later.message.find("v1.7.0 to v1.14.0-rc.1, of v1.11 up to v1.11.6") != std::string::npos);
  CHECK(later.message.find("talosctl image default | netlab registry prefetch --file -") !=
        std::string::npos);
  CHECK(why("v2.0.0").message.find("v1.14.0-rc.1;") != std::string::npos);
  CHECK(why("1.6.0").code == errc::not_found);
  for (auto each : {"", "v", "1.11", "v1.11.", "v1.11.5.6", "latest", "v1.a.5", "v1.11.5 ", "v1.11.5-a/b"})
    CHECK(why(each).code == errc::invalid);
  CHECK(why("v1.11.5", "1.34").code == errc::invalid);
  CHECK(why("v1.11.5", "v1.34.1@sha256").code == errc::invalid);
}
