#include <doctest/doctest.h>

#include "dhcp/frame.h"
#include "netlab/dhcp_options.h"
#include "netlab/dhcp_packet.h"
#include "support/dhcp_corpus.h"

using namespace netlab;
using namespace netlab::dhcp;

namespace {
byte_vector with_options(std::string_view hex, std::string_view file = {}, std::string_view sname = {}) {
  byte_vector options, area, out(236);
  REQUIRE(from_hex(hex, options));
  out[0] = out[1] = 1;
  out[2] = 6;
  REQUIRE(from_hex(file, area));
  std::copy(area.begin(), area.end(), out.begin() + 108);
  REQUIRE(from_hex(sname, area));
  std::copy(area.begin(), area.end(), out.begin() + 44);
  for (auto b : {0x63, 0x82, 0x53, 0x63}) out.push_back(static_cast<std::uint8_t>(b));
  out.insert(out.end(), options.begin(), options.end());
  return out;
}

// Written and read again, every option is there with its value.
void check_nothing_is_lost(const packet& p) {
  auto again = decode(encode(p, 1472).value());
  REQUIRE(again.has_value());
  REQUIRE(again->options.size() == p.options.size());
  for (std::size_t i = 0; i < p.options.size(); ++i) {
    auto there = again->options.find(p.options.code_at(i));
    REQUIRE(there.has_value());
    CHECK(to_hex(*there) == to_hex(p.options.value_at(i)));
  }
}

void check_truncations(const byte_vector& whole) {
  auto full = decode(whole).value();
  std::size_t refused = 0;
  for (std::size_t n = 0; n < whole.size(); ++n) {
    // A copy of just that length, so that the sanitizer sees a read past its end.
    byte_vector cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    auto p = decode(cut);
    if (!p) {
      ++refused;
      CHECK(p.error().code == errc::protocol);
    } else {
      CHECK(p->options.size() <= full.options.size());
    }
    if (n < 236) CHECK_FALSE(p.has_value());
  }
  CHECK(refused > 236);
}
} // namespace

TEST_CASE("dhcp packet: what firmware and systems send is read") {
  for (const auto& e : dhcp_corpus) {
    CAPTURE(e.name);
    auto p = decode(corpus_packet(e));
    REQUIRE_MESSAGE(p.has_value(), p.error().message);
    CHECK(p->type() != message_type::none);
    CHECK(p->mac().to_string() == "02:00:00:00:00:09");
    CHECK(p->wants_broadcast() == (e.flags != 0));
    check_nothing_is_lost(*p);
  }
  auto captured = captured_packets();
  CHECK(captured.size() >= 16);
  for (const auto& e : captured) {
    CAPTURE(e.name);
    auto p = decode(e.bytes);
    REQUIRE_MESSAGE(p.has_value(), p.error().message);
    auto type = e.name.substr(e.name.rfind('_') + 1);
    if (type == "discover") CHECK(p->type() == message_type::discover);
    if (type == "request" || type == "renew") CHECK(p->type() == message_type::request);
    if (type == "offer") CHECK(p->type() == message_type::offer);
    if (type == "release") CHECK(p->type() == message_type::release);
    if (e.name.find("pxe") != std::string::npos) {
      CHECK(machine_uuid(*p).has_value());
      CHECK(architectures(*p).size() == 1);
    }
    check_nothing_is_lost(*p);
  }
}

TEST_CASE("dhcp packet: every truncation is an error or a shorter message, never more") {
  for (const auto& e : dhcp_corpus) {
    CAPTURE(e.name);
    check_truncations(corpus_packet(e));
  }
  for (const auto& e : captured_packets()) {
    CAPTURE(e.name);
    check_truncations(e.bytes);
  }
}

