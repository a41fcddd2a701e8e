// A TFTP server without a mind (RFC 1350, 2347, 2348, 7440): one transfer at a time, one file, no
// retransmission but on the client's repeated ACK, and no log.
#include <netinet/udp.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "floor.h"

namespace bench {

namespace {

struct request {
  std::size_t blksize = 512, windowsize = 1;
  std::string oack; // empty: nothing was asked for that we know
};

std::optional<request> parse(std::string_view packet, std::uint64_t size) {
  if (packet.size() < 4 || packet[0] != 0 || packet[1] != 1) return std::nullopt;
  packet.remove_prefix(2);
  auto word = [&]() -> std::optional<std::string> {
    auto end = packet.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    std::string w(packet.substr(0, end));
    packet.remove_prefix(end + 1);
    std::transform(w.begin(), w.end(), w.begin(), [](unsigned char c) { return std::tolower(c); });
    return w;
  };
  if (!word() || !word()) return std::nullopt; // file and mode
  request r;
  while (auto name = word()) {
    auto value = word();
    if (!value) break;
    auto number = std::strtoull(value->c_str(), nullptr, 10);
    if (*name == "blksize")
      number = r.blksize = std::clamp<std::size_t>(number, 8, 65464);
    else if (*name == "windowsize")
      number = r.windowsize = std::clamp<std::size_t>(number, 1, 65535);
    else if (*name == "tsize")
      number = size;
    else if (*name != "timeout")
      continue;
    r.oack += *name + '\0' + std::to_string(number) + '\0';
  }
  return r;
}

// Sends `count` blocks from `first` (0 is the file's first) in as few calls as the kernel takes.
class window_sender {
public:
  window_sender(int fd, int file, std::uint64_t size, std::size_t blksize, std::size_t windowsize)
      : fd_(fd), file_(file), size_(size), blksize_(blksize),
        per_call_(std::clamp<std::size_t>(std::min<std::size_t>(65507 / (blksize + 4), 64), 1, windowsize)),
        data_(per_call_ * blksize), heads_(per_call_), vectors_(2 * per_call_) {}

  void send(std::uint64_t first, std::uint64_t count) {
    while (count > 0) {
      auto n = std::min<std::uint64_t>(count, per_call_);
      auto offset = first * blksize_;
      auto bytes =
          static_cast<std::size_t>(std::min<std::uint64_t>(n * blksize_, size_ - std::min(size_, offset)));
      if (bytes > 0 &&
          pread(file_, data_.data(), bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes))
        die_errno("pread");
      for (std::size_t i = 0; i < n; ++i) {
        auto number = first + i + 1;
        heads_[i] = {0, 3, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)};
        vectors_[2 * i] = {heads_[i].data(), 4};
        auto from = std::min(bytes, i * blksize_);
        vectors_[2 * i + 1] = {data_.data() + from, std::min(blksize_, bytes - from)};
      }
      msghdr m{};
      m.msg_iov = vectors_.data();
      m.msg_iovlen = 2 * n;
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(std::uint16_t))]{};
      if (n > 1) {
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        auto* c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
        auto segment = static_cast<std::uint16_t>(blksize_ + 4);
        std::memcpy(CMSG_DATA(c), &segment, sizeof segment);
      }
      sendmsg(fd_, &m, 0); // a lost window is asked for again by the client's ACK
      first += n;
      count -= n;
    }
  }

private:
  int fd_, file_;
  std::uint64_t size_;
  std::size_t blksize_, per_call_;
  std::vector<std::uint8_t> data_;
  std::vector<std::array<std::uint8_t, 4>> heads_;
  std::vector<iovec> vectors_;
};

void transfer(const std::string& address, const sockaddr_in& client, int file, std::uint64_t size,
              const request& r) {
  int fd = udp_socket(address, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&client), sizeof client) != 0) die_errno("connect");
  window_sender sender(fd, file, size, r.blksize, r.windowsize);
  auto blocks = size / r.blksize + 1;
  std::uint64_t acknowledged = 0;
  if (r.oack.empty()) {
    sender.send(0, 1);
  } else {
    auto packet = std::string("\0\6", 2) + r.oack;
    send(fd, packet.data(), packet.size(), 0);
  }
  while (acknowledged < blocks) {
    pollfd wait{fd, POLLIN, 0};
    if (poll(&wait, 1, 2000) <= 0) break; // the client went away
    std::uint8_t in[64];
    auto n = recv(fd, in, sizeof in, MSG_DONTWAIT);
    if (n < 4 || in[1] != 4) break;
    // Block numbers have 16 bits and wrap; the nearest one to what was acknowledged last is meant.
    auto number = static_cast<std::uint16_t>(in[2] << 8 | in[3]);
    acknowledged += static_cast<std::uint16_t>(number - static_cast<std::uint16_t>(acknowledged));
    if (acknowledged < blocks)
      sender.send(acknowledged, std::min<std::uint64_t>(r.windowsize, blocks - acknowledged));
  }
  close(fd);
}

} // namespace

void floor_tftp(arguments options) {
  auto address = options.text("address", "127.0.0.1");
  auto port = static_cast<std::uint16_t>(options.number("port", 69, 1, 65535));
  auto path = options.text("file", "");
  options.check();
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0) die_errno("--file " + path);
  auto size = static_cast<std::uint64_t>(status.st_size);
  int fd = udp_socket(address, port);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    char in[1024];
    sockaddr_in client{};
    socklen_t length = sizeof client;
    auto n = recvfrom(fd, in, sizeof in, 0, reinterpret_cast<sockaddr*>(&client), &length);
    if (n <= 0) continue;
    if (auto r = parse({in, static_cast<std::size_t>(n)}, size)) transfer(address, client, file, size, *r);
  }
}

} // namespace bench
