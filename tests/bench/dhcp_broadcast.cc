// Many DHCP clients that have no address yet, on one interface: DISCOVER, OFFER, REQUEST, ACK, each time with
// a new hardware address, N of them at once.  perfdhcp can only play a relay agent.
//
//   netlab-bench-dhcp [--interface eth0] [--seconds 3] [--outstanding 64] [--reply unicast|broadcast]
//                     [--seed 1] [--warmup 0.2]
//
// Prints one line of JSON: exchanges, rate (1/s), latencies from DISCOVER to ACK (us), drops (no answer
// within one second), naks, and addresses that two clients got.
#include <linux/filter.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <vector>

#include "dhcp_bytes.h"
#include "tool.h"

namespace {

namespace dhcp = bench::dhcp;
constexpr std::size_t batch = 64, frame_size = 342; // Ethernet, IP, UDP and BOOTP's 300 bytes
constexpr std::size_t ethernet = 14, bootp = ethernet + dhcp::ip_udp_headers;
constexpr std::uint64_t give_up = 1'000'000'000; // ns

struct client {
  std::uint32_t xid = 0;
  std::uint64_t begun = 0, sent = 0; // ns
  bool offered = false;
};

class load {
public:
  load(int fd, std::size_t outstanding, bool broadcast, std::uint32_t seed)
      : fd_(fd), clients_(outstanding), broadcast_(broadcast), serial_(seed << 24), seen_(1u << 24) {
    for (std::size_t i = 0; i < batch; ++i) {
      out_vectors_[i] = {out_[i].data(), frame_size};
      out_messages_[i].msg_hdr = {nullptr, 0, &out_vectors_[i], 1, nullptr, 0, 0};
    }
  }

  void run(std::uint64_t warmup, std::uint64_t span) {
    auto start = bench::now_ns();
    measured_from_ = start + warmup;
    auto end = measured_from_ + span;
    for (std::size_t i = 0; i < clients_.size(); ++i) discover(i, start);
    flush();
    auto look = start + give_up / 8;
    for (;;) {
      pollfd wait{fd_, POLLIN, 0};
      poll(&wait, 1, 50);
      auto now = bench::now_ns();
      if (now >= end) break;
      receive(now);
      if (now >= look) { // dropped ones are rare: they need no timer each
        look = now + give_up / 8;
        for (std::size_t i = 0; i < clients_.size(); ++i)
          if (now - clients_[i].sent > give_up) {
            drops_ += now >= measured_from_ ? 1 : 0;
            discover(i, now);
          }
      }
      flush();
    }
    seconds_ = static_cast<double>(span) / 1e9;
  }

  void print() {
    std::sort(latencies_.begin(), latencies_.end());
    auto percentile = [&](double p) {
      if (latencies_.empty()) return 0.0;
      return static_cast<double>(
                 latencies_[static_cast<std::size_t>(p * static_cast<double>(latencies_.size() - 1))]) /
             1e3;
    };
    std::printf(
        "{\"exchanges\": %zu, \"seconds\": %.3f, \"rate\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, "
        "\"p99_us\": %.1f, \"max_us\": %.1f, \"drops\": %llu, \"naks\": %llu, \"duplicates\": %llu}\n",
        latencies_.size(), seconds_, static_cast<double>(latencies_.size()) / seconds_, percentile(0.5),
        percentile(0.9), percentile(0.99), percentile(1), static_cast<unsigned long long>(drops_),
        static_cast<unsigned long long>(naks_), static_cast<unsigned long long>(duplicates_));
  }

private:
  // A locally administered address for each exchange; the slot is in the xid, so that an answer finds it.
  void put(std::size_t slot, std::uint8_t type, const std::uint8_t* address, const std::uint8_t* server) {
    auto& c = clients_[slot];
    auto* f = out_[queued_].data();
    std::memset(f, 0, frame_size);
    std::memset(f, 0xff, 6);
    auto xid = htonl(c.xid);
    std::uint8_t mac[6] = {0x02, 0x4e};
    std::memcpy(mac + 2, &xid, 4);
    std::memcpy(f + 6, mac, 6);
    f[12] = 0x08;
    static constexpr std::uint8_t nobody[4] = {0, 0, 0, 0}, everybody[4] = {255, 255, 255, 255};
    dhcp::put_headers(f + ethernet, nobody, everybody, 68, 67, frame_size - bootp);
    auto* b = f + bootp;
    b[dhcp::op] = 1;
    b[1] = 1;
    b[2] = 6;
    std::memcpy(b + dhcp::xid, &xid, 4);
    if (broadcast_) b[dhcp::flags] = 0x80;
    std::memcpy(b + dhcp::chaddr, mac, 6);
    std::memcpy(b + dhcp::cookie, dhcp::magic.data(), 4);
    auto* o = b + dhcp::options;
    auto option = [&](std::uint8_t code, const void* value, std::uint8_t size) {
      *o++ = code;
      *o++ = size;
      std::memcpy(o, value, size);
      o += size;
    };
    option(53, &type, 1);
    if (address) {
      option(50, address, 4);
      option(54, server, 4);
    }
    option(55, "\x01\x03\x06\x0f\x33\x36", 6);
    *o = 255;
    if (++queued_ == batch) flush();
  }

