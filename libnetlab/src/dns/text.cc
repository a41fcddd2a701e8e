#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "netlab/dns_message.h"
#include "netlab/text.h"
#include "wire.h"

namespace netlab::dns {

namespace {

constexpr std::array<std::pair<std::uint16_t, std::string_view>, 40> type_names{{
    {1, "A"},      {2, "NS"},       {5, "CNAME"},       {6, "SOA"},         {12, "PTR"},   {13, "HINFO"},
    {15, "MX"},    {16, "TXT"},     {17, "RP"},         {18, "AFSDB"},      {24, "SIG"},   {25, "KEY"},
    {28, "AAAA"},  {29, "LOC"},     {33, "SRV"},        {35, "NAPTR"},      {36, "KX"},    {37, "CERT"},
    {39, "DNAME"}, {41, "OPT"},     {42, "APL"},        {43, "DS"},         {44, "SSHFP"}, {46, "RRSIG"},
    {47, "NSEC"},  {48, "DNSKEY"},  {50, "NSEC3"},      {51, "NSEC3PARAM"}, {52, "TLSA"},  {53, "SMIMEA"},
    {59, "CDS"},   {60, "CDNSKEY"}, {61, "OPENPGPKEY"}, {64, "SVCB"},       {65, "HTTPS"}, {250, "TSIG"},
    {251, "IXFR"}, {252, "AXFR"},   {255, "ANY"},       {257, "CAA"},
}};

tl::unexpected<error> wrong(std::uint16_t type, const std::string& why) {
  return fail(errc::invalid, type_name(type) + " record: " + why, "dns.rdata");
}

// Blank-separated words; a quoted one may hold blanks, and \" and \DDD stand for octets (RFC 1035 §5.1).
struct word {
  std::string text;
  bool quoted = false;
};
result<std::vector<word>> words_of(std::uint16_t type, std::string_view text) {
  std::vector<word> out;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == ' ' || text[i] == '\t') {
      ++i;
      continue;
    }
    word w;
    w.quoted = text[i] == '"';
    if (w.quoted) ++i;
    for (;; ++i) {
      if (i >= text.size()) {
        if (w.quoted) return wrong(type, "a quotation mark is missing");
        break;
      }
      if (w.quoted ? text[i] == '"' : text[i] == ' ' || text[i] == '\t') {
        ++i;
        break;
      }
      if (text[i] != '\\' || !w.quoted) {
        w.text += text[i];
        continue;
      }
      auto digits = text.substr(i + 1, 3);
      int value = 0;
      auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (digits.size() == 3 && parsed.ptr == digits.data() + 3 && value <= 255) {
        w.text += static_cast<char>(value);
        i += 3;
      } else if (i + 1 < text.size()) {
        w.text += text[++i];
      } else {
        return wrong(type, "an escape is not whole");
      }
    }
    out.push_back(std::move(w));
  }
  return out;
}

result<std::uint32_t> number(std::uint16_t type, std::string_view text, std::uint32_t most) {
  std::uint32_t out = 0;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || out > most)
    return wrong(type, "\"" + printable(text) + "\" is no number up to " + std::to_string(most));
  return out;
}

void put_number(byte_vector& out, std::uint32_t value, int octets) {
  while (octets-- > 0) out.push_back(static_cast<std::uint8_t>(value >> 8 * octets));
}

void put_string(byte_vector& out, std::string_view text) {
  out.push_back(static_cast<std::uint8_t>(text.size()));
  out.insert(out.end(), text.begin(), text.end());
}

result<name> target_name(std::string_view text, const name& origin) {
  auto parsed = name::parse(text);
  if (!parsed || text.find('.') != std::string_view::npos) return parsed;
  if (auto whole = parsed->under(origin)) return *whole;
  return fail(errc::invalid, "\"" + std::string(text) + "\" is too long with its domain", "dns.name");
}

