#pragma once
#include <optional>
#include <string>
#include <vector>

#include "netlab/boot_event.h"
#include "netlab/clock.h"
#include "netlab/log.h"

namespace netlab {

// One step of a boot, as shown.
struct boot_step {
  wall_time time{};
  duration offset{}; // since the boot's first step
  boot_event event;
  unsigned repeats = 1; // the same step again and again (retries) is one line; `last` is the latest
  duration last{};      // offset of the latest repeat
};

// A program that arrived whole, and yet the firmware asked for something to boot again at once: it was
// refused, or it gave up.
struct boot_return {
  std::string program; // "linux.efi, 34 MiB in 1.2 s"
  duration after{};    // from the end of the transfer to the next request
  unsigned times = 1;  // in a row
  bool operator==(const boot_return&) const = default;
};

// The current or latest boot of one node.
struct boot_record {
  std::string label; // its name, else MAC, UUID, serial or address
  node_identity node;
  std::string architecture;
  wall_time started{};
  std::vector<boot_step> steps;
  std::size_t omitted = 0;             // steps of the middle that were dropped to bound memory
  std::optional<boot_return> returned; // what this attempt follows upon; gone once something runs
  boot_stage furthest{};               // the last station reached (refused and nak are none)
  duration idle{};                     // since the last step, by boot time
  bool ready() const { return furthest == boot_stage::ready; }
};

// What the rest of the process knows and a boot's own steps do not tell. Empty or false: not known.
struct boot_evidence {
  struct other_server {
    ip_address address;
    std::string what; // "DHCP", "proxyDHCP"; shown as it is
    bool won = false; // the node's REQUEST named it as its choice (option 54)
  };
  std::vector<other_server> other_servers; // DHCP servers seen on the node's network that are not we
  std::string upstream;                    // an upstream that assets come from and that does not answer
  std::string boot_file;                   // what the ACK told the node to fetch
  bool boot_file_offered = true;           // false: the ACK carried no boot file at all
  bool reached_us = false;                 // ICMP, ARP or any request of the node came after its ACK
  bool local = false;                      // everything is a simulation or loopback: no firewall between
};

// Why a boot does not go on, and what to do.
struct diagnosis {
  const message* what = nullptr; // the catalogued message: its page explains more
  std::string cause;             // this occurrence: which node, since when, what was seen
  std::string remedy;
};

// The likeliest reason why `boot` stands still, or nothing when it goes on, is ready, or has not been
// silent long enough to tell. `boot.idle` says how long it has been silent. Pure: no clock, no state.
std::optional<diagnosis> diagnose(const boot_record& boot, const boot_evidence& evidence = {});

} // namespace netlab
