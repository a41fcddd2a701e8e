// netlab-floor dhcp|dns|tftp|http|udp [--option value]...: the bare reflectors of floor.h.
#include "floor.h"

#include <netinet/in.h>

#include <array>

namespace bench {

void floor_udp(arguments options) {
  auto address = options.text("address", "127.0.0.1");
  auto port = static_cast<std::uint16_t>(options.number("port", 7, 1, 65535));
  options.check();
  int fd = udp_socket(address, port);
  constexpr std::size_t batch = 64;
  static std::array<std::array<char, 2048>, batch> buffers;
  static std::array<sockaddr_in, batch> names;
  std::array<iovec, batch> vectors;
  std::array<mmsghdr, batch> messages{};
  for (std::size_t i = 0; i < batch; ++i) messages[i].msg_hdr = {&names[i], 0, &vectors[i], 1, nullptr, 0, 0};
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    for (std::size_t i = 0; i < batch; ++i) {
      vectors[i] = {buffers[i].data(), buffers[i].size()};
      messages[i].msg_hdr.msg_namelen = sizeof names[i];
    }
    int n = recvmmsg(fd, messages.data(), batch, MSG_WAITFORONE, nullptr);
    if (n < 0) continue;
    for (int i = 0; i < n; ++i)
      vectors[static_cast<std::size_t>(i)].iov_len = messages[static_cast<std::size_t>(i)].msg_len;
    sendmmsg(fd, messages.data(), static_cast<unsigned>(n), 0);
  }
}

} // namespace bench

int main(int argc, char** argv) {
  std::string_view what = argc > 1 ? argv[1] : "";
  bench::arguments options(argc, argv, 2);
  if (what == "udp") bench::floor_udp(options);
  if (what == "dhcp") bench::floor_dhcp(options);
  if (what == "dns") bench::floor_dns(options);
  if (what == "tftp") bench::floor_tftp(options);
  if (what == "http") bench::floor_http(options);
  bench::die("netlab-floor dhcp|dns|tftp|http|udp [--option value]...");
}
