#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <random>

#include "store_support.h"

using namespace store_test;
using kind = lease_store::outcome::kind;

namespace {

bool same(const lease& a, const lease& b) {
  return a.address == b.address && a.client == b.client && a.mac == b.mac && a.hostname == b.hostname &&
         a.network == b.network && a.state == b.state && a.starts == b.starts && a.expires == b.expires &&
         a.version == b.version;
}

struct folder {
  std::filesystem::path path;
  folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "netlab-store-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~folder() { std::filesystem::remove_all(path); }
  std::string file(const char* name) const { return (path / name).string(); }
};

} // namespace

TEST_CASE("lease journal: what was acknowledged is there after a restart, on a real disk") {
  folder dir;
  bench b;
  auto path = dir.file("state/leases.journal"); // the folder is made
  auto l = make_lease(1, "client-1", b.clock.wall() + 12h);
  l.starts = b.clock.wall();
  {
    auto journal = b.open(make_journal_storage(path));
    REQUIRE(journal);
    CHECK((*journal)->load()->empty());
    CHECK((*journal)->load().error().code == errc::invalid);
    auto out = b.claim(**journal, l);
    REQUIRE(out.what == kind::stored);
    CHECK(out.current.version == 1);
    l = out.current;
    lease six = l;
    six.address = *ip_address::parse("2001:db8::1");
    six.version = 0;
    six.state = lease_state::declined;
    CHECK(b.claim(**journal, six).what == kind::stored);
    b.clock.advance(1h);
    l.hostname = "renamed";
    out = b.claim(**journal, l);
    CHECK(out.current.version == 2);
    l = out.current;
  }
  auto again = b.open(make_journal_storage(path));
  REQUIRE(again);
  auto leases = (*again)->load();
  REQUIRE(leases->size() == 2);
  CHECK(same((*leases)[0], l));
  CHECK((*leases)[1].address.to_string() == "2001:db8::1");
  CHECK((*leases)[1].state == lease_state::declined);
  CHECK(b.sink.count("NL-STORE") == 0);
}

TEST_CASE("lease journal: a claim with another version gets what is there instead") {
  bench b;
  auto journal = b.open(std::make_shared<test_disk>());
  auto none = make_lease(9, "x");
  none.version = 3;
  auto out = b.claim(*journal, none);
  CHECK(out.what == kind::conflict);
  CHECK(out.current.version == 0);
  CHECK(out.current.client.empty());

  auto first = b.claim(*journal, make_lease(1, "one"));
  out = b.claim(*journal, make_lease(1, "two"));
  CHECK(out.what == kind::conflict);
  CHECK(same(out.current, first.current));
  CHECK(b.counters.get("netlab_lease_claims_total", {{"result", "conflict"}}).value() == 2);
}

TEST_CASE("lease journal: claims and drains of one batch are answered in order, with one sync") {
  bench b;
  auto disk = std::make_shared<test_disk>();
  auto journal = b.open(disk);
  // Holds the first sync until everything else is queued behind it.
  std::mutex gate;
  std::atomic<int> syncs{0};
  gate.lock();
  disk->before_sync = [&] {
    ++syncs;
    std::lock_guard wait(gate);
  };
  std::string seen;
  auto note = [&](std::string name) {
    return [&seen, name](lease_store::outcome o) {
      seen += name + (o.what == kind::stored ? "+" : o.what == kind::conflict ? "!" : "-");
    };
  };
  journal->claim(make_lease(1, "a"), note("a"));
  while (syncs == 0) std::this_thread::yield();
  journal->claim(make_lease(2, "b"), note("b"));
  journal->claim(make_lease(2, "c"), note("c")); // lost against b, in the same batch
  auto renew = make_lease(2, "b");
  renew.version = 1;
  journal->claim(renew, note("d")); // knows b's version before b is durable
  bool drained = false;
  journal->drain([&] {
    seen += "|";
    drained = true;
  });
  CHECK(seen.empty()); // never inside the call
  gate.unlock();
  REQUIRE(b.loop.run_until([&] { return drained; }));
  CHECK(seen == "a+b+c!d+|");
  CHECK(syncs == 2);
  CHECK(journal->measure().largest == 3);
}

