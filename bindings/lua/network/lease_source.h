#pragma once
#include <functional>
#include <utility>
#include <vector>

#include "netlab/lease.h"

namespace netlab::lua {

// What a service that gives out addresses lets others know: DNS names its clients. Control loop only.
class lease_source {
public:
  virtual ~lease_source() = default;
  // The leases that hold now; none before the service runs.
  virtual std::vector<lease> current_leases() const = 0;
  // Runs `fn` after any of them began, was renewed or ended. It is called for every exchange, so it does
  // little. For as long as the service lives.
  void on_leases_changed(std::function<void()> fn) { listeners_.push_back(std::move(fn)); }

protected:
  void leases_changed() const {
    for (const auto& fn : listeners_) fn();
  }

private:
  std::vector<std::function<void()>> listeners_;
};

} // namespace netlab::lua