TEST_CASE("dhcp packet: false lengths and headers") {
  CHECK(decode(with_options("3501")).error().code == errc::protocol); // no value
  CHECK(decode(with_options("35")).error().code == errc::protocol);   // no length
  CHECK(decode(with_options("350101 0cff 6162")).error().code == errc::protocol);
  CHECK(decode(with_options("350101")).has_value());         // a missing END is forgiven
  CHECK(decode(with_options("350101 ff 0cff")).has_value()); // what follows END does not count
  auto bad = with_options("350101ff");
  bad[0] = 3;
  CHECK_FALSE(decode(bad).has_value());
  bad[0] = 1;
  bad[2] = 17;
  CHECK_FALSE(decode(bad).has_value());
  CHECK(decode(byte_vector(5000, 1)).error().code == errc::limit);
  auto bootp = with_options("");
  bootp[236] = 0;
  auto p = decode(bootp).value();
  CHECK_FALSE(p.cookie);
  CHECK(p.type() == message_type::none);
}

TEST_CASE("dhcp packet: overload lends file and sname once, in that order") {
  auto p = decode(with_options("350101 340103 0c0161 ff", "0c0162 340101 ff", "0c0163 ff")).value();
  CHECK(p.options.text(option::host_name) == "abc");
  CHECK(p.file.empty());
  CHECK(p.sname.empty());
  CHECK_FALSE(p.options.has(option::overload));
  // Without option 52 the field is a name.
  CHECK(decode(with_options("350101ff", "61622e6566690000")).value().file == "ab.efi");
  CHECK(decode(with_options("340104ff")).error().code == errc::protocol);
  CHECK(decode(with_options("340101ff", "0cf0")).error().code == errc::protocol); // runs past the field
  // A file field that lends nothing but has no NUL ends where it ends.
  std::string full;
  for (int i = 0; i < 128; ++i) full += "61";
  CHECK(decode(with_options("350101ff", full)).value().file.size() == 128);
}

TEST_CASE("dhcp packet: long options are split and joined (RFC 3396)") {
  packet p;
  p.options.set_u8(option::type, 2);
  byte_vector longest(700);
  for (std::size_t i = 0; i < longest.size(); ++i) longest[i] = static_cast<std::uint8_t>(i);
  p.options.set(option::vendor_specific, longest);
  p.options.set(option::client_id, {}); // empty values survive
  auto bytes = encode(p, 1472).value();
  auto back = decode(bytes).value();
  CHECK(to_hex(*back.options.find(option::vendor_specific)) == to_hex(longest));
  CHECK(back.options.find(option::client_id)->empty());
  // Pieces that are far apart, between other options.
  auto q = decode(with_options("350101 0c0161 3c0178 0c0162 3c0179 0c0163 ff")).value();
  CHECK(q.options.text(option::host_name) == "abc");
  CHECK(q.options.text(option::vendor_class) == "xy");
  CHECK(q.options.size() == 3);
}

TEST_CASE("dhcp packet: the reply is laid out for old firmware") {
  packet p;
  p.op = packet::reply_op;
  p.options.set(option::relay_agent, as_bytes("relay"));
  p.options.set_text(option::domain_name, "lab");
  p.options.set_u32(option::lease_time, 60);
  p.options.set_u32(option::server_id, 1);
  p.options.set_u8(option::type, 5);
  auto bytes = encode(p).value();
  CHECK(bytes.size() == min_message_size);
  CHECK(to_hex(byte_view(bytes).subspan(240, 9)) == "350105360400000001");
  CHECK(to_hex(byte_view(bytes).subspan(249, 6)) == "33040000003c");
  // Relay information is the last option, and no PAD lies between options.
  CHECK(to_hex(byte_view(bytes).subspan(255, 5)) == "0f036c6162");
  CHECK(to_hex(byte_view(bytes).subspan(260, 8)) == "520572656c6179ff");
}

