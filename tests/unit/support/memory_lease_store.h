#pragma once
#include <deque>
#include <map>

#include "netlab/lease.h"

// A lease store in memory whose answers come when the test lets them: run() is the group commit.
class memory_lease_store final : public netlab::lease_store {
public:
  netlab::result<std::vector<netlab::lease>> load() override {
    std::vector<netlab::lease> out;
    for (const auto& [address, l] : stored) out.push_back(l);
    return out;
  }
  void claim(netlab::lease next, done_fn done) override {
    waiting.push_back({std::move(next), std::move(done)});
  }
  void drain(std::function<void()> fn) override {
    run();
    fn();
  }

  // Answers everything claimed so far.
  void run() {
    auto batch = std::move(waiting);
    waiting.clear();
    for (auto& [next, done] : batch) done(apply(next));
  }
  outcome apply(netlab::lease next) {
    if (!failure.empty()) return {outcome::kind::failed, {}, failure};
    auto& there = stored[next.address];
    if (there.version != next.version) return {outcome::kind::conflict, there, {}};
    ++next.version;
    there = next;
    ++writes;
    return {outcome::kind::stored, next, {}};
  }

  std::map<netlab::ip_address, netlab::lease> stored;
  std::deque<std::pair<netlab::lease, done_fn>> waiting;
  std::string failure; // when set, every claim fails with it
  std::size_t writes = 0;
};
