// The query log: what workers put in, what readers get out, and what happens when the disk or a file is bad.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>

#include "dns/query_ring.h"
#include "dns/query_segment.h"
#include "dns/row_counts.h"
#include "dns/statistics_files.h"
#include "netlab/dns_query_log.h"
#include "netlab/dns_statistics.h"
#include "netlab/event_loop.h"
#include "support/dns_lab.h"
#include "support/fake_world.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::test;
using namespace std::chrono_literals;
using outcome = dns::query_outcome;

namespace {

// A clock that a test moves while another thread reads it.
class shared_time final : public netlab::clock {
public:
  boot_time now() const override { return boot_time{duration{passed.load()}}; }
  wall_time wall() const override { return wall_time{duration{start + passed.load()}}; }
  void advance(duration by) { passed += by.count(); }
  static constexpr std::int64_t start = 1'790'000'000'000'000'000; // 2026-09-21T14:13:20Z

private:
  std::atomic<std::int64_t> passed{1'000'000'000};
};

struct log_world {
  temporary_folder folder;
  shared_time time;
  kept_log logged;
  metrics counters;
  dns::query_log_config config;
  std::unique_ptr<dns::query_log> log;
  dns::query_sink* sink = nullptr;

  log_world() {
    config.folder = folder.path() + "/dns.log";
    config.names = {{"ads", "trackers"}, {"everybody", "kids"}, {{"192.0.2.1", "192.0.2.2"}}};
  }
  void start() {
    REQUIRE(dns::check(config));
    log = std::make_unique<dns::query_log>(time, netlab::log(logged, time), counters, config);
    sink = &log->add_worker();
    log->start();
  }
  void put(const std::string& qname, outcome what = outcome::forwarded,
           const std::string& client = "10.0.0.9") {
    auto n = dns_name(qname).lower();
    dns::query_note q;
    q.qname = n.wire();
    q.client = *ip_address::parse(client);
    q.at = time.now();
    q.took = 1500us;
    q.type = dns::rtype::aaaa;
    q.outcome = what;
    if (what == outcome::blocked) q.list = 1;
    if (what == outcome::forwarded) q.upstream = 1;
    q.policy = 1;
    sink->note(q);
  }
  std::vector<dns::logged_query> rows(std::uint64_t* damaged = nullptr) {
    std::vector<dns::logged_query> out;
    auto read = dns::read_query_log(config.folder, {}, [&](const dns::logged_query& q) {
      out.push_back(q);
      return true;
    });
    REQUIRE(read);
    if (damaged) *damaged = read->damaged;
    return out;
  }
  std::string segment(std::uint64_t number) const { return config.folder + "/" + dns::segment_name(number); }
};

std::string slurp(const std::string& path) {
  std::string out;
  auto* f = std::fopen(path.c_str(), "rb");
  REQUIRE(f);
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, f)) > 0;) out.append(buffer, n);
  std::fclose(f);
  return out;
}
void spit(const std::string& path, const std::string& text) {
  auto* f = std::fopen(path.c_str(), "wb");
  REQUIRE(f);
  REQUIRE(std::fwrite(text.data(), 1, text.size(), f) == text.size());
  std::fclose(f);
}

} // namespace