TEST_CASE("lease journal: after any power cut every acknowledged lease is there and none is invented") {
  std::mt19937 random(20261121);
  std::size_t compactions = 0, recovered = 0;
  bool finished = false;
  for (std::size_t cut = 5; !finished && cut < 2000; ++cut) {
    bench b;
    b.options = {.compact_above = 0, .compact_factor = 2, .compact_step = 700};
    auto disk = std::make_shared<test_disk>();
    disk->power_off_at = cut;
    std::map<ip_address, lease> acknowledged;
    std::map<std::pair<ip_address, std::uint64_t>, std::vector<lease>> attempted;
    bool lost = false;
    {
      auto journal = b.open(disk);
      REQUIRE(journal);
      for (int round = 0; round < 60 && !lost; ++round) {
        std::size_t open = 0;
        std::map<unsigned, bool> busy;
        for (auto n = 1 + random() % 8; n > 0; --n) {
          auto host = static_cast<unsigned>(random() % 12);
          if (std::exchange(busy[host], true)) continue;
          auto l = make_lease(host, "client-" + std::to_string(random() % 1000));
          if (auto it = acknowledged.find(l.address); it != acknowledged.end())
            l.version = it->second.version;
          l.state = static_cast<lease_state>(random() % 4);
          l.starts = b.clock.wall();
          auto stored = l;
          ++stored.version;
          attempted[{l.address, stored.version}].push_back(stored);
          ++open;
          journal->claim(l, [&](lease_store::outcome o) {
            --open;
            if (o.what == kind::stored)
              acknowledged[o.current.address] = o.current;
            else
              lost = true;
          });
        }
        REQUIRE(b.loop.run_until([&] { return open == 0; }));
        b.clock.advance(1s);
      }
      compactions += journal->measure().compactions;
    }
    finished = !lost;
    auto after = disk->after_power_cut(random);
    auto journal = b.open(after);
    REQUIRE(journal);
    auto found = journal->load();
    std::map<ip_address, lease> held;
    for (auto& l : *found) held[l.address] = l;
    for (auto& [address, l] : acknowledged) {
      CAPTURE(cut);
      REQUIRE(held.count(address) == 1);
      REQUIRE(held[address].version >= l.version);
      if (held[address].version == l.version) REQUIRE(same(held[address], l));
      ++recovered;
    }
    for (auto& [address, l] : held) {
      const auto& known = attempted[{address, l.version}];
      REQUIRE(std::any_of(known.begin(), known.end(), [&](const auto& k) { return same(k, l); }));
      // And it can be claimed on from there.
      REQUIRE(b.claim(*journal, l).what == kind::stored);
    }
  }
  CHECK(finished);
  CHECK(compactions > 20);
  CHECK(recovered > 500);
}

TEST_CASE("lease journal: a full disk fails the claims, keeps the file whole and heals by itself") {
  bench b;
  auto disk = std::make_shared<test_disk>();
  auto journal = b.open(disk);
  auto first = b.claim(*journal, make_lease(1, "one"));
  REQUIRE(first.what == kind::stored);
  auto size = disk->journal->cached.size();
  disk->room = size + 30;
  for (int i = 0; i < 3; ++i) {
    auto out = b.claim(*journal, make_lease(2, "two"));
    CHECK(out.what == kind::failed);
    CHECK(out.reason.find("No space left") != std::string::npos);
    CHECK(disk->journal->cached.size() == size);
  }
  CHECK(b.sink.count("NL-STORE-003") == 1);
  disk->room = SIZE_MAX;
  auto out = b.claim(*journal, make_lease(2, "two"));
  CHECK(out.what == kind::stored);
  CHECK(out.current.version == 1); // the failed ones left nothing behind
  CHECK(b.sink.count("NL-STORE-004") == 1);
  journal.reset();
  journal = b.open(disk);
  CHECK(journal->load()->size() == 2);
}

