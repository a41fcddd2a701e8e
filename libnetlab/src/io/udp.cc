#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "sockets.h"

namespace netlab::io {

namespace {

constexpr std::size_t most_spare = 128;      // sockets of one family that wait for their next owner
constexpr int most_stale = 64;               // datagrams in one that is given back
constexpr std::size_t max_batch = 64;        // messages in one sendmmsg call
constexpr std::size_t max_gso_bytes = 65507; // an IPv4 datagram's payload bounds a segmented send as well
constexpr std::size_t max_gso_segments = 64; // UDP_MAX_SEGMENTS of older kernels

// Names the source address and the interface of what is sent (ip(7) IP_PKTINFO, RFC 3542 §6.2).
std::size_t put_pktinfo(msghdr& m, const ip_address& local, std::uint32_t interface, bool v6) {
  if (local.is_unspecified() && interface == 0) return 0;
  auto* c = CMSG_FIRSTHDR(&m);
  if (v6) {
    in6_pktinfo info{};
    info.ipi6_ifindex = interface;
    if (local.is_v6()) std::memcpy(&info.ipi6_addr, local.bytes().data(), 16);
    c->cmsg_level = IPPROTO_IPV6;
    c->cmsg_type = IPV6_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(c), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
  }
  in_pktinfo info{};
  info.ipi_ifindex = static_cast<int>(interface);
  info.ipi_spec_dst.s_addr = htonl(local.v4_value());
  c->cmsg_level = IPPROTO_IP;
  c->cmsg_type = IP_PKTINFO;
  c->cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(c), &info, sizeof info);
  return CMSG_SPACE(sizeof info);
}

void take_pktinfo(msghdr& m, datagram& d) {
  for (auto* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      // spec_dst is our own address even when the datagram went to a broadcast address.
      d.local = ip_address::v4(ntohl(info.ipi_spec_dst.s_addr));
      d.interface = static_cast<std::uint32_t>(info.ipi_ifindex);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      std::array<std::uint8_t, 16> raw;
      std::memcpy(raw.data(), &info.ipi6_addr, 16);
      d.local = ip_address::v6(raw);
      d.interface = info.ipi6_ifindex;
    }
  }
}

