// An HTTP server without a mind: it looks for the end of a request and writes what it has ready.
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <array>
#include <memory>

#include "floor.h"

namespace bench {

namespace {

struct connection {
  int fd;
  off_t offset = 0;
  off_t left = 0; // of the file
  bool writing = false;
};

} // namespace

void floor_http(arguments options) {
  auto address = options.text("address", "127.0.0.1");
  auto port = static_cast<std::uint16_t>(options.number("port", 80, 1, 65535));
  auto path = options.text("file", "");
  options.check();
  signal(SIGPIPE, SIG_IGN);
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0) die_errno("--file " + path);
  auto head = [](off_t size) {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
           std::to_string(size) + "\r\n\r\n";
  };
  const auto small = head(1024) + std::string(1024, 'x'), large = head(status.st_size);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1);
  auto name = ipv4(address, port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 || listen(listener, 1024) != 0)
    die_errno("bind " + address);
  int loop = epoll_create1(EPOLL_CLOEXEC);
  epoll_event accepting{EPOLLIN, {}};
  epoll_ctl(loop, EPOLL_CTL_ADD, listener, &accepting); // the listener is the one without a connection
  std::puts("ready");
  std::fflush(stdout);

  auto want = [&](connection& c, bool writing) {
    if (c.writing == writing) return;
    c.writing = writing;
    epoll_event e{writing ? EPOLLOUT : EPOLLIN, {}};
    e.data.ptr = &c;
    epoll_ctl(loop, EPOLL_CTL_MOD, c.fd, &e);
  };
  // False: the connection is over.
  auto pump = [&](connection& c) {
    while (c.left > 0) {
      auto n = sendfile(c.fd, file, &c.offset, static_cast<std::size_t>(c.left));
      if (n <= 0) {
        want(c, true);
        return n < 0 && errno == EAGAIN;
      }
      c.left -= n;
    }
    want(c, false);
    return true;
  };
  auto serve = [&](connection& c) {
    std::array<char, 4096> in;
    auto n = recv(c.fd, in.data(), in.size(), 0);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    std::string_view text(in.data(), static_cast<std::size_t>(n));
    if (!text.ends_with("\r\n\r\n")) return true;
    if (text.starts_with("GET /64m")) {
      if (send(c.fd, large.data(), large.size(), MSG_MORE) != static_cast<ssize_t>(large.size()))
        return false;
      c.offset = 0;
      c.left = status.st_size;
      return pump(c);
    }
    return send(c.fd, small.data(), small.size(), 0) == static_cast<ssize_t>(small.size());
  };
  for (;;) {
    std::array<epoll_event, 128> events;
    int n = epoll_wait(loop, events.data(), events.size(), -1);
    for (int i = 0; i < n; ++i) {
      auto* c = static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (!c) {
        int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) continue;
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        epoll_event e{EPOLLIN, {}};
        e.data.ptr = new connection{fd};
        epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e);
      } else if (!(c->writing ? pump(*c) : serve(*c))) {
        close(c->fd);
        delete c;
      }
    }
  }
}

} // namespace bench
