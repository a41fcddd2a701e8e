#include "probe_window.h"

#include <algorithm>

namespace netlab::dhcp {

namespace {
// Requests for one client: a growing window is spread over several, so that no turn of the loop is long.
constexpr std::size_t burst = 64;
} // namespace

void probe_window::open(std::uint32_t interface) { interface_ = interface; }

void probe_window::ask(std::uint32_t address, boot_time now, std::vector<probe>& out) {
  asked_[address] = now;
  order_.push_back({address, now});
  out.push_back({ip_address::v4(address), interface_});
}

void probe_window::fill(lease_table& table, int network, boot_time now, std::vector<probe>& out) {
  if (!is_open()) return;
  for (std::size_t n = 0; n < burst && asked_.size() < target_; ++n) {
    auto address = table.take_free(network);
    if (!address) return;
    ask(*address, now, out);
  }
}

void probe_window::demand(const timing& t, boot_time now) {
  auto wanted = [&] { return std::min(growth * taken_, most); };
  auto length = std::max<duration>(t.answer, std::chrono::milliseconds(1));
  if (round_ == boot_time::min() || now - round_ >= length) {
    auto rounds = round_ == boot_time::min() ? 1 : (now - round_) / length;
    target_ = std::max(least, target_ >> std::min<duration::rep>(rounds, 31));
    if (rounds == 1) target_ = std::max(target_, wanted());
    round_ = now;
    taken_ = 0;
  }
  ++taken_;
  target_ = std::max(target_, wanted());
}

std::optional<std::uint32_t> probe_window::front(lease_table& table, const timing& t, boot_time now,
                                                 std::vector<probe>& out) {
  while (!order_.empty()) {
    auto next = order_.front();
    auto it = asked_.find(next.address);
    bool current = it != asked_.end() && it->second == next.asked;
    if (current && now - next.asked < t.answer + t.valid) return next.address;
    order_.pop_front();
    if (!current) continue;
    asked_.erase(it);
    if (asked_.size() < target_)
      ask(next.address, now, out);
    else
      table.put_back(next.address);
  }
  return std::nullopt;
}

std::optional<boot_time> probe_window::remove(std::uint32_t address) {
  auto it = asked_.find(address);
  if (it == asked_.end()) return std::nullopt;
  auto when = it->second;
  asked_.erase(it);
  return when;
}

} // namespace netlab::dhcp
