#pragma once
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "netlab/clock.h"
#include "netlab/lease.h"

namespace netlab {

// Leases that nobody keeps: for a recipe without a state folder, simulations and tests. The same version
// rule as every store. Owned and called by one scheduler's thread; callbacks pending at its end never run.
class memory_lease_store final : public lease_store {
public:
  explicit memory_lease_store(netlab::scheduler& scheduler);
  ~memory_lease_store() override;

  result<std::vector<lease>> load() override; // sorted by address; may be called again
  void claim(lease next, done_fn done) override;
  void drain(std::function<void()> fn) override;

  // How long a claim takes to be "durable".
  duration delay{};
  // Asked before each claim: an outcome here is delivered instead of storing anything, which is how a
  // test plays a full disk or a second server that was faster.
  std::function<std::optional<outcome>(const lease& next)> intercept;
  // Puts `l` there as another server would, under the next version of its address.
  const lease& put(lease l);
  const lease* find(const ip_address& address) const;

private:
  struct flight;
  void deliver(std::function<void()> fn);

  netlab::scheduler& scheduler_;
  std::unordered_map<ip_address, lease> leases_;
  std::shared_ptr<flight> flight_;
};

} // namespace netlab