TEST_CASE("lease journal: a failed sync or truncate never leads to an acknowledgement") {
  bench b;
  auto disk = std::make_shared<test_disk>();
  auto journal = b.open(disk);
  REQUIRE(b.claim(*journal, make_lease(1, "one")).what == kind::stored);
  disk->sync_fails = disk->truncate_fails = true;
  CHECK(b.claim(*journal, make_lease(2, "two")).what == kind::failed);
  disk->sync_fails = false; // the tail cannot be cut off yet: nothing may be written after it
  CHECK(b.claim(*journal, make_lease(3, "three")).what == kind::failed);
  disk->truncate_fails = false;
  CHECK(b.claim(*journal, make_lease(3, "three")).what == kind::stored);
  journal.reset();
  journal = b.open(disk);
  auto leases = journal->load();
  REQUIRE(leases->size() == 2);
  CHECK((*leases)[1].client.size() == 5);
}

TEST_CASE("lease journal: a torn tail is cut off and reported; damage in the middle is read past") {
  bench b;
  auto disk = std::make_shared<test_disk>();
  auto journal = b.open(disk);
  for (unsigned i = 0; i < 10; ++i) b.claim(*journal, make_lease(i, "c"));
  journal.reset();
  auto whole = disk->journal->cached;

  disk->journal->cached.resize(whole.size() - 5);
  journal = b.open(disk);
  REQUIRE(journal);
  CHECK(journal->load()->size() == 9);
  CHECK(b.sink.count("NL-STORE-001") == 1);
  REQUIRE(b.claim(*journal, make_lease(9, "again")).what == kind::stored);
  journal.reset();

  disk->journal->cached = whole;
  disk->journal->cached[whole.size() / 2] ^= 0x55;
  journal = b.open(disk);
  REQUIRE(journal);
  CHECK(journal->load()->size() == 9);
  CHECK(b.sink.count("NL-STORE-002") == 1);
  // The damaged file is replaced by a clean one.
  bool drained = false;
  while (journal->measure().compactions == 0) std::this_thread::yield();
  journal->drain([&] { drained = true; });
  REQUIRE(b.loop.run_until([&] { return drained; }));
  journal.reset();
  journal = b.open(disk);
  CHECK(journal->load()->size() == 9);
  CHECK(b.sink.count("NL-STORE-002") == 1);
}

TEST_CASE("lease journal: no flipped byte, cut or zeroed stretch crashes it or makes up a lease") {
  bench b;
  auto disk = std::make_shared<test_disk>();
  auto journal = b.open(disk);
  std::vector<lease> known;
  for (unsigned i = 0; i < 6; ++i) {
    auto l = make_lease(i % 4, "client-" + std::to_string(i));
    l.version = i / 4;
    known.push_back(b.claim(*journal, l).current);
  }
  journal.reset();
  auto whole = disk->journal->cached;
  auto check = [&](byte_vector bytes, std::size_t at_least) {
    disk->journal->cached = std::move(bytes);
    auto opened = b.open(std::make_unique<test_storage>(disk));
    if (!opened) return at_least == 0;
    auto leases = (*opened)->load();
    for (const auto& l : *leases)
      if (std::none_of(known.begin(), known.end(), [&](const auto& k) { return same(k, l); })) return false;
    return leases->size() >= at_least;
  };
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (unsigned flip : {0x01u, 0x80u, 0xffu}) {
      auto bytes = whole;
      bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ flip);
      CAPTURE(at);
      // A header copy may be wrong (16..17 hold a format number, guarded by its checksum); one record may
      // be lost, and with it at most one address.
      REQUIRE(check(bytes, 3));
    }
    auto cut = whole;
    cut.resize(at);
    REQUIRE(check(cut, 0));
    auto zeroed = whole;
    std::fill(zeroed.begin() + static_cast<std::ptrdiff_t>(at), zeroed.end(), std::uint8_t{0});
    REQUIRE(check(zeroed, 0));
  }
}