  void discover(std::size_t slot, std::uint64_t now) {
    auto& c = clients_[slot];
    // The slot in the low bits, a serial number above: unique within a run as long as slots are few.
    c.xid = serial_++ * slots + static_cast<std::uint32_t>(slot);
    c.begun = c.sent = now;
    c.offered = false;
    put(slot, dhcp::discover, nullptr, nullptr);
  }

  void flush() {
    std::size_t done = 0;
    while (done < queued_) {
      int n = sendmmsg(fd_, &out_messages_[done], static_cast<unsigned>(queued_ - done), 0);
      if (n <= 0) break; // comes again when the client gives up on an answer
      done += static_cast<std::size_t>(n);
    }
    queued_ = 0;
  }

  void receive(std::uint64_t now) {
    for (;;) {
      for (std::size_t i = 0; i < batch; ++i) {
        in_vectors_[i] = {in_[i].data(), in_[i].size()};
        in_messages_[i].msg_hdr = {nullptr, 0, &in_vectors_[i], 1, nullptr, 0, 0};
      }
      int n = recvmmsg(fd_, in_messages_.data(), batch, MSG_DONTWAIT, nullptr);
      for (int i = 0; i < n; ++i)
        answer({in_[static_cast<std::size_t>(i)].data(), in_messages_[static_cast<std::size_t>(i)].msg_len},
               now);
      if (n < static_cast<int>(batch)) return;
    }
  }

  void answer(std::span<const std::uint8_t> f, std::uint64_t now) {
    if (f.size() < bootp + dhcp::options) return;
    auto m = f.subspan(bootp);
    std::uint32_t xid;
    std::memcpy(&xid, &m[dhcp::xid], 4);
    xid = ntohl(xid);
    auto slot = xid % slots;
    if (m[dhcp::op] != 2 || slot >= clients_.size() || clients_[slot].xid != xid) return;
    if (std::memcmp(&m[dhcp::chaddr + 2], &m[dhcp::xid], 4) != 0) return;
    auto& c = clients_[slot];
    auto type = dhcp::message_type(m);
    if (type == dhcp::offer && !c.offered) {
      auto server = dhcp::find_option(m, 54, 4);
      if (!server) return;
      c.offered = true;
      c.sent = now;
      put(slot, dhcp::request, &m[dhcp::yiaddr], &m[server]);
    } else if (type == dhcp::ack && c.offered) {
      if (now >= measured_from_) latencies_.push_back(now - c.begun);
      auto low = static_cast<std::size_t>(m[dhcp::yiaddr + 1] << 16 | m[dhcp::yiaddr + 2] << 8 |
                                          m[dhcp::yiaddr + 3]);
      if (seen_[low]) ++duplicates_;
      seen_[low] = true;
      discover(slot, now);
    } else if (type == dhcp::nak) {
      ++naks_;
      discover(slot, now);
    }
  }

  static constexpr std::uint32_t slots = 1024;
  int fd_;
  std::vector<client> clients_;
  bool broadcast_;
  std::uint32_t serial_;
  std::vector<bool> seen_; // addresses given, by their low 24 bits
  std::vector<std::uint64_t> latencies_;
  std::uint64_t measured_from_ = 0, drops_ = 0, naks_ = 0, duplicates_ = 0;
  double seconds_ = 1;
  std::size_t queued_ = 0;
  std::array<std::array<std::uint8_t, frame_size>, batch> out_;
  std::array<std::array<std::uint8_t, 2048>, batch> in_;
  std::array<iovec, batch> out_vectors_, in_vectors_;
  std::array<mmsghdr, batch> out_messages_{}, in_messages_{};
};

int open_interface(const std::string& interface) {
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) bench::die_errno("a packet socket (needs CAP_NET_RAW)");
  // IPv4, UDP to port 68, no fragments: everything else would only wake us.
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0800, 0, 7),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 5),
      BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
      BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 68, 0, 2),
      BPF_STMT(BPF_RET | BPF_K, 0xffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  sock_fprog filter{sizeof code / sizeof *code, code};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
    bench::die_errno("SO_ATTACH_FILTER");
  int bytes = 8 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  // What we send must not come back to us.
  bench::set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(0x0800);
  name.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (name.sll_ifindex == 0) bench::die("there is no interface " + interface);
  if (bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) bench::die_errno("bind " + interface);
  return fd;
}

} // namespace

int main(int argc, char** argv) {
  bench::arguments options(argc, argv, 1);
  auto interface = options.text("interface", "eth0");
  auto seconds = options.number("seconds", 3, 0.1, 60);
  auto warmup = options.number("warmup", 0.2, 0, 10);
  auto outstanding = static_cast<std::size_t>(options.number("outstanding", 64, 1, 1024));
  auto seed = static_cast<std::uint32_t>(options.number("seed", 1, 0, 255));
  auto reply = options.text("reply", "unicast");
  options.check();
  if (reply != "unicast" && reply != "broadcast") bench::die("--reply unicast or broadcast");
  load l(open_interface(interface), outstanding, reply == "broadcast", seed);
  l.run(static_cast<std::uint64_t>(warmup * 1e9), static_cast<std::uint64_t>(seconds * 1e9));
  l.print();
}
