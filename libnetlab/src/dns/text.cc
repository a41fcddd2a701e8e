#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "netlab/dns_message.h"
#include "netlab/text.h"
#include "wire.h"

namespace netlab::dns {

namespace {

constexpr std::array<std::pair<std::uint16_t, std::string_view>, 41> type_names{{
    {1, "A"},      {2, "NS"},       {5, "CNAME"},       {6, "SOA"},         {12, "PTR"},   {13, "HINFO"},
    {15, "MX"},    {16, "TXT"},     {17, "RP"},         {18, "AFSDB"},      {24, "SIG"},   {25, "KEY"},
    {28, "AAAA"},  {29, "LOC"},     {33, "SRV"},        {35, "NAPTR"},      {36, "KX"},    {37, "CERT"},
    {39, "DNAME"}, {41, "OPT"},     {42, "APL"},        {43, "DS"},         {44, "SSHFP"}, {46, "RRSIG"},
    {47, "NSEC"},  {48, "DNSKEY"},  {50, "NSEC3"},      {51, "NSEC3PARAM"}, {52, "TLSA"},  {53, "SMIMEA"},
    {59, "CDS"},   {60, "CDNSKEY"}, {61, "OPENPGPKEY"}, {64, "SVCB"},       {65, "HTTPS"}, {250, "TSIG"},
    {251, "IXFR"}, {252, "AXFR"},   {255, "ANY"},       {256, "URI"},       {257, "CAA"},
}};

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
