// A DHCP server without a mind: two datagrams in, two out, no lease.
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>

#include <array>
#include <vector>

#include "dhcp_bytes.h"
#include "floor.h"

namespace bench {

namespace {

constexpr std::size_t batch = 64;
constexpr std::size_t reply_size = 300; // BOOTP's least (RFC 1542 §2.1)

// A reply with every option in place; only addresses, ids and the type differ from one to the next.
struct reply_template {
  std::array<std::uint8_t, reply_size> bytes{};
  std::size_t type = 0;

  explicit reply_template(const std::uint8_t* server) {
    bytes[dhcp::op] = 2;
    bytes[1] = 1;
    bytes[2] = 6;
    std::memcpy(&bytes[dhcp::cookie], dhcp::magic.data(), 4);
    std::size_t at = dhcp::options;
    auto put = [&](std::uint8_t code, const void* value, std::uint8_t size) {
      bytes[at] = code;
      bytes[at + 1] = size;
      std::memcpy(&bytes[at + 2], value, size);
      at += 2u + size;
    };
    const std::uint8_t offer = 2, half_a_day[]{0, 0, 0xa8, 0xc0}, renew[]{0, 0, 0x54, 0x60},
                       rebind[]{0, 0, 0x93, 0xa8}, mask[]{255, 0, 0, 0};
    type = at + 2;
    put(53, &offer, 1);
    put(54, server, 4);
    put(51, half_a_day, 4);
    put(58, renew, 4);
    put(59, rebind, 4);
    put(1, mask, 4);
    put(3, server, 4);
    put(6, server, 4);
    bytes[at] = 255;
  }
};

// Replies gathered for one sendmmsg call.
template<class Name, std::size_t Headroom>
struct outbox {
  std::array<std::array<std::uint8_t, Headroom + reply_size>, batch> bytes;
  std::array<Name, batch> names{};
  std::array<iovec, batch> vectors;
  std::array<mmsghdr, batch> messages{};
  std::size_t count = 0;

  outbox() {
    for (std::size_t i = 0; i < batch; ++i) {
      vectors[i] = {bytes[i].data(), bytes[i].size()};
      messages[i].msg_hdr = {&names[i], sizeof names[i], &vectors[i], 1, nullptr, 0, 0};
    }
  }
  void flush(int fd) {
    std::size_t done = 0;
    while (done < count) {
      int n = sendmmsg(fd, &messages[done], static_cast<unsigned>(count - done), 0);
      if (n <= 0) break; // a full queue: dropped, which the client counts
      done += static_cast<std::size_t>(n);
    }
    count = 0;
  }
};

} // namespace

void floor_dhcp(arguments options) {
  auto interface = options.text("interface", "eth0");
  auto address = options.text("address", "10.0.0.1");
  options.check();
  auto self = ipv4(address, 67);
  std::uint8_t server[4];
  std::memcpy(server, &self.sin_addr, 4);
  int fd = udp_socket("0.0.0.0", 67, interface);
  set_option(fd, SOL_SOCKET, SO_BROADCAST, 1);
  set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
  // A client without an address cannot answer ARP: its replies go out through a packet socket.
  int packets = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  auto index = if_nametoindex(interface.c_str());
  if (packets < 0 || index == 0) die_errno("a packet socket on " + interface);

  static std::array<std::array<std::uint8_t, 2048>, batch> buffers;
  static std::array<std::array<char, CMSG_SPACE(sizeof(in_pktinfo))>, batch> controls;
  static std::array<sockaddr_in, batch> names;
  std::array<iovec, batch> vectors;
  std::array<mmsghdr, batch> messages{};
  static outbox<sockaddr_in, 0> routed;
  static outbox<sockaddr_ll, dhcp::ip_udp_headers> direct;
  reply_template reply(server);
  std::uint32_t next = 0x0a400001; // 10.64.0.1
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    pollfd wait{fd, POLLIN, 0}; // an event loop waits before it reads
    if (poll(&wait, 1, -1) < 0) continue;
    for (std::size_t i = 0; i < batch; ++i) {
      vectors[i] = {buffers[i].data(), buffers[i].size()};
      messages[i].msg_hdr = {
          &names[i], sizeof names[i], &vectors[i], 1, controls[i].data(), controls[i].size(), 0};
    }
    int n = recvmmsg(fd, messages.data(), batch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < n; ++i) {
      std::span<const std::uint8_t> in(buffers[static_cast<std::size_t>(i)].data(),
                                       messages[static_cast<std::size_t>(i)].msg_len);
      auto type = dhcp::message_type(in);
      if (type != dhcp::discover && type != dhcp::request) continue;
      std::uint8_t yours[4];
      if (type == dhcp::discover) {
        auto value = htonl(next++);
        std::memcpy(yours, &value, 4);
      } else if (auto at = dhcp::find_option(in, 50, 4)) {
        std::memcpy(yours, &in[at], 4);
      } else {
        std::memcpy(yours, &in[dhcp::ciaddr], 4);
      }
      bool relayed = std::memcmp(&in[dhcp::giaddr], "\0\0\0\0", 4) != 0;
      bool broadcast = in[dhcp::flags] & 0x80;
      auto* out = relayed || broadcast ? routed.bytes[routed.count].data()
                                       : direct.bytes[direct.count].data() + dhcp::ip_udp_headers;
      std::memcpy(out, reply.bytes.data(), reply_size);
      std::memcpy(out + dhcp::xid, &in[dhcp::xid], 4);
      std::memcpy(out + dhcp::flags, &in[dhcp::flags], 2);
      std::memcpy(out + dhcp::yiaddr, yours, 4);
      std::memcpy(out + dhcp::giaddr, &in[dhcp::giaddr], 4);
      std::memcpy(out + dhcp::chaddr, &in[dhcp::chaddr], 16);
      out[reply.type] = type == dhcp::discover ? dhcp::offer : dhcp::ack;
      if (relayed || broadcast) {
        auto& to = routed.names[routed.count++];
        to.sin_family = AF_INET;
        to.sin_port = htons(relayed ? 67 : 68);
        if (relayed)
          std::memcpy(&to.sin_addr, &in[dhcp::giaddr], 4);
        else
          to.sin_addr.s_addr = INADDR_BROADCAST;
      } else {
        dhcp::put_headers(direct.bytes[direct.count].data(), server, yours, 67, 68, reply_size);
        auto& to = direct.names[direct.count++];
        to.sll_family = AF_PACKET;
        to.sll_protocol = htons(0x0800);
        to.sll_ifindex = static_cast<int>(index);
        to.sll_halen = 6;
        std::memcpy(to.sll_addr, &in[dhcp::chaddr], 6);
      }
    }
    routed.flush(fd);
    direct.flush(packets);
  }
}

} // namespace bench
