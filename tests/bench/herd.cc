// Many machines that netboot at the same moment, each with an address of its own: DHCP as firmware, the
// loader over TFTP, DHCP as iPXE, two scripts, kernel and initrd over HTTP. Beside them ordinary DHCP clients
// ask at a steady pace, before the herd comes and while it is there.
//
//   netlab-bench-herd --server IP --relay IP [--interface eth0] [--nodes 200] [--quiet 2]
//   [--name kernel.bench.internal]
//
// DNS is asked for a name of the recipe in the same manner, every two milliseconds.
//
// The machines speak through a relay agent's address, because 200 of them on one card have no other way to be
// told apart by IPv4. Prints one line of JSON: how many reached their kernel, times to the first byte (ms),
// the whole (s), bytes, and DHCP's and DNS' times without and with the herd (ms). Exit code 1 when nothing
// could be measured.
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "dhcp_bytes.h"
#include "tool.h"

namespace {

namespace dhcp = bench::dhcp;
using bytes = std::vector<std::uint8_t>;
constexpr int patience_ms = 4000, attempts = 6;

double ms(std::uint64_t ns) { return static_cast<double>(ns) / 1e6; }

struct place {
  std::string server, relay, interface;
};

// One relay agent's socket, shared: answers go to whoever waits for their transaction.
class relay_agent {
public:
  explicit relay_agent(const place& where)
      : fd_(bench::udp_socket(where.relay, 67)), to_(bench::ipv4(where.server, 67)),
        from_(bench::ipv4(where.relay, 67)) {
    timeval wait{0, 100'000};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    reader_ = std::thread([this] { read(); });
  }
  ~relay_agent() {
    over_ = true;
    reader_.join();
    close(fd_);
  }

  // Sends until there is an answer of that type.
  std::optional<bytes> ask(bytes message, std::uint32_t xid, std::uint8_t wanted) {
    auto wait = std::make_shared<waiting>();
    {
      std::lock_guard lock(mutex_);
      waits_[xid] = wait;
    }
    std::memcpy(&message[dhcp::giaddr], &from_.sin_addr, 4);
    std::optional<bytes> out;
    for (int i = 0; i < attempts && !out; ++i) {
      sendto(fd_, message.data(), message.size(), 0, reinterpret_cast<const sockaddr*>(&to_), sizeof to_);
      std::unique_lock lock(mutex_);
      wait->ready.wait_for(lock, std::chrono::milliseconds(patience_ms),
                           [&] { return !wait->answers.empty(); });
      while (!wait->answers.empty() && !out) {
        if (dhcp::message_type(wait->answers.front()) == wanted) out = std::move(wait->answers.front());
        wait->answers.pop_front();
      }
    }
    std::lock_guard lock(mutex_);
    waits_.erase(xid);
    return out;
  }

private:
  struct waiting {
    std::deque<bytes> answers;
    std::condition_variable ready;
  };
  void read() {
    bytes in(2048);
    while (!over_) {
      auto n = recv(fd_, in.data(), in.size(), 0);
      if (n < static_cast<ssize_t>(dhcp::options)) continue;
      std::uint32_t xid = 0;
      std::memcpy(&xid, &in[dhcp::xid], 4);
      std::lock_guard lock(mutex_);
      auto found = waits_.find(xid);
      if (found == waits_.end()) continue;
      found->second->answers.emplace_back(in.begin(), in.begin() + n);
      found->second->ready.notify_one();
    }
  }
  int fd_;
  sockaddr_in to_, from_;
  std::atomic<bool> over_{false};
  std::mutex mutex_;
  std::map<std::uint32_t, std::shared_ptr<waiting>> waits_;
  std::thread reader_;
};

struct lease {
  std::uint32_t address = 0; // network order
  std::string file;          // option 67
};

enum class kind { plain, firmware, ipxe };

std::optional<lease> exchange(relay_agent& relay, std::uint32_t serial, kind who) {
  std::uint32_t xid = serial * 8 + static_cast<std::uint32_t>(who);
  bytes base(dhcp::options);
  base[dhcp::op] = 1;
  base[1] = 1;
  base[2] = 6;
  base[dhcp::hops] = 1;
  std::memcpy(&base[dhcp::xid], &xid, 4);
  const std::uint8_t mac[] = {2,
                              0x68,
                              static_cast<std::uint8_t>(serial >> 24),
                              static_cast<std::uint8_t>(serial >> 16),
                              static_cast<std::uint8_t>(serial >> 8),
                              static_cast<std::uint8_t>(serial)};
  std::memcpy(&base[dhcp::chaddr], mac, 6);
  std::memcpy(&base[dhcp::cookie], dhcp::magic.data(), 4);
  auto put = [](bytes& m, std::uint8_t code, std::string_view value) {
    m.push_back(code);
    m.push_back(static_cast<std::uint8_t>(value.size()));
    m.insert(m.end(), value.begin(), value.end());
  };
  auto common = [&](bytes& m) {
    put(m, 55, {"\1\3\6\103", 4});
    if (who != kind::plain) {
      put(m, 60, "PXEClient:Arch:00007:UNDI:003016");
      put(m, 93, {"\0\7", 2});
      put(m, 94, {"\1\3\20", 3});
    }
    // iPXE's own word, and that it speaks HTTP and loads EFI programs (its option 175).
    if (who == kind::ipxe) {
      put(m, 77, "iPXE");
      put(m, 175, {"\x13\1\1\x24\1\1", 6});
    }
    m.push_back(255);
    m.resize(std::max<std::size_t>(m.size(), 300));
  };
  auto discover = base;
  put(discover, 53, "\1");
  common(discover);
  auto offer = relay.ask(discover, xid, dhcp::offer);
  if (!offer) return std::nullopt;
  auto server = dhcp::find_option(*offer, 54, 4);
  if (!server) return std::nullopt;
  std::string_view offered(reinterpret_cast<const char*>(&(*offer)[dhcp::yiaddr]), 4);
  auto request = base;
  put(request, 53, "\3");
  put(request, 50, offered);
  put(request, 54, {reinterpret_cast<const char*>(&(*offer)[server]), 4});
  common(request);
  auto ack = relay.ask(request, xid, dhcp::ack);
  if (!ack) return std::nullopt;
  lease out;
  std::memcpy(&out.address, &(*ack)[dhcp::yiaddr], 4);
  for (std::size_t at = dhcp::options; at + 1 < ack->size() && (*ack)[at] != 255;) {
    if ((*ack)[at] == 0) {
      ++at;
      continue;
    }
    std::size_t size = (*ack)[at + 1];
    if (at + 2 + size > ack->size()) break;
    if ((*ack)[at] == 67) out.file.assign(reinterpret_cast<const char*>(&(*ack)[at + 2]), size);
    at += 2 + size;
  }
  out.file = out.file.c_str(); // without the NULs that some servers add
  return out;
}

// The machine takes its address (rtnetlink(7), RTM_NEWADDR).
bool take_address(std::uint32_t address, unsigned interface) {
  struct {
    nlmsghdr head;
    ifaddrmsg body;
    char attributes[64];
  } m{};
  m.head = {NLMSG_LENGTH(sizeof m.body), RTM_NEWADDR,
            NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, 1, 0};
  m.body = {AF_INET, 32, 0, 0, interface};
  for (unsigned short type : {IFA_LOCAL, IFA_ADDRESS}) {
    auto* attribute = reinterpret_cast<rtattr*>(reinterpret_cast<char*>(&m) + NLMSG_ALIGN(m.head.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(4);
    std::memcpy(RTA_DATA(attribute), &address, 4);
    m.head.nlmsg_len = NLMSG_ALIGN(m.head.nlmsg_len) + RTA_LENGTH(4);
  }
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  bool sent = send(fd, &m, m.head.nlmsg_len, 0) > 0;
  struct {
    nlmsghdr head;
    nlmsgerr body;
    char rest[256];
  } answer{};
  bool ok = sent && recv(fd, &answer, sizeof answer, 0) > 0 && answer.body.error == 0;
  close(fd);
  return ok;
}

sockaddr_in own(std::uint32_t address) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_addr.s_addr = address;
  return out;
}

class machine {
public:
  machine(const place& where, std::uint32_t serial) : where_(where), serial_(serial) {}

  std::vector<std::uint64_t> first_bytes; // ns, in the order of the boot: loader, two scripts, kernel, initrd
  std::uint64_t received = 0;
  std::string trouble; // empty: it reached its kernel

  void boot(relay_agent& relay) {
    auto firmware = exchange(relay, serial_, kind::firmware);
    if (!firmware || firmware->file.empty()) return fail("no offer with a boot file for the firmware");
    address_ = firmware->address;
    if (!take_address(address_, if_nametoindex(where_.interface.c_str())))
      return fail("its address cannot be taken");
    if (!tftp(firmware->file)) return;
    auto ipxe = exchange(relay, serial_, kind::ipxe);
    if (!ipxe || ipxe->file.find("/boot.ipxe") == std::string::npos) return fail("no script for iPXE");
    std::string script;
    if (!http("/boot.ipxe", &script)) return;
    char mac[24];
    std::snprintf(mac, sizeof mac, "02-68-%02x-%02x-%02x-%02x", serial_ >> 24, serial_ >> 16 & 255,
                  serial_ >> 8 & 255, serial_ & 255);
    if (!http(std::string("/ipxe?mac=") + mac + "&arch=x86_64&platform=efi", &script)) return;
    for (std::string_view word : {"\nkernel ", "\ninitrd "}) {
      auto at = script.find(word);
      auto url = at == std::string::npos ? at : script.find("http://", at);
      if (url == std::string::npos) return fail("the script names no" + std::string(word.substr(1)));
      auto path = script.find('/', url + 7);
      if (!http(script.substr(path, script.find_first_of(" \n", path) - path), nullptr)) return;
    }
  }

private:
  void fail(const std::string& why) {
    if (trouble.empty()) trouble = why;
  }

  // Block by block with the blksize that iPXE and EDK2 ask for (RFC 1350, RFC 2348).
  bool tftp(const std::string& file) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    auto name = own(address_), server = bench::ipv4(where_.server, 69);
    timeval wait{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    std::string out =
        std::string("\0\1", 2) + file + '\0' + "octet" + '\0' + "blksize" + '\0' + "1432" + '\0';
    if (bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) {
      close(fd);
      fail("TFTP cannot use its address");
      return false;
    }
    std::size_t block_size = 512;
    std::uint16_t expected = 1;
    auto begun = bench::now_ns();
    bool answered = false;
    int silent = 0;
    for (;;) {
      sendto(fd, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&server), sizeof server);
      std::array<char, 1600> in;
      socklen_t length = sizeof server;
      auto n = recvfrom(fd, in.data(), in.size(), 0, reinterpret_cast<sockaddr*>(&server), &length);
      if (n < 4) {
        if (++silent < 8) continue;
        break;
      }
      silent = 0;
      if (!answered) first_bytes.push_back(bench::now_ns() - begun);
      answered = true;
      std::uint16_t number = static_cast<std::uint16_t>(static_cast<std::uint8_t>(in[2]) << 8 |
                                                        static_cast<std::uint8_t>(in[3]));
      if (in[1] == 6) {
        block_size = 1432;
        number = 0;
      } else if (in[1] != 3) {
        break;
      } else if (number == expected) {
        received += static_cast<std::uint64_t>(n) - 4;
        ++expected;
      }
      out = {0, 4, static_cast<char>(number >> 8), static_cast<char>(number)};
      if (in[1] == 3 && static_cast<std::size_t>(n) - 4 < block_size) {
        sendto(fd, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&server), sizeof server);
        close(fd);
        return true;
      }
    }
    close(fd);
    fail("the loader did not come over TFTP");
    return false;
  }

