#include <doctest/doctest.h>

#include "fetch/checksum_file.h"
#include "fetch/oci_manifest.h"
#include "fetch/oci_reference.h"
#include "netlab/encoding.h"
#include "netlab/fetch.h"
#include "netlab/oci.h"
#include "netlab/transfer_plan.h"
#include "netlab/url.h"

using namespace netlab;
using namespace netlab::fetch;
using namespace netlab::oci;

namespace {

const std::string a64(64, 'a'), b64(64, 'b'), c128(128, 'c');

} // namespace

TEST_CASE("checksums are read in every way that people write them") {
  CHECK(checksum::parse(a64)->to_string() == "sha256:" + a64);
  CHECK(checksum::parse("SHA512:" + std::string(128, 'C'))->to_string() == "sha512:" + c128);
  CHECK(checksum::parse(c128)->algorithm == digest_algorithm::sha512);
  for (auto bad : {std::string(), std::string("sha256:"), a64.substr(1), a64 + "a", "sha256:" + c128,
                   "md5:" + a64, std::string(64, 'g')})
    CHECK_FALSE(checksum::parse(bad));
}

TEST_CASE("a list of checksums: the longest name that the address ends with") {
  auto list = a64 + "  ./main/linux\n" + b64 + " *netboot/arm64/linux\n# a comment\n\n" + c128 + "  other\n";
  CHECK(find_checksum(list, "https://x/dists/netboot/arm64/linux")->hex == b64);
  CHECK(find_checksum(list, "https://x/dists/main/linux")->hex == a64);
  CHECK(find_checksum(list, "https://x/other")->hex == c128);
  auto none = find_checksum(list, "https://x/elsewhere/linux");
  REQUIRE_FALSE(none);
  CHECK(none.error().message == "none of the list's 3 checksums is for linux");
  CHECK_FALSE(find_checksum(list, "https://x/another")); // "other" is only the end of a word
  CHECK(find_checksum("SHA256 (vmlinuz) = " + a64 + "\n", "/x/vmlinuz")->hex == a64);
  CHECK(find_checksum("sha512 (a (1).img) = " + c128, "/x/a (1).img")->hex == c128);
  CHECK(find_checksum(a64 + "\n", "/whatever")->hex == a64); // a .sha256 file beside its file
  CHECK(find_checksum(a64 + "  linux\n" + c128 + "  linux\n", "/linux")->hex == c128);
  CHECK_FALSE(find_checksum("", "/linux"));
  CHECK_FALSE(find_checksum(a64 + "\n" + b64 + "\n", "/linux"));
  CHECK(find_checksum(a64 + "  linux\r\n", "/linux")->hex == a64);
}

TEST_CASE("addresses of artifacts") {
  auto r = parse_oci_url("oci://ghcr.io/urmanac/talos-demo:v1.2#boot/vmlinuz");
  REQUIRE(r);
  CHECK(r->base_url() == "https://ghcr.io/v2/urmanac/talos-demo");
  CHECK(r->reference == "v1.2");
  CHECK(r->file == "boot/vmlinuz");
  CHECK(parse_oci_url("oci://docker.io/alpine#x")->base_url() ==
        "https://registry-1.docker.io/v2/library/alpine");
  CHECK(parse_oci_url("oci://docker.io/a/b#x")->reference == "latest");
  CHECK(parse_oci_url("oci+http://10.0.0.1:5000/t:1#/x")->base_url() == "http://10.0.0.1:5000/v2/t");
  CHECK(parse_oci_url("oci://h/r:tag@sha256:" + a64 + "#x")->reference == "sha256:" + a64);
  for (auto bad :
       {"oci://", "oci://h", "oci://h/r", "oci://h/r:1", "oci://h/r:1#", "oci:///r:1#x", "oci://h/R:1#x",
        "oci://h/r//s:1#x", "oci://h/r:-x#x", "oci://h/r@sha256:12#x", "oci://h/../r:1#x", "oci://h/r: #x",
        "oci://h\n/r:1#x", "https://h/r:1#x", "oci://u@h/r:1#x"})
    CHECK_FALSE_MESSAGE(parse_oci_url(bad), bad);
}

