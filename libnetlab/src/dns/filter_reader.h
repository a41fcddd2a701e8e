#pragma once
#include <string>
#include <string_view>

#include "filter_line.h"
#include "netlab/dns_filter_compiler.h"

namespace netlab::dns {

// A list in pieces of any size -> lines -> rules, and the account of what became of them. Holds one line at
// most. Time linear in the text.
class list_reader {
public:
  list_reader(const filter_source& source, const filter_limits& limits, rule_sink& out)
      : allow_(source.allow), subdomains_(source.subdomains), limits_(limits), out_(out) {}

  void read(std::string_view piece);
  // Once, after the last piece.
  list_report finish();
  bool refused() const { return !report_.refused.empty(); }

private:
  void line(std::string_view text);
  void note(std::string_view text, const char* why);
  // Whether the text is a list at all, by its first line.
  void look_at_beginning(std::string_view text);

  bool allow_, subdomains_;
  const filter_limits& limits_;
  rule_sink& out_;
  list_report report_;
  sha256 hash_;
  std::string kept_;      // a line whose end has not come yet
  bool too_long_ = false; // and is skipped
  bool begun_ = false;    // a line that is not blank was seen
  std::uint64_t shapes_[7] = {};
};

// Feeds a source to a reader, file or text. The file's pages are dropped from the cache behind it.
// `stop` may be null.
result<list_report> read_list(const filter_source& source, const filter_limits& limits, rule_sink& out,
                              const std::atomic<bool>* stop);

} // namespace netlab::dns
