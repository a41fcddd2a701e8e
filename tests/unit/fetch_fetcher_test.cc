#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "netlab/event_loop.h"
#include "netlab/fetch.h"
#include "netlab/json.h"
#include "support/fake_world.h"
#include "support/scripted_http.h"
#include "support/tar_archive.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::fetch;
using netlab::test::scripted_http;

namespace {

std::string sha(std::string_view text) { return to_hex(sha256_of(as_bytes(text))); }

// A fetcher over a real folder, in virtual time, with scripted sources.
struct bench {
  manual_time time;
  event_loop disk;
  test::fake_network network{time};
  test::fake_host host{network, *ip_address::parse("10.0.0.1"), 1500};
  test::fake_world world{time, host};
  scripted_http http{time};
  test::temporary_folder folder;
  runtime run{time,          time,
              world.random,  host,
              disk.files(),  disk.processes(),
              http,          netlab::log(world.logged, time),
              world.counters};
  fetch_options options;
  std::map<std::string, file_state> states;
  std::unique_ptr<fetcher> running;

  bench() {
    options.folder = folder.path();
    options.reserve = 0;
  }
  void start(std::vector<wanted_file> files) {
    running.reset();
    states.clear();
    running = std::make_unique<fetcher>(run, options, [this](const file_state& s) { states[s.name] = s; });
    for (auto& f : files) running->add(std::move(f));
    running->start();
    time.settle();
  }
  std::string read(const std::string& name) const {
    std::ifstream in(folder / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder / name, std::ios::binary) << text;
  }
  std::size_t parts() const {
    std::size_t n = 0;
    for (const auto& e : std::filesystem::directory_iterator(folder / ".netlab-fetch"))
      n += e.path().extension() == ".part" || e.path().extension() == ".unpacked";
    return n;
  }
};

wanted_file wanted(const std::string& name, const std::string& url, const std::string& hex = {}) {
  wanted_file out;
  out.name = name;
  out.url = url;
  if (!hex.empty()) out.expected = *checksum::parse(hex);
  return out;
}

const std::string url = "http://source/linux", body(5000, 'k');

} // namespace

TEST_CASE("fetch: a file takes its place whole, and is not fetched again") {
  bench b;
  b.http.pages[url] = {body, "\"v1\""};
  b.start({wanted("debian/linux", url)});
  CHECK(b.read("debian/linux") == body);
  CHECK(b.states["debian/linux"].usable);
  CHECK(b.states["debian/linux"].digest == "sha256:" + sha(body));
  CHECK(b.world.logged.count("NL-ASSET-003") == 1);
  CHECK(b.parts() == 0);
  b.start({wanted("debian/linux", url)}); // a restart within the day
  CHECK(b.http.asked.size() == 1);
  CHECK(b.states["debian/linux"].usable);
  b.time.advance(std::chrono::hours(24)); // then the source is asked whether it has changed
  CHECK(b.http.asked.size() == 2);
  CHECK(b.http.field(1, "If-None-Match") == "\"v1\"");
  b.http.pages[url] = {"another", "\"v2\""};
  b.time.advance(std::chrono::hours(24));
  CHECK(b.read("debian/linux") == "another");
}

TEST_CASE("fetch: with a checksum in the recipe a right copy is never asked about") {
  bench b;
  b.write("linux", body); // put there by hand
  b.start({wanted("linux", url, sha(body))});
  CHECK(b.states["linux"].usable);
  b.time.advance(std::chrono::hours(100));
  CHECK(b.http.asked.empty());
}