TEST_CASE("manifests and indexes") {
  auto layer = [](const std::string& digest, const std::string& more) {
    return R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")" + digest +
           "\",\"size\":7" + more + "}";
  };
  auto m = read_manifest(
      "{\"layers\":[" + layer("sha256:" + a64, "") + "," +
          layer("sha256:" + b64, R"(,"annotations":{"org.opencontainers.image.title":"vmlinuz"})") + "]}",
      "");
  REQUIRE(m);
  REQUIRE(m->layers.size() == 2);
  CHECK(m->layers[0].archive);
  CHECK(m->layers[0].title.empty());
  CHECK(m->layers[1].title == "vmlinuz");
  CHECK(m->layers[1].size == 7);

  auto entry = [](const std::string& digest, const std::string& os, const std::string& cpu) {
    return "{\"digest\":\"sha256:" + digest + R"(","platform":{"os":")" + os + R"(","architecture":")" + cpu +
           "\"}}";
  };
  auto index = "{\"manifests\":[" + entry(a64, "linux", "amd64") + "," + entry(b64, "linux", "arm64") + "," +
               entry(a64, "unknown", "unknown") + "]}";
  CHECK(read_manifest(index, "arm64")->next == "sha256:" + b64);
  auto unclear = read_manifest(index, "");
  REQUIRE_FALSE(unclear);
  CHECK(unclear.error().message == "the image is made for linux/amd64, linux/arm64: say which with arch");
  auto missing = read_manifest(index, "riscv64");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message ==
        "the image has nothing for linux/riscv64 (it has linux/amd64, linux/arm64)");
  CHECK(read_manifest("{\"manifests\":[" + entry(a64, "linux", "amd64") + "]}", "")->next == "sha256:" + a64);
  for (auto bad :
       {"", "[]", "{}", R"({"layers":1})", R"({"layers":[1]})", R"({"layers":[{"digest":"sha256:1"}]})",
        R"({"layers":[{"digest":"../../x"}]})", R"({"manifests":{}})", R"({"manifests":[]})",
        R"({"manifests":[{"platform":1}]})", R"({"layers":[{"digest":"sha256:", "annotations":3}]})"})
    CHECK_FALSE_MESSAGE(read_manifest(bad, "amd64"), bad);
}

TEST_CASE("demands for credentials") {
  auto c = parse_challenge(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a,b")");
  REQUIRE(c);
  CHECK(c->scheme == "bearer");
  CHECK(c->parameters["realm"] == "https://auth.docker.io/token");
  CHECK(c->parameters["scope"] == "a,b");
  CHECK(parse_challenge(R"(Basic realm=x)")->parameters["realm"] == "x");
  CHECK(parse_challenge(R"(Basic realm="a \"b\"")")->parameters["realm"] == "a \"b\"");
  for (auto bad : {"", "=", "Bearer realm=\"", "Bearer realm=\"x\\", "Bearer =x"})
    CHECK_FALSE(parse_challenge(bad));
  CHECK(may_share_credentials("registry-1.docker.io", "auth.docker.io"));
  CHECK(may_share_credentials("GHCR.io", "ghcr.io"));
  CHECK_FALSE(may_share_credentials("ghcr.io", "evil.example"));
  CHECK_FALSE(may_share_credentials("10.0.0.1:5000", "10.0.0.2:5000"));
  CHECK_FALSE(may_share_credentials("a.co.uk", "b.co.uk"));
  CHECK(base64("user:pass") == "dXNlcjpwYXNz");
  CHECK(base64("a") == "YQ==");
  CHECK(base64("") == "");
}

TEST_CASE("what is shown of a URL holds no secrets") {
  CHECK(shown_url("https://user:secret@host:1/a/b?token=secret") == "https://host:1/a/b");
  CHECK(host_of("https://user:secret@host:1/a") == "host:1");
  CHECK(host_of("nothing") == "");
}