TEST_CASE("dhcp packet: what does not fit goes to file and sname, then is dropped and counted") {
  packet p;
  p.op = packet::reply_op;
  p.options.set_u8(option::type, 5);
  for (int i = 0; i < 5; ++i)
    p.options.set(static_cast<std::uint8_t>(200 + i), byte_vector(55, static_cast<std::uint8_t>(i)));
  p.options.set(option::relay_agent, as_bytes("last"));
  byte_vector out(600);
  auto done = encode(p, out, default_message_size).value();
  CHECK(done.dropped == 0);
  auto tight = encode(p, out, 400).value(); // two there, two in file, one in sname
  CHECK(tight.size <= 400);
  CHECK(tight.dropped == 0);
  auto back = decode(byte_view(out).first(tight.size)).value();
  CHECK(back.options.size() == p.options.size());
  CHECK(back.options.text(option::relay_agent) == "last");
  // With a boot file the file field is taken.
  p.file = "ipxe.efi";
  auto tighter = encode(p, out, 400).value();
  CHECK(tighter.dropped == 2);
  back = decode(byte_view(out).first(tighter.size)).value();
  CHECK(back.file == "ipxe.efi");
  CHECK(back.options.text(option::relay_agent) == "last");
  CHECK(back.type() == message_type::ack);
  p.file = std::string(129, 'x');
  CHECK_FALSE(encode(p, out, 400).has_value());
}

TEST_CASE("dhcp options: user class in both forms") {
  CHECK(user_class_text(as_bytes("iPXE")) == "iPXE");
  CHECK(user_class_text(encode_user_class("iPXE")) == "iPXE");
  CHECK(user_class_text(as_bytes(std::string_view("\x04iPXE\x06netlab", 12))) == "iPXE,netlab");
  CHECK(user_class_text({}).empty());
}