TEST_CASE("lease journal: a record that a client hides in its identifier is never read as one") {
  // The attacker's own journal: as well formed as it gets without the secret of the other file.
  bench b;
  auto forge = std::make_shared<test_disk>();
  auto journal = b.open(forge);
  b.claim(*journal, make_lease(200, "forged"));
  journal.reset();
  byte_vector record(forge->journal->cached.begin() + 64, forge->journal->cached.end());

  auto disk = std::make_shared<test_disk>();
  journal = b.open(disk);
  for (std::size_t shift = 0; shift < 8; ++shift) {
    auto l = make_lease(static_cast<unsigned>(shift), "");
    l.client.assign(shift, 0);
    l.client.insert(l.client.end(), record.begin(), record.end());
    REQUIRE(b.claim(*journal, l).what == kind::stored);
  }
  journal.reset();
  for (std::size_t at = 64; at + 2 < disk->journal->cached.size(); ++at)
    if (disk->journal->cached[at] == 0x4c && disk->journal->cached[at + 1] == 0x52 && at % 8 == 0)
      disk->journal->cached[at + 4] ^= 1; // every real record's checksum
  journal = b.open(disk);
  REQUIRE(journal);
  CHECK(journal->load()->empty());
}

TEST_CASE("lease journal: refuses a newer format and files of others, and leaves them as they are") {
  bench b;
  auto disk = std::make_shared<test_disk>();
  disk->journal->cached.assign(500, 'x');
  auto journal = b.open(std::make_unique<test_storage>(disk));
  REQUIRE_FALSE(journal);
  CHECK(journal.error().code == errc::invalid);
  CHECK(journal.error().message.find("NL-STORE-012") == 0);
  CHECK(disk->journal->cached == byte_vector(500, 'x'));

  // Made from an own header: format 2 with the right checksum.
  disk->journal->cached.clear();
  b.open(disk).reset();
  auto& head = disk->journal->cached;
  head[17] = 2;
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < 28; ++i) {
    crc ^= head[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0x82f63b78u ^ (crc >> 1) : crc >> 1;
  }
  for (std::size_t i = 0; i < 4; ++i) head[28 + i] = static_cast<std::uint8_t>(~crc >> (24 - 8 * i));
  journal = b.open(std::make_unique<test_storage>(disk));
  REQUIRE_FALSE(journal);
  CHECK(journal.error().code == errc::unsupported);
  CHECK(journal.error().message.find("format 2") != std::string::npos);
}

TEST_CASE("lease journal: a second process is refused and told who holds it") {
  folder dir;
  bench b;
  auto path = dir.file("leases.journal");
  auto journal = b.open(make_journal_storage(path));
  REQUIRE(journal);
  auto second = b.open(make_journal_storage(path));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == errc::conflict);
  CHECK(second.error().message.find("NL-STORE-007") == 0);
  journal->reset();

  int ready[2], leave[2];
  REQUIRE(::pipe(ready) == 0);
  REQUIRE(::pipe(leave) == 0);
  auto child = ::fork();
  if (child == 0) {
    auto storage = make_journal_storage(path);
    char ok = storage->open() ? 'y' : 'n';
    (void)!::write(ready[1], &ok, 1);
    (void)!::read(leave[0], &ok, 1);
    ::_exit(0);
  }
  char ok = 0;
  REQUIRE(::read(ready[0], &ok, 1) == 1);
  CHECK(ok == 'y');
  auto other = b.open(make_journal_storage(path));
  REQUIRE_FALSE(other);
  CHECK(other.error().message.find("process " + std::to_string(child)) != std::string::npos);
  REQUIRE(::write(leave[1], "x", 1) == 1);
  ::waitpid(child, nullptr, 0);
  CHECK(b.open(make_journal_storage(path)));
  for (int fd : {ready[0], ready[1], leave[0], leave[1]}) ::close(fd);
}

