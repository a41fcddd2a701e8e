// The cache stays within its size at every moment, whatever is fetched, imported and pushed at a time.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "netlab/event_loop.h"
#include "netlab/oci.h"
#include "registry/bodies.h"
#include "registry/uploads.h"
#include "store_support.h"
#include "support/fake_world.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::registry;
namespace fs = std::filesystem;

namespace {

// A registry that sends as much as the test says, when it says so.
class stepped_registry final : public http_client {
public:
  struct request {
    http_request what;
    std::function<void(result<http_response>)> done;
    std::weak_ptr<int> alive;
    std::string content;
    std::size_t sent = 0;
    bool begun = false, ranged = false, paused = false;
  };
  explicit stepped_registry(scheduler& on) : on_(on) {}

  std::map<std::string, std::string> blobs; // by digest
  bool tells_length = true;
  std::vector<std::shared_ptr<request>> open;
  std::vector<std::string> ranges;

  std::unique_ptr<http_exchange> send(http_request q,
                                      std::function<void(result<http_response>)> done) override {
    struct exchange final : http_exchange {
      std::shared_ptr<int> alive = std::make_shared<int>(0);
      std::weak_ptr<request> of;
      void pause(bool on) override {
        if (auto r = of.lock()) r->paused = on;
      }
    };
    auto out = std::make_unique<exchange>();
    auto r = std::make_shared<request>();
    out->of = r;
    auto found = blobs.find(q.url.substr(q.url.rfind('/') + 1));
    if (found != blobs.end()) r->content = found->second;
    for (const auto& [name, value] : q.headers)
      if (name == "Range") {
        ranges.push_back(value);
        r->sent = std::stoull(value.substr(6));
        r->ranged = true;
      }
    r->what = std::move(q);
    r->done = std::move(done);
    r->alive = out->alive;
    open.push_back(std::move(r));
    return out;
  }

  // Sends at most `bytes` more of a request's answer, unless it is to wait; ends it when that was all.
  void go_on(const std::shared_ptr<request>& r, std::size_t bytes) {
    if (r->alive.expired()) return close(r);
    if (r->paused) return;
    if (!std::exchange(r->begun, true) && !begin(*r)) return end(r, fail(errc::cancelled, "not wanted"));
    auto most = std::min(bytes, r->content.size() - r->sent);
    r->what.on_body(as_bytes(std::string_view(r->content).substr(r->sent, most)));
    r->sent += most;
    if (r->alive.expired()) return close(r);
    http_response got;
    got.status = r->ranged ? 206 : 200;
    if (r->sent == r->content.size()) end(r, std::move(got));
  }
  // Breaks off in a way that is not worth another attempt at once.
  void cut(const std::shared_ptr<request>& r) { end(r, fail(errc::denied, "cut off")); }

private:
  bool begin(const request& r) const {
    http_headers fields;
    auto total = std::to_string(r.content.size());
    if (r.ranged)
      fields.emplace_back("content-range", "bytes " + std::to_string(r.sent) + "-" +
                                               std::to_string(r.content.size() - 1) + "/" + total);
    else if (tells_length)
      fields.emplace_back("content-length", total);
    return r.what.on_head(r.ranged ? 206 : 200, fields);
  }
  void end(const std::shared_ptr<request>& r, result<http_response> with) {
    auto keep = r;
    close(r);
    on_.post([keep, with] {
      if (!keep->alive.expired()) keep->done(with);
    });
  }
  void close(const std::shared_ptr<request>& r) { std::erase(open, r); }