TEST_CASE("fetch: a wrong checksum is never served, and what was right stays") {
  bench b;
  b.http.pages[url] = {"altered", "\"v1\""};
  b.start({wanted("linux", url, sha(body))});
  CHECK_FALSE(b.states["linux"].usable);
  CHECK_FALSE(std::filesystem::exists(b.folder / "linux"));
  CHECK(b.parts() == 0);
  CHECK(b.states["linux"].failure ==
        "wrong checksum: expected sha256:" + sha(body) + ", found sha256:" + sha("altered"));
  CHECK(b.world.logged.count("NL-ASSET-005") == 1);
  b.time.advance(std::chrono::seconds(29)); // each try costs the whole transfer
  CHECK(b.http.asked.size() == 1);
  b.http.pages[url] = {body, "\"v2\""};
  b.time.advance(std::chrono::seconds(1));
  CHECK(b.read("linux") == body);
  CHECK(b.states["linux"].usable);

  // The recipe asks for a newer one, which the source spoils: the copy is not what the recipe names.
  b.start({wanted("linux", url, sha("newer"))});
  CHECK_FALSE(b.states["linux"].usable);
  CHECK(b.world.logged.count("NL-ASSET-007") == 1);
  CHECK(b.read("linux") == body);
}

TEST_CASE("fetch: sha512 as well, and from a list of checksums") {
  bench b;
  b.http.pages[url] = {body, "\"v1\""};
  hasher wide(digest_algorithm::sha512);
  wide.update(as_bytes(body));
  b.start({wanted("linux", url, wide.finish().hex)});
  CHECK(b.states["linux"].usable);

  bench c;
  c.http.pages[url] = {body, "\"v1\""};
  auto f = wanted("linux", url);
  f.checksums = "http://source/SHA256SUMS";
  c.start({f});
  CHECK(c.states["linux"].failure == "http://source/SHA256SUMS answers 404");
  c.http.pages[f.checksums] = {sha("other") + "  initrd\n", {}};
  c.time.advance(std::chrono::seconds(5));
  CHECK(c.states["linux"].failure == "http://source/SHA256SUMS: none of the list's 1 checksums is for linux");
  CHECK(c.world.logged.count("NL-ASSET-008") == 1);
  c.http.pages[f.checksums] = {sha("other") + "  linux\n", {}};
  c.time.advance(std::chrono::seconds(10));
  CHECK(c.world.logged.count("NL-ASSET-005") == 1);
  CHECK_FALSE(c.states["linux"].usable);
  c.http.pages[f.checksums] = {sha(body) + "  linux\n", {}};
  c.time.advance(std::chrono::seconds(30));
  CHECK(c.states["linux"].usable);
}

TEST_CASE("fetch: what broke off is gone on with, when it is the same edition") {
  bench b;
  b.http.pages[url] = {body, "\"v1\""};
  b.http.pages[url].break_after = 2000;
  b.start({wanted("linux", url)});
  CHECK_FALSE(b.states["linux"].usable);
  CHECK(b.parts() == 1);
  CHECK_FALSE(std::filesystem::exists(b.folder / "linux"));

  SUBCASE("by the same run") { b.time.advance(std::chrono::seconds(5)); }
  SUBCASE("by the next one") { b.start({wanted("linux", url)}); }
  REQUIRE(b.http.asked.size() == 2);
  CHECK(b.http.field(1, "Range") == "bytes=2000-");
  CHECK(b.http.field(1, "If-Range") == "\"v1\"");
  CHECK(b.read("linux") == body);
  CHECK(b.states["linux"].digest == "sha256:" + sha(body));
}

TEST_CASE("fetch: another edition, and a source without ranges, begin again") {
  bench b;
  b.http.pages[url] = {body, "\"v1\""};
  b.http.pages[url].break_after = 2000;
  b.start({wanted("linux", url)});
  b.http.pages[url] = {std::string(3000, 'n'), "\"v2\""};
  SUBCASE("its condition is looked at") {}
  SUBCASE("it has no ranges") { b.http.pages[url].ranges = false; }
  b.time.advance(std::chrono::seconds(5));
  CHECK(b.read("linux") == std::string(3000, 'n'));
}

