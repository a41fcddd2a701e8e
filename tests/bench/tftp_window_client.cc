// Fetches a file over TFTP and prints the rate and what was granted, one "name value" a line.
//
//   netlab-bench-tftp ADDRESS:PORT FILE [BLKSIZE [WINDOWSIZE [TIMES]]]
#include <sys/resource.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "netlab/event_loop.h"
#include "netlab/tftp_client.h"

using namespace netlab;

namespace {

class no_http final : public http_client {
public:
  std::unique_ptr<http_exchange> send(http_request, std::function<void(result<http_response>)>) override {
    return nullptr; // a TFTP client makes no exchange
  }
};

bool number(const char* text, std::uint32_t& out) {
  auto* end = text + std::strlen(text);
  auto [at, problem] = std::from_chars(text, end, out);
  return problem == std::errc{} && at == end && out > 0;
}

double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

} // namespace

int main(int argc, char** argv) {
  std::uint32_t blksize = 1428, windowsize = 1, times = 1;
  bool right = argc >= 3 && argc <= 6;
  if (right && argc > 3) right = number(argv[3], blksize);
  if (right && argc > 4) right = number(argv[4], windowsize);
  if (right && argc > 5) right = number(argv[5], times);
  auto server = endpoint::parse(right ? argv[1] : "");
  if (!server) {
    std::fprintf(stderr, "usage: %s ADDRESS:PORT FILE [BLKSIZE [WINDOWSIZE [TIMES]]]\n", argv[0]);
    return 2;
  }
  event_loop loop;
  no_http http;
  metrics counters;
  runtime world{loop.clock(), loop.scheduler(), loop.random(), loop.net(),
                loop.files(), loop.processes(), http,          {},
                counters};
  tftp::get_options what;
  what.server = *server;
  what.file = argv[2];
  what.blksize = blksize;
  if (windowsize > 1) what.windowsize = windowsize;

  std::uint64_t bytes = 0, gaps = 0, duplicates = 0, retransmissions = 0;
  tftp::get_result last;
  auto begin = loop.clock().now();
  for (std::uint32_t i = 0; i < times; ++i) {
    bool failed = false;
    tftp::get_callbacks callbacks;
    callbacks.on_done = [&](result<tftp::get_result> how) {
      if (how) {
        last = *how;
        bytes += how->bytes;
        gaps += how->gaps;
        duplicates += how->duplicates;
        retransmissions += how->retransmissions;
      } else {
        std::fprintf(stderr, "%s\n", how.error().message.c_str());
        failed = true;
      }
      loop.stop();
    };
    auto transfer = tftp::get(world, what, std::move(callbacks));
    if (!transfer) {
      std::fprintf(stderr, "%s\n", transfer.error().message.c_str());
      return 1;
    }
    loop.run();
    if (failed) return 1;
  }
  auto seconds = std::chrono::duration<double>(loop.clock().now() - begin).count();
  auto gigabytes = static_cast<double>(bytes) / 1e9;
  std::printf("bytes %llu\nseconds %.6f\nrate_mb_s %.2f\nclient_cpu_s_per_gb %.3f\n",
              static_cast<unsigned long long>(bytes), seconds, gigabytes * 1e3 / seconds,
              processor_seconds() / gigabytes);
  std::printf("granted_blksize %u\ngranted_windowsize %u\ngaps %llu\nduplicates %llu\nretransmissions %llu\n",
              last.blksize, last.windowsize, static_cast<unsigned long long>(gaps),
              static_cast<unsigned long long>(duplicates), static_cast<unsigned long long>(retransmissions));
  return 0;
}
