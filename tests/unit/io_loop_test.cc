#include <doctest/doctest.h>

#include <csignal>
#include <thread>

#include "netlab/event_loop.h"
#include "support/loop_runner.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace std::chrono_literals;
using test::run_until;

TEST_CASE("loop: timers, and a timer that drops itself") {
  event_loop loop;
  int runs = 0;
  timer tick;
  tick = loop.scheduler().every(1ms, [&] {
    if (++runs == 3) tick.cancel();
  });
  bool never = false;
  auto dropped = loop.scheduler().after(1ms, [&] { never = true; });
  dropped.cancel();
  bool last = false;
  auto end = loop.scheduler().after(20ms, [&] { last = true; });
  run_until(loop, [&] { return last; });
  CHECK(runs == 3);
  CHECK_FALSE(never);
}

TEST_CASE("loop: no wait ends before its time") {
  event_loop loop;
  const auto& clock = loop.clock();
  int waits = 0;
  int early = 0;
  timer wait;
  std::function<void()> next = [&] {
    auto due = clock.now() + 1500us;
    wait = loop.scheduler().after(1500us, [&, due] {
      early += clock.now() < due;
      if (++waits < 40) next();
    });
  };
  next();
  run_until(loop, [&] { return waits == 40; });
  CHECK(early == 0);
}

TEST_CASE("loop: posts of other threads arrive in order") {
  event_loop loop;
  std::vector<int> seen;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) loop.scheduler().post([&, i] { seen.push_back(i); });
    loop.scheduler().post([&] { loop.stop(); });
  });
  loop.run();
  other.join();
  REQUIRE(seen.size() == 1000);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
}

TEST_CASE("loop: a signal reaches the loop, and only while it is wanted") {
  event_loop loop;
  int got = 0;
  auto usr1 = loop.on_signal(SIGUSR1, [&] { ++got; });
  raise(SIGUSR1);
  run_until(loop, [&] { return got == 1; });
}

TEST_CASE("loop: both clocks move, random bytes differ") {
  event_loop loop;
  auto a = loop.clock().now();
  CHECK(loop.clock().now() >= a);
  CHECK(loop.clock().wall() > wall_time{std::chrono::sys_days{std::chrono::year{2020} / 1 / 1}});
  std::uint8_t x[600] = {}, y[600] = {};
  loop.random().fill(x);
  loop.random().fill(y);
  CHECK(std::memcmp(x, y, sizeof x) != 0);
}

TEST_CASE("udp: a batch arrives whole, with the address that it came to") {
  event_loop loop;
  auto server = loop.net().udp({.local = {ip_address{}, 0}}).value();
  auto client = loop.net().udp({.local = {ip_address::v4(127, 0, 0, 1), 0}}).value();
  std::vector<std::string> seen, answers;
  server->on_receive([&](std::span<const datagram> batch) {
    for (const auto& d : batch) {
      CHECK(d.local == ip_address::v4(127, 0, 0, 7));
      CHECK(d.interface != 0);
      seen.emplace_back(as_text(d.data));
      CHECK(server->send({d.peer, d.local, 0, d.data}).value() == 1);
    }
  });
  client->on_receive([&](std::span<const datagram> batch) {
    for (const auto& d : batch) {
      CHECK(d.peer.address == ip_address::v4(127, 0, 0, 7)); // answered from where it was asked
      answers.emplace_back(as_text(d.data));
    }
  });
  std::vector<std::string> texts;
  for (int i = 0; i < 100; ++i) texts.push_back("message " + std::to_string(i));
  std::vector<datagram> batch;
  for (const auto& t : texts)
    batch.push_back({{ip_address::v4(127, 0, 0, 7), server->local().port}, {}, 0, as_bytes(t)});
  CHECK(client->send(batch).value() == 100);
  run_until(loop, [&] { return answers.size() == 100; });
  CHECK(seen == texts);
  CHECK(answers == texts);
}

TEST_CASE("udp: one datagram without a route does not hold back the others") {
  event_loop loop;
  auto server = loop.net().udp({.local = {ip_address::v4(127, 0, 0, 1), 0}}).value();
  auto client = loop.net().udp({.local = {ip_address::v4(127, 0, 0, 1), 0}}).value();
  int got = 0;
  server->on_receive([&](std::span<const datagram> b) { got += static_cast<int>(b.size()); });
  std::string huge(70000, 'x');
  datagram batch[] = {{server->local(), {}, 0, as_bytes("a")},
                      {server->local(), {}, 0, as_bytes(huge)},
                      {server->local(), {}, 0, as_bytes("b")}};
  CHECK(client->send(batch).value() == 2);
  CHECK_FALSE(client->send(batch[1]).has_value());
  run_until(loop, [&] { return got == 2; });
}