TEST_CASE("dns query log: rows come back as they went in") {
  log_world w;
  w.start();
  w.put("www.Example.org");
  w.put("ads.example.org", outcome::blocked, "2001:db8::7");
  w.put("a\\.b\\000.example.org", outcome::cached);
  REQUIRE(w.log->flush(10s));
  auto got = w.rows();
  REQUIRE(got.size() == 3);
  CHECK(got[0].name == "www.example.org");
  CHECK(got[0].client == "10.0.0.9");
  CHECK(got[0].outcome == outcome::forwarded);
  CHECK(got[0].upstream == "192.0.2.2");
  CHECK(got[0].policy == "kids");
  CHECK(got[0].took == 1500us);
  CHECK(got[0].type == dns::rtype::aaaa);
  CHECK(got[0].at == w.time.wall());
  CHECK(got[1].client == "2001:db8::7");
  CHECK(got[1].list == "trackers");
  CHECK(got[2].name == "a\\.b\\000.example.org"); // never raw bytes on a terminal
  CHECK(w.log->status().rows == 3);
  CHECK(w.counters.get("netlab_dns_list_blocked_total", {{"server", "dns"}, {"list", "trackers"}}).value() ==
        1);
  std::uint64_t asked = 0, blocked = 0;
  for (const auto& s : w.counters.samples()) {
    if (s.name == "netlab_dns_client_queries_total") asked += s.value;
    if (s.name == "netlab_dns_client_blocked_total") blocked += s.value;
  }
  CHECK(asked == 3);
  CHECK(blocked == 1);

  // A reader goes on where it stopped, in a later segment as well.
  auto read = dns::read_query_log(w.config.folder, {}, [](const auto&) { return true; });
  REQUIRE(read);
  w.log.reset();
  w.start();
  w.put("later.example.org");
  REQUIRE(w.log->flush(10s));
  std::vector<std::string> later;
  REQUIRE(dns::read_query_log(w.config.folder, read->end, [&](const auto& q) {
    later.push_back(q.name);
    return true;
  }));
  CHECK(later == std::vector<std::string>{"later.example.org"});
}

TEST_CASE("dns query log: privacy is kept before anything is stored") {
  for (auto [level, name, client] : {std::tuple{dns::log_privacy::hide_domains, false, true},
                                     {dns::log_privacy::hide_clients, false, false}}) {
    log_world w;
    w.config.privacy = level;
    w.start();
    w.put("secret.example.org");
    REQUIRE(w.log->flush(10s));
    auto got = w.rows();
    REQUIRE(got.size() == 1);
    CHECK(got[0].name.empty() == !name);
    CHECK(got[0].client.empty() == !client);
    CHECK(slurp(w.segment(1)).find("secret") == std::string::npos);
  }
  log_world w;
  w.config.privacy = dns::log_privacy::anonymous;
  w.start();
  w.put("secret.example.org", outcome::blocked);
  REQUIRE(w.log->flush(10s));
  CHECK(w.rows().empty());
  auto s = dns::read_statistics(w.config.folder, wall_time{});
  REQUIRE(s);
  CHECK(s->queries == 1);
  CHECK(s->lists["trackers"] == 1);
  CHECK(s->clients.empty());
  CHECK(s->blocked_names.empty());
}

TEST_CASE("dns query log: what is damaged is skipped, and the rest is read") {
  log_world w;
  w.start();
  for (int block = 0; block < 3; ++block) {
    w.put("block" + std::to_string(block) + ".example.org");
    REQUIRE(w.log->flush(10s));
  }
  w.log.reset();
  auto whole = slurp(w.segment(1));
  auto second = whole.find("block1");
  REQUIRE(second != std::string::npos);
  auto broken = whole;
  broken[second] = 'X';
  spit(w.segment(1), broken);
  std::uint64_t damaged = 0;
  auto got = w.rows(&damaged);
  REQUIRE(got.size() == 2);
  CHECK(got[0].name == "block0.example.org");
  CHECK(got[1].name == "block2.example.org");
  CHECK(damaged == 1);
  // Cut short anywhere, as by a power cut: what is whole before it is read, and nothing hangs or crashes.
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    spit(w.segment(1), whole.substr(0, size));
    CHECK(w.rows().size() <= 3);
  }
  spit(w.segment(1), std::string(5000, '\xff') + whole);
  CHECK(w.rows().size() == 3);
  // The next run writes behind it, into a segment of its own.
  w.start();
  w.put("after.example.org");
  REQUIRE(w.log->flush(10s));
  CHECK(w.rows().size() == 4);
}

TEST_CASE("dns query log: bytes and days end it") {
  log_world w;
  w.config.segment_bytes = 4096;
  w.config.max_bytes = 16384;
  w.start();
  for (int i = 0; i < 2000; ++i) {
    w.put("name" + std::to_string(i) + ".example.org");
    if (i % 50 == 0) REQUIRE(w.log->flush(10s));
  }
  REQUIRE(w.log->flush(10s));
  auto segments = dns::list_segments(w.config.folder);
  REQUIRE(segments);
  std::uint64_t sum = 0;
  for (const auto& s : *segments) sum += s.bytes;
  CHECK(sum <= w.config.max_bytes);
  CHECK(segments->size() >= 2);
  auto got = w.rows();
  REQUIRE(!got.empty());
  CHECK(got.back().name == "name1999.example.org");
  CHECK(got.size() < 2000);
}