  scheduler& on_;
};

std::string random_text(std::mt19937& chance, std::size_t size) {
  std::string out(size, '\0');
  for (auto& c : out) c = static_cast<char>(chance());
  return out;
}

std::string digest_of(std::string_view text) { return "sha256:" + to_hex(sha256_of(as_bytes(text))); }

struct cache_lab {
  store_test::test_loop loop;
  store_test::test_clock clock;
  manual_time time;
  event_loop disk;
  test::fake_network network{time};
  test::fake_host host{network, *ip_address::parse("10.0.0.1"), 1500};
  test::fake_world world{time, host};
  stepped_registry http{loop};
  test::temporary_folder folder;
  runtime run{clock,         loop,
              world.random,  host,
              disk.files(),  disk.processes(),
              http,          netlab::log(world.logged, clock),
              world.counters};
  std::uint64_t max_size;
  std::uint64_t largest = 0;
  std::unique_ptr<store> cache;
  std::unique_ptr<upstream> from;
  std::map<std::string, std::shared_ptr<fill>> fills;
  std::map<std::string, fill::phase> ended;
  std::map<fill::phase, std::uint64_t> outcomes;

  explicit cache_lab(std::uint64_t size, const std::string& import = {}) : max_size(size) {
    upstream_config c;
    c.name = "up.lab";
    c.url = "http://up.lab";
    c.import = import;
    from = std::make_unique<upstream>(run, c, std::chrono::seconds(30), "cache");
    open();
  }
  ~cache_lab() { close(); }

  void open() {
    cache = std::make_unique<store>(run, folder / "cache", max_size, 0);
    REQUIRE(cache->open());
    cache->trim();
    look();
  }
  void close() {
    for (auto& [digest, f] : fills) f->stop();
    fills.clear();
    http.open.clear();
    loop.drain();
    cache.reset();
  }
  std::shared_ptr<fill> want(const std::string& digest) {
    auto& f = fills[digest];
    if (f) return f;
    f = std::make_shared<fill>(run, *cache, *from, "team/app", digest);
    f->start([this](const std::shared_ptr<fill>& done) {
      ended[done->digest()] = done->state();
      ++outcomes[done->state()];
      fills.erase(done->digest());
    });
    return f;
  }
  // Until the fill waits for the registry or has ended.
  void settle(const std::string& digest) {
    auto asked = [&] {
      return std::any_of(http.open.begin(), http.open.end(),
                         [&](const auto& r) { return r->what.url.ends_with(digest); });
    };
    REQUIRE(loop.run_until([&] {
      look();
      return !fills.contains(digest) || asked();
    }));
  }
  std::shared_ptr<stepped_registry::request> asked(const std::string& digest) {
    settle(digest);
    for (const auto& r : http.open)
      if (r->what.url.ends_with(digest)) return r;
    return nullptr;
  }
  // Fetches it to its end.
  fill::phase fetch(const std::string& digest) {
    want(digest);
    while (auto r = asked(digest)) http.go_on(r, 3000);
    return ended.at(digest);
  }
  // What the disk holds. A file that gets its name while this is looked at counts once.
  std::uint64_t on_disk() const {
    std::uint64_t out = 0;
    std::set<ino_t> seen;
    for (const char* each : {"blobs", "manifests", "parts"})
      for (const auto& e : fs::recursive_directory_iterator(folder / "cache/" + each)) {
        struct stat info {};
        if (::stat(e.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
        if (seen.insert(info.st_ino).second) out += static_cast<std::uint64_t>(info.st_size);
      }
    return out;
  }
  void look() {
    auto now = on_disk();
    largest = std::max(largest, now);
    if (now > max_size) FAIL("the disk holds " << now << " bytes of " << max_size);
  }
  std::uint64_t part_size(const std::string& digest) const {
    std::error_code none;
    auto size = fs::file_size(cache->part_path(store::part_name(digest)), none);
    return none ? 0 : size;
  }
  std::string add(std::mt19937& chance, std::size_t size) {
    auto text = random_text(chance, size);
    auto digest = digest_of(text);
    http.blobs[digest] = std::move(text);
    return digest;
  }
  manifest_ptr image(const std::vector<std::string>& layers) const {
    std::string text = R"({"schemaVersion":2,"mediaType":")" + std::string(oci::manifest_type) +
                       R"(","config":{"mediaType":"x","size":1,"digest":")" + layers.front() +
                       R"("},"layers":[)";
    for (const auto& each : layers)
      text += (&each == &layers.front() ? "" : ",") + (R"({"mediaType":"x","size":1,"digest":")" + each) +
              R"("})";
    text += "]}";
    auto digest = digest_of(text);
    return make_manifest(digest, std::string(oci::manifest_type), text);
  }
};

} // namespace