TEST_CASE("udp: segments of one send arrive as datagrams") {
  event_loop loop;
  auto server =
      loop.net().udp({.local = {ip_address::v4(127, 0, 0, 1), 0}, .receive_buffer = 4 << 20}).value();
  auto client = loop.net().udp({.local = {ip_address::v4(127, 0, 0, 1), 0}}).value();
  std::string seen, sent;
  std::size_t datagrams = 0;
  server->on_receive([&](std::span<const datagram> b) {
    for (const auto& d : b) {
      seen += as_text(d.data);
      ++datagrams;
    }
  });
  for (int i = 0; i < 100 * 1000 + 77; ++i) sent += static_cast<char>('a' + i % 26);
  CHECK(client->send_segments(server->local(), {}, as_bytes(sent), 1000).value() == 101);
  run_until(loop, [&] { return seen.size() == sent.size(); });
  CHECK(seen == sent);
  CHECK(datagrams == 101);
}

TEST_CASE("udp: a taken endpoint and an absent address say so") {
  event_loop loop;
  auto first = loop.net().udp({.local = {ip_address::v4(127, 0, 0, 1), 0}}).value();
  auto second = loop.net().udp({.local = first->local()});
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code == errc::exists);
  auto absent = loop.net().udp({.local = {ip_address::v4(203, 0, 113, 1), 0}});
  REQUIRE_FALSE(absent.has_value());
  CHECK(absent.error().code == errc::unreachable);
}

TEST_CASE("net: this machine has a loopback interface, and changes can be watched") {
  event_loop loop;
  auto all = loop.net().interfaces().value();
  auto lo = std::find_if(all.begin(), all.end(), [](const auto& i) { return i.loopback; });
  REQUIRE(lo != all.end());
  CHECK(lo->index != 0);
  CHECK(lo->mtu >= 1280);
  CHECK(loop.net().watch_addresses([] {}).has_value());
  CHECK_FALSE(loop.net().packets("no-such-nic", 0x0806).has_value());
  CHECK_FALSE(loop.net().neighbour(ip_address::v4(203, 0, 113, 9)).has_value());
}

TEST_CASE("files: written whole or not at all") {
  event_loop loop;
  test::temporary_folder folder;
  auto& files = loop.files();
  CHECK(files.make_folders(folder / "a/b").has_value());
  CHECK(files.write(folder / "a/b/c", "hello", 0600).has_value());
  CHECK(files.read(folder / "a/b/c").value() == "hello");
  CHECK(files.read(folder / "a/b/c", 4).error().code == errc::limit);
  CHECK(files.read(folder / "a/b").error().code == errc::not_found);
  CHECK(files.read("/proc/self/stat").value().size() > 10); // a file that says it is empty
  CHECK(files.write(folder / "absent/c", "x").error().code == errc::not_found);
  CHECK(files.list(folder / "a/b").value().size() == 1); // no temporary file is left
  CHECK(files.info(folder / "a/b/c").value().size == 5);
  CHECK(files.remove(folder / "a/b/c").has_value());
  CHECK_FALSE(files.read(folder / "a/b/c").has_value());
  CHECK(files.make_folders(folder / "a/b/c").has_value());
}

TEST_CASE("files: a change is seen") {
  event_loop loop;
  test::temporary_folder folder;
  int changes = 0;
  auto watch = loop.files().watch(folder.path(), [&] { ++changes; }).value();
  CHECK(loop.files().write(folder / "x", "1").has_value());
  run_until(loop, [&] { return changes > 0; });
}

TEST_CASE("files: paths are joined in text and checked on disk") {
  CHECK(join_path("/srv/lab", "a/../b") == "/srv/lab/b");
  CHECK(join_path("/srv", "/etc/x") == "/etc/x");
  CHECK(join_path("/srv", "../../../x") == "/x");
  CHECK(join_path("lab", "../../x") == "../x");
  CHECK(folder_of("/srv/lab/a") == "/srv/lab");
  CHECK(folder_of("/a") == "/");
  CHECK(folder_of("a") == ".");
  test::temporary_folder folder;
  std::filesystem::create_directory(folder / "root");
  std::filesystem::create_symlink("/etc", folder / "root/out");
  CHECK(is_inside(folder / "root", folder / "root"));
  CHECK_FALSE(is_inside(folder / "root", folder / "root/out"));
  CHECK_FALSE(is_inside(folder / "root", folder / "root/absent"));
}

