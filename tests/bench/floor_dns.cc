// A DNS server without a mind. Without an upstream, each query comes back as its answer; with one, each goes
// there and what the upstream says comes back, one socket for all of them and no cache.
#include <netinet/in.h>
#include <poll.h>

#include <array>
#include <vector>

#include "floor.h"

namespace bench {

namespace {

constexpr std::size_t dns_batch = 64;

struct dns_slots {
  std::array<std::array<unsigned char, 2048>, dns_batch> buffers;
  std::array<sockaddr_in, dns_batch> names;
  std::array<iovec, dns_batch> vectors;
  std::array<mmsghdr, dns_batch> messages;

  std::size_t receive(int fd) {
    for (std::size_t i = 0; i < dns_batch; ++i) {
      vectors[i] = {buffers[i].data(), buffers[i].size()};
      messages[i] = {};
      messages[i].msg_hdr = {&names[i], sizeof names[i], &vectors[i], 1, nullptr, 0, 0};
    }
    int n = recvmmsg(fd, messages.data(), dns_batch, MSG_DONTWAIT, nullptr);
    if (n <= 0) return 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) vectors[i].iov_len = messages[i].msg_len;
    return static_cast<std::size_t>(n);
  }
  void send(int fd, std::size_t count) {
    for (std::size_t done = 0; done < count;) {
      int n = sendmmsg(fd, &messages[done], static_cast<unsigned>(count - done), 0);
      if (n <= 0) return; // a full queue: dropped, which the client counts
      done += static_cast<std::size_t>(n);
    }
  }
};

} // namespace

void floor_dns(arguments options) {
  auto address = options.text("address", "127.0.0.1");
  auto upstream = options.text("upstream", "");
  options.check();
  int fd = udp_socket(address, 53);
  int out = -1;
  if (!upstream.empty()) {
    out = udp_socket("0.0.0.0", 0);
    auto name = ipv4(upstream, 53);
    if (connect(out, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) die_errno("connect " + upstream);
  }
  static dns_slots slots;
  // Who asked, and under which id, by the id that went upstream.
  struct asker {
    sockaddr_in name;
    unsigned char id[2];
  };
  static std::vector<asker> askers(65536);
  std::uint16_t next = 0;
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    pollfd wait[] = {{fd, POLLIN, 0}, {out, POLLIN, 0}}; // an event loop waits before it reads
    if (poll(wait, out < 0 ? 1 : 2, -1) < 0) continue;
    if (wait[0].revents) {
      auto n = slots.receive(fd);
      for (std::size_t i = 0; i < n; ++i) {
        auto* bytes = slots.buffers[i].data();
        if (out < 0) {
          bytes[2] |= 0x80;
          continue;
        }
        auto& who = askers[next];
        who.name = slots.names[i];
        std::memcpy(who.id, bytes, 2);
        bytes[0] = static_cast<unsigned char>(next >> 8);
        bytes[1] = static_cast<unsigned char>(next++);
        slots.messages[i].msg_hdr.msg_name = nullptr;
        slots.messages[i].msg_hdr.msg_namelen = 0;
      }
      slots.send(out < 0 ? fd : out, n);
    }
    if (out < 0 || !wait[1].revents) continue;
    auto n = slots.receive(out);
    for (std::size_t i = 0; i < n; ++i) {
      auto* bytes = slots.buffers[i].data();
      const auto& who = askers[static_cast<std::size_t>(bytes[0] << 8 | bytes[1])];
      slots.names[i] = who.name;
      std::memcpy(bytes, who.id, 2);
    }
    slots.send(fd, n);
  }
}

} // namespace bench
