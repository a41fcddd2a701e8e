#include "netlab/dns_zone_file.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "netlab/text.h"
#include "netlab/units.h"
#include "rdata_parse.h"

namespace netlab::dns {

namespace {

constexpr std::size_t max_words = 4096; // of one record

struct entry {
  std::size_t line = 0;
  bool blank_owner = false; // it begins with a blank: the owner is the one before
  std::vector<rdata_word> words;
};

// Cuts a master file into entries: lines, or several lines in parentheses.
class entry_reader {
public:
  explicit entry_reader(std::string_view text) : text_(text) {}

  // The next entry with a word in it; none at the end.
  result<std::optional<entry>> next() {
    for (;;) {
      entry out;
      out.line = line_;
      out.blank_owner = at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t');
      if (auto read = words(out); !read) return tl::unexpected(read.error());
      if (!out.words.empty()) return std::optional(std::move(out));
      if (at_ >= text_.size()) return std::optional<entry>();
    }
  }
  std::size_t line() const { return line_; }

private:
  result<void> words(entry& out) {
    int depth = 0;
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '\n') {
        ++at_;
        ++line_;
        if (depth == 0) return {};
      } else if (c == ' ' || c == '\t' || c == '\r') {
        ++at_;
      } else if (c == ';') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == '(') {
        if (depth++ > 0) return fail(errc::invalid, "a parenthesis within another");
        ++at_;
      } else if (c == ')') {
        if (depth-- == 0) return fail(errc::invalid, "\")\" without \"(\"");
        ++at_;
      } else {
        if (out.words.size() == max_words) return fail(errc::limit, "more words than a record can have");
        auto word = read_word();
        if (!word) return tl::unexpected(word.error());
        out.words.push_back(std::move(*word));
      }
    }
    if (depth > 0) return fail(errc::invalid, "\"(\" without \")\"");
    return {};
  }

  result<rdata_word> read_word() {
    rdata_word out;
    out.quoted = text_[at_] == '"';
    auto begin = out.quoted ? ++at_ : at_;
    bool inside = false; // quotation marks within a word: key="a b"
    for (;; ++at_) {
      bool ends = at_ >= text_.size() || text_[at_] == '\n';
      if (ends && (out.quoted || inside)) return fail(errc::invalid, "a quotation mark is missing");
      if (ends) break;
      char c = text_[at_];
      if (out.quoted ? c == '"' : !inside && std::string_view(" \t\r;()").find(c) != std::string_view::npos)
        break;
      if (c == '"') inside = !inside;
      if (c == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n') ++at_;
    }
    out.text = text_.substr(begin, at_ - begin);
    if (!out.quoted) return out;
    ++at_;
    auto plain = unescape(out.text);
    if (!plain) return tl::unexpected(plain.error());
    out.text = std::move(*plain);
    return out;
  }

  std::string_view text_;
  std::size_t at_ = 0, line_ = 1;
};

std::optional<std::uint32_t> parse_ttl(std::string_view text) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  std::uint32_t seconds = 0;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size())
    return seconds <= 0x7fffffff ? std::optional(seconds) : std::nullopt; // RFC 2181 §8
  auto time = parse_duration(to_lower(text));
  if (!time || *time < duration{} || *time > std::chrono::seconds(0x7fffffff)) return std::nullopt;
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(*time).count());
}

class zone_reader {
public:
  zone_reader(std::string_view text, const zone_options& o)
      : options_(o), origin_(o.origin), entries_(text) {}

  result<std::vector<zone_record>> read() {
    for (;;) {
      auto next = entries_.next();
      if (!next) return at(entries_.line(), next.error());
      if (!*next) break;
      auto taken = take(**next);
      if (!taken) return at((*next)->line, taken.error());
      if (records_.size() > options_.max_records)
        return at((*next)->line, error{errc::limit, "more records than a zone file may have"});
    }
    for (const auto& check : {&zone_reader::check_owners, &zone_reader::check_zone})
      if (auto fine = (this->*check)(); !fine) return tl::unexpected(fine.error());
    return std::move(records_);
  }

private:
  tl::unexpected<error> at(std::size_t line, const error& e) const {
    return fail(e.code, options_.file + ":" + std::to_string(line) + ": " + e.message, "dns.zone");
  }

  result<name> complete(std::string_view text) const {
    if (text == "@") return origin_;
    auto parsed = name::parse(text);
    if (!parsed) return parsed;
    // The final dot counts unless it is escaped.
    bool whole = text.ends_with('.');
    for (auto i = text.size() - (whole ? 1 : 0); whole && i > 0 && text[i - 1] == '\\'; --i) whole = !whole;
    if (text.ends_with('.') && whole) return parsed;
    if (auto out = parsed->under(origin_)) return *out;
    return fail(errc::invalid, "\"" + printable(text) + "\" is too long with its origin", "dns.zone");
  }

