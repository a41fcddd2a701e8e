#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "dns/filter_refresh.h"
#include "netlab/dns_filter_lists.h"
#include "netlab/dns_name.h"
#include "support/fake_world.h"
#include "support/temporary_folder.h"
#include <nlohmann/json.hpp>

using namespace netlab;
using namespace netlab::dns;
using namespace std::chrono_literals;

namespace {

// Real files without an event loop; `touch` stands for what inotify says.
class plain_files final : public files {
public:
  result<std::string> read(const std::string& path, std::size_t) override {
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(errc::not_found, path + ": no such file", "read");
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  result<void> write(const std::string& path, std::string_view content, int) override {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    return {};
  }
  result<file_info> info(const std::string& path) override {
    std::error_code none;
    auto size = std::filesystem::file_size(path, none);
    if (none) return fail(errc::not_found, path + ": no such file", "stat");
    return file_info{"", false, size, 1};
  }
  result<std::vector<file_info>> list(const std::string&) override { return fail(errc::unsupported, "list"); }
  result<void> make_folders(const std::string& path, int) override {
    std::error_code failed;
    std::filesystem::create_directories(path, failed);
    if (failed) return fail(errc::io, failed.message(), "mkdir");
    return {};
  }
  result<void> remove(const std::string&) override { return fail(errc::unsupported, "remove"); }
  result<std::shared_ptr<void>> watch(const std::string&, std::function<void()> fn) override {
    watchers.push_back(std::move(fn));
    return std::make_shared<int>(0);
  }
  std::vector<std::function<void()>> watchers;
};

// List servers by URL: each answers what the test put there.
class list_servers final : public http_client {
public:
  struct answer {
    int status = 200;
    std::string body;
    std::string etag, type = "text/plain";
    std::optional<error> broken;
  };
  explicit list_servers(manual_time& time) : time_(time) {}

  std::unique_ptr<http_exchange> send(http_request request,
                                      std::function<void(result<http_response>)> done) override {
    struct pending final : http_exchange {
      timer reply;
    };
    requests.push_back(request);
    requests.back().on_body = nullptr; // it belongs to the exchange
    auto out = std::make_unique<pending>();
    auto a = answers[request.url];
    out->reply = time_.after(20ms, [request, done, a] {
      if (a.broken) {
        if (!a.body.empty()) request.on_body(as_bytes(a.body));
        return done(tl::unexpected(*a.broken));
      }
      http_response r;
      r.status = a.status;
      r.headers = {{"content-type", a.type}, {"etag", a.etag}};
      for (const auto& [name, value] : request.headers)
        if (name == "If-None-Match" && value == a.etag) r.status = 304;
      if (r.status != 304)
        for (std::size_t at = 0; at < a.body.size(); at += 1000)
          request.on_body(as_bytes(a.body.substr(at, 1000)));
      done(r);
    });
    return out;
  }
  std::map<std::string, answer> answers;
  std::vector<http_request> requests;

private:
  manual_time& time_;
};

struct lists_world {
  lists_world() { config.folder = folder / "lists"; }
  void add(const std::string& name, const std::string& url, bool allow = false) {
    list_source s;
    s.name = name;
    s.url = url;
    s.allow = allow;
    config.lists.push_back(s);
  }
  void start() {
    config.run_aside = [](const std::function<void()>& job) { job(); };
    REQUIRE(check(config));
    filter = nullptr;
    lists = std::make_unique<filter_lists>(run, config, [this](auto fresh) {
      filter = std::move(fresh);
      ++given;
    });
    lists->start();
  }
  // Until everything that is to be done now is done.
  void settle() { time.advance(5s); }
  bool blocked(std::string_view text) const {
    auto n = *name::parse(text);
    return filter && filter->match(n.wire(), all_lists).action == filter_action::block;
  }