result<byte_vector> generic_rdata(std::uint16_t type, const std::vector<word>& words) {
  if (words.size() < 2) return wrong(type, "\"\\#\" is followed by the length and hex digits");
  auto length = number(type, words[1].text, 65535);
  if (!length) return tl::unexpected(length.error());
  std::string digits;
  for (std::size_t i = 2; i < words.size(); ++i) digits += words[i].text;
  byte_vector out;
  if (!from_hex(digits, out) || out.size() != *length)
    return wrong(type, "the hex digits are not " + words[1].text + " octets");
  byte_vector checked;
  if (!read_rdata(out, 0, out.size(), type, checked)) return wrong(type, "the octets are no such record");
  return checked;
}

void quote(std::string& out, byte_view text) {
  out += '"';
  for (auto c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < ' ' || c >= 0x7f) {
      out += '\\';
      out += static_cast<char>('0' + c / 100);
      out += static_cast<char>('0' + c / 10 % 10);
      out += static_cast<char>('0' + c % 10);
    } else {
      out += static_cast<char>(c);
    }
  }
  out += '"';
}

std::string generic_text(byte_view data) {
  return "\\# " + std::to_string(data.size()) + (data.empty() ? "" : " " + to_hex(data));
}

} // namespace

std::string type_name(std::uint16_t type) {
  for (const auto& [number, text] : type_names)
    if (number == type) return std::string(text);
  return "TYPE" + std::to_string(type);
}

std::optional<std::uint16_t> parse_type(std::string_view text) {
  for (const auto& [number, known] : type_names)
    if (iequals(known, text)) return number;
  if (!istarts_with(text, "TYPE") || text.size() < 5) return std::nullopt;
  auto digits = text.substr(4);
  std::uint16_t out = 0;
  auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return std::nullopt;
  return out;
}

std::string rcode_name(std::uint16_t code) {
  static constexpr std::string_view names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
                                               "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
                                               "NXRRSET", "NOTAUTH", "NOTZONE"};
  if (code < std::size(names)) return std::string(names[code]);
  if (code == rcode::bad_version) return "BADVERS";
  if (code == rcode::bad_cookie) return "BADCOOKIE";
  return "RCODE" + std::to_string(code);
}