  result<void> take(const entry& e) {
    const auto& w = e.words;
    if (!e.blank_owner && !w[0].quoted && w[0].text[0] == '$') return directive(w);
    std::size_t i = 0;
    if (!e.blank_owner) {
      auto owner = complete(w[i++].text);
      if (!owner) return tl::unexpected(owner.error());
      owner_ = *owner;
    }
    if (!owner_) return fail(errc::invalid, "the first record needs a name");
    std::optional<std::uint32_t> ttl;
    bool has_class = false;
    for (; i < w.size(); ++i) {
      if (!ttl)
        if (auto value = parse_ttl(w[i].text)) {
          ttl = value;
          continue;
        }
      if (iequals(w[i].text, "CH") || iequals(w[i].text, "HS") || iequals(w[i].text, "CS"))
        return fail(errc::invalid, "the class is IN, not " + w[i].text);
      if (has_class || !iequals(w[i].text, "IN")) break;
      has_class = true;
    }
    if (i == w.size()) return fail(errc::invalid, "a record needs a type and data");
    auto type = parse_type(w[i].text);
    if (!type) return fail(errc::invalid, "\"" + printable(w[i].text) + "\" is no record type");
    if (*type == rtype::opt || (*type >= 128 && *type <= 255) || *type == 0)
      return fail(errc::invalid, type_name(*type) + " is no type of a record that a zone has");
    if (!owner_->is_within(options_.origin))
      return fail(errc::invalid, owner_->to_string() + " is outside the zone " + options_.origin.to_string());
    auto data = rdata_of(*type, {w.begin() + static_cast<std::ptrdiff_t>(i) + 1, w.end()},
                         [this](std::string_view text) { return complete(text); });
    if (!data) return tl::unexpected(data.error());
    if (ttl) last_ttl_ = *ttl;
    records_.push_back({owner_->lower(), *type, ttl.value_or(ttl_.value_or(last_ttl_.value_or(options_.ttl))),
                        std::move(*data), e.line});
    return {};
  }

  result<void> directive(const std::vector<rdata_word>& w) {
    const auto& word = w[0].text;
    if (iequals(word, "$ORIGIN")) {
      if (w.size() != 2) return fail(errc::invalid, "$ORIGIN is followed by one name");
      auto origin = complete(w[1].text);
      if (!origin) return tl::unexpected(origin.error());
      origin_ = *origin;
      return {};
    }
    if (iequals(word, "$TTL")) {
      ttl_ = w.size() == 2 ? parse_ttl(w[1].text) : std::nullopt;
      if (!ttl_) return fail(errc::invalid, "$TTL is followed by seconds, or a time such as \"1h\"");
      return {};
    }
    if (iequals(word, "$INCLUDE"))
      return fail(errc::unsupported, "$INCLUDE is not followed: name the other file in the recipe's `zones`");
    return fail(errc::unsupported, "\"" + printable(word) + "\" is no directive that netlab knows");
  }

  // RFC 1034 §3.6.2: a name with a CNAME has nothing else, the records of DNSSEC excepted.
  result<void> check_owners() {
    std::map<std::string, std::pair<std::uint16_t, std::size_t>> first;
    for (const auto& r : records_) {
      if (r.type == rtype::rrsig || r.type == rtype::nsec) continue;
      auto [known, fresh] =
          first.try_emplace(std::string(as_text(r.owner.wire())), std::pair(r.type, r.line));
      if (fresh || (known->second.first != rtype::cname && r.type != rtype::cname)) continue;
      return at(r.line, {errc::conflict, r.owner.to_string() +
                                             " has a CNAME, so that it can have no other "
                                             "record; the other is in line " +
                                             std::to_string(known->second.second)});
    }
    return {};
  }

  result<void> check_zone() {
    std::size_t soa = 0;
    for (const auto& r : records_) {
      bool apex = r.owner == options_.origin;
      if (r.type == rtype::soa && soa > 0)
        return at(r.line, {errc::conflict, "a second SOA; the first is in line " + std::to_string(soa)});
      if (r.type == rtype::soa && !apex)
        return at(r.line, {errc::invalid, "the SOA belongs to " + options_.origin.to_string()});
      if (r.type == rtype::soa) soa = r.line;
      if (r.type == rtype::ns && !apex)
        return at(r.line,
                  {errc::unsupported, "netlab does not delegate: `forward = { [\"" + r.owner.to_string() +
                                          "\"] = … }` asks that zone's servers"});
      if (r.type == rtype::dname)
        return at(r.line, {errc::unsupported, "netlab does not follow DNAME: write CNAME records"});
    }
    return {};
  }

  const zone_options& options_;
  name origin_;
  entry_reader entries_;
  std::optional<name> owner_;
  std::optional<std::uint32_t> ttl_, last_ttl_;
  std::vector<zone_record> records_;
};

} // namespace

result<std::vector<zone_record>> parse_zone(std::string_view text, const zone_options& options) {
  if (text.size() > options.max_bytes)
    return fail(errc::limit, options.file + ": larger than a zone file may be", "dns.zone");
  return zone_reader(text, options).read();
}

} // namespace netlab::dns
