#include <doctest/doctest.h>

#include <deque>

#include "tftp/receiver.h"
#include "tftp/sender.h"

using namespace netlab;
using namespace netlab::tftp;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

std::shared_ptr<const std::string> sample(std::size_t size) {
  auto out = std::make_shared<std::string>(size, '\0');
  for (std::size_t i = 0; i < size; ++i) (*out)[i] = static_cast<char>((i * 2654435761u) >> 13);
  return out;
}

options wants(std::optional<std::uint32_t> blksize, std::optional<std::uint32_t> windowsize = {},
              bool tsize = false) {
  options out;
  out.blksize = blksize;
  out.windowsize = windowsize;
  if (tsize) out.tsize = 0;
  return out;
}

// A sender with a clock of its own, seen packet by packet.
struct bench {
  bench(std::size_t size, const options& wanted, send_limits limits = {})
      : text(sample(size)), engine(make_content(text), negotiate(wanted, limits, text->size()), now) {}

  // The block numbers of what the engine sends; -1 for an OACK, -2 for an ERROR.
  std::vector<int> blocks(sender::output out) {
    std::vector<int> seen;
    while (!out.bytes.empty()) {
      auto part = out.bytes.first(std::min(out.segment, out.bytes.size()));
      auto packet = decode(part);
      REQUIRE(packet);
      if (auto* data = std::get_if<data_block>(&*packet))
        seen.push_back(data->block);
      else
        seen.push_back(std::holds_alternative<oack>(*packet) ? -1 : -2);
      out.bytes = out.bytes.subspan(part.size());
    }
    return seen;
  }
  std::vector<int> start() { return blocks(engine.start(now)); }
  std::vector<int> give(const byte_vector& bytes) { return blocks(engine.on_packet(bytes, now)); }
  std::vector<int> ack_of(std::uint16_t block) { return give(encode(ack{block})); }
  std::vector<int> at_deadline() {
    now = engine.deadline();
    return blocks(engine.on_deadline(now));
  }

  boot_time now{};
  std::shared_ptr<const std::string> text;
  sender engine;
};

using seen = std::vector<int>;

} // namespace

TEST_CASE("tftp sender: no options, no OACK") {
  bench b(1000, {});
  CHECK(b.start() == seen{1});
  CHECK(b.ack_of(1) == seen{2});
  CHECK(b.ack_of(2).empty());
  CHECK(b.engine.finished());
  auto report = b.engine.report();
  CHECK(report.completed);
  CHECK(report.bytes == 1000);
  CHECK(report.size == 1000);
  CHECK(report.reason.empty());
}

TEST_CASE("tftp sender: sizes around a block, lockstep and windowed") {
  for (std::size_t size : {0, 1, 511, 512, 513, 1023, 1024, 1025, 512 * 16 - 1, 512 * 16, 512 * 16 + 1})
    for (std::uint32_t window : {1u, 2u, 7u, 16u, 64u}) {
      CAPTURE(size);
      CAPTURE(window);
      bench b(size, wants(512, window, true));
      CHECK(b.start() == seen{-1});
      std::string got;
      std::uint16_t next = 0;
      while (!b.engine.finished()) {
        auto out = b.engine.on_packet(encode(ack{next}), b.now);
        REQUIRE((b.engine.finished() || !out.bytes.empty()));
        while (!out.bytes.empty()) {
          auto part = out.bytes.first(std::min(out.segment, out.bytes.size()));
          auto packet = decode(part);
          REQUIRE(packet);
          const auto& data = std::get<data_block>(*packet);
          REQUIRE(data.block == static_cast<std::uint16_t>(next + 1));
          next = data.block;
          got += as_text(data.bytes);
          out.bytes = out.bytes.subspan(part.size());
        }
      }
      CHECK(next == size / 512 + 1);
      CHECK(got == *b.text);
      CHECK(b.engine.report().bytes == size);
    }
}

TEST_CASE("tftp sender: a repeated ACK causes nothing in lockstep (RFC 1123, Sorcerer's Apprentice)") {
  bench b(4000, {});
  CHECK(b.start() == seen{1});
  CHECK(b.ack_of(1) == seen{2});
  b.now += 900ms;
  CHECK(b.ack_of(1).empty());
  CHECK(b.ack_of(0).empty());
  CHECK(b.ack_of(3).empty()); // not sent yet
  CHECK(b.ack_of(2) == seen{3});
  CHECK(b.engine.ignored() == 3);
  CHECK(b.engine.retransmissions() == 0);
}

