#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "sockets.h"

namespace netlab::io {

namespace {

class uv_packets final : public packet_socket {
public:
  uv_packets(loop& owner, descriptor fd, int interface, std::uint16_t protocol)
      : loop_(owner), fd_(std::move(fd)), interface_(interface), protocol_(protocol),
        poller_(owner, fd_.get(), [this](bool, bool) { receive(); }) {}
  ~uv_packets() override { *alive_ = false; }

  void on_receive(std::function<void(const frame&)> fn) override {
    receive_fn_ = std::move(fn);
    if (receive_fn_ && !std::exchange(bound_, true)) {
      auto here = name(protocol_);
      // It was bound to the interface without a protocol already, so that this can hardly fail; then
      // nothing is received, as on a link that is down.
      (void)bind(fd_.get(), reinterpret_cast<sockaddr*>(&here), sizeof here);
    }
    poller_.want(receive_fn_ != nullptr, false);
  }

  std::size_t send_all(std::span<const outgoing> batch) override {
    constexpr std::size_t most = 64;
    std::array<mmsghdr, most> messages;
    std::array<iovec, most> vectors;
    std::array<sockaddr_ll, most> names;
    std::size_t sent = 0;
    while (sent < batch.size()) {
      auto part = batch.subspan(sent, std::min(most, batch.size() - sent));
      for (std::size_t i = 0; i < part.size(); ++i) {
        names[i] = name(protocol_, &part[i].to);
        vectors[i] = {const_cast<std::uint8_t*>(part[i].payload.data()), part[i].payload.size()};
        messages[i].msg_hdr = {&names[i], sizeof names[i], &vectors[i], 1, nullptr, 0, 0};
      }
      int n = sendmmsg(fd_.get(), messages.data(), static_cast<unsigned>(part.size()),
                       MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    return sent;
  }

  result<void> send(const mac_address& to, byte_view payload) override {
    auto name = this->name(protocol_, &to);
    auto n = sendto(fd_.get(), payload.data(), payload.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                    reinterpret_cast<sockaddr*>(&name), sizeof name);
    if (n < 0) return system_fail(errno, "a frame to " + to.to_string(), "packet.send");
    return {};
  }

private:
  sockaddr_ll name(std::uint16_t protocol, const mac_address* to = nullptr) const {
    sockaddr_ll out{};
    out.sll_family = AF_PACKET;
    out.sll_protocol = htons(protocol);
    out.sll_ifindex = interface_;
    if (to) {
      out.sll_halen = ETH_ALEN;
      std::memcpy(out.sll_addr, to->octets.data(), ETH_ALEN);
    }
    return out;
  }

  void receive() {
    auto alive = alive_;
    auto buffer = loop_.receive_buffer().first(receive_slot_size);
    for (int i = 0; i < 64 && *alive && receive_fn_; ++i) {
      sockaddr_ll from{};
      socklen_t length = sizeof from;
      auto n = recvfrom(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                        reinterpret_cast<sockaddr*>(&from), &length);
      if (n < 0) return;
      if (from.sll_pkttype == PACKET_OUTGOING) continue; // our own, looped back by the kernel
      frame f;
      f.source = mac_address::from({from.sll_addr, std::min<std::size_t>(from.sll_halen, 6)});
      f.protocol = ntohs(from.sll_protocol);
      f.payload = buffer.first(static_cast<std::size_t>(n));
      auto call = receive_fn_;
      call(f);
    }
  }

  loop& loop_;
  descriptor fd_;
  int interface_;
  std::uint16_t protocol_;
  bool bound_ = false;
  std::function<void(const frame&)> receive_fn_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  poller poller_;
};

} // namespace

result<std::unique_ptr<packet_socket>> make_packet_socket(loop& owner, const std::string& device,
                                                          std::uint16_t protocol) {
  auto index = if_nametoindex(device.c_str());
  if (index == 0) return fail(errc::not_found, "there is no interface \"" + device + "\"", "packet.open");
  // Without a protocol it receives nothing yet: who only sends shall not get a copy of every packet.
  descriptor fd(socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return system_fail(errno, "a packet socket on " + device + " (needs CAP_NET_RAW)", "packet.open");
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_ifindex = static_cast<int>(index);
#ifdef PACKET_IGNORE_OUTGOING
  // What we send would come back and wake us for nothing. Kernels before 4.20 do not know it: receive()
  // looks.
  int on = 1;
  (void)setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
#endif
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0)
    return system_fail(errno, "a packet socket on " + device, "packet.open");
  return std::make_unique<uv_packets>(owner, std::move(fd), static_cast<int>(index), protocol);
}

} // namespace netlab::io