  // A body that is kept in `text`, or only counted.
  bool http(const std::string& path, std::string* text) {
    auto name = own(address_), server = bench::ipv4(where_.server, 8080);
    auto begun = bench::now_ns();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    timeval wait{30, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    auto give_up = [&](const std::string& why) {
      close(fd);
      fail(path + ": " + why);
      return false;
    };
    if (bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 ||
        connect(fd, reinterpret_cast<sockaddr*>(&server), sizeof server) != 0)
      return give_up(std::strerror(errno));
    auto request =
        "GET " + path + " HTTP/1.1\r\nHost: " + where_.server + "\r\nUser-Agent: iPXE/1.21\r\n\r\n";
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return give_up(std::strerror(errno));
    std::string head;
    std::array<char, 16384> in;
    std::size_t end = std::string::npos;
    while (end == std::string::npos) {
      auto n = recv(fd, in.data(), in.size(), 0);
      if (n <= 0) return give_up("no answer");
      if (head.empty()) first_bytes.push_back(bench::now_ns() - begun);
      head.append(in.data(), static_cast<std::size_t>(n));
      end = head.find("\r\n\r\n");
    }
    auto field = head.find("Content-Length: ");
    if (!head.starts_with("HTTP/1.1 200 ") || field == std::string::npos)
      return give_up(head.substr(0, head.find('\r')));
    auto length = std::strtoull(head.c_str() + field + 16, nullptr, 10);
    auto body = head.substr(end + 4);
    std::uint64_t have = body.size();
    while (have < length) {
      // TCP's bytes may be dropped unread: what the machine would do with them is not the server's matter.
      auto n = text ? recv(fd, in.data(), in.size(), 0) : recv(fd, nullptr, 1u << 20, MSG_TRUNC);
      if (n <= 0) return give_up("it broke off after " + std::to_string(have) + " bytes");
      if (text) body.append(in.data(), static_cast<std::size_t>(n));
      have += static_cast<std::uint64_t>(n);
    }
    close(fd);
    received += have;
    if (text) *text = std::move(body);
    return true;
  }

  const place& where_;
  std::uint32_t serial_, address_ = 0;
};

// Ordinary clients, one every five milliseconds, until told to end. Returns how long each exchange took.
std::vector<std::uint64_t> steady_dhcp(relay_agent& relay, std::uint32_t first,
                                       const std::atomic<bool>& over) {
  std::vector<std::uint64_t> out;
  for (auto serial = first; !over; ++serial) {
    auto begun = bench::now_ns();
    if (exchange(relay, serial, kind::plain))
      out.push_back(bench::now_ns() - begun);
    else
      out.push_back(std::uint64_t{patience_ms} * attempts * 1'000'000);
    auto next = begun + 5'000'000, now = bench::now_ns();
    if (now < next) std::this_thread::sleep_for(std::chrono::nanoseconds(next - now));
  }
  return out;
}

struct dns_times {
  std::vector<std::uint64_t> took;
  std::size_t lost = 0; // no answer within a second, which is when a resolver asks again
};

// A query for the name's A records, one after the other (RFC 1035 §4.1), until told to end.
dns_times steady_dns(const place& where, const std::string& name, const std::atomic<bool>& over) {
  dns_times out;
  std::string question;
  for (std::size_t at = 0; at <= name.size();) {
    auto dot = std::min(name.find('.', at), name.size());
    question += static_cast<char>(dot - at) + name.substr(at, dot - at);
    at = dot + 1;
  }
  question += std::string("\0\0\1\0\1", 5);
  int fd = bench::udp_socket(where.relay, 0);
  auto server = bench::ipv4(where.server, 53);
  if (connect(fd, reinterpret_cast<sockaddr*>(&server), sizeof server) != 0) bench::die_errno("connect");
  timeval patience{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (std::uint16_t id = 1; !over; ++id) {
    std::string query = {static_cast<char>(id >> 8), static_cast<char>(id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    query += question;
    auto begun = bench::now_ns();
    send(fd, query.data(), query.size(), 0);
    std::array<char, 1500> in;
    for (;;) {
      auto n = recv(fd, in.data(), in.size(), 0);
      if (n < 0) {
        ++out.lost;
        break;
      }
      if (n < 12 || std::memcmp(in.data(), query.data(), 2) != 0) continue; // a late one of before
      if ((in[3] & 15) != 0 || in[7] == 0) bench::die("DNS does not know " + name);
      out.took.push_back(bench::now_ns() - begun);
      break;
    }
    auto next = begun + 2'000'000, now = bench::now_ns();
    if (now < next) std::this_thread::sleep_for(std::chrono::nanoseconds(next - now));
  }
  close(fd);
  return out;
}

double percentile(std::vector<std::uint64_t> values, double share) {
  if (values.empty()) return -1;
  std::sort(values.begin(), values.end());
  return ms(values[std::min(values.size() - 1,
                            static_cast<std::size_t>(share * static_cast<double>(values.size())))]);
}

} // namespace

int main(int argc, char** argv) {
  bench::arguments options(argc, argv, 1);
  place where{options.text("server", ""), options.text("relay", ""), options.text("interface", "eth0")};
  auto nodes = static_cast<std::uint32_t>(options.number("nodes", 200, 1, 2000));
  auto quiet = options.number("quiet", 2, 0.1, 60);
  auto name = options.text("name", "kernel.bench.internal");
  options.check();
  relay_agent relay(where);

  std::atomic<bool> over{false};
  std::vector<std::uint64_t> alone, beside;
  dns_times dns_alone, dns_beside;
  std::thread before([&] { alone = steady_dhcp(relay, 0x00100000, over); });
  std::thread names_before([&] { dns_alone = steady_dns(where, name, over); });
  std::this_thread::sleep_for(std::chrono::duration<double>(quiet));
  over = true;
  before.join();
  names_before.join();
  over = false;

  std::vector<std::unique_ptr<machine>> herd;
  for (std::uint32_t i = 0; i < nodes; ++i) herd.push_back(std::make_unique<machine>(where, i + 1));
  std::thread meanwhile([&] { beside = steady_dhcp(relay, 0x00200000, over); });
  std::thread names_meanwhile([&] { dns_beside = steady_dns(where, name, over); });
  auto begun = bench::now_ns();
  {
    std::vector<std::thread> threads;
    for (auto& m : herd) threads.emplace_back([&m, &relay] { m->boot(relay); });
    for (auto& t : threads) t.join();
  }
  auto elapsed = bench::now_ns() - begun;
  over = true;
  meanwhile.join();
  names_meanwhile.join();

  std::vector<std::uint64_t> first, by_step[5];
  std::uint64_t received = 0;
  std::size_t booted = 0;
  std::string trouble;
  for (auto& m : herd) {
    first.insert(first.end(), m->first_bytes.begin(), m->first_bytes.end());
    for (std::size_t i = 0; i < m->first_bytes.size() && i < std::size(by_step); ++i)
      by_step[i].push_back(m->first_bytes[i]);
    received += m->received;
    booted += m->trouble.empty();
    if (trouble.empty()) trouble = m->trouble;
  }
  if (!trouble.empty()) std::fprintf(stderr, "one of those that did not boot: %s\n", trouble.c_str());
  std::printf(
      "{\"nodes\": %u, \"booted\": %zu, \"seconds\": %.3f, \"bytes\": %llu, \"first_byte_p50\": %.3f, "
      "\"first_byte_p99\": %.3f, \"first_byte_max\": %.3f, \"dhcp_alone_p99\": %.3f, \"dhcp_beside_p50\": "
      "%.3f, "
      "\"dhcp_beside_p99\": %.3f, \"dhcp_alone\": %zu, \"dhcp_beside\": %zu, \"steps_p99\": [%.1f, %.1f, "
      "%.1f, %.1f, %.1f], \"dns_alone_p99\": %.3f, \"dns_beside_p50\": %.3f, \"dns_beside_p99\": %.3f, "
      "\"dns_beside\": %zu, \"dns_lost\": %zu}\n",
      nodes, booted, static_cast<double>(elapsed) / 1e9, static_cast<unsigned long long>(received),
      percentile(first, 0.5), percentile(first, 0.99), percentile(first, 1), percentile(alone, 0.99),
      percentile(beside, 0.5), percentile(beside, 0.99), alone.size(), beside.size(),
      percentile(by_step[0], 0.99), percentile(by_step[1], 0.99), percentile(by_step[2], 0.99),
      percentile(by_step[3], 0.99), percentile(by_step[4], 0.99), percentile(dns_alone.took, 0.99),
      percentile(dns_beside.took, 0.5), percentile(dns_beside.took, 0.99), dns_beside.took.size(),
      dns_alone.lost + dns_beside.lost);
  return booted == 0 ? 1 : 0;
}
