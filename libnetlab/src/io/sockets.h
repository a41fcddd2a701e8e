#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <utility>

#include "loop.h"
#include "netlab/net.h"

namespace netlab::io {

// Owns a file descriptor.
class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_ = -1;
};

// Room for the ancillary data of one datagram: its interface and address, and the size of segments.
union control_space {
  char bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(std::uint16_t))];
  cmsghdr align;
};

class uv_udp;

// The part of a UDP socket that may outlive its owner: the next one gets it with a port of its own.
struct udp_core {
  udp_core(loop& owner, descriptor socket);
  descriptor fd;
  uv_udp* user = nullptr;
  poller watch;
};

// What one recvmmsg(2) fills in. Shared by the sockets of a loop, because it is used up before the next call.
struct udp_receive_slots {
  explicit udp_receive_slots(byte_span buffer);
  void reset(std::size_t at) {
    messages[at].msg_hdr.msg_namelen = sizeof peers[at];
    messages[at].msg_hdr.msg_controllen = sizeof controls[at];
    messages[at].msg_hdr.msg_flags = 0;
  }
  std::array<mmsghdr, receive_slots> messages;
  std::array<iovec, receive_slots> vectors;
  std::array<sockaddr_storage, receive_slots> peers;
  std::array<control_space, receive_slots> controls;
  std::array<datagram, receive_slots> out;
};

// Fills `out` and returns its length. On an IPv6 socket an IPv4 peer becomes a mapped address.
socklen_t to_sockaddr(const endpoint& from, sockaddr_storage& out, bool v6_socket);
endpoint from_sockaddr(const sockaddr_storage& from);
endpoint local_of(int fd);
endpoint peer_of(int fd);
// SO_BINDTODEVICE; an empty name does nothing.
result<void> bind_device(int fd, const std::string& device);

result<std::unique_ptr<udp_socket>> make_udp(loop& owner, const udp_options& options);
result<std::unique_ptr<listener>> make_listener(loop& owner, scheduler& scheduler,
                                                const listen_options& options,
                                                std::function<void(std::unique_ptr<stream>)> on_accept);
void make_connection(loop& owner, scheduler& scheduler, const connect_options& options,
                     std::function<void(result<std::unique_ptr<stream>>)> on_connect);
std::unique_ptr<host_lookup> make_host_lookup(loop& owner, scheduler& scheduler, host_question question,
                                              std::function<void(result<host_addresses>)> done);
result<std::unique_ptr<packet_socket>> make_packet_socket(loop& owner, const std::string& device,
                                                          std::uint16_t protocol);

} // namespace netlab::io