// Lets go of peer and port: nothing reaches the socket any more, and what reached it is thrown away with any
// error that waits to be told, so that its next owner sees none of it.
bool forget_peer(int fd) {
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  if (connect(fd, &nobody, sizeof nobody) != 0) return false;
  for (int i = 0; i < most_stale; ++i)
    if (recv(fd, nullptr, 0, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
  return false;
}

} // namespace

class uv_udp final : public udp_socket {
public:
  // `recycled`: its core is for the next one when it goes.
  uv_udp(loop& owner, std::unique_ptr<udp_core> core, bool v6, bool connected, bool recycled)
      : loop_(owner), core_(std::move(core)), v6_(v6), connected_(connected), recycled_(recycled) {
    core_->user = this;
    // One that is made for a single question is seldom asked where it is.
    if (!recycled) local_ = local_of(fd());
  }
  ~uv_udp() override {
    *alive_ = false;
    core_->user = nullptr;
    auto& spare = loop_.spare_udp[v6_ ? 1 : 0];
    if (recycled_ && spare.size() < most_spare && forget_peer(fd())) spare.push_back(std::move(core_));
  }

  void on_receive(receive_fn fn) override {
    receive_fn_ = std::move(fn);
    core_->watch.want(receive_fn_ != nullptr, false);
  }

  result<std::size_t> send(std::span<const datagram> batch) override {
    std::size_t sent = 0;
    int trouble = 0;
    bool told = false;
    while (!batch.empty()) {
      auto part = batch.first(std::min(batch.size(), max_batch));
      std::size_t done = 0;
      while (done < part.size()) {
        int n = send_some(part.subspan(done));
        if (n > 0) {
          sent += static_cast<std::size_t>(n);
          done += static_cast<std::size_t>(n);
        } else if (errno == EINTR) {
          continue;
        } else if (connected_ && errno == ECONNREFUSED && part.size() > 1 && !told) {
          told = true; // of an earlier datagram: this one has not been tried
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
          return sent; // full: UDP drops the rest
        } else {
          if (!trouble) trouble = errno;
          ++done; // this one cannot leave; the others can
        }
      }
      batch = batch.subspan(part.size());
    }
    if (sent == 0 && trouble)
      return system_fail(trouble, "cannot send from " + local().to_string(), "udp.send");
    return sent;
  }

  result<std::size_t> send_segments(const endpoint& peer, const ip_address& local, byte_view data,
                                    std::size_t segment) override {
    std::size_t sent = 0;
    while (!data.empty()) {
      auto count =
          std::min({max_gso_segments, max_gso_bytes / segment, (data.size() + segment - 1) / segment});
      auto part = data.first(std::min(data.size(), std::max<std::size_t>(1, count) * segment));
      if (segmentation_ && part.size() > segment) {
        if (send_segmented(peer, local, part, segment)) {
          sent += (part.size() + segment - 1) / segment;
          data = data.subspan(part.size());
          continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return sent;
        if (errno == EINTR) continue;
        // EIO: no checksum offload on the way; EINVAL: segments longer than the path's MTU; others: old
        // kernels. One by one works in all of these.
        if (errno != EINVAL && errno != EMSGSIZE) segmentation_ = false;
      }
      std::array<datagram, max_batch> each;
      std::size_t n = 0;
      for (std::size_t at = 0; at < part.size(); at += segment)
        each[n++] = datagram{peer, local, 0, part.subspan(at, std::min(segment, part.size() - at))};
      auto went = send(std::span(each.data(), n));
      if (!went) return sent ? result<std::size_t>(sent) : went;
      sent += *went;
      if (*went < n) return sent;
      data = data.subspan(part.size());
    }
    return sent;
  }

  endpoint local() const override { return recycled_ ? local_of(fd()) : local_; }

  void receive() {
    if (!receive_fn_)
      return core_->watch.want(false, false); // its last owner wanted to hear, and this one not
    auto& slots = loop_.udp_slots();
    // A few rounds at most: other sockets of the loop get their turn under a flood.
    for (int round = 0; round < 4; ++round) {
      int n = recvmmsg(fd(), slots.messages.data(), receive_slots, MSG_DONTWAIT, nullptr);
      if (n <= 0) return; // nothing, or an ICMP error of an earlier send: the socket goes on
      auto count = static_cast<std::size_t>(n);
      for (std::size_t at = 0; at < count; ++at) {
        auto& m = slots.messages[at];
        slots.out[at] =
            datagram{from_sockaddr(slots.peers[at]), local_.address, 0,
                     byte_view(static_cast<const std::uint8_t*>(slots.vectors[at].iov_base), m.msg_len)};
        take_pktinfo(m.msg_hdr, slots.out[at]);
        slots.reset(at);
      }
      auto alive = alive_;
      receive_fn_(std::span(slots.out.data(), count));
      if (!*alive || !receive_fn_ || count < receive_slots) return;
    }
  }

private:
  int fd() const { return core_->fd.get(); }

  int send_some(std::span<const datagram> part) {
    std::array<mmsghdr, max_batch> messages;
    std::array<iovec, max_batch> vectors;
    std::array<sockaddr_storage, max_batch> peers;
    std::array<control_space, max_batch> controls;
    for (std::size_t i = 0; i < part.size(); ++i) {
      auto& h = messages[i].msg_hdr;
      h = {};
      vectors[i] = {const_cast<std::uint8_t*>(part[i].data.data()), part[i].data.size()};
      h.msg_iov = &vectors[i];
      h.msg_iovlen = 1;
      if (!connected_) {
        h.msg_namelen = to_sockaddr(part[i].peer, peers[i], v6_);
        h.msg_name = &peers[i];
      }
      h.msg_control = &controls[i];
      h.msg_controllen = sizeof controls[i];
      h.msg_controllen = put_pktinfo(h, part[i].local, part[i].interface, v6_);
      if (h.msg_controllen == 0) h.msg_control = nullptr;
    }
    if (part.size() == 1) return sendmsg(fd(), &messages[0].msg_hdr, MSG_NOSIGNAL) < 0 ? -1 : 1;
    return sendmmsg(fd(), messages.data(), static_cast<unsigned>(part.size()), MSG_NOSIGNAL);
  }

  bool send_segmented(const endpoint& peer, const ip_address& local, byte_view data, std::size_t segment) {
    msghdr h{};
    iovec v{const_cast<std::uint8_t*>(data.data()), data.size()};
    sockaddr_storage name;
    control_space control{};
    h.msg_iov = &v;
    h.msg_iovlen = 1;
    if (!connected_) {
      h.msg_namelen = to_sockaddr(peer, name, v6_);
      h.msg_name = &name;
    }
    h.msg_control = &control;
    h.msg_controllen = sizeof control;
    auto used = put_pktinfo(h, local, 0, v6_);
    auto* c = reinterpret_cast<cmsghdr*>(control.bytes + used);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    auto size = static_cast<std::uint16_t>(segment);
    std::memcpy(CMSG_DATA(c), &size, sizeof size);
    h.msg_controllen = used + CMSG_SPACE(sizeof(std::uint16_t));
    return sendmsg(fd(), &h, MSG_NOSIGNAL) >= 0;
  }

  loop& loop_;
  std::unique_ptr<udp_core> core_;
  endpoint local_; // not of a recycled one
  bool v6_, connected_, recycled_;
  bool segmentation_ = true;
  receive_fn receive_fn_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

udp_core::udp_core(loop& owner, descriptor socket)
    : fd(std::move(socket)), watch(owner, fd.get(), [this](bool readable, bool) {
        watch.want(user != nullptr, false); // also after an error, which is the last datagram's
        if (readable && user) user->receive();
      }) {}

udp_receive_slots::udp_receive_slots(byte_span buffer) {
  for (std::size_t at = 0; at < receive_slots; ++at) {
    vectors[at] = {buffer.data() + at * receive_slot_size, receive_slot_size};
    messages[at] = {};
    messages[at].msg_hdr.msg_iov = &vectors[at];
    messages[at].msg_hdr.msg_iovlen = 1;
    messages[at].msg_hdr.msg_name = &peers[at];
    messages[at].msg_hdr.msg_control = &controls[at];
    reset(at);
  }
}

udp_receive_slots& loop::udp_slots() {
  if (!udp_slots_) udp_slots_ = std::make_unique<udp_receive_slots>(receive_buffer());
  return *udp_slots_;
}

result<std::unique_ptr<udp_socket>> make_udp(loop& owner, const udp_options& o) {
  bool v6 = o.local.address.is_v6();
  auto where = [&] { return "UDP " + o.local.to_string() + (o.device.empty() ? "" : " on " + o.device); };
  // Whoever takes any port for one peer gets one that is made in two system calls instead of ten.
  bool recycled = o.peer && o.local.port == 0 && o.local.address.is_unspecified() && o.device.empty() &&
                  !o.broadcast && !o.reuse_port && o.receive_buffer == 0;
  auto& spare = owner.spare_udp[v6 ? 1 : 0];
  std::unique_ptr<udp_core> core;
  if (recycled && !spare.empty()) {
    core = std::move(spare.back());
    spare.pop_back();
  } else {
    descriptor fd(socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return system_fail(errno, where(), "udp.bind");
    auto set = [&](int level, int name, int value) {
      return setsockopt(fd.get(), level, name, &value, sizeof value) == 0;
    };
    // A connected socket's datagrams come to one address only.
    bool ok = o.peer ? !v6 || set(IPPROTO_IPV6, IPV6_V6ONLY, 1)
              : v6   ? set(IPPROTO_IPV6, IPV6_V6ONLY, 1) && set(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                     : set(IPPROTO_IP, IP_PKTINFO, 1);
    if (o.broadcast) ok = ok && set(SOL_SOCKET, SO_BROADCAST, 1);
    if (o.reuse_port) ok = ok && set(SOL_SOCKET, SO_REUSEPORT, 1);
    // FORCE needs CAP_NET_ADMIN; without it the system's limit holds, which is no error.
    if (o.receive_buffer > 0 && !set(SOL_SOCKET, SO_RCVBUFFORCE, o.receive_buffer))
      set(SOL_SOCKET, SO_RCVBUF, o.receive_buffer);
    if (!ok) return system_fail(errno, where(), "udp.bind");
    if (auto bound = bind_device(fd.get(), o.device); !bound) return tl::unexpected(bound.error());
    sockaddr_storage name;
    auto length = to_sockaddr(o.local, name, v6);
    // connect(2) chooses a port by itself, at random.
    if (!recycled && bind(fd.get(), reinterpret_cast<sockaddr*>(&name), length) != 0)
      return system_fail(errno, where(), "udp.bind");
    core = std::make_unique<udp_core>(owner, std::move(fd));
  }
  if (o.peer) {
    sockaddr_storage name;
    auto length = to_sockaddr(*o.peer, name, v6);
    if (connect(core->fd.get(), reinterpret_cast<sockaddr*>(&name), length) != 0)
      return system_fail(errno, "UDP to " + o.peer->to_string(), "udp.connect");
  }
  return std::make_unique<uv_udp>(owner, std::move(core), v6, o.peer.has_value(), recycled);
}

} // namespace netlab::io
