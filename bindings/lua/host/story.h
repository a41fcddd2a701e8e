#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "netlab/boot_diagnosis.h"
#include "netlab/timeline.h"

namespace netlab::lua {

class host;

// How a run tells its boots: every step is a log line and goes into the timeline; a boot that stands still
// gets one line with the likeliest cause; the control socket answers "timeline" and "why". Owned by the
// host; control loop only.
class story {
public:
  explicit story(host& h);
  ~story();

  // Begins to listen; the history is kept in the state folder when there is one.
  void start();
  // False for the steps of an exchange that is no boot, its result excepted.
  bool wants(const boot_event& event) const;
  // The same for a passing step (discover, offer) of a machine that is known by its MAC.
  bool wants(const mac_address& mac, std::string_view architecture) const;
  // The current boot of every node, the latest active first.
  std::vector<boot_record> boots() const;
  // What a room knows that a boot's own steps do not tell.
  void add_evidence(std::function<void(const boot_record&, boot_evidence&)> fn) {
    evidence_.push_back(std::move(fn));
  }

private:
  void step(const boot_event& event);
  // Whether the event belongs to a network boot: a phone that renews its lease is no boot.
  bool boots(const boot_event& event) const;
  void look();
  result<json> tell(const json& request) const;
  boot_evidence evidence(const boot_record& boot) const;

  host& host_;
  std::unique_ptr<timeline> timeline_;
  std::vector<std::function<void(const boot_record&, boot_evidence&)>> evidence_;
  std::map<std::string, wall_time> explained_; // boots whose standstill was said, by node and start
  std::map<std::string, std::pair<boot_time, std::string>> said_; // the last refusal of each node
  std::unordered_set<mac_address> booting_; // machines that asked for a boot file or fetched one
  // Runs only while a boot is under way: an idle netlab does not wake up for it.
  timer watch_;
};

} // namespace netlab::lua
