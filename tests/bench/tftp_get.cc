// Fetches one file by TFTP as fast as it comes (RFC 1350, 2347, 2348, 7440), and compares it as it goes.
//
//   netlab-bench-tftp-get --server IP [--port 69] [--file NAME] [--expect PATH] [--blksize 1428]
//   [--windowsize 1] [--clients 1]
//
// Prints one line of JSON: bytes of all clients, seconds, what was granted, and how often a block had to be
// asked for again. Exit code 1 when the file did not come whole or differs from PATH.
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <array>
#include <optional>
#include <thread>
#include <vector>

#include "tool.h"

namespace {

struct granted {
  std::size_t blksize = 512, windowsize = 1;
};

granted read_oack(std::string_view text) {
  granted g;
  auto word = [&] {
    auto end = std::min(text.find('\0'), text.size());
    std::string w(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    return w;
  };
  while (!text.empty()) {
    auto name = word(), value = word();
    for (auto& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    auto number = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "blksize") g.blksize = number;
    if (name == "windowsize") g.windowsize = number;
  }
  if (g.blksize < 8 || g.blksize > 65464 || g.windowsize < 1 || g.windowsize > 65535)
    bench::die("OACK with impossible values");
  return g;
}

class mapped_file {
public:
  explicit mapped_file(const std::string& path) {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (fd < 0 || fstat(fd, &status) != 0) bench::die_errno(path);
    size = static_cast<std::size_t>(status.st_size);
    data = static_cast<const char*>(mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0));
    if (data == MAP_FAILED) bench::die_errno(path);
    close(fd);
  }
  const char* data;
  std::size_t size;
};

struct plan {
  sockaddr_in server;
  std::string file, expect;
  std::size_t blksize, windowsize;
  std::optional<mapped_file> wanted;
};

struct outcome {
  granted g;
  std::uint64_t bytes = 0, again = 0;
};

outcome fetch(const plan& what) {
  auto server = what.server;
  const auto& file = what.file;
  const auto& expect = what.expect;
  auto blksize = what.blksize, windowsize = what.windowsize;
  const auto& wanted = what.wanted;
  int fd = bench::udp_socket("0.0.0.0", 0);
  timeval patience{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::string packet("\0\1", 2);
  auto option = [&](const std::string& name, std::size_t value) {
    packet += name + '\0' + std::to_string(value) + '\0';
  };
  packet += file + '\0' + "octet" + '\0';
  option("blksize", blksize);
  if (windowsize > 1) option("windowsize", windowsize);

  constexpr std::size_t batch = 64;
  std::vector<std::vector<char>> buffers(batch, std::vector<char>(blksize + 64));
  std::array<iovec, batch> vectors;
  std::array<mmsghdr, batch> messages{};
  std::array<sockaddr_in, batch> names;
  granted g;
  bool connected = false, done = false;
  std::uint64_t blocks = 0, bytes = 0, again = 0, in_window = 0;
  int silent = 0;
  sendto(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&server), sizeof server);
  auto acknowledge = [&] {
    char ack[4] = {0, 4, static_cast<char>(blocks >> 8), static_cast<char>(blocks)};
    send(fd, ack, 4, 0);
    in_window = 0;
  };
  while (!done) {
    for (std::size_t i = 0; i < batch; ++i) {
      vectors[i] = {buffers[i].data(), buffers[i].size()};
      messages[i].msg_hdr = {&names[i], sizeof names[i], &vectors[i], 1, nullptr, 0, 0};
    }
    int n = recvmmsg(fd, messages.data(), batch, MSG_WAITFORONE, nullptr);
    if (n <= 0) {
      if (++silent == 20) bench::die("no answer for 20 s after " + std::to_string(bytes) + " bytes");
      ++again;
      if (connected)
        acknowledge();
      else
        sendto(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&server), sizeof server);
      continue;
    }
    silent = 0;
    bool gap = false;
    for (std::size_t i = 0; i < static_cast<std::size_t>(n) && !done; ++i) {
      std::string_view in(buffers[i].data(), messages[i].msg_len);
      if (in.size() < 4) continue;
      if (!connected) {
        connected = true; // the server's port for this transfer (RFC 1350 §4)
        if (connect(fd, reinterpret_cast<sockaddr*>(&names[i]), sizeof names[i]) != 0)
          bench::die_errno("connect");
      }
      if (in[1] == 5) bench::die("the server refused: " + std::string(in.substr(4)));
      if (in[1] == 6) {
        if (blocks > 0) continue;
        g = read_oack(in.substr(2));
        acknowledge();
        continue;
      }
      auto number = static_cast<std::uint16_t>(static_cast<unsigned char>(in[2]) << 8 |
                                               static_cast<unsigned char>(in[3]));
      if (in[1] != 3) continue;
      if (number != static_cast<std::uint16_t>(blocks + 1)) {
        // Ahead of us: one was lost. Behind: it came before.
        if (static_cast<std::uint16_t>(number - static_cast<std::uint16_t>(blocks)) < 0x8000) gap = true;
        continue;
      }
      in.remove_prefix(4);
      if (wanted &&
          (bytes + in.size() > wanted->size || std::memcmp(wanted->data + bytes, in.data(), in.size()) != 0))
        bench::die("what came differs from " + expect + " after " + std::to_string(bytes) + " bytes");
      ++blocks;
      bytes += in.size();
      done = in.size() < g.blksize;
      if (++in_window >= g.windowsize || done) acknowledge();
    }
    if (gap && !done) {
      ++again;
      acknowledge();
    }
  }
  if (wanted && bytes != wanted->size)
    bench::die(std::to_string(bytes) + " bytes came of " + std::to_string(wanted->size));
  close(fd);
  return {g, bytes, again};
}

} // namespace

int main(int argc, char** argv) {
  bench::arguments options(argc, argv, 1);
  plan what;
  what.server = bench::ipv4(options.text("server", "127.0.0.1"),
                            static_cast<std::uint16_t>(options.number("port", 69, 1, 65535)));
  what.file = options.text("file", "64m");
  what.expect = options.text("expect", "");
  what.blksize = static_cast<std::size_t>(options.number("blksize", 1428, 8, 65464));
  what.windowsize = static_cast<std::size_t>(options.number("windowsize", 1, 1, 64));
  auto clients = static_cast<std::size_t>(options.number("clients", 1, 1, 256));
  options.check();
  if (!what.expect.empty()) what.wanted.emplace(what.expect);
  std::vector<outcome> outcomes(clients);
  auto begun = bench::now_ns();
  {
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < clients; ++i) others.emplace_back([&, i] { outcomes[i] = fetch(what); });
    outcomes[0] = fetch(what);
    for (auto& other : others) other.join();
  }
  auto seconds = static_cast<double>(bench::now_ns() - begun) / 1e9;
  std::uint64_t bytes = 0, again = 0;
  for (const auto& o : outcomes) {
    bytes += o.bytes;
    again += o.again;
  }
  const auto& g = outcomes[0].g;
  std::printf(
      "{\"bytes\": %llu, \"seconds\": %.6f, \"blksize\": %zu, \"windowsize\": %zu, \"again\": %llu}\n",
      static_cast<unsigned long long>(bytes), seconds, g.blksize, g.windowsize,
      static_cast<unsigned long long>(again));
}