TEST_CASE("registry space: what two fills will need is counted before it is there") {
  std::mt19937 chance(1);
  cache_lab lab(100'000);
  auto a = lab.add(chance, 60'000), b = lab.add(chance, 60'000);
  auto first = lab.want(a);
  lab.http.go_on(lab.asked(a), 1);
  CHECK(first->state() == fill::phase::growing);
  auto second = lab.want(b);
  lab.http.go_on(lab.asked(b), 60'000);
  lab.settle(b);
  CHECK(second->state() == fill::phase::no_room);
  CHECK(lab.fetch(a) == fill::phase::whole);
  CHECK(lab.cache->index().find(a));
  // It has gone when somebody needs its room.
  CHECK(lab.fetch(b) == fill::phase::whole);
  CHECK_FALSE(lab.cache->index().find(a));
}

TEST_CASE("registry space: a part that rests counts, is gone on with, and leaves before what is whole") {
  std::mt19937 chance(2);
  cache_lab lab(100'000);
  auto a = lab.add(chance, 60'000), b = lab.add(chance, 30'000), c = lab.add(chance, 45'000);
  lab.want(a);
  lab.http.go_on(lab.asked(a), 40'000);
  lab.http.cut(lab.asked(a));
  lab.settle(a);
  CHECK(lab.ended.at(a) == fill::phase::failed);
  CHECK(lab.cache->bytes() == 40'000);
  CHECK(lab.fetch(b) == fill::phase::whole);

  SUBCASE("by the same process") {}
  SUBCASE("by the next one") {
    lab.close();
    lab.open();
  }
  CHECK(lab.part_size(a) == 40'000);
  SUBCASE("it is gone on with") {
    CHECK(lab.fetch(a) == fill::phase::whole);
    CHECK(lab.http.ranges.back() == "bytes=40000-");
    CHECK(lab.cache->index().find(b));
    CHECK(lab.cache->bytes() == 90'000);
  }
  SUBCASE("it leaves") {
    CHECK(lab.fetch(c) == fill::phase::whole);
    CHECK(lab.part_size(a) == 0);
    CHECK(lab.cache->index().find(b));
  }
  SUBCASE("but not before an image that it is for") {
    lab.cache->put(lab.image({a}));
    CHECK(lab.fetch(c) == fill::phase::whole);
    CHECK(lab.part_size(a) == 40'000);
    CHECK_FALSE(lab.cache->index().find(b));
  }
  SUBCASE("it expires") {
    CHECK(lab.cache->expire_parts() == 0);
    lab.clock.set_wall(wall_time::clock::now() + std::chrono::hours(25));
    CHECK(lab.cache->expire_parts() == 1);
    CHECK(lab.cache->bytes() == 30'000);
  }
}

TEST_CASE("registry space: two parts that are gone on with at a time") {
  std::mt19937 chance(3);
  cache_lab lab(100'000);
  auto a = lab.add(chance, 60'000), b = lab.add(chance, 70'000);
  for (const auto& each : {a, b}) {
    lab.want(each);
    lab.http.go_on(lab.asked(each), 2'000);
    lab.http.cut(lab.asked(each));
    lab.settle(each);
  }
  // Each fits alone, and one beside the beginning of the other.
  CHECK(lab.part_size(a) == 2'000);
  CHECK(lab.part_size(b) == 2'000);
  auto one = lab.want(a), other = lab.want(b);
  lab.http.go_on(lab.asked(a), 20'000);
  lab.http.go_on(lab.asked(b), 20'000);
  CHECK(one->state() == fill::phase::growing);
  lab.settle(b);
  CHECK(other->state() == fill::phase::no_room);
  CHECK(lab.part_size(b) == 0);
  CHECK(lab.fetch(a) == fill::phase::whole);
}

TEST_CASE("registry space: a blob of unknown length takes no more than there is") {
  std::mt19937 chance(4);
  cache_lab lab(100'000);
  auto kept = lab.add(chance, 50'000), fits = lab.add(chance, 70'000), large = lab.add(chance, 130'000);
  CHECK(lab.fetch(kept) == fill::phase::whole);
  lab.http.tells_length = false;
  CHECK(lab.fetch(fits) == fill::phase::whole);
  CHECK_FALSE(lab.cache->index().find(kept));
  CHECK(lab.fetch(large) == fill::phase::no_room);
  CHECK(lab.part_size(large) == 0);
  CHECK(lab.cache->bytes() <= 70'000);
}

namespace {

// A client that reads a blob along.
struct reader {
  std::shared_ptr<fill> of;
  fill::reader mine;
  std::unique_ptr<fill_body> body;
  std::string got;
  bool ended = false;
  std::optional<error> broken;
  explicit reader(const std::shared_ptr<fill>& f)
      : of(f), mine(*f->join()), body(std::make_unique<fill_body>(f, mine)) {}
  void leave() {
    if (!body) return;
    body.reset();
    of->leave(mine);
  }
  void read(std::size_t most = std::string::npos) {
    while (!ended && !broken && most > 0) {
      auto piece = body->read(got.size(), std::min<std::size_t>(most, 100'000), [] {});
      if (!piece) {
        broken = piece.error();
        return;
      }
      if (piece->file) {
        std::string text(piece->length, '\0');
        auto read = piece->file->read(piece->offset,
                                      byte_span(reinterpret_cast<std::uint8_t*>(text.data()), text.size()));
        REQUIRE((read && *read == text.size()));
        piece->bytes = std::move(text);
      }
      got += piece->bytes;
      ended = piece->last;
      if (piece->bytes.empty()) return;
      most -= std::min(most, piece->bytes.size());
    }
  }
};

} // namespace

TEST_CASE("registry space: what outgrows its room goes on to those who read along, and leaves it free") {
  std::mt19937 chance(10);
  cache_lab lab(300'000);
  auto d = lab.add(chance, 4'000'000);
  const auto content = lab.http.blobs[d];
  lab.http.tells_length = false;
  auto f = lab.want(d);
  lab.http.go_on(lab.asked(d), 200'000);
  lab.loop.drain();
  lab.http.go_on(lab.asked(d), 70'000);
  REQUIRE(lab.loop.run_until([&] { return f->state() == fill::phase::growing; }));
  CHECK_FALSE(f->size());
  reader fast(f), slow(f);
  CHECK(fast.body->size() == http_body::unknown);
  fast.read();
  slow.read(1000);
  CHECK(fast.got == content.substr(0, fast.got.size()));
  CHECK(fast.got.size() > 50'000);
  auto upstream = lab.asked(d);
  while (!upstream->paused) {
    lab.http.go_on(upstream, 16'000);
    lab.loop.drain();
    lab.look();
    fast.read();
  }
  CHECK(f->state() == fill::phase::passing);
  // It waits for the slowest, and holds no more than a window for it.
  CHECK(upstream->sent < 300'000 + window::most + 16'000);
  CHECK(lab.part_size(d) > 0);

  SUBCASE("the slow one catches up") {
    while (!slow.ended && !slow.broken) {
      slow.read(70'000);
      fast.read();
      lab.loop.drain();
      if (slow.got.size() > 400'000) CHECK(lab.on_disk() == 0);
      if (upstream->sent < content.size()) lab.http.go_on(upstream, 16'000);
    }
    CHECK(slow.got == content);
    fast.read();
    CHECK(fast.ended);
    CHECK(fast.got == content);
  }
  SUBCASE("the slow one leaves") {
    slow.leave();
    while (!fast.ended && !fast.broken) {
      fast.read();
      lab.loop.drain();
      if (upstream->sent < content.size()) lab.http.go_on(upstream, 16'000);
    }
    CHECK(fast.got == content);
    CHECK(lab.on_disk() == 0);
  }
  SUBCASE("all leave") {
    slow.leave();
    fast.leave();
    lab.loop.drain();
    CHECK(upstream->alive.expired());
    CHECK(lab.ended.at(d) == fill::phase::failed);
  }
  SUBCASE("it is not what it should be") {
    slow.leave();
    upstream->content.back() ^= 1;
    while (!fast.ended && !fast.broken) {
      fast.read();
      lab.loop.drain();
      if (upstream->sent < content.size()) lab.http.go_on(upstream, 16'000);
    }
    REQUIRE(fast.broken);
    CHECK(fast.broken->code == errc::conflict);
    CHECK(fast.got.size() == content.size() - (64u << 10));
  }
  slow.leave();
  fast.leave();
  lab.loop.drain();
  CHECK(lab.fills.empty());
  CHECK(lab.on_disk() == 0);
  CHECK(lab.cache->bytes() == 0);
}

TEST_CASE("registry space: what is read is not evicted") {
  std::mt19937 chance(5);
  cache_lab lab(100'000);
  auto a = lab.add(chance, 60'000), b = lab.add(chance, 60'000);
  auto reading = lab.want(a);
  auto mine = *reading->join();
  CHECK(lab.fetch(a) == fill::phase::whole);
  CHECK(lab.fetch(b) == fill::phase::no_room);
  CHECK(lab.cache->index().find(a));
  reading->leave(mine);
  CHECK(lab.fetch(b) == fill::phase::whole);
}

TEST_CASE("registry space: what an older cache has takes the place of what it displaces") {
  std::mt19937 chance(6);
  test::temporary_folder older;
  cache_lab lab(100'000, older.path());
  auto fetched = lab.add(chance, 60'000), held = lab.add(chance, 70'000), large = lab.add(chance, 120'000);
  for (const auto& digest : {held, large}) {
    auto place = older / "docker/registry/v2/blobs/sha256/" + digest.substr(7, 2) + "/" + digest.substr(7);
    fs::create_directories(place);
    std::ofstream(place + "/data", std::ios::binary) << lab.http.blobs[digest];
  }
  CHECK(lab.fetch(fetched) == fill::phase::whole);
  auto f = lab.want(held);
  lab.settle(held);
  CHECK((f->state() == fill::phase::whole && f->imported()));
  CHECK_FALSE(lab.cache->index().find(fetched));
  CHECK(lab.fetch(large) == fill::phase::no_room);
}

TEST_CASE("registry space: what is pushed pushes the rest out, and stays") {
  std::mt19937 chance(7);
  cache_lab lab(100'000);
  auto cached = lab.add(chance, 60'000), wanted = lab.add(chance, 30'000);
  CHECK(lab.fetch(cached) == fill::phase::whole);
  uploads incoming(lab.world.random, *lab.cache);
  auto u = *incoming.begin("lab/app", lab.clock.now());
  auto text = random_text(chance, 90'000);
  for (std::size_t at = 0; at < text.size(); at += 10'000) {
    incoming.append(*u, as_bytes(std::string_view(text).substr(at, 10'000)));
    lab.look();
  }
  CHECK_FALSE(u->trouble);
  CHECK_FALSE(lab.cache->index().find(cached));
  CHECK(lab.fetch(wanted) == fill::phase::no_room);
  incoming.drop(u->id);
  CHECK(lab.cache->bytes() == 0);
  CHECK(lab.fetch(wanted) == fill::phase::whole);
}

TEST_CASE("registry space: a manifest that is evicted before it is on the disk leaves nothing there") {
  std::mt19937 chance(8);
  cache_lab lab(100'000);
  auto big = lab.add(chance, 100'000);
  for (int n = 0; n < 20; ++n) lab.cache->put(lab.image({lab.add(chance, 10)}));
  CHECK(lab.fetch(big) == fill::phase::whole);
  lab.cache->worker().finish();
  CHECK(lab.on_disk() == 100'000);
  // Beside what is in use there is no room for one: it is known, and not kept.
  lab.cache->index().hold(big);
  auto m = lab.image({big});
  lab.cache->put(m);
  lab.cache->worker().finish();
  CHECK(lab.on_disk() == 100'000);
  CHECK(lab.cache->manifest(m->digest) == m);
}

TEST_CASE("registry space: a cache that became too small is trimmed") {
  std::mt19937 chance(9);
  cache_lab lab(100'000);
  auto a = lab.add(chance, 40'000), b = lab.add(chance, 50'000);
  CHECK(lab.fetch(a) == fill::phase::whole);
  CHECK(lab.fetch(b) == fill::phase::whole);
  lab.close();
  lab.max_size = 60'000;
  lab.cache = std::make_unique<store>(lab.run, lab.folder / "cache", lab.max_size, 0);
  REQUIRE(lab.cache->open());
  lab.cache->trim();
  lab.look();
}

TEST_CASE("registry space: whatever happens in whatever order") {
  test::temporary_folder older;
  std::uint64_t whole = 0, no_room = 0, failed = 0, resumed = 0, largest = 0;
  for (unsigned seed = 0; seed < 8; ++seed) {
    CAPTURE(seed);
    std::mt19937 chance(seed);
    auto roll = [&](std::size_t sides) { return chance() % sides; };
    cache_lab lab(100'000, seed % 2 ? older.path() : std::string());
    std::vector<std::string> blobs;
    for (int n = 0; n < 12; ++n) {
      blobs.push_back(lab.add(chance, 1 + roll(45'000)));
      if (n % 5) continue;
      const auto& d = blobs.back();
      auto place = older / "docker/registry/v2/blobs/sha256/" + d.substr(7, 2) + "/" + d.substr(7);
      fs::create_directories(place);
      // Some of it is damaged.
      std::ofstream(place + "/data", std::ios::binary) << (n ? lab.http.blobs[d] : "damaged");
    }
    std::vector<std::pair<std::shared_ptr<fill>, fill::reader>> readers;
    for (int step = 0; step < 300; ++step) {
      const auto& digest = blobs[roll(blobs.size())];
      switch (roll(12)) {
      case 0:
      case 1:
      case 2:
        if (!lab.cache->index().find(digest)) lab.want(digest);
        break;
      case 3:
        if (auto f = lab.fills.find(digest); f != lab.fills.end()) {
          if (auto mine = f->second->join()) readers.emplace_back(f->second, *mine);
        }
        break;
      case 4:
        if (readers.empty()) break;
        readers.back().first->leave(readers.back().second);
        readers.pop_back();
        break;
      case 5: lab.cache->put(lab.image({digest, blobs[roll(blobs.size())]})); break;
      case 6:
        if (!lab.http.open.empty()) lab.http.cut(lab.http.open[roll(lab.http.open.size())]);
        break;
      case 7:
        if (roll(20)) break;
        readers.clear(); // their connections end with the process
        lab.close();
        lab.open();
        break;
      case 8: lab.http.tells_length = roll(4) != 0; break;
      default:
        if (!lab.http.open.empty()) {
          const auto& r = lab.http.open[roll(lab.http.open.size())];
          lab.http.go_on(std::shared_ptr(r), 1 + roll(20'000));
        }
      }
      lab.look();
      lab.loop.drain();
      lab.look();
    }
    while (!lab.fills.empty()) {
      auto digest = lab.fills.begin()->first;
      while (auto r = lab.asked(digest)) lab.http.go_on(r, 20'000);
    }
    whole += lab.outcomes[fill::phase::whole];
    no_room += lab.outcomes[fill::phase::no_room];
    failed += lab.outcomes[fill::phase::failed];
    resumed += lab.http.ranges.size();
    largest = std::max(largest, lab.largest);
    // What is counted is what is there.
    lab.cache->worker().finish();
    CHECK(lab.on_disk() == lab.cache->bytes());
    for (const auto& [digest, e] : lab.cache->index().entries())
      if (!e.manifest) CHECK((*lab.cache->blob(digest))->size() == lab.http.blobs[digest].size());
  }
  // All of it happened.
  CHECK(whole > 0);
  CHECK(no_room > 0);
  CHECK(failed > 0);
  CHECK(resumed > 0);
  CHECK(largest > 90'000);
}
