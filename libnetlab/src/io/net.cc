#include "netlab/net.h"

#include <ifaddrs.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>

#include "sockets.h"

namespace netlab::io {

namespace {

// One netlink request with its attributes (RFC 3549 §2.2): built in place, sent, answered.
// `body_type` is the fixed part of its kind: ndmsg for neighbours, ifaddrmsg for addresses.
template<class body_type>
class netlink_request {
public:
  netlink_request(std::uint16_t type, std::uint16_t flags) {
    header_().nlmsg_type = type;
    header_().nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    header_().nlmsg_len = NLMSG_LENGTH(sizeof(body_type));
  }
  body_type& body() { return *static_cast<body_type*>(NLMSG_DATA(&header_())); }
  void attribute(std::uint16_t type, byte_view value) {
    auto* a = reinterpret_cast<rtattr*>(buffer_ + NLMSG_ALIGN(header_().nlmsg_len));
    a->rta_type = type;
    a->rta_len = static_cast<std::uint16_t>(RTA_LENGTH(value.size()));
    std::memcpy(RTA_DATA(a), value.data(), value.size());
    header_().nlmsg_len = NLMSG_ALIGN(header_().nlmsg_len) + RTA_ALIGN(a->rta_len);
  }
  byte_view bytes() { return {reinterpret_cast<std::uint8_t*>(buffer_), header_().nlmsg_len}; }

private:
  nlmsghdr& header_() { return *reinterpret_cast<nlmsghdr*>(buffer_); }
  alignas(nlmsghdr) char buffer_[256] = {};
};

descriptor open_netlink(std::uint32_t groups, bool blocking) {
  descriptor fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), NETLINK_ROUTE));
  sockaddr_nl name{};
  name.nl_family = AF_NETLINK;
  name.nl_groups = groups;
  if (fd && bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) return {};
  return fd;
}

class uv_net final : public net {
public:
  uv_net(loop& owner, scheduler& scheduler) : loop_(owner), scheduler_(scheduler) {}

  result<std::unique_ptr<udp_socket>> udp(const udp_options& options) override {
    return make_udp(loop_, options);
  }
  result<std::unique_ptr<listener>> listen(const listen_options& options,
                                           std::function<void(std::unique_ptr<stream>)> on_accept) override {
    return make_listener(loop_, scheduler_, options, std::move(on_accept));
  }
  void connect(const connect_options& options,
               std::function<void(result<std::unique_ptr<stream>>)> on_connect) override {
    make_connection(loop_, scheduler_, options, std::move(on_connect));
  }
  std::unique_ptr<host_lookup> look_up(host_question question,
                                       std::function<void(result<host_addresses>)> done) override {
    return make_host_lookup(loop_, scheduler_, std::move(question), std::move(done));
  }
  result<std::unique_ptr<packet_socket>> packets(const std::string& device, std::uint16_t protocol) override {
    return make_packet_socket(loop_, device, protocol);
  }

  result<std::vector<interface_info>> interfaces() override {
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return system_fail(errno, "listing interfaces", "net.interfaces");
    std::vector<interface_info> out;
    descriptor query(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    auto entry = [&](const char* name) -> interface_info& {
      auto at = std::find_if(out.begin(), out.end(), [&](const auto& i) { return i.name == name; });
      if (at != out.end()) return *at;
      interface_info info;
      info.name = name;
      info.index = if_nametoindex(name);
      ifreq request{};
      std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
      if (query && ioctl(query.get(), SIOCGIFMTU, &request) == 0)
        info.mtu = static_cast<std::uint32_t>(request.ifr_mtu);
      out.push_back(std::move(info));
      return out.back();
    };
    for (auto* i = list; i; i = i->ifa_next) {
      auto& info = entry(i->ifa_name);
      info.up = (i->ifa_flags & IFF_UP) != 0;
      info.loopback = (i->ifa_flags & IFF_LOOPBACK) != 0;
      if (!i->ifa_addr) continue;
      if (i->ifa_addr->sa_family == AF_PACKET) {
        const auto* link = reinterpret_cast<const sockaddr_ll*>(i->ifa_addr);
        info.mac = mac_address::from({link->sll_addr, std::min<std::size_t>(link->sll_halen, 6)});
      } else if (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6) {
        info.addresses.push_back(to_cidr(*i));
      }
    }
    freeifaddrs(list);
    return out;
  }

  result<void> set_neighbour(std::uint32_t interface, const ip_address& address, const mac_address& mac,
                             bool permanent) override {
    netlink_request<ndmsg> r(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    fill(r, interface, address);
    r.body().ndm_state = permanent ? NUD_PERMANENT : NUD_REACHABLE;
    r.attribute(NDA_LLADDR, mac.octets);
    return transact(r, "the neighbour entry for " + address.to_string());
  }

  result<void> forget_neighbour(std::uint32_t interface, const ip_address& address) override {
    netlink_request<ndmsg> r(RTM_DELNEIGH, NLM_F_ACK);
    fill(r, interface, address);
    return transact(r, "removing the neighbour entry for " + address.to_string());
  }

  result<void> add_address(std::uint32_t interface, const cidr& address) override {
    return change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, interface, address);
  }
  result<void> remove_address(std::uint32_t interface, const cidr& address) override {
    return change_address(RTM_DELADDR, 0, interface, address);
  }

  std::optional<mac_address> neighbour(const ip_address& address) override {
    auto fd = open_netlink(0, true);
    netlink_request<ndmsg> r(RTM_GETNEIGH, NLM_F_DUMP);
    r.body().ndm_family = address.is_v6() ? AF_INET6 : AF_INET;
    if (!fd || ::send(fd.get(), r.bytes().data(), r.bytes().size(), 0) < 0) return std::nullopt;
    std::optional<mac_address> found;
    alignas(nlmsghdr) char buffer[16384];
    for (;;) {
      auto n = recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return found;
      auto left = static_cast<unsigned>(n);
      for (auto* h = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) return found;
        if (h->nlmsg_type == RTM_NEWNEIGH) look(h, address, found);
      }
    }
  }