TEST_CASE("processes: output, input, exit codes, signals and limits") {
  event_loop loop;
  std::optional<process_result> done;
  auto run = [&](process_options o) {
    done.reset();
    auto child = loop.processes().spawn(o, [&](process_result r) { done = std::move(r); });
    REQUIRE(child.has_value());
    run_until(loop, [&] { return done.has_value(); });
  };
  run({.argv = {"cat"}, .input = "through the pipe"});
  CHECK(done->output == "through the pipe");
  CHECK(done->exit_code == 0);
  run({.argv = {"sh", "-c", "echo $WORD; echo bad >&2; exit 3"},
       .environment = {{"WORD", "netlab"}},
       .folder = {},
       .input = {}});
  CHECK(done->output == "netlab\n");
  CHECK(done->errors == "bad\n");
  CHECK(done->exit_code == 3);
  run({.argv = {"sh", "-c", "kill -TERM $$"}});
  CHECK(done->exit_code == 143);
  run({.argv = {"head", "-c", "100000", "/dev/zero"},
       .environment = {},
       .folder = {},
       .input = {},
       .output_limit = 1000});
  CHECK(done->output.size() == 1000);
  CHECK(done->dropped == 99000);
  auto missing = loop.processes().spawn({.argv = {"/no/such/program"}}, [](process_result) {});
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == errc::not_found);
}

TEST_CASE("processes: a dropped child is killed and heard no more") {
  event_loop loop;
  bool heard = false;
  {
    auto child =
        loop.processes().spawn({.argv = {"sleep", "1000"}}, [&](process_result) { heard = true; }).value();
    CHECK(child->pid() > 0);
  }
  std::optional<process_result> done;
  auto other = loop.processes().spawn({.argv = {"true"}}, [&](process_result r) { done = std::move(r); });
  run_until(loop, [&] { return done.has_value(); });
  CHECK_FALSE(heard);
}

TEST_CASE("loop: what came for a UDP socket's last owner is not the next one's") {
  event_loop loop;
  udp_options server_options;
  server_options.local = {ip_address::v4(127, 0, 0, 1), 0};
  auto server = loop.net().udp(server_options);
  REQUIRE(server);
  std::vector<endpoint> seen;
  (*server)->on_receive([&](std::span<const datagram> batch) {
    for (const auto& d : batch) seen.push_back(d.peer);
  });
  udp_options to_server;
  to_server.peer = (*server)->local();
  const std::uint8_t old_word[] = {1}, new_word[] = {2};
  std::vector<int> heard;
  auto listen = [&](udp_socket& s) {
    s.on_receive([&](std::span<const datagram> batch) {
      for (const auto& d : batch) heard.push_back(d.data[0]);
    });
  };
  for (int round = 0; round < 20; ++round) {
    seen.clear();
    heard.clear();
    auto first = loop.net().udp(to_server);
    REQUIRE(first);
    listen(**first);
    REQUIRE((*first)->send(datagram{{}, {}, 0, old_word}));
    run_until(loop, [&] { return seen.size() == 1; });
    CHECK(seen[0] == (*first)->local());
    REQUIRE((*server)->send(datagram{seen[0], {}, 0, old_word})); // lies in the socket when its owner goes
    first->reset();
    auto second = loop.net().udp(to_server);
    REQUIRE(second);
    listen(**second);
    REQUIRE((*second)->send(datagram{{}, {}, 0, new_word}));
    run_until(loop, [&] { return seen.size() == 2; });
    CHECK(seen[1] == (*second)->local());
    REQUIRE((*server)->send(datagram{seen[1], {}, 0, new_word}));
    run_until(loop, [&] { return !heard.empty(); });
    CHECK(heard == std::vector<int>{2});
    // One that does not listen is no reason for the loop to turn without end.
    auto deaf = loop.net().udp(to_server);
    REQUIRE(deaf);
    REQUIRE((*server)->send(datagram{(*deaf)->local(), {}, 0, old_word}));
  }
}

TEST_CASE("loop: a UDP socket hears on after nobody was there") {
  event_loop loop;
  udp_options o;
  o.local = {ip_address::v4(127, 0, 0, 1), 0};
  auto gone = loop.net().udp(o);
  REQUIRE(gone);
  auto where = (*gone)->local();
  gone->reset();
  const std::uint8_t word[] = {1};
  for (bool fixed_port : {false, true}) {
    udp_options to_it;
    if (fixed_port) to_it.local = {ip_address::v4(127, 0, 0, 1), 0};
    to_it.peer = where;
    auto client = loop.net().udp(to_it);
    REQUIRE(client);
    std::size_t heard = 0;
    (*client)->on_receive([&](std::span<const datagram> batch) { heard += batch.size(); });
    REQUIRE((*client)->send(datagram{{}, {}, 0, word})); // the kernel answers that the port is closed
    bool waited = false;
    auto wait = loop.scheduler().after(20ms, [&] { waited = true; });
    run_until(loop, [&] { return waited; });
    udp_options there;
    there.local = where;
    auto server = loop.net().udp(there);
    REQUIRE(server);
    REQUIRE((*server)->send(datagram{(*client)->local(), {}, 0, word}));
    run_until(loop, [&] { return heard == 1; });
    CHECK(heard == 1);
  }
}