  test::temporary_folder folder;
  manual_time time;
  seeded_random random{5};
  plain_files disk;
  list_servers http{time};
  test::kept_log logged;
  metrics counters;
  test::no_processes processes;
  test::fake_network network{time};
  test::fake_host& host = network.host("10.0.0.2");
  runtime run{time, time, random, host, disk, processes, http, netlab::log(logged, time), counters};
  filter_lists_config config;
  std::unique_ptr<filter_lists> lists;
  std::shared_ptr<const compiled_filter> filter;
  int given = 0;
};

std::string names(int count, const std::string& stem = "n") {
  std::string out;
  for (int i = 0; i < count; ++i) out += stem + std::to_string(i) + ".example\n";
  return out;
}

} // namespace

TEST_CASE("filter lists: downloaded, compiled, refreshed by ETag, and there at once after a restart") {
  lists_world w;
  w.add("ads", "https://lists.example/ads");
  w.add("good", "https://lists.example/good", true);
  w.http.answers["https://lists.example/ads"] = {200, names(500), "\"one\""};
  w.http.answers["https://lists.example/good"] = {200, "n7.example\n", "\"two\""};
  w.start();
  CHECK_FALSE(w.filter);
  w.settle();
  CHECK(w.given == 2); // the first list counts before the second one has come
  CHECK(w.blocked("n1.example"));
  CHECK_FALSE(w.blocked("n7.example"));
  CHECK(w.logged.count("NL-DNS-101") == 2);
  CHECK(w.http.requests.size() == 2);

  w.time.advance(26h);
  CHECK(w.http.requests.size() == 4);
  CHECK(w.given == 2);
  for (std::size_t i = 2; i < 4; ++i) {
    const auto& r = w.http.requests[i];
    auto tag = w.http.answers[r.url].etag;
    CHECK(std::find(r.headers.begin(), r.headers.end(),
                    std::pair<std::string, std::string>("If-None-Match", tag)) != r.headers.end());
  }

  w.http.answers["https://lists.example/ads"] = {200, names(600), "\"three\""};
  w.time.advance(26h);
  CHECK(w.given == 3);
  CHECK(w.blocked("n599.example"));
  auto status = w.lists->status();
  REQUIRE(status.size() == 2);
  CHECK(status[0].rules == 600);
  CHECK(status[0].format == "domains");
  CHECK(status[0].trouble.empty());
  CHECK(status[1].allow);
  CHECK(status[0].next > 1h);

  auto asked = w.http.requests.size();
  w.lists.reset();
  w.start();
  CHECK(w.blocked("n599.example")); // before anything was asked or read
  w.settle();
  CHECK(w.http.requests.size() == asked);
  CHECK(w.given == 4);
  w.lists->refresh();
  w.settle();
  CHECK(w.http.requests.size() == asked + 2);
}

TEST_CASE("filter lists: what is bad is reported and changes nothing") {
  lists_world w;
  const std::string url = "https://lists.example/ads";
  w.add("ads", url);
  w.http.answers[url] = {200, names(1000), "\"one\""};
  w.start();
  w.settle();
  REQUIRE(w.blocked("n999.example"));
  auto expect_kept = [&](list_servers::answer a, const char* message, const char* why) {
    w.http.answers[url] = std::move(a);
    auto before = w.logged.count(message);
    w.lists->refresh();
    w.settle();
    CHECK_MESSAGE(w.logged.count(message) == before + 1, why);
    CHECK_MESSAGE(w.lists->status()[0].trouble.find(why) != std::string::npos, w.lists->status()[0].trouble);
    CHECK(w.blocked("n999.example"));
    CHECK(w.given == 1);
  };
  expect_kept({200, "<!DOCTYPE html><html>please log in</html>", "", "text/plain"}, "NL-DNS-102", "web page");
  expect_kept({200, names(1000), "", "text/html; charset=utf-8"}, "NL-DNS-102", "text/html");
  expect_kept({200, names(300), ""}, "NL-DNS-102", "had 1000");
  expect_kept({200, "", ""}, "NL-DNS-102", "empty");
  expect_kept({200, "# nothing\n", ""}, "NL-DNS-102", "no rule");
  expect_kept({404, "gone", ""}, "NL-DNS-102", "404");
  expect_kept(
      {200,
       names(2) + std::string(2000, 'x') + "\nthis is\nno list\nat all\na b\nc d\ne f\ng h\ni j\nk l\nm n\n",
       ""},
      "NL-DNS-102", "lines are no rules");
  expect_kept(
      {200, names(500), "", "text/plain", error{errc::closed, "the server closed the connection", ""}},
      "NL-DNS-103", "closed");
  expect_kept({200, "", "", "", error{errc::denied, "the certificate has another name", ""}}, "NL-DNS-103",
              "certificate");
  // It tries again by itself, and says nothing twice.
  auto lines = w.logged.lines.size(), asked = w.http.requests.size();
  w.time.advance(6h);
  CHECK(w.http.requests.size() > asked + 5);
  CHECK(w.http.requests.size() < asked + 20);
  CHECK(w.logged.lines.size() == lines);
  w.http.answers[url] = {200, names(1200), "\"new\""};
  w.time.advance(2h);
  CHECK(w.blocked("n1199.example"));
  CHECK(w.lists->status()[0].trouble.empty());
  // Nothing is left of what was refused.
  std::size_t parts = 0;
  for (const auto& entry : std::filesystem::directory_iterator(w.config.folder))
    parts += entry.path().extension() == ".part";
  CHECK(parts == 0);
}

TEST_CASE("filter lists: a list that stays small is believed") {
  lists_world w;
  const std::string url = "https://lists.example/ads";
  w.add("ads", url);
  w.http.answers[url] = {200, names(1000), ""};
  w.start();
  w.settle();
  w.http.answers[url] = {200, names(10), ""};
  w.lists->refresh();
  w.settle();
  CHECK(w.lists->status()[0].rules == 1000);
  w.time.advance(2 * 24h);
  CHECK(w.lists->status()[0].rules == 10);
  CHECK_FALSE(w.blocked("n999.example"));
}

TEST_CASE("filter lists: the network is down at start; files and rules of the recipe count at once") {
  lists_world w;
  w.add("ads", "https://lists.example/ads");
  w.http.answers["https://lists.example/ads"] = {0, "", "", "", error{errc::unreachable, "no route", ""}};
  list_source file, text;
  file.name = "file";
  file.path = w.folder / "mine.txt";
  text.name = "own";
  text.text = "||recipe.example^\n";
  w.config.lists.push_back(file);
  w.config.lists.push_back(text);
  std::ofstream(file.path) << "0.0.0.0 local.example\nnot a rule\n";
  w.start();
  w.settle();
  CHECK(w.blocked("local.example"));
  CHECK(w.blocked("x.recipe.example"));
  CHECK(w.logged.count("NL-DNS-107") == 1);
  CHECK(w.lists->status()[1].first.at(0).number == 2);
  w.http.answers["https://lists.example/ads"] = {200, names(5), ""};
  w.time.advance(3min);
  CHECK(w.blocked("n4.example"));
  CHECK(w.blocked("local.example"));

  // The file changes; then it is gone.
  std::ofstream(file.path) << "other.example and more\nother.example\nlonger.example\n";
  REQUIRE(w.disk.watchers.size() == 1);
  w.disk.watchers[0]();
  w.settle();
  CHECK(w.blocked("other.example"));
  CHECK_FALSE(w.blocked("local.example"));
  unlink(file.path.c_str());
  w.disk.watchers[0]();
  w.settle();
  CHECK(w.logged.count("NL-DNS-108") == 1);
  CHECK(w.blocked("n4.example"));
}

TEST_CASE("filter lists: a damaged compiled file is made again, and other lists are not mixed up") {
  lists_world w;
  list_source text;
  text.name = "own";
  text.text = names(100);
  w.config.lists.push_back(text);
  w.start();
  w.settle();
  REQUIRE(w.blocked("n1.example"));
  auto path = w.config.folder + "/lists.compiled";
  auto damage = [&](std::streamoff at) {
    w.lists.reset();
    std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(at);
    f.write("\x5a\xa5\x5a\xa5\x5a\xa5\x5a", 7);
  };
  damage(16); // the header: seen at once
  w.start();
  CHECK_FALSE(w.filter);
  w.settle();
  CHECK(w.blocked("n1.example"));
  CHECK(w.logged.count("NL-DNS-106") == 1);
  damage(4096); // the table: seen when it is read whole
  w.start();
  CHECK(w.filter);
  w.settle();
  CHECK(w.logged.count("NL-DNS-106") == 2);
  for (int i = 0; i < 100; ++i) CHECK(w.blocked("n" + std::to_string(i) + ".example"));
  CHECK(w.filter->verify());

  w.lists.reset();
  w.config.lists[0].name = "renamed";
  w.start();
  CHECK_FALSE(w.filter); // list 0 of the file is another one
  w.settle();
  CHECK(w.filter->list_name(0) == "renamed");
}

TEST_CASE("filter lists: a disk that cannot be written is reported, and tried again") {
  lists_world w;
  list_source text;
  text.name = "own";
  text.text = "a.example\n";
  w.config.lists.push_back(text);
  w.config.folder = w.folder / "lists";
  w.start();
  std::filesystem::remove_all(w.config.folder);
  w.settle();
  CHECK(w.logged.count("NL-DNS-105") == 1);
  CHECK_FALSE(w.filter);
  std::filesystem::create_directories(w.config.folder);
  w.time.advance(6min);
  CHECK(w.blocked("a.example"));
}

TEST_CASE("filter lists: a day in which lists change every hour needs no more memory and leaves no files") {
  lists_world w;
  w.config.refresh = 1h;
  w.add("ads", "https://lists.example/ads");
  w.http.answers["https://lists.example/ads"] = {200, names(2000, "a"), ""};
  w.start();
  w.settle();
  for (int hour = 0; hour < 24; ++hour) {
    w.http.answers["https://lists.example/ads"] = {200, names(2000 + hour, hour % 2 ? "b" : "c"), ""};
    w.time.advance(70min);
  }
  CHECK(w.given >= 20);
  CHECK(w.blocked("b3.example"));
  CHECK_FALSE(w.blocked("a3.example"));
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(w.config.folder))
    files += entry.is_regular_file();
  CHECK(files == 3); // the copy, the compiled file, what is remembered
}

