#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/clock.h"
#include "netlab/digest.h"
#include "netlab/dns_filter.h"
#include "netlab/random.h"
#include "netlab/result.h"

namespace netlab::dns {

// One list of rules as a text: hosts files, plain names, "*.name", ".name", "||name^" with "@@" and
// modifiers, dnsmasq's "address=/name/", "/regular expression/", in any mixture. A line that is none of them
// is counted and changes nothing.
struct filter_source {
  std::string name; // what the recipe calls it: its file or URL
  std::string path; // the file; empty: `text` is the list
  std::string text;
  bool allow = false;      // every rule is an exception
  bool subdomains = false; // plain names and hosts lines count for everything below them as well
};

struct refused_line {
  std::uint64_t number = 0; // from 1
  std::string text;         // its beginning, printable
  std::string why;
};

// What a reading of one list found.
struct list_report {
  std::uint64_t bytes = 0, lines = 0;
  std::uint64_t rules = 0; // that count, regular expressions among them
  std::uint64_t regexes = 0;
  std::uint64_t own_names = 0;   // "localhost" and the like in a hosts file, left out
  std::uint64_t unsupported = 0; // rules for browsers, and modifiers that DNS cannot keep
  std::uint64_t malformed = 0;
  std::vector<refused_line> first; // of the unsupported and malformed ones, at most five
  std::string format;              // "hosts", "domains", "wildcard", "adblock", "dnsmasq", "regex" or "mixed"
  std::string refused;    // why the whole text is no list (a web page, an archive …); empty: it is one
  sha256_digest digest{}; // of the text
};

// Limits for texts that others write.
struct filter_limits {
  std::size_t line = 4096;             // octets; a longer line is malformed
  std::uint64_t bytes = 256u << 20;    // of one list; more refuses it
  std::uint64_t rules = 64'000'000;    // of all lists
  std::size_t regexes = 2000;          // of all lists
  std::size_t regex_length = 1024;     // octets
  std::int64_t regex_memory = 8 << 20; // bytes that all expressions may use
};

// Reads a list and keeps nothing of it. An error only when the file cannot be read, or cancelled by `stop`.
result<list_report> inspect_list(const filter_source& source, const filter_limits& limits = {},
                                 const std::atomic<bool>* stop = nullptr);

struct compile_options {
  std::string path;       // of the compiled file; it is replaced whole, by rename
  sha256_digest inputs{}; // kept in the file for its reader
  wall_time now{};        // kept in the file
  filter_limits limits;
  const std::atomic<bool>* stop = nullptr; // set by another thread: the compiler gives up (cancelled)
};

struct compile_report {
  std::vector<list_report> lists; // in the order of the sources
  std::uint64_t names = 0;        // distinct
  std::uint64_t rules = 0;
  std::uint64_t regexes = 0;
  std::uint64_t bytes = 0; // of the file
};

// Compiles lists into one file. Blocking work for a thread of its own: about 0.5 s a million names. It holds
// less than 2 MiB whatever the lists' size (1 byte a name above 2,000,000), sorts on disk beside the target
// (10 bytes a rule, unlinked) and leaves neither its inputs nor its output in the page cache.
// Errors: invalid (no list, or more than 64), limit, io, cancelled; a list's reading errors name it.
result<compile_report> compile_filter(const std::vector<filter_source>& sources,
                                      const compile_options& options, random_source& random);

struct filter_list_info {
  std::string name;
  bool allow = false;
  std::uint64_t rules = 0;
};

// One rule that names a domain, for who asks why.
struct matching_rule {
  std::uint16_t list = 0;
  filter_action action = filter_action::none;
  std::string rule; // "ads.example.org", "*.example.org" or "/expression/"
};

// A compiled file, mapped. As filter_set: immutable, any thread. Regular expressions are built when the file
// is opened, and their matching may use memory, up to the limit that they were compiled with.
class compiled_filter : public filter_set {
public:
  virtual std::uint64_t names() const = 0;
  virtual std::uint64_t bytes() const = 0;
  virtual wall_time created() const = 0;
  virtual const sha256_digest& inputs() const = 0;
  virtual const std::vector<filter_list_info>& lists() const = 0;
  // Every rule that names `wire`, the deciding ones first.
  virtual std::vector<matching_rule> explain(byte_view wire, list_mask lists) const = 0;
  // Reads the whole file, past the mapping and with a small buffer, and compares its checksums: opening looks
  // at the header and the tables only. Blocking.
  virtual result<void> verify() const = 0;
  // Has the system fetch the file from the disk, so that lookups find it in memory. May block.
  virtual void warm() const = 0;
};

// Maps a compiled file. Costs the same for any number of names. Errors: not_found; invalid (damaged, of
// another version or byte order, cut short), which means: compile it again.
result<std::shared_ptr<const compiled_filter>> open_filter(const std::string& path,
                                                           const filter_limits& limits = {});

} // namespace netlab::dns
