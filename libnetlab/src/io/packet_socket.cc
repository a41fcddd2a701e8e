#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <unistd.h>

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
    poller_.want(receive_fn_ != nullptr, false);
  }

  result<void> send(const mac_address& to, byte_view payload) override {
    sockaddr_ll name{};
    name.sll_family = AF_PACKET;
    name.sll_protocol = htons(protocol_);
    name.sll_ifindex = interface_;
    name.sll_halen = ETH_ALEN;
    std::memcpy(name.sll_addr, to.octets.data(), ETH_ALEN);
    auto n = sendto(fd_.get(), payload.data(), payload.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                    reinterpret_cast<sockaddr*>(&name), sizeof name);
    if (n < 0) return system_fail(errno, "a frame to " + to.to_string(), "packet.send");
    return {};
  }

private:
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
  std::function<void(const frame&)> receive_fn_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  poller poller_;
};

} // namespace

result<std::unique_ptr<packet_socket>> make_packet_socket(loop& owner, const std::string& device,
                                                          std::uint16_t protocol) {
  auto index = if_nametoindex(device.c_str());
  if (index == 0) return fail(errc::not_found, "there is no interface \"" + device + "\"", "packet.open");
  descriptor fd(socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(protocol)));
  if (!fd) return system_fail(errno, "a packet socket on " + device + " (needs CAP_NET_RAW)", "packet.open");
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(protocol);
  name.sll_ifindex = static_cast<int>(index);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0)
    return system_fail(errno, "a packet socket on " + device, "packet.open");
  return std::make_unique<uv_packets>(owner, std::move(fd), static_cast<int>(index), protocol);
}

} // namespace netlab::io
