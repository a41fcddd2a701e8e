#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netlab/boot_diagnosis.h"
#include "netlab/boot_event.h"
#include "netlab/clock.h"
#include "netlab/json.h"
#include "netlab/log.h"
#include "netlab/metrics.h"
#include "netlab/nodes.h"
#include "netlab/result.h"

namespace netlab {

struct timeline_options {
  std::size_t max_nodes = 1024;                       // the longest silent node is forgotten beyond
  std::size_t max_steps = 200;                        // a boot; its first half and its latest steps are kept
  duration new_boot_after = std::chrono::minutes(10); // silence after which asking again is a new boot
  std::string history;                                // SQLite file; empty: no history
  std::uint64_t keep_events = 200'000;                // in the history
  duration keep_for = std::chrono::hours(24 * 90);
  std::size_t max_waiting = 8192; // events that may wait for the disk; more are dropped and counted
};

// One event of the history.
struct history_event {
  wall_time time{};
  std::string node;
  std::string mac;
  std::string address;
  std::string architecture;
  std::string stage;
  std::string detail;
  std::uint64_t bytes = 0;
  duration elapsed{};
  bool done = true;
  std::string id;
};

// The boots of all nodes: the current one of each in memory, everything in a SQLite history on a thread of
// its own. Owns both. Called on the control loop's thread; the destructor writes what waits and joins.
// Trouble with the history never reaches the caller of record(): it is counted
// (netlab_history_dropped_total) and said once (NL-STORE-010).
//
// A new boot of a node begins with: its first event; anything before `config` after `new_boot_after` of
// silence; any DISCOVER after `ready`; a firmware's DISCOVER (it names its architecture, option 93) once
// the boot had come to a kernel, or had both a boot file and another ACK after it. So iPXE's own DHCP
// round, the firmware's second try with another method, and the DHCP round of the booted system stay in
// the boot they belong to. A lone ACK after `ready` is a renewal: history only.
class timeline {
public:
  // `nodes` gives names and joins what is known of a machine; may be null. All references must outlive it.
  timeline(timeline_options options, const netlab::clock& clock, netlab::scheduler& scheduler,
           netlab::log log, metrics& counters, const node_directory* nodes = nullptr);
  ~timeline();

  void record(const boot_event& event);
  // For whoever takes a boot_event_fn; valid as long as the timeline.
  boot_event_fn recorder();

  // The current boot of every node, the latest active first.
  std::vector<boot_record> boots() const;
  // `node`: name, MAC, UUID, serial or address, as text.
  std::optional<boot_record> boot(std::string_view node) const;
  std::optional<diagnosis> why(std::string_view node, const boot_evidence& evidence = {}) const;
  // Aligned text, one step a line, with the diagnosis at its end when the boot stands still; errc::not_found
  // for an unknown node.
  result<std::string> story(std::string_view node, const boot_evidence& evidence = {}) const;

  // The latest `limit` events of one node (empty: of all), oldest first. `fn` runs later on this thread.
  using history_fn = std::function<void(result<std::vector<history_event>>)>;
  void history(std::string node, std::size_t limit, history_fn fn);
  // Runs `fn` on this thread when everything recorded so far is in the history (or was dropped).
  void drain(std::function<void()> fn);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// {"node", "mac", "started", "furthest", "ready", "steps": [{"at", "stage", "detail", …}], "why"?}
json to_json(const boot_record& boot, const std::optional<diagnosis>& why = {});
json to_json(const history_event& event);
// The text of timeline::story() for any boot.
std::string format_story(const boot_record& boot, const std::optional<diagnosis>& why = {});

} // namespace netlab