TEST_CASE("fetch: 416 means that the part is whole, or not of this file") {
  bench b;
  b.http.pages[url] = {body, "\"v1\""};
  b.http.pages[url].break_after = body.size();
  // The last byte came, the end did not: the connection broke behind it.
  int calls = 0;
  b.http.before = [&](const http_request&) -> std::optional<scripted_http::page> {
    if (++calls > 1) return std::nullopt;
    scripted_http::page longer{body + "x", "\"v1\""};
    longer.break_after = body.size();
    return longer;
  };
  b.start({wanted("linux", url)});
  CHECK(b.parts() == 1);
  b.http.pages[url] = {body, "\"v1\""};
  b.time.advance(std::chrono::seconds(5));
  CHECK(b.http.field(1, "Range") == "bytes=5000-");
  CHECK(b.read("linux") == body);

  bench c;
  c.http.pages[url] = {body, "\"v1\""};
  c.http.pages[url].break_after = 4000;
  c.start({wanted("linux", url)});
  c.http.pages[url] = {"short", "\"v1\""};
  c.time.advance(std::chrono::seconds(5));
  CHECK(c.read("linux") == "short");
}

TEST_CASE("fetch: while the source is down the copy is served, and asked again with growing pauses") {
  bench b;
  b.http.pages[url] = {body, "\"v1\""};
  b.start({wanted("linux", url)});
  b.http.down = true;
  b.time.advance(std::chrono::hours(24));
  CHECK(b.states["linux"].usable);
  CHECK(b.states["linux"].failure == "connection refused: nothing listens there");
  CHECK(b.read("linux") == body);
  auto asked = b.http.asked.size();
  b.time.advance(std::chrono::seconds(5 + 10 + 20 + 40 + 80));
  CHECK(b.http.asked.size() == asked + 5);
  b.time.advance(std::chrono::hours(2));
  CHECK(b.http.asked.size() <= asked + 5 + 12); // at most every 15 minutes
  b.start({wanted("linux", url)});              // a restart without the source
  CHECK(b.states["linux"].usable);
  b.http.down = false;
  b.time.advance(std::chrono::minutes(15));
  CHECK(b.states["linux"].failure.empty());
}

TEST_CASE("fetch: no room is said before it is used, and the part goes") {
  bench b;
  b.options.reserve = std::uint64_t{1} << 60;
  b.http.pages[url] = {body, "\"v1\""};
  b.start({wanted("linux", url)});
  CHECK(b.states["linux"].failure.starts_with("the disk is full: 4.9 KiB are needed, "));
  CHECK(b.world.logged.count("NL-ASSET-006") == 1);
  CHECK(b.parts() == 0);
}

TEST_CASE("fetch: not more transfers at a time than allowed") {
  bench b;
  b.options.concurrency = 2;
  std::vector<wanted_file> files;
  for (int i = 0; i < 6; ++i) {
    auto u = url + std::to_string(i);
    b.http.pages[u] = {body, "\"v1\""};
    files.push_back(wanted("f" + std::to_string(i), u));
  }
  b.running = std::make_unique<fetcher>(b.run, b.options, [&](const file_state& s) { b.states[s.name] = s; });
  for (auto& f : files) b.running->add(f);
  b.running->start();
  CHECK(b.http.asked.size() == 2);
  b.time.settle();
  CHECK(b.http.asked.size() == 6);
  for (const auto& [name, s] : b.states) CHECK(s.usable);
}

TEST_CASE("fetch: the files of a set take their places together") {
  bench b;
  b.http.pages[url] = {body, "\"v1\""};
  auto kernel = wanted("kernel", url), initrd = wanted("initrd", "http://source/initrd");
  kernel.set = initrd.set = "both";
  b.start({kernel, initrd});
  CHECK_FALSE(b.states["kernel"].usable);
  CHECK_FALSE(std::filesystem::exists(b.folder / "kernel"));
  b.http.pages["http://source/initrd"] = {"initrd", "\"v1\""};
  b.time.advance(std::chrono::seconds(5));
  CHECK(b.states["kernel"].usable);
  CHECK(b.read("kernel") == body);
  CHECK(b.read("initrd") == "initrd");
  CHECK(b.http.asked.size() == 3); // the kernel came once
}

