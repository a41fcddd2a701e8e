#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/object.h"
#include "host/schema.h"
#include "netlab/dns_engine.h"
#include "netlab/dns_filter_groups.h"
#include "netlab/dns_filter_lists.h"
#include "netlab/dns_pihole.h"
#include "netlab/files.h"
#include "netlab/time_zone.h"

namespace netlab::lua {

// blocklists, allowlists, lists_refresh, blocking, blocking_ttl and groups: what dns.server takes for
// filtering.
std::vector<option> dns_filter_fields();

// netlab.dns.pihole: what was read of a Pi-hole's folder, for the servers that are given it.
class pihole_import final : public object {
public:
  dns::pihole_setup setup;
  json status() const override;
};

struct dns_filter_settings {
  dns::filter_lists_config lists; // without its folder and server
  dns::filter_groups groups;
  dns::blocking blocking;
  std::vector<std::shared_ptr<pihole_import>> piholes; // whose names the server has as well
  std::vector<dns::safe_search> safe;                  // of everybody else, then of each group
  bool any() const {
    return has_lists() || std::any_of(safe.begin(), safe.end(),
                                      [](dns::safe_search s) { return s != dns::safe_search::off; });
  }
  bool has_lists() const { return !lists.lists.empty(); }

  std::string zone_name; // of schedules; empty: the machine's own
  std::optional<time_zone> zone;
  // Reads the zone's file. The error's `op` is the option.
  result<void> load_zone(files& from);
};
// The error's `op` is the option at fault.
result<dns_filter_settings> read_dns_filter(const options& o);

// The filter of one server: its lists, and whose of them count now. On the control loop, for as long as the
// server runs.
class dns_filter {
public:
  // `changed` runs when snapshots are to be made again: other rules, or another hour of a schedule.
  dns_filter(dns_filter_settings settings, runtime& world, std::function<void()> changed)
      : settings_(std::move(settings)), world_(world), changed_(std::move(changed)) {}

  // `alone`: there is one thread, as in simulated runs, and work aside is done at once.
  void start(const std::string& server, const std::string& folder, bool alone);
  void stop();
  // Fills in policies and client_policies.
  void fill(dns::snapshot& out, const std::vector<dns::known_client>& clients) const;
  // Groups have members that leases and nodes tell.
  bool names_machines() const { return settings_.groups.names_machines(); }
  dns::filter_lists* lists() { return lists_.get(); }
  std::shared_ptr<const dns::compiled_filter> current() const { return filter_; }
  std::vector<std::string> group_names() const; // of policies
  std::vector<std::string> list_names() const;
  json status() const;

private:
  void plan_change();
  dns::week_minute now() const;
  dns_filter_settings settings_;
  runtime& world_;
  std::function<void()> changed_;
  std::shared_ptr<const dns::compiled_filter> filter_;
  std::unique_ptr<dns::filter_lists> lists_;
  bool started_ = false;
  timer schedule_;
};

} // namespace netlab::lua
