#include "netlab/memory_lease_store.h"

#include <algorithm>
#include <map>

namespace netlab {

// What is on its way; callbacks hold it weakly, so that they end with the store.
struct memory_lease_store::flight {
  std::map<std::uint64_t, timer> timers;
  std::uint64_t next = 0;
};

memory_lease_store::memory_lease_store(netlab::scheduler& scheduler)
    : scheduler_(scheduler), flight_(std::make_shared<flight>()) {}
memory_lease_store::~memory_lease_store() = default;

void memory_lease_store::deliver(std::function<void()> fn) {
  std::weak_ptr<flight> alive = flight_;
  if (delay <= duration{}) {
    scheduler_.post([alive, run = std::move(fn)] {
      if (!alive.expired()) run();
    });
    return;
  }
  auto id = flight_->next++;
  flight_->timers[id] = scheduler_.after(delay, [alive, id, run = std::move(fn)] {
    auto in = alive.lock();
    if (!in) return;
    // The call may end the store: the timer goes first, by way of a copy of what it runs.
    auto call = run;
    auto self = in->timers.extract(id);
    in.reset();
    call();
  });
}

result<std::vector<lease>> memory_lease_store::load() {
  std::vector<lease> out;
  out.reserve(leases_.size());
  for (const auto& [address, l] : leases_) out.push_back(l);
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
  return out;
}

void memory_lease_store::claim(lease next, done_fn done) {
  outcome out;
  if (auto played = intercept ? intercept(next) : std::nullopt) {
    out = std::move(*played);
  } else {
    auto it = leases_.find(next.address);
    std::uint64_t version = it == leases_.end() ? 0 : it->second.version;
    if (version == next.version) {
      ++next.version;
      out.current = next;
      leases_.insert_or_assign(next.address, std::move(next));
    } else {
      out.what = outcome::kind::conflict;
      if (it != leases_.end())
        out.current = it->second;
      else
        out.current.address = next.address;
    }
  }
  deliver([run = std::move(done), result = std::move(out)] { run(result); });
}

void memory_lease_store::drain(std::function<void()> fn) { deliver(std::move(fn)); }

const lease& memory_lease_store::put(lease l) {
  auto& slot = leases_[l.address];
  l.version = slot.version + 1;
  slot = std::move(l);
  return slot;
}

const lease* memory_lease_store::find(const ip_address& address) const {
  auto it = leases_.find(address);
  return it == leases_.end() ? nullptr : &it->second;
}

} // namespace netlab
