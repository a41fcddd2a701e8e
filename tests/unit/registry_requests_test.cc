#include <doctest/doctest.h>

#include "netlab/oci.h"
#include "netlab/registry.h"
#include "registry/pulls.h"
#include "registry/requests.h"

using namespace netlab;
using namespace netlab::registry;

TEST_CASE("paths of the distribution API") {
  using kind = request::kind;
  struct expected {
    const char* path;
    kind what;
    const char *name, *reference;
  };
  const expected all[] = {
      {"/v2/", kind::ping, "", ""},
      {"/v2", kind::ping, "", ""},
      {"/v2/a/manifests/v1", kind::manifest, "a", "v1"},
      {"/v2/a/b/c/manifests/sha256:00", kind::manifest, "a/b/c", "sha256:00"},
      {"/v2/manifests/manifests/manifests", kind::manifest, "manifests", "manifests"},
      {"/v2/a/blobs/sha256:00", kind::blob, "a", "sha256:00"},
      {"/v2/a/tags/list", kind::tags, "a", ""},
      {"/v2/a/referrers/sha256:00", kind::referrers, "a", "sha256:00"},
      {"/v2/a/blobs/uploads", kind::upload, "a", ""},
      {"/v2/a/blobs/uploads/", kind::upload, "a", ""},
      {"/v2/a/blobs/uploads/12", kind::upload, "a", "12"},
      {"/v2/_catalog", kind::catalog, "", ""},
      {"/v2/a/manifests/", kind::none, "", ""},
      {"/v2/manifests/v1", kind::none, "", ""},
      {"/v2/a/other/v1", kind::none, "", ""},
      {"/v1/a/manifests/v1", kind::none, "", ""},
      {"/", kind::none, "", ""},
  };
  for (const auto& each : all) {
    CAPTURE(each.path);
    auto got = read_request(each.path);
    CHECK(got.what == each.what);
    CHECK(got.name == each.name);
    CHECK(got.reference == each.reference);
  }
}

TEST_CASE("parameters, pages and links") {
  CHECK(parameter("a=1&ns=docker.io", "ns") == "docker.io");
  CHECK(parameter("ns=10.0.0.1%3A5000", "ns") == "10.0.0.1:5000");
  CHECK(parameter("nss=x&ns", "ns").empty());
  std::vector<std::string> names{"a", "b", "c"};
  CHECK(page_of(names, "", 0).names == names);
  CHECK(page_of(names, "", 2).names == std::vector<std::string>{"a", "b"});
  CHECK(page_of(names, "", 2).more);
  CHECK(page_of(names, "b", 2).names == std::vector<std::string>{"c"});
  CHECK_FALSE(page_of(names, "b", 2).more);
  CHECK(page_of(names, "bb", 2).names == std::vector<std::string>{"c"});
  CHECK(page_of(names, "z", 2).names.empty());
  CHECK(next_link("</v2/a/tags/list?n=2&last=b>; rel=\"next\"") == "/v2/a/tags/list?n=2&last=b");
  CHECK(next_link("<https://host/v2/a/tags/list?last=b>; rel=next") == "/v2/a/tags/list?last=b");
  CHECK(next_link("</v2/x>; rel=\"prev\", </v2/y>; rel=\"next\"") == "/v2/y");
  CHECK(next_link("<http://host>; rel=\"next\"").empty());
  CHECK(next_link("</etc/passwd>; rel=\"next\"").empty());
  CHECK(next_link("</v2/x").empty());
}

TEST_CASE("images as people write them") {
  auto text = [](std::string_view image) {
    auto got = oci::parse_image(image);
    return got ? got->to_string() : std::string("!");
  };
  CHECK(text("alpine") == "docker.io/library/alpine:latest");
  CHECK(text("alpine:3.19") == "docker.io/library/alpine:3.19");
  CHECK(text("team/app") == "docker.io/team/app:latest");
  CHECK(text("index.docker.io/library/alpine") == "docker.io/library/alpine:latest");
  CHECK(text("ghcr.io/siderolabs/talos:v1.11.3") == "ghcr.io/siderolabs/talos:v1.11.3");
  CHECK(text("localhost/app:1") == "localhost/app:1");
  CHECK(text("10.0.0.1:5000/app") == "10.0.0.1:5000/app:latest");
  auto digest = "sha256:" + std::string(64, 'a');
  CHECK(text("registry.k8s.io/pause:3.9@" + digest) == "registry.k8s.io/pause@" + digest);
  for (const char* bad :
       {"", ":", "Alpine", "a//b", "a:-b", "a@sha256:12", "ghcr.io/", "a b", "ghcr.io/../x"})
    CHECK_MESSAGE(text(bad) == "!", bad);
}