TEST_CASE("fetch: a factory is told the schematic once, and never asked about what is here") {
  bench b;
  auto model = std::make_shared<factory_model>();
  model->factory = "http://factory";
  model->schematic = write_schematic({});
  model->version = "v1.11.3";
  std::string id(64, '3');
  auto file = [&](const std::string& name) {
    auto f = wanted("talos/" + name, name);
    f.factory = model;
    f.set = "talos";
    return f;
  };
  std::vector<wanted_file> files = {file("kernel-amd64"), file("initramfs-amd64.xz")};
  b.http.pages["http://factory/schematics"] = {"nonsense", {}, 400};
  b.start(files);
  CHECK(b.states["talos/kernel-amd64"].failure == "the factory refuses the schematic: nonsense");
  CHECK(b.http.asked.size() == 1);
  CHECK(b.http.asked[0].method == "POST");
  CHECK(b.http.asked[0].body == R"({"customization":{}})");
  b.http.pages["http://factory/schematics"] = {R"({"id":")" + id + "\"}", {}, 201};
  b.http.pages["http://factory/image/" + id + "/v1.11.3/kernel-amd64"] = {body, {}};
  b.http.pages["http://factory/image/" + id + "/v1.11.3/initramfs-amd64.xz"] = {"initramfs", {}};
  b.time.advance(std::chrono::seconds(5));
  CHECK(b.read("talos/kernel-amd64") == body);
  CHECK(b.read("talos/initramfs-amd64.xz") == "initramfs");
  auto asked = b.http.asked.size();
  b.http.down = true;
  b.start(files);
  b.time.advance(std::chrono::hours(48)); // a model never changes
  CHECK(b.http.asked.size() == asked);
  CHECK(b.states["talos/kernel-amd64"].usable);

  bench c;
  for (auto bad : {R"({})", R"({"id":"../../x"})", "", R"({"id":7})"}) {
    c.http.pages["http://factory/schematics"] = {bad, {}, 201};
    c.start(files);
    CHECK(c.states["talos/kernel-amd64"].failure.find("without an id") != std::string::npos);
  }
}

