#include "filter_line.h"

#include <idn2.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "netlab/ip.h"
#include "netlab/text.h"

namespace netlab::dns {

namespace {

using kind = line_result::kind;

// What an octet of a name becomes; 0: it may not stand there. Underscores are no host names (RFC 952), but
// lists and the DNS have them.
constexpr auto name_octets = [] {
  std::array<std::uint8_t, 256> out{};
  for (int c = 'a'; c <= 'z'; ++c) out[c] = out[c - 32] = static_cast<std::uint8_t>(c);
  for (int c = '0'; c <= '9'; ++c) out[c] = static_cast<std::uint8_t>(c);
  out['-'] = '-';
  out['_'] = '_';
  return out;
}();

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && (is_blank(text.back()) || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

std::string_view next_word(std::string_view& rest) {
  rest = trim_blanks(rest);
  std::size_t end = 0;
  while (end < rest.size() && !is_blank(rest[end])) ++end;
  auto word = rest.substr(0, end);
  rest.remove_prefix(end);
  return word;
}

// Every label of digits only: an address, or a part of one.
bool looks_like_v4(std::string_view text) {
  for (char c : text)
    if (c != '.' && (c < '0' || c > '9')) return false;
  return !text.empty();
}

const char* read_ascii_name(std::string_view text, wire_buffer& out) {
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  if (text.empty()) return "a name is missing";
  if (text.size() > 253) return "the name is longer than 253 octets";
  out.labels = 0;
  std::size_t length_at = 0, at = 1;
  for (char raw : text) {
    if (raw == '.') {
      auto length = at - length_at - 1;
      if (length == 0) return "a label of the name is empty";
      if (length > 63) return "a label of the name is longer than 63 octets";
      out.octets[length_at] = static_cast<std::uint8_t>(length);
      ++out.labels;
      length_at = at++;
      continue;
    }
    auto octet = name_octets[static_cast<std::uint8_t>(raw)];
    if (octet == 0) return "the name holds a character that names do not have";
    out.octets[at++] = octet;
  }
  auto length = at - length_at - 1;
  if (length == 0) return "a label of the name is empty";
  if (length > 63) return "a label of the name is longer than 63 octets";
  out.octets[length_at] = static_cast<std::uint8_t>(length);
  ++out.labels;
  out.octets[at++] = 0;
  out.size = at;
  return nullptr;
}

const char* read_idn(std::string_view text, wire_buffer& out) {
  if (text.size() > 1024) return "the name is longer than 253 octets";
  char* ascii = nullptr;
  std::string terminated(text);
  int code = idn2_to_ascii_8z(terminated.c_str(), &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  std::unique_ptr<char, void (*)(void*)> owned(ascii, idn2_free);
  if (code != IDN2_OK) return "the name is no valid internationalized one";
  return read_ascii_name(owned.get(), out);
}

line_result done(line_shape shape) { return {kind::rule, shape, nullptr}; }
line_result unsupported(line_shape shape, const char* why) { return {kind::unsupported, shape, why}; }
line_result malformed(line_shape shape, const char* why) { return {kind::malformed, shape, why}; }

// The names that every hosts file begins with; nobody means to block them.
bool is_own_name(const wire_buffer& name) {
  if (name.labels == 1) return true;
  auto text = as_text(name.view());
  return name.labels == 2 && text.starts_with(std::string_view("\x09localhost", 10)) &&
         text.substr(11).starts_with("localdomain");
}

line_result parse_hosts(std::string_view address, std::string_view rest, bool allow, bool subdomains,
                        rule_sink& out) {
  auto scope = address.find('%');
  auto parsed = ip_address::parse(address.substr(0, scope));
  if (!parsed) return malformed(line_shape::hosts, "the line begins with an address that is none");
  auto word = next_word(rest);
  if (word.empty()) return malformed(line_shape::hosts, "an address without a name");
  bool sink = parsed->is_unspecified() || parsed->is_loopback();
  line_result result{kind::own_name, line_shape::hosts, nullptr};
  for (; !word.empty(); word = next_word(rest)) {
    wire_buffer name;
    if (looks_like_v4(word)) continue; // "0.0.0.0 0.0.0.0" stands in many lists
    if (const char* why = read_list_name(word, name)) return malformed(line_shape::hosts, why);
    if (is_own_name(name)) continue;
    if (!sink) return unsupported(line_shape::hosts, "a host's own address: it belongs into `hosts`");
    out.on_name(name.view(), allow, subdomains);
    result.what = kind::rule;
  }
  return result;
}

// "address=/a/b/0.0.0.0", "local=/a/", "server=/a/": names below which dnsmasq answers by itself.
line_result parse_dnsmasq(std::string_view text, bool allow, rule_sink& out) {
  bool address = text.starts_with("address=");
  auto names = text.substr(text.find('/') + 1);
  auto last = names.rfind('/');
  if (last == std::string_view::npos) return malformed(line_shape::dnsmasq, "a slash is missing");
  auto target = names.substr(last + 1);
  names = names.substr(0, last);
  if (!address && !target.empty())
    return unsupported(line_shape::dnsmasq, "it names a server to ask: it belongs into `forward`");
  if (address && !target.empty() && target != "#") {
    auto parsed = ip_address::parse(target);
    if (!parsed || !(parsed->is_unspecified() || parsed->is_loopback()))
      return unsupported(line_shape::dnsmasq, "a host's own address: it belongs into `records`");
  }
  for (auto part : split(names, '/')) {
    wire_buffer name;
    if (part.starts_with("*.")) part.remove_prefix(2);
    if (const char* why = read_list_name(part, name)) return malformed(line_shape::dnsmasq, why);
    out.on_name(name.view(), allow, true);
  }
  return done(line_shape::dnsmasq);
}

// Modifiers that change nothing for a resolver, which sees names only.
bool keeps_meaning(std::string_view modifier) {
  return modifier == "important" || modifier == "all" || modifier == "document" || modifier == "doc";
}

const char* read_modifiers(std::string_view list) {
  for (auto one : split(list, ',')) {
    one = trim_blanks(one);
    if (one.empty()) return "a modifier is missing after \"$\"";
    if (!keeps_meaning(one)) return "a modifier that a resolver cannot keep";
  }
  return nullptr;
}

line_result parse_regex(std::string_view text, bool allow, rule_sink& out) {
  auto end = text.rfind('/');
  if (end == 0) return unsupported(line_shape::regex, "a path: a resolver sees names only");
  auto after = text.substr(end + 1);
  if (!after.empty()) {
    if (after.front() != '$') return unsupported(line_shape::regex, "a path: a resolver sees names only");
    if (const char* why = read_modifiers(after.substr(1))) return unsupported(line_shape::regex, why);
  }
  auto pattern = text.substr(1, end - 1);
  if (pattern.empty()) return malformed(line_shape::regex, "the expression is empty");
  if (const char* why = out.on_regex(pattern, allow)) return malformed(line_shape::regex, why);
  return done(line_shape::regex);
}

// After "||" or "|": a name, "^", an optional "|", modifiers.
line_result parse_adblock(std::string_view text, bool allow, bool subtree, rule_sink& out) {
  constexpr auto shape = line_shape::adblock;
  if (auto dollar = text.find('$'); dollar != std::string_view::npos) {
    if (const char* why = read_modifiers(text.substr(dollar + 1))) return unsupported(shape, why);
    text = text.substr(0, dollar);
  }
  if (text.ends_with('|')) text.remove_suffix(1);
  if (text.ends_with('^')) text.remove_suffix(1);
  if (text.starts_with("*.")) {
    text.remove_prefix(2);
    subtree = true;
  }
  if (text.find_first_of("/*^|?=&:") != std::string_view::npos)
    return unsupported(shape, "a pattern for addresses of pages: a resolver sees names only");
  if (looks_like_v4(text)) return unsupported(shape, "an address: a resolver sees names only");
  wire_buffer name;
  if (const char* why = read_list_name(text, name)) return malformed(shape, why);
  out.on_name(name.view(), allow, subtree);
  return done(shape);
}

line_result parse_wildcard(std::string_view text, bool allow, rule_sink& out) {
  if (text.ends_with('^')) text.remove_suffix(1);
  wire_buffer name;
  if (text.find('*') != std::string_view::npos)
    return unsupported(line_shape::wildcard, "an asterisk may only stand before the first dot");
  if (const char* why = read_list_name(text, name)) return malformed(line_shape::wildcard, why);
  out.on_name(name.view(), allow, true);
  return done(line_shape::wildcard);
}

// "example.org##.banner" and its kin hide parts of pages.
bool is_cosmetic(std::string_view text) {
  auto at = text.find('#');
  if (at == std::string_view::npos || at + 1 >= text.size()) return false;
  if (at > 0 && is_blank(text[at - 1])) return false; // a comment
  char next = text[at + 1];
  if (next == '#') return at > 0 || (text.size() > 2 && text[2] != '#' && !is_blank(text[2]));
  return (next == '@' || next == '$' || next == '?' || next == '%') &&
         text.find('#', at + 1) != std::string_view::npos;
}

} // namespace

const char* read_list_name(std::string_view text, wire_buffer& out) {
  for (char c : text)
    if (static_cast<std::uint8_t>(c) >= 0x80) return read_idn(text, out);
  return read_ascii_name(text, out);
}

line_result parse_line(std::string_view line, bool allow, bool subdomains, rule_sink& out) {
  auto text = trim_blanks(line);
  if (text.empty()) return {};
  char first = text.front();
  if (first == '!' || first == ';') return {};
  if (first == '/') return parse_regex(text, allow, out);
  if (text.starts_with("@@/")) return parse_regex(text.substr(2), true, out);
  if (text.find('#') != std::string_view::npos) {
    if (is_cosmetic(text)) return unsupported(line_shape::adblock, "it hides parts of pages, in browsers");
    text = trim_blanks(text.substr(0, text.find('#')));
    if (text.empty()) return {};
  }
  if (first == '[')
    return text.back() == ']' ? line_result{}
                              : unsupported(line_shape::adblock, "a rule that is for some sites only");
  if (text.starts_with("@@")) {
    text.remove_prefix(2);
    if (text.starts_with("||")) return parse_adblock(text.substr(2), true, true, out);
    if (text.starts_with("|")) return parse_adblock(text.substr(1), true, false, out);
    return parse_adblock(text, true, false, out);
  }
  if (text.starts_with("||")) return parse_adblock(text.substr(2), allow, true, out);
  if (first == '|') return parse_adblock(text.substr(1), allow, false, out);
  if (text.starts_with("*.")) return parse_wildcard(text.substr(2), allow, out);
  if (first == '.') return parse_wildcard(text.substr(1), allow, out);
  if (text.starts_with("address=/") || text.starts_with("server=/") || text.starts_with("local=/"))
    return parse_dnsmasq(text, allow, out);

  auto rest = text;
  auto word = next_word(rest);
  bool more = !trim_blanks(rest).empty();
  if (word.find(':') != std::string_view::npos && word.find('/') == std::string_view::npos)
    return parse_hosts(word, rest, allow, subdomains, out);
  if (looks_like_v4(word)) {
    if (more) return parse_hosts(word, rest, allow, subdomains, out);
    return malformed(line_shape::domain, "an address, and no name");
  }
  if (more) return malformed(line_shape::domain, "several words, and the first one is no address");
  if (word.find_first_of("/^$*|=?&~,") != std::string_view::npos)
    return unsupported(line_shape::adblock, "a pattern for addresses of pages: a resolver sees names only");
  wire_buffer name;
  if (const char* why = read_list_name(word, name)) return malformed(line_shape::domain, why);
  if (name.labels == 1)
    return malformed(line_shape::domain, "a single label; \"||label^\" stands for a whole top-level domain");
  out.on_name(name.view(), allow, subdomains);
  return done(line_shape::domain);
}

} // namespace netlab::dns