  result<std::shared_ptr<void>> watch_addresses(std::function<void()> fn) override {
    struct watch {
      descriptor fd;
      std::unique_ptr<poller> ready;
    };
    auto w = std::make_shared<watch>();
    w->fd = open_netlink(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, false);
    if (!w->fd) return system_fail(errno, "watching for address changes", "net.watch");
    w->ready =
        std::make_unique<poller>(loop_, w->fd.get(), [fd = w->fd.get(), fn = std::move(fn)](bool, bool) {
          char buffer[8192];
          while (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
          }
          fn();
        });
    w->ready->want(true, false);
    return w;
  }

private:
  static cidr to_cidr(const ifaddrs& i) {
    sockaddr_storage address{}, mask{};
    auto size = i.ifa_addr->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::memcpy(&address, i.ifa_addr, size);
    int prefix = i.ifa_addr->sa_family == AF_INET ? 32 : 128;
    if (i.ifa_netmask) {
      std::memcpy(&mask, i.ifa_netmask, size);
      mask.ss_family = address.ss_family;
      prefix = 0;
      auto ones = from_sockaddr(mask).address;
      for (auto b : ones.bytes()) prefix += std::popcount(b);
    }
    return {from_sockaddr(address).address, static_cast<std::uint8_t>(prefix)};
  }

  static void fill(netlink_request<ndmsg>& r, std::uint32_t interface, const ip_address& address) {
    r.body().ndm_family = address.is_v6() ? AF_INET6 : AF_INET;
    r.body().ndm_ifindex = static_cast<int>(interface);
    r.attribute(NDA_DST, address.bytes());
  }

  result<void> change_address(std::uint16_t type, std::uint16_t flags, std::uint32_t interface,
                              const cidr& address) {
    netlink_request<ifaddrmsg> r(type, static_cast<std::uint16_t>(NLM_F_ACK | flags));
    r.body().ifa_family = address.address.is_v6() ? AF_INET6 : AF_INET;
    r.body().ifa_prefixlen = address.prefix;
    r.body().ifa_index = interface;
    r.attribute(IFA_LOCAL, address.address.bytes());
    r.attribute(IFA_ADDRESS, address.address.bytes());
    auto broadcast = address.broadcast();
    if (address.address.is_v4() && address.prefix < 31) r.attribute(IFA_BROADCAST, broadcast.bytes());
    return transact(r, "the address " + address.to_string());
  }

  static void look(nlmsghdr* h, const ip_address& wanted, std::optional<mac_address>& found) {
    const auto* body = static_cast<const ndmsg*>(NLMSG_DATA(h));
    if (body->ndm_state & (NUD_FAILED | NUD_INCOMPLETE | NUD_NOARP)) return;
    bool same = false;
    std::optional<mac_address> mac;
    int left = static_cast<int>(h->nlmsg_len - NLMSG_LENGTH(sizeof *body));
    for (auto* a = reinterpret_cast<rtattr*>(static_cast<char*>(NLMSG_DATA(h)) + NLMSG_ALIGN(sizeof *body));
         RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      byte_view value{static_cast<const std::uint8_t*>(RTA_DATA(a)), RTA_PAYLOAD(a)};
      if (a->rta_type == NDA_DST) same = std::ranges::equal(value, wanted.bytes());
      if (a->rta_type == NDA_LLADDR && value.size() == 6) mac = mac_address::from(value);
    }
    if (same && mac) found = mac;
  }

  // The kernel answers a request that asks for NLM_F_ACK before send() returns, so the blocking read is
  // short.
  template<class T>
  result<void> transact(netlink_request<T>& r, const std::string& what) {
    if (!requests_) requests_ = open_netlink(0, true);
    if (!requests_ || ::send(requests_.get(), r.bytes().data(), r.bytes().size(), 0) < 0)
      return system_fail(errno, what, "net.neighbour");
    alignas(nlmsghdr) char buffer[4096];
    auto n = recv(requests_.get(), buffer, sizeof buffer, 0);
    auto* h = reinterpret_cast<nlmsghdr*>(buffer);
    if (n < 0 || !NLMSG_OK(h, static_cast<unsigned>(n)) || h->nlmsg_type != NLMSG_ERROR)
      return fail(errc::io, what + ": the kernel gave no answer", "net.neighbour");
    const auto* answer = static_cast<const nlmsgerr*>(NLMSG_DATA(h));
    if (answer->error != 0) return system_fail(-answer->error, what, "net.neighbour");
    return {};
  }

  loop& loop_;
  scheduler& scheduler_;
  descriptor requests_;
};

} // namespace

std::unique_ptr<netlab::net> make_net(loop& owner, netlab::scheduler& scheduler) {
  return std::make_unique<uv_net>(owner, scheduler);
}

} // namespace netlab::io