TEST_CASE("tftp sender: an ACK inside a window goes back to the block after it") {
  bench b(512 * 20, wants(512, 4));
  b.start();
  b.now += 1ms;
  CHECK(b.ack_of(0) == seen{1, 2, 3, 4});
  b.now += 1ms;
  CHECK(b.ack_of(2) == seen{3, 4, 5, 6});
  CHECK(b.engine.retransmissions() == 2);
  // The same ACK again at once is the client's complaint about block 4 of the old window: no new loss.
  CHECK(b.ack_of(2).empty());
  b.now += 1ms;
  CHECK(b.ack_of(6) == seen{7, 8, 9, 10});
}

TEST_CASE("tftp sender: a lost first block of a window is told by a repeated ACK, once") {
  bench b(512 * 20, wants(512, 4));
  b.start();
  b.now += 10ms;
  CHECK(b.ack_of(0) == seen{1, 2, 3, 4});
  b.now += 10ms;
  CHECK(b.ack_of(4) == seen{5, 6, 7, 8});
  b.now += 1ms; // sooner than any round trip: an echo
  CHECK(b.ack_of(4).empty());
  b.now += 9ms;
  CHECK(b.ack_of(4) == seen{5, 6, 7, 8});
  b.now += 10ms;
  CHECK(b.ack_of(4).empty()); // the second copy is under way already
  // The echo that this second copy causes when both arrived.
  CHECK(b.ack_of(8) == seen{9, 10, 11, 12});
  b.now += 10ms;
  CHECK(b.ack_of(8).empty());
}

TEST_CASE("tftp sender: silence is answered by retransmissions further and further apart, then given up") {
  send_limits limits;
  limits.retries = 4;
  bench b(4000, {}, limits);
  b.start();
  CHECK(b.ack_of(1) == seen{2});
  auto begin = b.now;
  std::vector<duration> waits;
  for (;;) {
    auto before = b.now;
    auto out = b.at_deadline();
    waits.push_back(b.now - before);
    if (b.engine.finished()) {
      CHECK(out == seen{-2});
      break;
    }
    CHECK(out == seen{2});
  }
  CHECK(waits == std::vector<duration>{1s, 2s, 4s, 8s, 8s});
  CHECK(b.engine.how() == sender::ending::timeout);
  auto report = b.engine.report();
  CHECK_FALSE(report.completed);
  CHECK(report.reason == "the client stopped answering");
  CHECK(report.elapsed == b.now - begin);
  CHECK(b.engine.retransmissions() == 4);
}

TEST_CASE("tftp sender: progress resets patience; the client's timeout option is kept to") {
  options wanted = wants(512, {}, false);
  wanted.timeout = 3;
  bench b(4000, wanted);
  CHECK(b.start() == seen{-1});
  CHECK(b.engine.deadline() == b.now + 3s);
  CHECK(b.at_deadline() == seen{-1});
  CHECK(b.engine.deadline() == b.now + 3s);
  CHECK(b.ack_of(0) == seen{1});
  for (int i = 0; i < 6; ++i) CHECK(b.at_deadline() == seen{1});
  CHECK(b.ack_of(1) == seen{2});
  for (int i = 0; i < 6; ++i) CHECK(b.at_deadline() == seen{2});
  CHECK(b.at_deadline() == seen{-2});
}

TEST_CASE("tftp sender: an early look at the deadline does nothing") {
  bench b(4000, {});
  b.start();
  b.now += 500ms;
  CHECK(b.blocks(b.engine.on_deadline(b.now)).empty());
}

TEST_CASE("tftp sender: a client that got everything but says nothing at the end") {
  bench b(10, {});
  b.start();
  while (!b.engine.finished()) b.at_deadline();
  CHECK_FALSE(b.engine.report().completed);
  CHECK(b.engine.report().bytes == 10);
  CHECK(b.engine.report().reason == "everything was sent, but the client never confirmed the end");
}

