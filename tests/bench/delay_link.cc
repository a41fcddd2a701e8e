// A cable that takes its time, for kernels without netem: a TUN device in each of two network namespaces, and
// what the first sends reaches the second so much later.  The other direction is not held up.
//
//   netlab-bench-delay --slow NAMESPACE --other NAMESPACE [--device link0] [--us 1000]
//
// Prints "ready" when both devices are there, and runs until it is killed.
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include <deque>
#include <vector>

#include "tool.h"

namespace {

// The device is made in the namespace that the process is in when it opens the control file.
int tun(const std::string& netns, const std::string& device) {
  int there = open(("/run/netns/" + netns).c_str(), O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET) != 0) bench::die_errno("network namespace " + netns);
  close(there);
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) bench::die_errno("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (device.size() >= IFNAMSIZ) bench::die("--device: a shorter name");
  std::memcpy(request.ifr_name, device.c_str(), device.size());
  if (ioctl(fd, TUNSETIFF, &request) != 0) bench::die_errno("TUNSETIFF");
  return fd;
}

struct held {
  std::uint64_t due; // ns
  std::vector<char> packet;
};

constexpr std::size_t most_held = 4096; // like a router's queue: what comes on top is lost

} // namespace

int main(int argc, char** argv) {
  bench::arguments options(argc, argv, 1);
  auto slow_name = options.text("slow", ""), other_name = options.text("other", ""),
       device = options.text("device", "link0");
  auto delay = static_cast<std::uint64_t>(options.number("us", 1000, 0, 1'000'000)) * 1000;
  options.check();
  int slow = tun(slow_name, device), other = tun(other_name, device);
  prctl(PR_SET_TIMERSLACK, 1UL); // the kernel's 50 us of slack would be 5 % of the delay
  std::puts("ready");
  std::fflush(stdout);
  std::deque<held> queue;
  std::vector<char> buffer(65536);
  for (;;) {
    pollfd wait[2] = {{slow, POLLIN, 0}, {other, POLLIN, 0}};
    timespec left{1, 0};
    if (!queue.empty()) {
      auto now = bench::now_ns();
      auto rest = queue.front().due > now ? queue.front().due - now : 0;
      left = {static_cast<time_t>(rest / 1'000'000'000), static_cast<long>(rest % 1'000'000'000)};
    }
    if (ppoll(wait, 2, &left, nullptr) < 0 && errno != EINTR) bench::die_errno("poll");
    for (ssize_t n; (n = read(slow, buffer.data(), buffer.size())) > 0;)
      if (queue.size() < most_held)
        queue.push_back({bench::now_ns() + delay, {buffer.data(), buffer.data() + n}});
    for (ssize_t n; (n = read(other, buffer.data(), buffer.size())) > 0;)
      if (write(slow, buffer.data(), static_cast<std::size_t>(n)) < 0 && errno != EIO)
        bench::die_errno("write");
    auto now = bench::now_ns();
    for (; !queue.empty() && queue.front().due <= now; queue.pop_front())
      // EIO: the device is not up yet.
      if (write(other, queue.front().packet.data(), queue.front().packet.size()) < 0 && errno != EIO)
        bench::die_errno("write");
  }
}
