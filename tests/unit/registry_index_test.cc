#include <doctest/doctest.h>

#include "registry/index.h"

using namespace netlab;
using namespace netlab::registry;

namespace {
wall_time at(int seconds) { return wall_time(std::chrono::seconds(seconds)); }
std::string d(char c) { return "sha256:" + std::string(64, c); }

std::vector<std::string> names(const std::vector<cache_index::evicted>& gone) {
  std::vector<std::string> out;
  for (const auto& each : gone) out.push_back(each.what);
  return out;
}
} // namespace

TEST_CASE("an image goes as a whole, the one that was used longest ago first") {
  cache_index index;
  index.add_manifest(d('a'), 10, "t", {d('1'), d('2')}, at(1));
  index.add_blob(d('1'), 100, at(1));
  index.add_blob(d('2'), 200, at(50)); // shared by both, and used last
  index.add_manifest(d('b'), 10, "t", {d('2'), d('3')}, at(2));
  index.add_blob(d('3'), 300, at(2));
  index.set_tag("docker.io/library/a", "v1", {d('a'), at(1), {}, false});
  index.set_tag("docker.io/library/b", "v1", {d('b'), at(2), {}, false});
  CHECK(index.bytes() == 620);

  SUBCASE("nothing goes while there is room") { CHECK(index.evict(620).empty()); }
  SUBCASE("the older image, without what the other needs") {
    CHECK(names(index.evict(600)) == std::vector<std::string>{d('a'), d('1')});
    CHECK(index.bytes() == 510);
    CHECK(index.find_tag("docker.io/library/a", "v1") == nullptr);
    CHECK(index.find_tag("docker.io/library/b", "v1") != nullptr);
  }
  SUBCASE("use counts") {
    index.touch(d('a'), at(9));
    CHECK(names(index.evict(600)) == std::vector<std::string>{d('b'), d('3')});
  }
  SUBCASE("the last of many uses counts") {
    for (int second = 3; second < 9; ++second) index.touch(d(second % 2 ? 'a' : 'b'), at(second));
    CHECK(names(index.evict(510)) == std::vector<std::string>{d('a'), d('1')}); // at 7, b at 8
    CHECK(names(index.evict(0)) == std::vector<std::string>{d('b'), d('3'), d('2')});
  }
  SUBCASE("blobs that no manifest lists go before any image") {
    index.add_blob(d('9'), 50, at(100));
    CHECK(names(index.evict(650)) == std::vector<std::string>{d('9')});
  }
  SUBCASE("what is pinned stays, with all that it lists") {
    index.pin(d('a'));
    CHECK(names(index.evict(0)) == std::vector<std::string>{d('b'), d('3')});
    index.unpin(d('a'));
    CHECK(index.evict(0).size() == 3);
    CHECK(index.bytes() == 0);
  }
  SUBCASE("what is in use stays until it is released") {
    index.hold(d('1'));
    CHECK(names(index.evict(0)) == std::vector<std::string>{d('a'), d('b'), d('3'), d('2')});
    CHECK(index.bytes() == 100);
    index.release(d('1'));
    CHECK(names(index.evict(0)) == std::vector<std::string>{d('1')});
  }
  SUBCASE("an index keeps its manifests, and they their layers") {
    index.add_manifest(d('c'), 5, "t", {d('a')}, at(0));
    CHECK(names(index.evict(600)) == std::vector<std::string>{d('c'), d('a'), d('1')});
  }
}

TEST_CASE("a pin holds for what comes later") {
  cache_index index;
  index.pin(d('a'));
  index.add_blob(d('a'), 10, at(1));
  CHECK(index.evict(0).empty());
  CHECK(index.pinned(d('a')));
}

TEST_CASE("content that is added again counts once") {
  cache_index index;
  index.add_blob(d('1'), 10, at(1));
  index.add_blob(d('1'), 10, at(2));
  index.add_manifest(d('a'), 7, "t", {d('1')}, at(1));
  index.add_manifest(d('a'), 7, "t", {d('1'), d('2')}, at(3));
  CHECK(index.bytes() == 17);
  CHECK(index.size() == 2);
  CHECK(index.parents(d('2')) == std::vector<std::string>{d('a')});
  index.remove(d('a'));
  CHECK(index.parents(d('2')).empty());
  CHECK(index.evict(0).size() == 1);
}

TEST_CASE("tags move, and tell what is to be written down") {
  cache_index index;
  index.add_manifest(d('a'), 1, "t", {}, at(1));
  index.add_manifest(d('b'), 1, "t", {}, at(1));
  index.set_tag("r/x", "v1", {d('a'), at(1), {}, true});
  CHECK(index.take_changed() == std::set<std::string>{"r/x"});
  index.set_tag("r/x", "v1", {d('a'), at(2), {}, true});
  CHECK(index.take_changed().empty()); // nothing that a restart would not find out
  index.set_tag("r/x", "v1", {d('b'), at(3), {}, true});
  CHECK(index.take_changed().size() == 1);
  index.remove(d('a'));
  CHECK(index.find_tag("r/x", "v1")->digest == d('b'));
  index.remove(d('b'));
  CHECK(index.find_tag("r/x", "v1") == nullptr);
  CHECK(index.tags().empty());
}