TEST_CASE("fetch: files of an artifact, with a token, by title and out of a tar") {
  bench b;
  std::string base = "https://reg.example/v2/lab/talos", kernel = "kernel",
              archive = test::gzip(test::tar_archive().file("boot/initramfs.xz", "initramfs").bytes());
  auto blob = [&](const std::string& bytes) { return base + "/blobs/sha256:" + sha(bytes); };
  auto layer = [&](const std::string& bytes, const std::string& title) {
    json out = {{"mediaType", "application/vnd.oci.image.layer.v1.tar+gzip"},
                {"digest", "sha256:" + sha(bytes)},
                {"size", bytes.size()}};
    if (!title.empty()) out["annotations"]["org.opencontainers.image.title"] = title;
    return out;
  };
  json manifest = {{"layers", {layer(archive, ""), layer(kernel, "vmlinuz")}}};
  auto text = manifest.dump();
  json index = {
      {"manifests",
       {{{"digest", "sha256:" + sha(text)}, {"platform", {{"os", "linux"}, {"architecture", "arm64"}}}}}}};
  b.http.pages[base + "/manifests/v1"] = {index.dump(), {}};
  b.http.pages[base + "/manifests/sha256:" + sha(text)] = {text, {}};
  b.http.pages[blob(kernel)] = {kernel, {}};
  b.http.pages[blob(archive)] = {archive, {}};
  b.options.credentials["reg.example"] = {"me", "secret"};
  b.http.before = [&](const http_request& q) -> std::optional<scripted_http::page> {
    std::string authorization;
    for (const auto& [key, value] : q.headers)
      if (key == "Authorization") authorization = value;
    if (q.url.starts_with("https://auth.reg.example/token?")) {
      CHECK(q.url.find("scope=repository%3Alab%2Ftalos%3Apull") != std::string::npos);
      CHECK(q.url.find("service=reg") != std::string::npos);
      CHECK(authorization == "Basic bWU6c2VjcmV0");
      return scripted_http::page{R"({"token":"t0ken"})", {}};
    }
    if (authorization == "Bearer t0ken") return std::nullopt;
    return scripted_http::page{
        "",
        {},
        401,
        {{"www-authenticate", R"(Bearer realm="https://auth.reg.example/token",service="reg")"}}};
  };
  auto files = [&] {
    auto a = wanted("arm64/vmlinuz", "oci://reg.example/lab/talos:v1#vmlinuz"),
         i = wanted("arm64/initramfs.xz", "oci://reg.example/lab/talos:v1#initramfs.xz");
    a.arch = i.arch = "arm64";
    return std::vector<wanted_file>{a, i};
  };
  b.start(files());
  CHECK(b.read("arm64/vmlinuz") == kernel);
  CHECK(b.read("arm64/initramfs.xz") == "initramfs");
  CHECK(b.parts() == 0);
  // A day later the tag is looked up; the same layers are not fetched again.
  auto blobs = [&] {
    return std::count_if(b.http.asked.begin(), b.http.asked.end(),
                         [](const auto& q) { return q.url.find("/blobs/") != std::string::npos; });
  };
  auto before = blobs();
  b.time.advance(std::chrono::hours(25));
  CHECK(blobs() == before);
  CHECK(b.states["arm64/vmlinuz"].failure.empty());

  // A registry that sends something else under a digest.
  bench c;
  c.http.pages[base + "/manifests/v1"] = {index.dump(), {}};
  c.http.pages[base + "/manifests/sha256:" + sha(text)] = {text + " ", {}};
  c.start(files());
  CHECK(c.states["arm64/vmlinuz"].failure.starts_with("wrong checksum of a manifest"));
  c.http.pages[base + "/manifests/sha256:" + sha(text)] = {text, {}};
  c.http.pages[blob(kernel)] = {"other!", {}};
  c.http.pages[blob(archive)] = {archive, {}};
  c.time.advance(std::chrono::seconds(30));
  CHECK(c.states["arm64/vmlinuz"].failure.starts_with("wrong checksum: expected sha256:" + sha(kernel)));
  CHECK_FALSE(std::filesystem::exists(c.folder / "arm64/vmlinuz"));
  CHECK(c.read("arm64/initramfs.xz") == "initramfs");

  bench d;
  d.http.pages[base + "/manifests/v1"] = {text, {}};
  d.start({wanted("x", "oci://reg.example/lab/talos:v1#nothing")});
  CHECK(d.states["x"].failure.starts_with("the source answers 404")); // the tar is looked into
  d.http.pages[blob(archive)] = {archive, {}};
  d.time.advance(std::chrono::seconds(5));
  CHECK(d.states["x"].failure == "the layer has no file nothing; it has boot/initramfs.xz");
}

TEST_CASE("fetch: who waits for a file is answered when it is here, or in time") {
  manual_time time;
  library lib(time);
  lib.expect("linux");
  CHECK(lib.find("other") == nullptr);
  REQUIRE(lib.find("linux"));
  CHECK_FALSE(lib.find("linux")->usable);
  std::vector<std::string> answers;
  auto note = [&](result<void> r) { answers.push_back(r ? "here" : r.error().message); };
  lib.wait("linux", std::chrono::seconds(4), note);
  file_state s;
  s.name = "linux";
  s.phase = file_phase::fetching;
  s.bytes = 50;
  s.size = 200;
  lib.update(s);
  time.advance(std::chrono::seconds(4));
  REQUIRE(answers.size() == 1);
  CHECK(answers[0] == "linux is not here yet: 25 % of 200 B");
  lib.wait("linux", std::chrono::seconds(4), note);
  s.usable = true;
  s.phase = file_phase::ready;
  lib.update(s);
  lib.wait("linux", std::chrono::seconds(4), note);
  CHECK(answers.size() == 2); // never inside the call
  time.settle();
  CHECK(answers.size() == 3);
  CHECK(answers[2] == "here");
  s.usable = false;
  s.phase = file_phase::failed;
  s.failure = "it is gone";
  lib.update(s);
  CHECK(lib.find("linux")->failing);
  CHECK(lib.find("linux")->words == "it is gone");
}