TEST_CASE("dns query log: a disk that takes nothing costs rows and one message") {
  log_world w;
  w.start();
  w.put("before.example.org");
  REQUIRE(w.log->flush(10s));
  // A limit of the process stands for a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  rlimit full = old;
  full.rlim_cur = 100;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &full) == 0);
  for (int i = 0; i < 5; ++i) {
    w.put("lost.example.org");
    w.log->flush(10s);
  }
  auto during = w.log->status();
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  CHECK(!during.trouble.empty());
  CHECK(during.dropped >= 4);
  CHECK(w.logged.count("NL-DNS-150") == 1);
  w.time.advance(61s);
  w.put("again.example.org");
  REQUIRE(w.log->flush(10s)); // it finds that it can
  w.put("after.example.org");
  REQUIRE(w.log->flush(10s));
  CHECK(w.logged.count("NL-DNS-151") == 1);
  CHECK(w.log->status().trouble.empty());
  std::uint64_t damaged = 0;
  auto got = w.rows(&damaged);
  REQUIRE(got.size() >= 2);
  CHECK(got.front().name == "before.example.org");
  CHECK(got.back().name == "after.example.org");
  CHECK(damaged == 0);
}

TEST_CASE("dns query log: a ring between threads loses nothing but what it counts") {
  dns::query_ring ring(4096);
  constexpr int all = 200'000;
  std::uint64_t got = 0, bad = 0;
  std::int64_t last = -1;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    dns::query_row head;
    byte_vector text(40, 'x');
    for (int i = 0; i < all; ++i) {
      head.at = i;
      head.client_size = 4;
      head.name_size = static_cast<std::uint8_t>(i % 40);
      head.size = static_cast<std::uint16_t>(dns::row_size(4, head.name_size));
      ring.put(head, byte_view(text).first(4), byte_view(text).first(head.name_size));
    }
    done = true;
  });
  auto take = [&] {
    return ring.take([&](const dns::query_row& head, const std::uint8_t* row) {
      ++got;
      bad += head.at <= last || dns::name_of(head, row).size() != static_cast<std::size_t>(head.at % 40);
      last = head.at;
    });
  };
  while (!done) take();
  take();
  writer.join();
  take();
  CHECK(bad == 0);
  CHECK(got + ring.take_lost() == all);
  CHECK(got > 0);
}

TEST_CASE("dns statistics: counted by hour, kept over a restart, rolled up into days") {
  log_world w;
  w.start();
  for (int i = 0; i < 3; ++i) w.put("www.example.org");
  w.put("ads.example.org", outcome::blocked, "10.0.0.20");
  REQUIRE(w.log->flush(10s));
  w.log.reset();
  w.start();
  w.put("www.example.org");
  REQUIRE(w.log->flush(10s));
  w.time.advance(1h);
  w.put("late.example.org", outcome::cached);
  REQUIRE(w.log->flush(10s));
  auto s = dns::read_statistics(w.config.folder, wall_time{});
  REQUIRE(s);
  CHECK(s->queries == 6);
  CHECK(s->blocked == 1);
  CHECK(s->names.top(1) == std::vector<std::pair<std::string, std::uint64_t>>{{"www.example.org", 4}});
  CHECK(s->blocked_names.top(9).size() == 1);
  CHECK(s->blocked_clients.top(1)[0].first == "10.0.0.20");
  CHECK(s->outcomes["cached"] == 1);
  CHECK(s->lists["trackers"] == 1);
  CHECK(s->upstreams["192.0.2.2"] == 4);
  // Only the hour that runs.
  auto now = dns::read_statistics(w.config.folder, w.time.wall() - 10min);
  REQUIRE(now);
  CHECK(now->queries == 1);
  // What is older than eight days has one line a day; what is older than a year is gone.
  auto hour = *s;
  auto today = w.time.wall();
  for (int i = 0; i < 24 * 30; ++i) {
    hour.from = today + i * 1h;
    hour.until = hour.from + 30min;
    REQUIRE(dns::append_hour(w.config.folder, hour, hour.until));
  }
  auto lines = slurp(w.config.folder + "/hours.jsonl");
  auto count = std::count(lines.begin(), lines.end(), '\n');
  CHECK(count < 24 * 8 + 40);
  CHECK(count > 24 * 8);
  auto month = dns::read_statistics(w.config.folder, wall_time{});
  REQUIRE(month);
  CHECK(month->queries >= 6u * 24 * 30);
  REQUIRE(dns::append_hour(w.config.folder, hour, hour.until + 24h * 400));
  lines = slurp(w.config.folder + "/hours.jsonl");
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 1);
}

