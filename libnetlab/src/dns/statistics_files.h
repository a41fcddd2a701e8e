#pragma once
#include <string>

#include "netlab/dns_statistics.h"

namespace netlab::dns {

// The statistics beside a log's segments: "hours.jsonl" has a line for every hour of the last eight days and
// one for every day before, "current.json" the hour that runs as of the last flush.

result<void> write_current(const std::string& folder, const query_statistics& s);
// Adds an hour that has ended; days that have become old enough are rolled up into one line each, and what
// is older than a year goes.
result<void> append_hour(const std::string& folder, const query_statistics& s, wall_time now);
// What a run before this one left of its last hour becomes a line of its own.
result<void> keep_current(const std::string& folder, wall_time now);

} // namespace netlab::dns