TEST_CASE("lease journal: compaction goes on under load, shrinks the file and loses nothing") {
  folder dir;
  bench b;
  b.options = {.compact_above = 16u << 10, .compact_factor = 2, .compact_step = 4096};
  auto path = dir.file("leases.journal");
  std::vector<lease> mine;
  for (unsigned i = 0; i < 50; ++i) mine.push_back(make_lease(i, "client-" + std::to_string(i)));
  {
    auto journal = b.open(make_journal_storage(path));
    REQUIRE(journal);
    for (int round = 0; round < 60; ++round) {
      std::size_t open = mine.size();
      for (auto& l : mine) {
        l.hostname = "round-" + std::to_string(round);
        (*journal)->claim(l, [&](lease_store::outcome o) {
          CHECK(o.what == kind::stored);
          l = o.current;
          --open;
        });
      }
      REQUIRE(b.loop.run_until([&] { return open == 0; }));
    }
    CHECK((*journal)->measure().compactions >= 3);
    CHECK((*journal)->measure().live == 50);
    CHECK((*journal)->measure().file_bytes < 60u << 10);
  }
  auto again = b.open(make_journal_storage(path));
  REQUIRE(again);
  auto leases = (*again)->load();
  REQUIRE(leases->size() == 50);
  for (std::size_t i = 0; i < 50; ++i) CHECK(same((*leases)[i], mine[i]));
}

TEST_CASE("lease journal: a compaction that fails is reported, and leases are stored as before") {
  bench b;
  b.options = {.compact_above = 0, .compact_factor = 2};
  auto disk = std::make_shared<test_disk>();
  auto journal = b.open(disk);
  disk->folder_sync_fails = true;
  auto l = make_lease(1, "one");
  std::size_t stored = 0, failed = 0;
  for (int i = 0; i < 200 && failed == 0; ++i) {
    auto out = b.claim(*journal, l);
    out.what == kind::stored ? ++stored : ++failed;
    l = out.current;
  }
  // The new file is in place but its name is not durable: nothing may be acknowledged.
  CHECK(stored > 30);
  CHECK(failed == 1);
  disk->folder_sync_fails = false;
  auto out = b.claim(*journal, l);
  CHECK(out.what == kind::stored);
  CHECK(out.current.version == stored + 1);
}

