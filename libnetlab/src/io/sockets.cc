#include "sockets.h"

#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

namespace netlab::io {

descriptor::~descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

socklen_t to_sockaddr(const endpoint& from, sockaddr_storage& out, bool v6_socket) {
  if (!v6_socket) {
    auto* in = reinterpret_cast<sockaddr_in*>(&out);
    *in = {};
    in->sin_family = AF_INET;
    in->sin_port = htons(from.port);
    in->sin_addr.s_addr = htonl(from.address.v4_value());
    return sizeof *in;
  }
  auto* in = reinterpret_cast<sockaddr_in6*>(&out);
  *in = {};
  in->sin6_family = AF_INET6;
  in->sin6_port = htons(from.port);
  auto* raw = in->sin6_addr.s6_addr;
  if (from.address.is_v6()) {
    std::memcpy(raw, from.address.bytes().data(), 16);
  } else {
    raw[10] = raw[11] = 0xff;
    std::memcpy(raw + 12, from.address.bytes().data(), 4);
  }
  return sizeof *in;
}

endpoint from_sockaddr(const sockaddr_storage& from) {
  if (from.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&from);
    return {ip_address::v4(ntohl(in->sin_addr.s_addr)), ntohs(in->sin_port)};
  }
  if (from.ss_family == AF_INET6) {
    const auto* in = reinterpret_cast<const sockaddr_in6*>(&from);
    std::array<std::uint8_t, 16> raw;
    std::memcpy(raw.data(), in->sin6_addr.s6_addr, 16);
    return {ip_address::v6(raw), ntohs(in->sin6_port)};
  }
  return {}; // a Unix socket has no address
}

endpoint local_of(int fd) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length);
  return from_sockaddr(name);
}

endpoint peer_of(int fd) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  getpeername(fd, reinterpret_cast<sockaddr*>(&name), &length);
  return from_sockaddr(name);
}

result<void> bind_device(int fd, const std::string& device) {
  if (device.empty()) return {};
  if (device.size() >= IFNAMSIZ)
    return fail(errc::invalid, "\"" + device + "\" is too long for an interface name");
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.data(), static_cast<socklen_t>(device.size())) != 0)
    return system_fail(errno, "binding to interface " + device, "bind");
  return {};
}

} // namespace netlab::io
