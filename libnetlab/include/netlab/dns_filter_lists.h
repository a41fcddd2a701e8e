#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netlab/dns_filter_compiler.h"
#include "netlab/runtime.h"

namespace netlab::dns {

// Where a list comes from: exactly one of url, path and text is set.
struct list_source {
  std::string name; // what messages, groups and statistics call it; unique
  std::string url;  // http or https
  std::string path; // a file, read again when it changes
  std::string text; // rules of the recipe
  bool allow = false;
  bool subdomains = false;
  std::optional<duration> refresh; // for a URL; otherwise the set's
};

struct filter_lists_config {
  std::string server = "dns"; // in messages
  std::string folder;         // for copies of what was downloaded and the compiled file; made when missing
  std::vector<list_source> lists;
  duration refresh = std::chrono::hours(24);
  std::string ca_file; // certificates that list servers may show, instead of the system's
  filter_limits limits;
  // Runs long blocking work elsewhere, one piece at a time. Unless set: a thread of low priority.
  std::function<void(std::function<void()>)> run_aside;
};
result<void> check(const filter_lists_config& config);

struct list_status {
  std::string name;
  bool allow = false;
  std::string format;
  std::uint64_t rules = 0, unsupported = 0, malformed = 0;
  std::vector<refused_line> first;
  std::optional<wall_time> checked, changed; // of a URL
  std::optional<duration> next;              // until it is asked for again
  std::string trouble;                       // why the last try gave nothing; empty: all is well
};

// Keeps a server's lists: downloads them when it is time (If-None-Match, If-Modified-Since), looks at what
// came before it takes the place of what is there, compiles them aside and hands out the result. What is bad
// (a web page, a list cut short or suddenly small, no answer) is reported and changes nothing. One list at a
// time, so that an update needs the memory of one.
//
// Lives on the loop of its runtime and is used on its thread. Its destructor waits for work under way, which
// gives up soon. Everything that it needs of time, network and randomness comes from the runtime; lists are
// streamed to files of its own in `folder`.
class filter_lists {
public:
  using on_filter_fn = std::function<void(std::shared_ptr<const compiled_filter>)>;
  // `config` passed check().
  filter_lists(runtime& world, filter_lists_config config, on_filter_fn on_filter);
  ~filter_lists();
  filter_lists(const filter_lists&) = delete;
  filter_lists& operator=(const filter_lists&) = delete;

  // Hands out the compiled file of the last run before it returns, when there is one for these lists. What
  // goes wrong is reported and tried again: names are answered without a filter meanwhile.
  void start();
  // Asks for every list now.
  void refresh();
  std::vector<list_status> status() const;
  bool busy() const; // a download or a compilation is under way

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// NL-DNS-101 and up, for the reference in docs/.
std::span<const netlab::message* const> dns_filter_messages();

} // namespace netlab::dns
