#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "lease_table.h"

namespace netlab::dhcp {

// The next free addresses of one network, asked for by ARP before anybody wants them, so that a new client
// is answered at once instead of after the time that a conflict probe takes. It has no timer: an address
// counts as verified when its probe is old enough and nobody answered, which is looked at when a client
// comes. So an idle network is neither probed nor woken up for. Owned by one engine, beside the lease
// table whose free addresses it takes.
class probe_window {
public:
  struct timing {
    duration answer; // a holder answers within this time
    duration valid;  // an address that nobody answered for may be offered this long without asking again
  };

  // Probes can be sent through `interface`; until then the window stays empty.
  void open(std::uint32_t interface);
  bool is_open() const { return interface_ != 0; }

  // Asks for addresses until the window is as large as demand wants it.
  void fill(lease_table& table, int network, boot_time now, std::vector<probe>& out);
  // A client needs an address: adapts the size.
  void demand(const timing& t, boot_time now);
  // The address to give next, which stays until remove(). What was verified too long ago is asked for again
  // or goes back to the table.
  std::optional<std::uint32_t> front(lease_table& table, const timing& t, boot_time now,
                                     std::vector<probe>& out);
  // Somebody has the address now, or it is offered: tells when it was asked for, if it was here.
  std::optional<boot_time> remove(std::uint32_t address);

  std::size_t size() const { return asked_.size(); }
  std::size_t target() const { return target_; }

  // A handful covers a lab where machines come one at a time. The window then follows the demand: four times
  // what was taken during the time that one answer needs, so that a herd is met after a few rounds and at
  // most four requests are sent for each address that is given. The largest window bounds what is asked
  // ahead: one window in each answer time, thus 32,768 ARP requests (22 Mbit/s) a second at 250 ms. A client
  // that finds it empty costs one request, as it does without a window.
  static constexpr std::size_t least = 16, most = 8192, growth = 4;

private:
  struct entry {
    std::uint32_t address;
    boot_time asked;
  };
  void ask(std::uint32_t address, boot_time now, std::vector<probe>& out);

  std::uint32_t interface_ = 0;
  std::deque<entry> order_; // by time; entries that differ from asked_ are stale
  std::unordered_map<std::uint32_t, boot_time> asked_;
  std::size_t target_ = least, taken_ = 0;
  boot_time round_ = boot_time::min(); // when the current round of `taken_` began
};

} // namespace netlab::dhcp