TEST_CASE("a transfer goes on only with the same edition") {
  transfer_part part{100, {"\"v1\"", "Mon, 01 Jan 2026 00:00:00 GMT"}, false};
  auto fields = request_fields(part, {});
  REQUIRE(fields.size() == 2);
  CHECK(fields[0] == std::pair<std::string, std::string>{"Range", "bytes=100-"});
  CHECK(fields[1] == std::pair<std::string, std::string>{"If-Range", "\"v1\""});
  part.of.etag = "W/\"v1\""; // weak: the date has to do
  CHECK(request_fields(part, {})[1].second == part.of.last_modified);
  part.of = {};
  CHECK(request_fields(part, {}).empty()); // nothing tells editions apart
  part.checked = true;
  CHECK(request_fields(part, {}).size() == 1); // the checksum would
  CHECK(request_fields({}, {"\"v1\"", "date"})[0].first == "If-None-Match");
  CHECK(request_fields({}, {"", "date"})[0].first == "If-Modified-Since");

  using action = transfer_verdict::action;
  part = {100, {"\"v1\"", {}}, false};
  auto whole = judge(200, {{"content-length", "300"}, {"etag", "\"v2\""}}, part);
  CHECK(whole.what == action::begin);
  CHECK(whole.size == 300);
  CHECK(whole.of.etag == "\"v2\"");
  auto rest = judge(206, {{"content-range", "bytes 100-299/300"}}, part);
  CHECK(rest.what == action::append);
  CHECK(rest.size == 300);
  CHECK(judge(206, {{"content-range", "bytes 100-299/*"}}, part).what == action::append);
  CHECK(judge(206, {{"content-range", "bytes 99-299/300"}}, part).what == action::ask_again);
  CHECK(judge(206, {{"content-range", "bytes 100-299/300"}, {"etag", "\"v2\""}}, part).what ==
        action::ask_again);
  CHECK(judge(206, {}, part).what == action::ask_again);
  CHECK(judge(206, {{"content-range", "bytes 100-400/300"}}, part).what == action::ask_again);
  CHECK(judge(206, {{"content-range", "bytes 0-1/2"}}, {}).what ==
        action::ask_again); // nobody asked for a part
  CHECK(judge(304, {}, {}).what == action::unchanged);
  CHECK(judge(304, {}, part).what == action::refuse);
  CHECK(judge(416, {{"content-range", "bytes */100"}}, part).what == action::complete);
  CHECK(judge(416, {{"content-range", "bytes */50"}}, part).what == action::ask_again);
  CHECK(judge(416, {}, part).what == action::ask_again);
  CHECK(judge(416, {}, {}).what == action::refuse);
  CHECK(judge(404, {}, part).failure == "the source answers 404 (there is no such file)");
  CHECK(judge(503, {}, part).failure == "the source answers 503 (a fault of its own)");
}

TEST_CASE("schematics and a model's files") {
  schematic s;
  CHECK(write_schematic(s) == R"({"customization":{}})");
  s.extensions = {"siderolabs/tailscale", "siderolabs/spin"};
  s.kernel_args = {"vga=791"};
  s.overlay_name = "rpi_generic";
  s.overlay_image = "siderolabs/sbc-raspberrypi";
  s.overlay_options = R"({"data":"x"})";
  CHECK(write_schematic(s) ==
        R"({"overlay":{"image":"siderolabs/sbc-raspberrypi","name":"rpi_generic","options":{"data":"x"}},)"
        R"("customization":{"extraKernelArgs":["vga=791"],"systemExtensions":{"officialExtensions":)"
        R"(["siderolabs/tailscale","siderolabs/spin"]}}})");
  auto plain = files_of_model("metal", "arm64", false);
  CHECK(plain.kernel == "kernel-arm64");
  CHECK(plain.initramfs == "initramfs-arm64.xz");
  CHECK(plain.cmdline == "cmdline-metal-arm64");
  CHECK(plain.uki == "metal-arm64-uki.efi");
  CHECK(files_of_model("metal", "amd64", true).uki == "metal-amd64-secureboot-uki.efi");
}

TEST_CASE("what cannot be fetched is told before anybody is asked") {
  wanted_file f;
  f.name = "a/b";
  f.url = "https://example.org/b";
  CHECK(fetch::check(f));
  for (auto bad : {"", "/a", "../a", "a//b", "a/./b", ".netlab-fetch/x", "a\nb"}) {
    auto g = f;
    g.name = bad;
    CHECK_FALSE(fetch::check(g));
  }
  for (auto bad : {"", "ftp://x/y", "file:///etc/passwd", "https://", "oci://h/r", "/etc/passwd"}) {
    auto g = f;
    g.url = bad;
    CHECK_FALSE(fetch::check(g));
  }
}