TEST_CASE("filter lists: options that cannot be are refused") {
  filter_lists_config c;
  c.lists.resize(65);
  CHECK_FALSE(check(c));
  c.lists.resize(2);
  c.lists[0].name = c.lists[1].name = "x";
  CHECK_FALSE(check(c));
  c.lists[1].name = "y";
  CHECK(check(c));
  c.lists[1].url = "https://lists.example/";
  c.lists[1].path = "/x";
  CHECK_FALSE(check(c));
  c.lists[1].path = "";
  c.lists[1].refresh = 1s;
  CHECK_FALSE(check(c));
}

TEST_CASE("filter lists: what is remembered survives nonsense") {
  CHECK(stored_lists("").empty());
  CHECK(stored_lists("[1]").empty());
  CHECK(stored_lists("{\"x\": {\"url\": \"y\"}, \"z\": 3}").empty());
  stored_list l;
  l.url = "https://lists.example/a";
  l.etag = "\"e\"";
  l.rules = 7;
  auto again = stored_lists(to_json({{list_key(l.url), l}}).dump());
  REQUIRE(again.size() == 1);
  CHECK(again.begin()->second.etag == l.etag);
  CHECK(again.begin()->second.rules == 7);
  auto now = wall_time(std::chrono::hours(1000));
  l.checked = 1000 * 3600 - 60;
  CHECK(wait_at_start(l, true, 24h, now, 0x80000000u) == 24h - 60s);
  CHECK(wait_at_start(l, true, 30s, now, 0xffffffffu) <= 1min);
  CHECK(wait_at_start(l, true, 24h, wall_time{}, 0) <= 1min); // the clock was not set yet
  CHECK(wait_at_start(l, false, 24h, now, 0) == duration::zero());
  CHECK(wait_after_failure(1, 0x80000000u) == 1min);
  CHECK(wait_after_failure(4, 0x80000000u) == 8min);
  CHECK(wait_after_failure(100, 0xffffffffu) <= 72min);
}
