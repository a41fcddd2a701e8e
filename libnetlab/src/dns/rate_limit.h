#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "netlab/clock.h"
#include "netlab/ip.h"

namespace netlab::dns {

// A token bucket for each client: an IPv4 address or an IPv6 /64, because a host has all of that. A fixed
// number of buckets, found by a keyed hash; two clients that share one share its tokens, which only matters
// when both are at their limit.
class rate_limit {
public:
  rate_limit(double per_second, double burst, std::uint64_t seed)
      : per_second_(per_second), burst_(std::max(burst, 1.0)), seed_(seed),
        buckets_(per_second > 0 ? 4096 : 0) {}

  bool admits(const ip_address& client, boot_time now) {
    if (buckets_.empty()) return true;
    auto& b = buckets_[index(client)];
    if (b.last == boot_time{}) b.tokens = burst_;
    b.tokens = std::min(burst_, b.tokens + per_second_ * std::chrono::duration<double>(now - b.last).count());
    b.last = now;
    if (b.tokens < 1) return false;
    b.tokens -= 1;
    return true;
  }

private:
  struct bucket {
    double tokens = 0;
    boot_time last{};
  };
  std::size_t index(const ip_address& client) const {
    std::uint64_t word = 0;
    auto bytes = client.bytes();
    std::memcpy(&word, bytes.data(), std::min<std::size_t>(bytes.size(), 8));
    word = (word ^ seed_) * 0x9e3779b97f4a7c15ull;
    return word >> 52; // 4096 buckets
  }
  double per_second_, burst_;
  std::uint64_t seed_;
  std::vector<bucket> buckets_;
};

} // namespace netlab::dns