TEST_CASE("dns statistics: what is frequent is found in bounded memory") {
  dns::frequent f(100);
  for (int i = 0; i < 20000; ++i) {
    f.add("rare" + std::to_string(i));
    if (i % 4 == 0) f.add("often");
    if (i % 10 == 0) f.add("sometimes", 2);
  }
  CHECK(f.size() <= 200);
  auto top = f.top(2);
  REQUIRE(top.size() == 2);
  CHECK(top[0].first == "often");
  CHECK(top[1].first == "sometimes");
  CHECK(top[0].second <= 5000);
  CHECK(top[0].second + f.error() >= 5000);

  dns::query_statistics s;
  s.from = s.until = wall_time{100s};
  s.queries = 3;
  s.names.add("a\"b\\001.example", 2);
  auto back = dns::parse_statistics(dns::to_line(s));
  REQUIRE(back);
  CHECK(back->names.top(1)[0].first == "a\"b\\001.example");
  for (auto bad :
       {"", "{", "[]", "{}", "{\"from\":1}", "null", "{\"from\":-5,\"until\":\"x\",\"names\":[1]}"})
    CHECK_MESSAGE((!dns::parse_statistics(bad) || dns::parse_statistics(bad)->queries == 0), bad);
}

TEST_CASE("dns engine: every answer is told to the log, and its own questions are not") {
  struct kept final : dns::query_sink {
    std::vector<std::pair<std::string, dns::query_note>> all;
    void note(const dns::query_note& q) noexcept override {
      all.emplace_back(dns::name::from_wire(q.qname)->to_string(), q);
    }
  } sink;
  dns_lab lab({}, {"192.0.2.1", "192.0.2.2"});
  lab.engine->observe(&sink);
  auto s = std::make_shared<dns::snapshot>();
  s->generation = 1;
  dns::name_table_builder b({});
  REQUIRE(b.add_host(dns_name("here.example"), ip_address::v4(10, 0, 0, 1), 60));
  s->fixed = b.build();
  s->policies[0].filter = std::make_shared<listed_filter>(
      std::map<std::string, dns::verdict>{{"ads.example", {dns::filter_action::block, 3}}});
  lab.engine->use(s);
  lab.ask("here.example");
  lab.ask("ads.example");
  lab.ask("www.example");
  lab.advance(20ms);
  lab.answer([](const dns::message& q) { return dns_lab::address_of(q, "192.0.2.80"); });
  lab.ask("www.example");
  lab.ask("nobody.example", dns::rtype::a, {.flags = 0}); // without RD
  REQUIRE(sink.all.size() == 5);
  auto at = [&](std::size_t i) { return sink.all[i].second; };
  CHECK(at(0).outcome == outcome::local);
  CHECK(at(1).outcome == outcome::blocked);
  CHECK(at(1).list == 3);
  CHECK(at(2).outcome == outcome::forwarded);
  CHECK(at(2).upstream < 2);
  CHECK(at(2).took == 20ms);
  CHECK(sink.all[2].first == "www.example");
  CHECK(at(3).outcome == outcome::cached);
  CHECK(at(4).outcome == outcome::refused);
  // An upstream that says nothing.
  lab.ask("silent.example");
  lab.advance(10s);
  REQUIRE(sink.all.size() == 6);
  CHECK(at(5).outcome == outcome::failed);
  CHECK(at(5).rcode == dns::rcode::server_failure);
}