TEST_CASE("dhcp options: routes and search domains both ways") {
  std::vector<static_route> routes{{cidr::parse("10.0.0.0/8").value(), ip_address::v4(192, 168, 1, 1)},
                                   {cidr::parse("0.0.0.0/0").value(), ip_address::v4(192, 168, 1, 2)},
                                   {cidr::parse("172.16.128.0/17").value(), ip_address::v4(192, 168, 1, 3)}};
  auto bytes = encode_routes(routes).value();
  CHECK(to_hex(bytes) == "080ac0a8010100c0a8010211ac1080c0a80103");
  CHECK(decode_routes(bytes).value() == routes);
  CHECK_FALSE(decode_routes(byte_view(bytes).first(5)).has_value());
  const std::uint8_t wide[] = {33, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  CHECK_FALSE(decode_routes(wide).has_value());

  // RFC 3397 §3's example.
  std::vector<std::string> names{"eng.apple.com", "marketing.apple.com"};
  auto search = encode_domains(names).value();
  CHECK(to_hex(search) == "03656e67056170706c6503636f6d00096d61726b6574696e67c004");
  CHECK(decode_domains(search).value() == names);
  for (std::size_t n = 1; n < search.size(); ++n) {
    auto cut = decode_domains(byte_view(search).first(n));
    if (cut) CHECK(cut->size() == 1);
  }
  const std::uint8_t loop[] = {1, 'a', 0xc0, 2}, forward[] = {0xc0, 5};
  CHECK_FALSE(decode_domains(loop).has_value());
  CHECK_FALSE(decode_domains(forward).has_value());
  CHECK_FALSE(encode_domains(std::vector<std::string>{"a..b"}).has_value());
  CHECK_FALSE(encode_domains(std::vector<std::string>{std::string(64, 'a')}).has_value());
}

TEST_CASE("dhcp options: who a machine is") {
  auto pi = decode(corpus_packet(dhcp_corpus[5])).value();
  CHECK(machine_serial(pi) == "40302010");
  CHECK(architectures(pi) == std::vector<std::uint16_t>{0});
  auto ovmf = decode(corpus_packet(dhcp_corpus[0])).value();
  CHECK(machine_uuid(ovmf).value().to_string() == "12345678-1234-5678-9abc-def012345678");
  packet p;
  p.options.set_text(option::vendor_class, "PXEClient:Arch:00011:UNDI:003000"); // no option 93
  CHECK(architectures(p) == std::vector<std::uint16_t>{11});
  p.options.set_text(option::vendor_class, "PXEClient:Arch:xyz");
  CHECK(architectures(p).empty());
  p.options.set(option::machine_id, byte_vector(17, 0));
  CHECK_FALSE(machine_uuid(p).has_value());
  byte_vector duid;
  REQUIRE(from_hex("ff00000001 0004 00112233445566778899aabbccddeeff", duid));
  p.options.set(option::client_id, duid);
  CHECK(machine_uuid(p).value().to_string() == "00112233-4455-6677-8899-aabbccddeeff");
}

TEST_CASE("dhcp options: relay information, encapsulated options, names") {
  byte_vector v;
  REQUIRE(from_hex("0103 657468 0504 0a010000 0b04 0a000005 13 00", v));
  auto relay = decode_relay(v).value();
  CHECK(as_text(relay.circuit_id) == "eth");
  CHECK(relay.link_selection == ip_address::v4(10, 1, 0, 0));
  CHECK(relay.server_override == ip_address::v4(10, 0, 0, 5));
  CHECK(relay.source_port);
  CHECK_FALSE(decode_relay(byte_view(v).first(4)).has_value());
  REQUIRE(from_hex("0503 0a0100", v));
  CHECK_FALSE(decode_relay(v).has_value());

  REQUIRE(from_hex("060103 00 0a0400505845 ff 99", v));
  auto inner = decode_encapsulated(v);
  CHECK(inner.complete);
  CHECK(inner.options.size() == 2);
  CHECK_FALSE(decode_encapsulated(byte_view(v).first(6)).complete);

  CHECK(decode_fqdn(encode_fqdn(5, "node-1.lab")).value().name == "node-1.lab");
  CHECK(decode_fqdn(encode_fqdn(1, "node-1")).value().name == "node-1");
  CHECK_FALSE(decode_fqdn(as_bytes("ab")).has_value());
  REQUIRE(from_hex("040000 0a6162", v));
  CHECK_FALSE(decode_fqdn(v).has_value());

  CHECK(clean_hostname("My_Laptop of Bob.local") == "my-laptop-of-bob");
  CHECK(clean_hostname("--x--") == "x");
  CHECK(clean_hostname("\x1b[31m") == "31m");
  CHECK(clean_hostname("...").empty());
  CHECK(clean_hostname(std::string(300, 'a')).size() == 63);
}

TEST_CASE("dhcp frame: IPv4/UDP and ARP") {
  auto payload = corpus_packet(dhcp_corpus[0]);
  endpoint from{ip_address::v4(10, 0, 0, 1), 67}, to{ip_address::v4(10, 0, 0, 100), 68};
  auto frame = make_udp_frame(from, to, payload);
  frame.resize(frame.size() + 7); // link padding
  auto back = parse_udp_frame(frame);
  REQUIRE(back.has_value());
  CHECK(back->from == from);
  CHECK(back->to == to);
  CHECK(to_hex(back->payload) == to_hex(payload));
  for (std::size_t n = 0; n + 7 < frame.size(); ++n)
    CHECK_FALSE(parse_udp_frame(byte_view(frame).first(n)).has_value());
  auto broken = frame;
  broken[12] ^= 1; // header checksum
  CHECK_FALSE(parse_udp_frame(broken).has_value());
  // RFC 1071: the words of a right checksum sum to all ones (pseudo-header included).
  std::uint32_t sum = 17 + static_cast<std::uint32_t>(payload.size() + 8);
  for (std::size_t i = 12; i < frame.size() - 7; i += 2)
    sum += frame[i] * 256u + (i + 1 < frame.size() - 7 ? frame[i + 1] : 0u);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  CHECK(sum == 0xffff);

  auto mac = mac_address::parse("02:00:00:00:00:09").value();
  auto probe = make_arp_probe(mac, to.address);
  auto arp = parse_arp(probe).value();
  CHECK_FALSE(arp.reply);
  CHECK(arp.sender_address.is_unspecified());
  CHECK(arp.target_address == to.address);
  CHECK(parse_arp(make_arp_reply(mac, to.address, mac, from.address)).value().sender_address == to.address);
  CHECK_FALSE(parse_arp(byte_view(probe).first(27)).has_value());
}