TEST_CASE("which upstream serves a registry") {
  auto served = [](const proxy_config& c, std::string_view registry) {
    return served_as(c, registry).value_or("!");
  };
  proxy_config c;
  c.upstreams = {default_upstream("docker.io"), default_upstream("ghcr.io")};
  c.allow = {"*.lab", "registry-?.quay.io"};
  for (const char* spelling : {"docker.io", "index.docker.io", "registry-1.docker.io"})
    CHECK_MESSAGE(served(c, spelling) == "docker.io", spelling);
  CHECK(served(c, "ghcr.io") == "ghcr.io");
  CHECK(served(c, "harbor.lab") == "harbor.lab");
  CHECK(served(c, "registry-2.quay.io") == "registry-2.quay.io");
  for (const char* other : {"quay.io", "hub.docker.io", "docker.io.", "", "a b.lab", "../x.lab"})
    CHECK_MESSAGE(served(c, other) == "!", other);
  c.upstreams.clear();
  CHECK(served(c, "index.docker.io") == "!");
  c.allow = {"docker.io"};
  CHECK(served(c, "index.docker.io") == "docker.io");
  // However the recipe spells it.
  c.upstreams = {default_upstream("registry-1.docker.io")};
  c.allow.clear();
  CHECK(served(c, "docker.io") == "registry-1.docker.io");
}

TEST_CASE("a registry that only its name is known of") {
  for (const char* spelling : {"docker.io", "index.docker.io", "registry-1.docker.io"}) {
    auto u = default_upstream(spelling);
    CHECK(u.name == spelling);
    CHECK(u.url == "https://registry-1.docker.io");
    CHECK(u.library);
  }
  auto u = default_upstream("10.0.0.1:5000");
  CHECK(u.url == "https://10.0.0.1:5000");
  CHECK_FALSE(u.library);
}

TEST_CASE("images in a list and in manifests") {
  CHECK(images_in("# "
                  "Talos\nghcr.io/siderolabs/flannel:v0.27\n\nregistry.k8s.io/pause:3.10\nregistry.k8s.io/"
                  "pause:3.10\n") ==
        std::vector<std::string>{"ghcr.io/siderolabs/flannel:v0.27", "registry.k8s.io/pause:3.10"});
  CHECK(
      images_in("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: \"nginx:1\" # web\n    name: a\n"
                "  - name: b\n    image: quay.io/x/y@sha256:" +
                std::string(64, '0') + "\n") ==
      std::vector<std::string>{"nginx:1", "quay.io/x/y@sha256:" + std::string(64, '0')});
  CHECK(images_in("apiVersion: v1\n").empty());
  // A tag and a digest, as `talosctl image talos-bundle` prints extensions.
  auto extension = "ghcr.io/siderolabs/gvisor:20250505.0-v1.11.3@sha256:" + std::string(64, 'a');
  CHECK(images_in(extension + "\n") == std::vector<std::string>{extension});
}

TEST_CASE("what nodes are told") {
  std::vector<mirror> all{{"docker.io", "http://10.0.0.2:5050", false},
                          {"10.0.0.9:5000", "http://10.0.0.2:5000/v2/10.0.0.9:5000", true}};
  auto hosts = containerd_hosts(all);
  CHECK(hosts.at("docker.io/hosts.toml") == "server = \"https://registry-1.docker.io\"\n\n"
                                            "[host.\"http://10.0.0.2:5050\"]\n"
                                            "  capabilities = [\"pull\", \"resolve\"]\n");
  CHECK(hosts.at("10.0.0.9_5000_/hosts.toml").ends_with("  override_path = true\n"));
  CHECK(talos_registries(all) ==
        "machine:\n  registries:\n    mirrors:\n      \"docker.io\":\n        endpoints:\n"
        "          - \"http://10.0.0.2:5050\"\n      \"10.0.0.9:5000\":\n        endpoints:\n"
        "          - \"http://10.0.0.2:5000/v2/10.0.0.9:5000\"\n        overridePath: true\n");
  CHECK(talos_mirror_documents(all).starts_with(
      "---\napiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: \"docker.io\"\nendpoints:\n"
      "  - url: \"http://10.0.0.2:5050\"\n---\n"));
  CHECK(docker_daemon_json(all) ==
        "{\n  \"registry-mirrors\": [\n    \"http://10.0.0.2:5050\"\n  ],\n"
        "  \"insecure-registries\": [\n    \"10.0.0.2:5000\",\n    \"10.0.0.2:5050\"\n  ]\n}\n");
  CHECK(docker_daemon_json({all[1]}) == "{\n  \"insecure-registries\": [\n    \"10.0.0.2:5000\"\n  ]\n}\n");
  CHECK(docker_daemon_json({{"ghcr.io", "https://10.0.0.2:5000/v2/ghcr.io", true}}).empty());
}