TEST_CASE("tftp sender: EDK2's size probe is no failure, another error 8 is") {
  bench probe(5000, wants(1468, {}, true));
  CHECK(probe.start() == seen{-1});
  CHECK(probe.give(encode_error(error_code::option_refused, "User aborted the transfer")).empty());
  CHECK(probe.engine.finished());
  CHECK(probe.engine.report().probe);
  CHECK(probe.engine.report().size == 5000);
  CHECK(probe.engine.report().bytes == 0);

  bench refused(5000, wants(1468, {}, true));
  refused.start();
  refused.give(encode_error(error_code::option_refused, "blksize mismatch"));
  CHECK_FALSE(refused.engine.report().probe);
  CHECK(refused.engine.report().reason == "the client ended it with error 8 \"blksize mismatch\"");

  bench later(5000, wants(1468, {}, true));
  later.start();
  later.ack_of(0);
  later.ack_of(1);
  later.give(encode_error(error_code::option_refused, "User aborted the transfer"));
  CHECK_FALSE(later.engine.report().probe);
  CHECK(later.engine.how() == sender::ending::client_error);

  bench unasked(5000, {});
  unasked.start();
  unasked.give(encode_error(error_code::disk_full, "\x1b[31mfull"));
  CHECK(unasked.engine.report().reason == "the client ended it with error 3 \"\\x1b[31mfull\"");
}

TEST_CASE("tftp sender: packets that mean nothing here change nothing") {
  bench b(4000, wants(512, 2));
  b.start();
  CHECK(b.ack_of(1).empty()); // before ACK 0
  CHECK(b.give({}).empty());
  CHECK(b.give({0}).empty());
  CHECK(b.give({0, 4, 0}).empty());
  CHECK(b.give({0, 4, 0, 0, 0}).empty());
  CHECK(b.give(encode(request{false, "x", transfer_mode::octet, {}})).empty());
  CHECK(b.ack_of(0) == seen{1, 2});
  CHECK(b.ack_of(9).empty());
  CHECK(b.ack_of(65535).empty());
  CHECK(b.ack_of(2) == seen{3, 4});
  CHECK(b.engine.ignored() == 8);
}

TEST_CASE("tftp sender: the request again before any answer repeats the first packet, later it does not") {
  bench b(4000, wants(512));
  b.start();
  CHECK(b.blocks(b.engine.on_repeated_request(b.now)) == seen{-1});
  CHECK(b.ack_of(0) == seen{1});
  CHECK(b.ack_of(0).empty()); // the echo of the second OACK
  CHECK(b.blocks(b.engine.on_repeated_request(b.now)).empty());
}

TEST_CASE("tftp sender: block numbers go round after 65535, with and without windows") {
  for (std::uint32_t window : {1u, 48u}) {
    CAPTURE(window);
    bench b(8 * 140000 + 3, wants(8, window));
    b.start();
    std::uint64_t blocks = 0, bytes = 0;
    auto out = b.engine.on_packet(encode(ack{0}), b.now);
    while (!b.engine.finished()) {
      std::uint16_t last = 0;
      bool right = true;
      while (!out.bytes.empty()) {
        auto part = out.bytes.first(std::min(out.segment, out.bytes.size()));
        ++blocks;
        last = static_cast<std::uint16_t>(part[2] << 8 | part[3]);
        right = right && last == static_cast<std::uint16_t>(blocks) &&
                std::memcmp(part.data() + 4, b.text->data() + bytes, part.size() - 4) == 0;
        bytes += part.size() - 4;
        out.bytes = out.bytes.subspan(part.size());
      }
      REQUIRE(right);
      out = b.engine.on_packet(encode(ack{last}), b.now);
    }
    CHECK(blocks == 140001);
    CHECK(bytes == b.text->size());
  }
}