TEST_CASE("lease journal: a wall clock that went back shortens no lease") {
  bench b;
  auto disk = std::make_shared<test_disk>();
  auto journal = b.open(disk);
  auto l = make_lease(1, "one", b.clock.wall() + 12h);
  l.starts = b.clock.wall();
  REQUIRE(b.claim(*journal, l).what == kind::stored);
  REQUIRE(b.claim(*journal, make_lease(3, "for ever")).what == kind::stored);
  b.clock.advance(2h);
  REQUIRE(b.claim(*journal, make_lease(2, "two", b.clock.wall() + 12h)).what == kind::stored);
  journal.reset();

  // Power cycle; no RTC: 1970.
  b.clock.set_wall(wall_time{100s});
  journal = b.open(disk);
  auto leases = journal->load();
  REQUIRE(leases->size() == 3);
  CHECK((*leases)[0].expires - b.clock.wall() == 10h); // two of its twelve hours were used
  CHECK((*leases)[1].expires - b.clock.wall() == 12h);
  CHECK((*leases)[2].expires == wall_time::max());
  CHECK(b.sink.count("NL-STORE-006") == 1);

  // A renewal on the wrong clock, then NTP answers, then another renewal.
  auto renewed = (*leases)[1];
  renewed.expires = b.clock.wall() + 12h;
  REQUIRE(b.claim(*journal, renewed).what == kind::stored);
  b.clock.advance(1h);
  b.clock.set_wall(wall_time{std::chrono::sys_days{std::chrono::year{2026} / 7 / 1}});
  auto third = make_lease(4, "late", b.clock.wall() + 12h);
  REQUIRE(b.claim(*journal, third).what == kind::stored);
  // What a conflict shows is told in today's clock too.
  auto conflict = b.claim(*journal, make_lease(1, "thief"));
  CHECK(conflict.what == kind::conflict);
  CHECK(conflict.current.expires - b.clock.wall() == 9h);
  journal.reset();
  journal = b.open(disk);
  leases = journal->load();
  REQUIRE(leases->size() == 4);
  CHECK((*leases)[0].expires - b.clock.wall() == 9h);
  CHECK((*leases)[1].expires - b.clock.wall() == 11h);
  CHECK((*leases)[2].expires == wall_time::max());
  CHECK((*leases)[3].expires - b.clock.wall() == 12h);
  CHECK(b.sink.count("NL-STORE-006") == 1); // the steps were journaled: nothing to guess
  journal.reset();

  // And the same after a compaction has folded the steps in.
  b.options = {.compact_above = 0, .compact_factor = 2};
  journal = b.open(disk);
  auto filler = make_lease(5, "filler");
  while (journal->measure().compactions == 0) filler = b.claim(*journal, filler).current;
  journal.reset();
  journal = b.open(disk);
  leases = journal->load();
  REQUIRE(leases->size() == 5);
  CHECK((*leases)[0].expires - b.clock.wall() == 9h);
  CHECK((*leases)[1].expires - b.clock.wall() == 11h);
  CHECK((*leases)[3].expires - b.clock.wall() == 12h);
}

TEST_CASE("lease journal: a clock that had never been set does not expire everything when it is") {
  bench b;
  auto disk = std::make_shared<test_disk>();
  b.clock.set_wall(wall_time{50s});
  auto journal = b.open(disk);
  REQUIRE(b.claim(*journal, make_lease(1, "one", b.clock.wall() + 12h)).what == kind::stored);
  journal.reset();
  b.clock.set_wall(wall_time{std::chrono::sys_days{std::chrono::year{2026} / 7 / 1}});
  journal = b.open(disk);
  CHECK((*journal->load())[0].expires - b.clock.wall() == 12h);
}

TEST_CASE("lease journal: what cannot be stored is turned down, not blocked on") {
  bench b;
  b.options.max_waiting = 4;
  auto disk = std::make_shared<test_disk>();
  auto journal = b.open(disk);
  auto large = make_lease(1, "");
  large.client.assign(5000, 1);
  auto out = b.claim(*journal, large);
  CHECK(out.what == kind::failed);
  CHECK(out.current.version == 0);

  std::mutex gate;
  gate.lock();
  disk->before_sync = [&] { std::lock_guard wait(gate); };
  std::size_t stored = 0, failed = 0;
  for (unsigned i = 0; i < 20; ++i)
    journal->claim(make_lease(i, "c"),
                   [&](lease_store::outcome o) { o.what == kind::stored ? ++stored : ++failed; });
  REQUIRE(b.loop.run_until([&] { return failed >= 12; }));
  gate.unlock();
  REQUIRE(b.loop.run_until([&] { return stored + failed == 20; }));
  CHECK(stored >= 4);
  CHECK(b.sink.count("NL-STORE-009") >= 1);
}

TEST_CASE("lease journal: queued claims are written at the end, callbacks do not outlive it") {
  bench b;
  auto disk = std::make_shared<test_disk>();
  auto journal = b.open(disk);
  int called = 0;
  for (unsigned i = 0; i < 50; ++i) journal->claim(make_lease(i, "c"), [&](auto) { ++called; });
  journal.reset();
  bool reached = false;
  b.loop.post([&] { reached = true; });
  REQUIRE(b.loop.run_until([&] { return reached; }));
  CHECK(called == 0);
  journal = b.open(disk);
  CHECK(journal->load()->size() == 50);
}
