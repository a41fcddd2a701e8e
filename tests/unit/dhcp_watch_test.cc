#include <doctest/doctest.h>

#include "netlab/dhcp_watch.h"

using namespace netlab;
using namespace netlab::dhcp;
using namespace std::chrono_literals;

namespace {

received_offer offer(const char* server, const char* address, const char* file = "") {
  received_offer out;
  out.server = ip_address::parse(server).value();
  out.address = ip_address::parse(address).value();
  out.file = file;
  return out;
}

network_verdict judged(const std::vector<received_offer>& offers, bool boots = true) {
  return judge(offers, boots);
}

} // namespace

TEST_CASE("dhcp watch: offers tell what a network lacks") {
  auto v = judged({});
  CHECK(v.need == network_need::server);
  CHECK(v.text == "no DHCP server gives addresses");
  v = judged({offer("10.0.0.254", "10.0.0.7")});
  CHECK(v.need == network_need::proxy);
  CHECK(v.text == "10.0.0.254 gives addresses; nobody tells what to boot");
  CHECK(judged({offer("10.0.0.254", "10.0.0.7")}, false).text == "10.0.0.254 gives addresses");
  v = judged({offer("10.0.0.254", "10.0.0.7", "undionly.kpxe")});
  CHECK(v.need == network_need::nothing);
  CHECK(v.tells_boot == v.gives_addresses);
  CHECK(v.text == "10.0.0.254 gives addresses; 10.0.0.254 tells what to boot (undionly.kpxe)");
  v = judged({offer("10.0.0.5", "0.0.0.0"), offer("10.0.0.254", "10.0.0.7")});
  CHECK(v.need == network_need::nothing);
  CHECK(v.text == "10.0.0.254 gives addresses; 10.0.0.5 (proxyDHCP) tells what to boot");
  v = judged({offer("10.0.0.5", "0.0.0.0", "a.efi")});
  CHECK(v.need == network_need::server);
  CHECK(v.text == "no DHCP server gives addresses; 10.0.0.5 (proxyDHCP) tells what to boot (a.efi)");
}

TEST_CASE(
    "dhcp watch: addresses are given only where nobody else gives them, and not after one silent look") {
  auto silence = judged({}), router = judged({offer("10.0.0.254", "10.0.0.7")});
  mode_choice alone;
  CHECK(alone.mode() == dhcp::service::proxy); // before the first look
  CHECK(alone.saw(silence));
  CHECK(alone.mode() == dhcp::service::full);
  CHECK_FALSE(alone.saw(silence));
  CHECK(alone.saw(router)); // one appears: step back at once
  CHECK(alone.mode() == dhcp::service::proxy);
  CHECK_FALSE(alone.saw(silence)); // it restarts, perhaps
  CHECK_FALSE(alone.saw(silence));
  CHECK_FALSE(alone.saw(router));
  CHECK_FALSE(alone.saw(silence));
  CHECK_FALSE(alone.saw(silence));
  CHECK(alone.saw(silence));
  CHECK(alone.mode() == dhcp::service::full);
  mode_choice beside;
  CHECK(beside.saw(router)); // the first look is told whatever it shows
  CHECK(beside.mode() == dhcp::service::proxy);
}

TEST_CASE("dhcp client: a look collects every offer, takes none, and silence is no failure") {
  client_options o;
  o.mac = {{2, 0, 0, 0, 0, 9}};
  o.look = true;
  o.collect = 2s;
  o.deadline = 6s;
  std::vector<client_output> out;
  boot_time now{};
  client_engine silent(o, 7);
  silent.start(now, out);
  for (int guard = 0; guard < 100 && !silent.done(); ++guard) {
    now = silent.next_deadline();
    silent.advance(now, out);
  }
  CHECK(silent.done());
  CHECK(now == boot_time{} + 6s);
  CHECK_FALSE(silent.report().failure.has_value());
  CHECK(out.size() == 3); // asked at 0, 1 and 3 s
  client_engine heard(o, 7);
  out.clear();
  now = boot_time{};
  heard.start(now, out);
  packet p;
  p.op = packet::reply_op;
  p.xid = 7;
  p.set_mac(o.mac);
  p.yiaddr = ip_address::v4(10, 0, 0, 7);
  p.options.set_u8(option::type, static_cast<std::uint8_t>(message_type::offer));
  p.options.set_address(option::server_id, ip_address::v4(10, 0, 0, 254));
  heard.receive(encode(p).value(), now, out);
  p.options.set_address(option::server_id, ip_address::v4(10, 0, 0, 253));
  heard.receive(encode(p).value(), now, out);
  for (int guard = 0; guard < 100 && !heard.done(); ++guard) {
    now = heard.next_deadline();
    heard.advance(now, out);
  }
  CHECK(now == boot_time{} + 2s);
  CHECK(heard.report().offers.size() == 2);
  CHECK_FALSE(heard.report().lease.has_value());
  for (const auto& sent : out) CHECK(decode(sent.message)->type() == message_type::discover);
}
