#include "filter_reader.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <vector>

#include "filter_regex.h"
#include "netlab/net.h"
#include "netlab/text.h"

namespace netlab::dns {

namespace {

constexpr std::size_t piece_size = 64u << 10;
constexpr std::size_t drop_every = 1u << 20;
constexpr std::size_t most_named = 5;

// Rules that go nowhere.
class no_sink final : public rule_sink {
public:
  explicit no_sink(const filter_limits& limits) : limits_(limits) {}
  void on_name(byte_view, bool, bool) override {}
  const char* on_regex(std::string_view pattern, bool) override { return regex_problem(pattern, limits_); }

private:
  const filter_limits& limits_;
};

} // namespace

void list_reader::look_at_beginning(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  if (text.empty()) return;
  begun_ = true;
  if (text.starts_with('<'))
    report_.refused = "it is a web page (HTML or XML), not a list";
  else if (text.starts_with('{'))
    report_.refused = "it is JSON, not a list";
  else if (text.starts_with("\x1f\x8b") || text.starts_with("PK\x03\x04") ||
           text.starts_with("\x28\xb5\x2f\xfd") || text.starts_with("BZh") ||
           text.starts_with("\xfd"
                            "7zXZ"))
    report_.refused = "it is an archive; give the address of the text itself";
}

void list_reader::note(std::string_view text, const char* why) {
  if (report_.first.size() < most_named)
    report_.first.push_back({report_.lines, printable(text.substr(0, 80)), why});
}

void list_reader::line(std::string_view text) {
  ++report_.lines;
  if (report_.lines == 1 && text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (!begun_) look_at_beginning(text);
  if (!refused() && text.find('\0') != std::string_view::npos)
    report_.refused = "it is a binary file, not a list";
  if (refused()) return;
  auto got = parse_line(text, allow_, subdomains_, out_);
  switch (got.what) {
  case line_result::kind::blank: return;
  case line_result::kind::own_name: ++report_.own_names; return;
  case line_result::kind::rule:
    ++report_.rules;
    ++shapes_[static_cast<std::size_t>(got.shape)];
    if (got.shape == line_shape::regex) ++report_.regexes;
    return;
  case line_result::kind::unsupported:
    ++report_.unsupported;
    note(text, got.why);
    return;
  case line_result::kind::malformed:
    ++report_.malformed;
    note(text, got.why);
    return;
  }
}

void list_reader::read(std::string_view piece) {
  hash_.update(as_bytes(piece));
  report_.bytes += piece.size();
  if (report_.bytes > limits_.bytes && !refused())
    report_.refused = "it is larger than " + format_size(limits_.bytes);
  while (!piece.empty() && !refused()) {
    auto end = piece.find('\n');
    auto part = piece.substr(0, end);
    if (kept_.size() + part.size() > limits_.line && !too_long_) {
      too_long_ = true;
      auto room = limits_.line - kept_.size();
      kept_ += part.substr(0, std::min<std::size_t>(room, 80));
    }
    if (end == std::string_view::npos) {
      if (!too_long_) kept_ += part;
      return;
    }
    piece.remove_prefix(end + 1);
    if (too_long_) {
      if (!begun_) look_at_beginning(kept_);
      ++report_.lines;
      ++report_.malformed;
      note(kept_, "the line is too long");
      too_long_ = false;
      kept_.clear();
    } else if (kept_.empty()) {
      line(part);
    } else {
      kept_ += part;
      line(kept_);
      kept_.clear();
    }
  }
}

list_report list_reader::finish() {
  if (!refused()) {
    if (too_long_) {
      if (!begun_) look_at_beginning(kept_);
      ++report_.lines;
      ++report_.malformed;
      note(kept_, "the line is too long");
    } else if (!kept_.empty()) {
      line(kept_);
    }
  }
  static constexpr std::string_view names[] = {"",        "hosts",   "domains", "wildcard",
                                               "adblock", "dnsmasq", "regex"};
  // Nine lines of ten of one shape make a list of that shape: every format has a few guests.
  report_.format = report_.rules == 0 ? "" : "mixed";
  for (std::size_t i = 1; i < std::size(names); ++i)
    if (shapes_[i] > 0 && shapes_[i] * 10 >= report_.rules * 9) report_.format = names[i];
  report_.digest = hash_.finish();
  return std::move(report_);
}

result<list_report> read_list(const filter_source& source, const filter_limits& limits, rule_sink& out,
                              const std::atomic<bool>* stop) {
  list_reader reader(source, limits, out);
  if (source.path.empty()) {
    reader.read(source.text);
    return reader.finish();
  }
  auto file = open_file::open(source.path);
  if (!file) return tl::unexpected(file.error());
  std::vector<std::uint8_t> piece(piece_size);
  std::uint64_t at = 0, dropped = 0;
  auto drop = [&] {
    // The text is read once in a day: better that the memory holds something else.
    posix_fadvise((*file)->descriptor(), static_cast<off_t>(dropped), static_cast<off_t>(at - dropped),
                  POSIX_FADV_DONTNEED);
    dropped = at;
  };
  for (;;) {
    if (stop && stop->load(std::memory_order_relaxed))
      return fail(errc::cancelled, "reading " + source.name + " was given up", "dns.filter");
    auto got = (*file)->read(at, piece);
    if (!got) return fail(got.error().code, source.path + ": " + got.error().message, "dns.filter");
    reader.read(as_text(byte_view(piece).first(*got)));
    at += *got;
    if (*got < piece.size() || reader.refused()) break;
    if (at - dropped >= drop_every) drop();
  }
  drop();
  return reader.finish();
}

result<list_report> inspect_list(const filter_source& source, const filter_limits& limits,
                                 const std::atomic<bool>* stop) {
  no_sink nowhere(limits);
  return read_list(source, limits, nowhere, stop);
}

} // namespace netlab::dns