result<byte_vector> parse_rdata(std::uint16_t type, std::string_view text, const name& origin) {
  auto words = words_of(type, text);
  if (!words) return tl::unexpected(words.error());
  auto& w = *words;
  byte_vector out;
  auto need = [&](std::size_t count) { return w.size() == count; };
  auto add_name = [&](const std::string& word_text) -> result<void> {
    auto target = target_name(word_text, origin);
    if (!target) return tl::unexpected(target.error());
    out.insert(out.end(), target->wire().begin(), target->wire().end());
    return {};
  };
  auto add_number = [&](const std::string& word_text, std::uint32_t most, int octets) -> result<void> {
    auto value = number(type, word_text, most);
    if (!value) return tl::unexpected(value.error());
    put_number(out, *value, octets);
    return {};
  };
  if (!w.empty() && w[0].text == "\\#" && !w[0].quoted) return generic_rdata(type, w);
  switch (type) {
  case rtype::a:
  case rtype::aaaa: {
    auto address = need(1) ? ip_address::parse(w[0].text)
                           : result<ip_address>(fail(errc::invalid, "expected one address"));
    if (!address || address->is_v4() != (type == rtype::a))
      return wrong(type,
                   "\"" + printable(text) + "\" is no " + (type == rtype::a ? "IPv4" : "IPv6") + " address");
    out.assign(address->bytes().begin(), address->bytes().end());
    return out;
  }
  case rtype::ns:
  case rtype::cname:
  case rtype::ptr: {
    if (!need(1)) return wrong(type, "expected one name");
    if (auto added = add_name(w[0].text); !added) return tl::unexpected(added.error());
    return out;
  }
  case rtype::mx: {
    if (!need(2)) return wrong(type, "expected \"preference name\"");
    if (auto added = add_number(w[0].text, 65535, 2); !added) return tl::unexpected(added.error());
    if (auto added = add_name(w[1].text); !added) return tl::unexpected(added.error());
    return out;
  }
  case rtype::srv: {
    if (!need(4)) return wrong(type, "expected \"priority weight port name\"");
    for (std::size_t i = 0; i < 3; ++i)
      if (auto added = add_number(w[i].text, 65535, 2); !added) return tl::unexpected(added.error());
    if (auto added = add_name(w[3].text); !added) return tl::unexpected(added.error());
    return out;
  }
  case rtype::txt: {
    // Text without quotation marks is one string, cut where it is longer than one can be.
    std::string plain(text);
    bool quoted = std::any_of(w.begin(), w.end(), [](const word& each) { return each.quoted; });
    std::vector<std::string> strings;
    if (quoted)
      for (auto& each : w) strings.push_back(each.text);
    else
      for (std::size_t at = 0; at == 0 || at < plain.size(); at += 255)
        strings.push_back(plain.substr(at, 255));
    for (const auto& each : strings) {
      if (each.size() > 255) return wrong(type, "a string is longer than 255 octets");
      put_string(out, each);
    }
    if (out.size() > 65535) return wrong(type, "it is longer than 65535 octets");
    return out;
  }
  case rtype::caa: {
    if (!need(3)) return wrong(type, "expected \"flags tag value\"");
    if (auto added = add_number(w[0].text, 255, 1); !added) return tl::unexpected(added.error());
    if (w[1].text.empty() || w[1].text.size() > 255) return wrong(type, "the tag has 1 to 255 letters");
    put_string(out, w[1].text);
    out.insert(out.end(), w[2].text.begin(), w[2].text.end());
    return out;
  }
  default: return wrong(type, "write its data as \"\\# length hex\" (RFC 3597)");
  }
}

std::string rdata_text(std::uint16_t type, byte_view data) {
  byte_vector checked;
  if (!read_rdata(data, 0, data.size(), type, checked)) return generic_text(data);
  std::string out;
  std::size_t at = 0;
  auto next_name = [&] {
    name n;
    if (name_reader::read(data, at, n)) out += n.is_root() ? "." : n.to_string() + ".";
  };
  auto next_number = [&](int octets) {
    std::uint32_t value = 0;
    while (octets-- > 0) value = value << 8 | data[at++];
    out += std::to_string(value) + " ";
  };
  switch (type) {
  case rtype::a: return ip_address::v4(get32(data.data())).to_string();
  case rtype::aaaa: {
    std::array<std::uint8_t, 16> raw;
    std::copy(data.begin(), data.end(), raw.begin());
    return ip_address::v6(raw).to_string();
  }
  case rtype::ns:
  case rtype::cname:
  case rtype::dname:
  case rtype::ptr: next_name(); return out;
  case rtype::mx:
    next_number(2);
    next_name();
    return out;
  case rtype::srv:
    for (int i = 0; i < 3; ++i) next_number(2);
    next_name();
    return out;
  case rtype::soa:
    next_name();
    out += ' ';
    next_name();
    out += ' ';
    for (int i = 0; i < 5; ++i) next_number(4);
    out.pop_back();
    return out;
  case rtype::hinfo:
  case rtype::txt:
    if (data.empty()) return generic_text(data);
    while (at < data.size()) {
      std::size_t length = data[at++];
      if (length > data.size() - at) return generic_text(data);
      if (!out.empty()) out += ' ';
      quote(out, data.subspan(at, length));
      at += length;
    }
    return out;
  case rtype::caa: {
    if (data.size() < 2 || data[1] == 0 || data[1] + std::size_t{2} > data.size()) return generic_text(data);
    out = std::to_string(data[0]) + " " + printable(as_text(data.subspan(2, data[1]))) + " ";
    quote(out, data.subspan(data[1] + std::size_t{2}));
    return out;
  }
  default: return generic_text(data);
  }
}

} // namespace netlab::dns