TEST_CASE("tftp sender: netascii is converted the same however it is cut and repeated") {
  auto text = std::make_shared<std::string>();
  for (int i = 0; i < 9000; ++i) text->push_back(i % 7 == 0 ? '\n' : i % 11 == 0 ? '\r' : 'x');
  std::string wire;
  for (char c : *text) {
    if (c == '\n') wire.push_back('\r');
    wire.push_back(c);
    if (c == '\r') wire.push_back('\0');
  }
  for (std::uint32_t blksize : {8u, 9u, 512u, 1428u, 60000u}) {
    CAPTURE(blksize);
    auto terms = negotiate(wants(blksize, 3, true), {}, std::nullopt);
    CHECK_FALSE(terms.reply.tsize);
    boot_time now{};
    sender engine(make_netascii(make_content(std::shared_ptr<const std::string>(text))), terms, now);
    engine.start(now);
    std::string got;
    std::uint16_t acked = 0;
    int turn = 0;
    auto out = engine.on_packet(encode(ack{0}), now);
    while (!engine.finished()) {
      // Every third window only its first block is taken: the rest must come again unchanged.
      auto take = ++turn % 3 == 0 ? std::min(out.segment, out.bytes.size()) : out.bytes.size();
      for (auto rest = out.bytes.first(take); !rest.empty();) {
        auto part = rest.first(std::min(out.segment, rest.size()));
        got += as_text(part.subspan(4));
        ++acked;
        rest = rest.subspan(part.size());
      }
      out = engine.on_packet(encode(ack{acked}), now);
    }
    CHECK(got == wire);
    CHECK(engine.report().completed);
    CHECK(engine.report().bytes == wire.size());
    CHECK(engine.report().size == wire.size());
  }
}

TEST_CASE("tftp sender: content that fails ends the transfer with an error to the client") {
  struct broken final : content {
    std::optional<std::uint64_t> size() const override { return 5000; }
    result<std::size_t> read(std::uint64_t, const block_layout&) override {
      return fail(errc::io, "the disk is gone");
    }
  };
  boot_time now{};
  sender engine(std::make_unique<broken>(), negotiate({}, {}, 5000), now);
  auto out = engine.start(now);
  CHECK(engine.finished());
  CHECK(engine.how() == sender::ending::local_error);
  CHECK(engine.report().reason == "the disk is gone");
  CHECK(as_text(out.bytes) == "\0\5\0\0the disk is gone\0"s);
}

namespace {

struct fetch {
  explicit fetch(get_options what) : engine(what, now) {}
  std::string give(const byte_vector& bytes, const endpoint& from) {
    auto out = engine.on_packet(from, bytes, now);
    got += as_text(out.data);
    last_to = out.to;
    return to_hex(out.send);
  }
  boot_time now{};
  receiver engine;
  std::string got;
  endpoint last_to;
};

const endpoint server69{ip_address::v4(10, 0, 0, 1), 69};
const endpoint server_tid{ip_address::v4(10, 0, 0, 1), 5000};

get_options plain() {
  get_options out;
  out.server = server69;
  out.file = "file";
  out.blksize.reset();
  out.tsize = false;
  return out;
}

byte_vector data(std::uint16_t block, std::string_view text) {
  byte_vector out(4);
  write_data_header(out.data(), block);
  out.insert(out.end(), text.begin(), text.end());
  return out;
}

} // namespace

TEST_CASE("tftp receiver: only the first port that answered is listened to") {
  fetch f(plain());
  f.engine.start(f.now);
  std::string block(512, 'a');
  CHECK(f.give(data(1, block), {ip_address::v4(10, 0, 0, 9), 69}).starts_with("00050005"));
  CHECK(f.give(data(1, block), server_tid) == "00040001");
  CHECK(f.give(data(2, "evil"), {server_tid.address, 5001}).starts_with("00050005"));
  CHECK(f.last_to.port == 5001);
  CHECK(f.give(encode_error(error_code::undefined, "evil"), {server_tid.address, 5001}).empty());
  CHECK(f.give(data(2, "end"), server_tid) == "00040002");
  CHECK(f.engine.finished());
  CHECK_FALSE(f.engine.failure());
  CHECK(f.got == block + "end");
  CHECK(f.engine.result().strangers == 3);
  // Our last ACK was lost.
  CHECK(f.give(data(2, "end"), server_tid) == "00040002");
  CHECK(f.give(data(1, block), server_tid).empty());
  CHECK(f.got == block + "end");
}