TEST_CASE("credentials of a Docker config file") {
  auto config = R"({"auths": {"https://index.docker.io/v1/": {"auth": "dXNlcjpwYTpzcw=="},
                              "ghcr.io": {"username": "me", "password": "token"}}})";
  CHECK(account_of_docker_config(config, "docker.io")->username == "user");
  CHECK(account_of_docker_config(config, "docker.io")->password == "pa:ss");
  CHECK(account_of_docker_config(config, "ghcr.io")->password == "token");
  CHECK(account_of_docker_config(config, "quay.io").error().code == errc::not_found);
  CHECK(account_of_docker_config(R"({"credsStore": "pass"})", "quay.io").error().code == errc::unsupported);
  CHECK(account_of_docker_config(R"({"auths": {"quay.io": {"auth": "!"}}})", "quay.io").error().code ==
        errc::invalid);
  CHECK_FALSE(account_of_docker_config("[]", "quay.io"));
}

TEST_CASE("tokens") {
  auto challenge =
      *oci::parse_challenge(R"(Bearer realm="https://auth.x.io/token?a=b",service="x.io",scope="ignored")");
  CHECK(*oci::token_url(challenge, "team/app", true) ==
        "https://auth.x.io/token?a=b&scope=repository%3Ateam%2Fapp%3Apull&service=x.io");
  auto plain = *oci::parse_challenge(R"(Bearer realm="http://auth.x.io/token")");
  CHECK_FALSE(oci::token_url(plain, "a", true));
  CHECK(oci::token_url(plain, "a", false));
  CHECK_FALSE(oci::token_url(*oci::parse_challenge("Basic realm=x"), "a", true));
  CHECK(oci::parse_token(R"({"token": "t", "expires_in": 300})")->lasts == std::chrono::seconds(300));
  CHECK(oci::parse_token(R"({"access_token": "t"})")->value == "t");
  for (const char* bad : {"", "{}", "[]", R"({"token": ""})", R"({"token": "a b"})", R"({"token": 1})"})
    CHECK_FALSE(oci::parse_token(bad));
}

TEST_CASE("requests of one client for one image are one pull") {
  pull_journal journal;
  auto client = *ip_address::parse("10.0.0.9");
  boot_time now{std::chrono::seconds(100)};
  journal.begin(client, "docker.io/library/alpine", "3.19", now);
  journal.end(client, "docker.io/library/alpine", {1000, true, true, {}}, now);
  journal.begin(client, "docker.io/library/alpine", {}, now);
  CHECK(journal.finished(now + std::chrono::minutes(5)).empty()); // a layer is still on its way
  now += std::chrono::minutes(5);
  journal.end(client, "docker.io/library/alpine", {9000, false, true, {}}, now);
  CHECK(journal.finished(now + std::chrono::seconds(1)).empty());
  auto over = journal.finished(now + std::chrono::seconds(4));
  REQUIRE(over.size() == 1);
  CHECK(over[0].image == "docker.io/library/alpine:3.19");
  CHECK(over[0].bytes == 10000);
  CHECK(over[0].cached_bytes == 1000);
  CHECK(over[0].requests == 2);
  CHECK(over[0].hits == 1);
  CHECK(over[0].elapsed == std::chrono::minutes(5));
  CHECK(over[0].completed);
  CHECK(journal.empty());
  // Who only looked has pulled nothing.
  journal.begin(client, "a/b", "v1", now);
  journal.end(client, "a/b", {0, true, false, {}}, now);
  CHECK(journal.finished(now + std::chrono::seconds(4)).empty());
  CHECK(journal.empty());
}
