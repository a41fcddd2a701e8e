#include "filter_regex.h"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>

namespace netlab::dns {

namespace {

RE2::Options options(std::int64_t memory) {
  RE2::Options out;
  out.set_log_errors(false);
  out.set_case_sensitive(false);
  out.set_never_capture(true);
  out.set_max_mem(memory);
  return out;
}

// Enough for any expression that fits into a line, and little enough that 2,000 of them may be checked.
constexpr std::int64_t one_expression = 512 << 10;

} // namespace

const char* regex_problem(std::string_view pattern, const filter_limits& limits) {
  if (pattern.size() > limits.regex_length) return "the expression is too long";
  if (pattern.find(";querytype=") != std::string_view::npos || pattern.ends_with(";invert") ||
      pattern.find(";reply=") != std::string_view::npos)
    return "an option after \";\" that is not supported";
  RE2 compiled(re2::StringPiece(pattern.data(), pattern.size()), options(one_expression));
  switch (compiled.error_code()) {
  case RE2::NoError: break;
  case RE2::ErrorBadPerlOp: return "look-around and back-references are not supported";
  case RE2::ErrorPatternTooLarge:
  case RE2::ErrorRepeatSize: return "the expression needs too much memory";
  default: return "it is no valid regular expression";
  }
  return nullptr;
}

struct regex_rules::impl {
  RE2::Set set;
  // Asked one by one when the set's automaton does not fit into its memory.
  std::vector<std::unique_ptr<RE2>> each;
  bool together = false; // the set was built
  explicit impl(std::int64_t memory) : set(options(memory), RE2::UNANCHORED) {}
};

regex_rules::regex_rules(std::vector<regex_rule> rules, const filter_limits& limits) {
  if (rules.empty()) return;
  impl_ = std::make_unique<impl>(limits.regex_memory / 2);
  auto each =
      std::max<std::int64_t>(limits.regex_memory / 2 / static_cast<std::int64_t>(rules.size()), 16 << 10);
  for (auto& rule : rules) {
    auto built = std::make_unique<RE2>(rule.pattern, options(each));
    if (!built->ok()) built = std::make_unique<RE2>(rule.pattern, options(one_expression));
    if (!built->ok() || impl_->set.Add(rule.pattern, nullptr) < 0) continue;
    impl_->each.push_back(std::move(built));
    (rule.allow ? allowing_ : blocking_) |= list_mask{1} << (rule.list & 63);
    rules_.push_back(std::move(rule));
  }
  impl_->together = !rules_.empty() && impl_->set.Compile();
}

regex_rules::~regex_rules() = default;

const std::vector<int>& regex_rules::matching(std::string_view text) const {
  thread_local std::vector<int> found;
  found.clear();
  if (rules_.empty()) return found;
  RE2::Set::ErrorInfo why{RE2::Set::kNoError};
  if (!impl_->together || (!impl_->set.Match(text, &found, &why) && why.kind != RE2::Set::kNoError)) {
    found.clear();
    for (std::size_t i = 0; i < impl_->each.size(); ++i)
      if (RE2::PartialMatch(text, *impl_->each[i])) found.push_back(static_cast<int>(i));
  }
  return found;
}

} // namespace netlab::dns
