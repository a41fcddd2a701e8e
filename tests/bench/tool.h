#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

// What the small programs of tests/bench share: they are started by run.py, do one thing and end with a line
// of JSON, or with a message and exit code 1.
namespace bench {

[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}
[[noreturn]] inline void die_errno(const std::string& what) { die(what + ": " + std::strerror(errno)); }

inline std::uint64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

// "--name value" pairs, each looked up once by the program that knows them; check() refuses the rest.
class arguments {
public:
  arguments(int argc, char** argv, int first) : argc_(argc), argv_(argv), first_(first) {}

  std::string text(std::string_view name, std::string otherwise) {
    for (int i = first_; i + 1 < argc_; i += 2)
      if (argv_[i] == "--" + std::string(name)) {
        ++known_;
        return argv_[i + 1];
      }
    return otherwise;
  }

  double number(std::string_view name, double otherwise, double least, double most) {
    auto value = text(name, "");
    if (value.empty()) return otherwise;
    double n = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
    if (error != std::errc() || end != value.data() + value.size() || n < least || n > most)
      die("--" + std::string(name) + ": a number from " + std::to_string(least) + " to " +
          std::to_string(most));
    return n;
  }

  void check() const {
    if (argc_ - first_ != 2 * known_)
      die("unknown, repeated or incomplete options; see the head of the source");
  }

private:
  int argc_;
  char** argv_;
  int first_;
  int known_ = 0;
};

inline sockaddr_in ipv4(const std::string& address, std::uint16_t port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  if (inet_pton(AF_INET, address.c_str(), &name.sin_addr) != 1) die(address + " is no IPv4 address");
  return name;
}

inline void set_option(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) die_errno("setsockopt");
}

inline int udp_socket(const std::string& address, std::uint16_t port, const std::string& interface = {}) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die_errno("socket");
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  // Bursts are the server's to survive, as netlab's own sockets do; the system's limit still holds.
  int bytes = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  if (!interface.empty() && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface.c_str(),
                                       static_cast<socklen_t>(interface.size())) != 0)
    die_errno("SO_BINDTODEVICE " + interface);
  auto name = ipv4(address, port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) die_errno("bind " + address);
  return fd;
}

} // namespace bench
