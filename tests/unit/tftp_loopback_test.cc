#include <doctest/doctest.h>

#include <fstream>

#include "netlab/event_loop.h"
#include "netlab/tftp_client.h"
#include "netlab/tftp_server.h"
#include "support/fake_world.h"
#include "support/loop_runner.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::tftp;
using test::run_until;

namespace {

std::string sample(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>((i * 2654435761u) >> 11);
  return out;
}

// A server on real sockets with a folder of its own.
struct real_lab {
  explicit real_lab(std::string_view address = "127.0.0.1", bool single_port = false)
      : run{loop.clock(), loop.scheduler(), loop.random(), loop.net(),
            loop.files(), loop.processes(), http,          log(logged, loop.clock()),
            counters} {
    server_config config;
    config.listen = {{*ip_address::parse(address), 0}};
    config.root = folder.path();
    config.single_port = single_port;
    config.on_access = [this](const access_record& a) { accesses.push_back(a); };
    served = std::make_unique<server>(run, config);
    auto started = served->start();
    REQUIRE_MESSAGE(started, started.error().message);
  }

  void write(const std::string& name, const std::string& text) { std::ofstream(folder / name) << text; }

  result<get_result> get(get_options what, std::string& got) {
    what.server = served->local().at(0);
    std::optional<result<get_result>> done;
    get_callbacks callbacks;
    callbacks.on_data = [&](byte_view data) { got += as_text(data); };
    callbacks.on_done = [&](result<get_result> how) { done = std::move(how); };
    auto transfer = tftp::get(run, what, std::move(callbacks));
    REQUIRE(transfer);
    run_until(loop, [&] { return done && served->transfers() == 0; });
    return done.value_or(fail(errc::timeout, "no end"));
  }

  process_result run_process(std::vector<std::string> argv) {
    std::optional<process_result> ended;
    process_options o;
    o.argv = std::move(argv);
    auto child = loop.processes().spawn(o, [&](process_result how) { ended = std::move(how); });
    REQUIRE(child);
    run_until(loop, [&] { return ended.has_value(); });
    return ended.value_or(process_result{.exit_code = -1});
  }

  std::string url(const std::string& name) const {
    return "tftp://" + served->local().at(0).to_string() + "/" + name;
  }

  event_loop loop;
  test::temporary_folder folder;
  test::no_http http;
  test::kept_log logged;
  metrics counters;
  runtime run;
  std::vector<access_record> accesses;
  std::unique_ptr<server> served;
};

bool in_path(const std::string& program) {
  auto* path = std::getenv("PATH");
  std::string all = path ? path : "";
  for (std::size_t at = 0; at <= all.size();) {
    auto end = std::min(all.find(':', at), all.size());
    if (std::filesystem::exists(all.substr(at, end - at) + "/" + program)) return true;
    at = end + 1;
  }
  return false;
}

} // namespace

TEST_CASE("tftp on real sockets: lockstep and windows, small and large blocks, both families") {
  for (auto address : {"127.0.0.1", "::1"}) {
    CAPTURE(address);
    real_lab l(address);
    auto big = sample(3000000);
    l.write("big", big);
    l.write("empty", "");
    for (auto [blksize, windowsize] : {std::pair{1428u, 1u}, std::pair{1428u, 16u}, std::pair{512u, 64u},
                                       std::pair{65464u, 1u}, std::pair{8192u, 4u}}) {
      CAPTURE(blksize);
      CAPTURE(windowsize);
      get_options what;
      what.file = "big";
      what.blksize = blksize;
      what.windowsize = windowsize;
      std::string got;
      auto how = l.get(what, got);
      REQUIRE_MESSAGE(how, how.error().message);
      CHECK((got == big));
      CHECK(how->blksize == blksize);
      CHECK(how->windowsize == windowsize);
      CHECK(l.accesses.back().report.completed);
    }
    get_options nothing;
    nothing.file = "empty";
    std::string got;
    REQUIRE(l.get(nothing, got));
    CHECK(got.empty());
    nothing.file = "absent";
    CHECK(l.get(nothing, got).error().code == errc::not_found);
  }
}

TEST_CASE("tftp on real sockets: single-port mode, and the answer comes from the address that was asked") {
  real_lab l("0.0.0.0", true);
  auto big = sample(300000);
  l.write("big", big);
  for (auto address : {"127.0.0.1", "127.0.0.2"}) {
    get_options what;
    what.file = "big";
    what.windowsize = 16;
    what.server = {*ip_address::parse(address), l.served->local().at(0).port};
    std::optional<result<get_result>> done;
    std::string got;
    get_callbacks callbacks;
    callbacks.on_data = [&](byte_view data) { got += as_text(data); };
    callbacks.on_done = [&](result<get_result> how) { done = std::move(how); };
    auto transfer = tftp::get(l.run, what, std::move(callbacks));
    REQUIRE(transfer);
    run_until(l.loop, [&] { return done.has_value(); });
    REQUIRE(done);
    REQUIRE(*done);
    CHECK((got == big));
    CHECK((*done)->server == what.server);
  }
}

TEST_CASE("tftp on real sockets: curl fetches files, and sees what is missing") {
  if (!in_path("curl")) {
    MESSAGE("skipped: curl is not installed");
    return;
  }
  real_lab l;
  auto big = sample(1000003);
  l.write("big", big);
  for (std::string blksize : {"512", "1428", "8192"}) {
    CAPTURE(blksize);
    auto how = l.run_process(
        {"curl", "-sS", "--max-time", "8", "--tftp-blksize", blksize, l.url("big"), "-o", l.folder / "out"});
    CHECK_MESSAGE(how.exit_code == 0, how.errors);
    std::ifstream file(l.folder / "out");
    CHECK((std::string(std::istreambuf_iterator<char>(file), {}) == big));
  }
  auto bare = l.run_process(
      {"curl", "-sS", "--max-time", "8", "--tftp-no-options", l.url("big"), "-o", l.folder / "out"});
  CHECK_MESSAGE(bare.exit_code == 0, bare.errors);
  auto absent = l.run_process({"curl", "-sS", "--max-time", "8", l.url("absent")});
  CHECK(absent.exit_code == 68); // CURLE_TFTP_NOTFOUND
  auto upload = l.run_process({"curl", "-sS", "--max-time", "8", "-T", l.folder / "big", l.url("new")});
  CHECK(upload.exit_code == 69); // CURLE_TFTP_PERM
  CHECK_FALSE(std::filesystem::exists(l.folder / "new"));
}

TEST_CASE("tftp on real sockets: tftp-hpa fetches a file") {
  if (!in_path("tftp")) {
    MESSAGE("skipped: tftp-hpa is not installed");
    return;
  }
  real_lab l;
  auto text = sample(70000);
  l.write("file", text);
  auto port = std::to_string(l.served->local().at(0).port);
  auto how =
      l.run_process({"tftp", "-m", "binary", "127.0.0.1", port, "-c", "get", "file", l.folder / "out"});
  CHECK_MESSAGE(how.exit_code == 0, how.errors);
  std::ifstream file(l.folder / "out");
  CHECK((std::string(std::istreambuf_iterator<char>(file), {}) == text));
}