TEST_CASE("tftp receiver: a hole in a window is told once, duplicates are not delivered twice") {
  auto what = plain();
  what.blksize = 8;
  what.windowsize = 4;
  fetch f(what);
  f.engine.start(f.now);
  options granted;
  granted.blksize = 8;
  granted.windowsize = 4;
  CHECK(f.give(encode(oack{granted}), server_tid) == "00040000");
  CHECK(f.give(encode(oack{granted}), server_tid) == "00040000");
  CHECK(f.give(data(1, "11111111"), server_tid).empty());
  CHECK(f.give(data(3, "33333333"), server_tid) == "00040001");
  CHECK(f.give(data(4, "44444444"), server_tid).empty());
  CHECK(f.give(data(2, "22222222"), server_tid).empty());
  CHECK(f.give(data(2, "22222222"), server_tid).empty());
  CHECK(f.give(data(3, "33333333"), server_tid).empty());
  CHECK(f.give(data(4, "44444444"), server_tid).empty());
  CHECK(f.give(data(5, "55555555"), server_tid) == "00040005");
  CHECK(f.give(data(5, "55555555"), server_tid) == "00040005");
  CHECK(f.give(data(6, ""), server_tid) == "00040006");
  CHECK(f.got == "1111111122222222333333334444444455555555");
  CHECK(f.engine.result().gaps == 1);
  CHECK(f.engine.result().duplicates == 2);
}

TEST_CASE("tftp receiver: hostile servers get an error and cannot make it grow") {
  options granted;
  auto refused = [&](const options& answer) {
    auto what = plain();
    what.blksize = 1428;
    fetch f(what);
    f.engine.start(f.now);
    auto sent = f.give(encode(oack{answer}), server_tid);
    CHECK(sent.starts_with("00050008"));
    REQUIRE(f.engine.failure());
    CHECK(f.engine.failure()->code == errc::protocol);
  };
  granted.blksize = 1429;
  refused(granted);
  granted.blksize = 7;
  refused(granted);
  granted.blksize = 1428;
  granted.windowsize = 2;
  refused(granted);
  granted.windowsize.reset();
  granted.tsize = 5;
  refused(granted);

  auto limited = plain();
  limited.max_size = 600;
  fetch big(limited);
  big.engine.start(big.now);
  big.give(data(1, std::string(512, 'x')), server_tid);
  CHECK(big.give(data(2, std::string(512, 'x')), server_tid).starts_with("00050003"));
  CHECK(big.engine.failure()->code == errc::limit);
  CHECK(big.got.size() == 512);

  limited.tsize = true;
  fetch told(limited);
  told.engine.start(told.now);
  options size;
  size.tsize = 601;
  CHECK(told.give(encode(oack{size}), server_tid).starts_with("00050003"));
  CHECK(told.engine.failure()->code == errc::limit);

  fetch fat(plain());
  fat.engine.start(fat.now);
  CHECK(fat.give(data(1, std::string(513, 'x')), server_tid).starts_with("00050004"));
  CHECK(fat.engine.failure()->code == errc::protocol);
  CHECK(fat.got.empty());

  fetch strange(plain());
  strange.engine.start(strange.now);
  CHECK(strange.give({0, 9, 1}, server_tid).starts_with("00050004"));
  CHECK(strange.engine.failure()->code == errc::protocol);
}

TEST_CASE("tftp receiver: the server's errors become words") {
  for (auto [code, word] : {std::pair{error_code::file_not_found, errc::not_found},
                            std::pair{error_code::access_violation, errc::denied},
                            std::pair{error_code::undefined, errc::refused}}) {
    fetch f(plain());
    f.engine.start(f.now);
    CHECK(f.give(encode_error(code, "no\x07"), server_tid).empty());
    REQUIRE(f.engine.failure());
    CHECK(f.engine.failure()->code == word);
    CHECK(f.engine.failure()->message.find("no\\x07") != std::string::npos);
  }
}

TEST_CASE("tftp receiver: asks again, then gives up with what it knows") {
  auto what = plain();
  what.retries = 2;
  fetch f(what);
  auto first = to_hex(f.engine.start(f.now).send);
  for (auto wait : {1s, 2s}) {
    CHECK(f.engine.deadline() == f.now + wait);
    f.now = f.engine.deadline();
    CHECK(to_hex(f.engine.on_deadline(f.now).send) == first);
  }
  f.now = f.engine.deadline();
  CHECK(f.engine.on_deadline(f.now).send.empty());
  REQUIRE(f.engine.failure());
  CHECK(f.engine.failure()->code == errc::timeout);
  CHECK(f.engine.failure()->message.find("10.0.0.1:69 does not answer") == 0);
}
