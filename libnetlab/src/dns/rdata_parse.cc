#include "rdata_parse.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "netlab/encoding.h"
#include "netlab/text.h"
#include "netlab/units.h"
#include "wire.h"

namespace netlab::dns {

namespace {

tl::unexpected<error> wrong(std::uint16_t type, const std::string& why) {
  return fail(errc::invalid, type_name(type) + " record: " + why, "dns.rdata");
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

result<byte_vector> generic_rdata(std::uint16_t type, const std::vector<rdata_word>& words) {
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

// In records the padding is always written.
bool from_base64(std::string_view text, byte_vector& out) {
  if (text.size() % 4 != 0 || text.find_first_of(" \t\r\n") != std::string_view::npos) return false;
  auto octets = base64_decode(text);
  if (octets) out.assign(octets->begin(), octets->end());
  return octets.has_value();
}

// How the fields of a type are written, one letter each: "n" a name, "1" "2" "4" a number of so many octets,
// "s" a character string, "S" one or more of them, "u" a string without its length, "x" hex digits to the
// end, "b" base64 to the end, "T" a record type.
struct written_form {
  std::uint16_t type;
  std::string_view fields;
  const char* help;
};
constexpr written_form forms[] = {
    {rtype::ns, "n", "one name"},
    {rtype::cname, "n", "one name"},
    {rtype::ptr, "n", "one name"},
    {rtype::dname, "n", "one name"},
    {rtype::soa, "nn44444", "\"primary mailbox serial refresh retry expire minimum\""},
    {rtype::hinfo, "ss", "\"machine system\""},
    {rtype::mx, "2n", "\"preference name\""},
    {rtype::txt, "S", "one or more strings"},
    {rtype::rp, "nn", "\"mailbox name\""},
    {rtype::afsdb, "2n", "\"subtype name\""},
    {rtype::kx, "2n", "\"preference name\""},
    {rtype::srv, "222n", "\"priority weight port name\""},
    {rtype::naptr, "22sssn", "\"order preference flags service regexp replacement\""},
    {rtype::ds, "211x", "\"tag algorithm digest-type digest\""},
    {44, "11x", "\"algorithm type fingerprint\""}, // SSHFP, RFC 4255
    {rtype::dnskey, "211b", "\"flags protocol algorithm key\""},
    {52, "111x", "\"usage selector matching data\""},     // TLSA, RFC 6698
    {53, "111x", "\"usage selector matching data\""},     // SMIMEA, RFC 8162
    {59, "211x", "\"tag algorithm digest-type digest\""}, // CDS
    {60, "211b", "\"flags protocol algorithm key\""},     // CDNSKEY
    {61, "b", "a key in base64"},                         // OPENPGPKEY, RFC 7929
    {256, "22u", "\"priority weight target\""},           // URI, RFC 7553
    {rtype::caa, "1tu", "\"flags tag value\""},
};

// A service binding's parameters (RFC 9460 §2.1): keys in ascending order, each once.
result<void> put_service_keys(byte_vector& out, std::uint16_t type, const std::vector<rdata_word>& words,
                              std::size_t from) {
  static constexpr std::string_view keys[] = {"mandatory", "alpn",     "no-default-alpn", "port", "ipv4hint",
                                              "ech",       "ipv6hint", "dohpath",         "ohttp"};
  auto key_number = [&](std::string_view text) -> std::optional<std::uint16_t> {
    for (std::size_t i = 0; i < std::size(keys); ++i)
      if (iequals(keys[i], text)) return static_cast<std::uint16_t>(i);
    if (!istarts_with(text, "key")) return std::nullopt;
    auto value = number(type, text.substr(3), 65534);
    if (!value) return std::nullopt;
    return static_cast<std::uint16_t>(*value);
  };
  std::vector<std::pair<std::uint16_t, byte_vector>> all;
  for (std::size_t i = from; i < words.size(); ++i) {
    std::string_view text = words[i].text;
    auto equals = std::min(text.find('='), text.size());
    auto key = key_number(text.substr(0, equals));
    if (!key) return wrong(type, "\"" + printable(text.substr(0, equals)) + "\" is no parameter");
    std::string value(equals < text.size() ? text.substr(equals + 1) : std::string_view());
    // key="value": the tokenizer leaves marks inside a word alone.
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    byte_vector data;
    auto each = split(value, ',');
    auto bad = [&](const char* what) {
      return wrong(type, printable(text.substr(0, equals)) + ": \"" + printable(value) + "\" is no " + what);
    };
    switch (*key) {
    case 0:
      for (auto part : each) {
        auto named = key_number(part);
        if (!named) return bad("list of parameters");
        put_number(data, *named, 2);
      }
      break;
    case 1:
      for (auto part : each) {
        if (part.empty() || part.size() > 255) return bad("list of protocols");
        put_string(data, part);
      }
      break;
    case 2:
      if (!value.empty()) return bad("parameter without a value");
      break;
    case 3: {
      auto port = number(type, value, 65535);
      if (!port) return tl::unexpected(port.error());
      put_number(data, *port, 2);
      break;
    }
    case 4:
    case 6:
      for (auto part : each) {
        auto address = ip_address::parse(part);
        if (!address || address->is_v4() != (*key == 4)) return bad("list of addresses");
        data.insert(data.end(), address->bytes().begin(), address->bytes().end());
      }
      break;
    case 5:
      if (!from_base64(value, data)) return bad("base64");
      break;
    default: {
      auto octets = unescape(value);
      if (!octets) return bad("text");
      data.assign(octets->begin(), octets->end());
    }
    }
    all.emplace_back(*key, std::move(data));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i > 0 && all[i].first == all[i - 1].first) return wrong(type, "a parameter is given twice");
    if (all[i].second.size() > 65535) return wrong(type, "a parameter is too long");
    put_number(out, all[i].first, 2);
    put_number(out, static_cast<std::uint32_t>(all[i].second.size()), 2);
    out.insert(out.end(), all[i].second.begin(), all[i].second.end());
  }
  return {};
}

result<std::string> string_of(const rdata_word& w) {
  if (w.quoted) return w.text;
  return unescape(w.text);
}

} // namespace

result<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    auto digits = text.substr(i + 1, 3);
    int value = 0;
    auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.size() == 3 && parsed.ptr == digits.data() + 3 && value >= 0 && value <= 255) {
      out += static_cast<char>(value);
      i += 3;
    } else if (i + 1 < text.size() && (text[i + 1] < '0' || text[i + 1] > '9')) {
      out += text[++i];
    } else {
      return fail(errc::invalid, "an escape is not whole", "dns.rdata");
    }
  }
  return out;
}

result<std::vector<rdata_word>> split_rdata(std::uint16_t type, std::string_view text) {
  std::vector<rdata_word> out;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == ' ' || text[i] == '\t') {
      ++i;
      continue;
    }
    rdata_word w;
    w.quoted = text[i] == '"';
    auto begin = w.quoted ? ++i : i;
    bool inside = false; // quotation marks within a word: key="a b"
    for (;; ++i) {
      if (i >= text.size()) {
        if (w.quoted || inside) return wrong(type, "a quotation mark is missing");
        break;
      }
      if (w.quoted ? text[i] == '"' : !inside && (text[i] == ' ' || text[i] == '\t')) break;
      if (text[i] == '"') inside = !inside;
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
    }
    w.text = text.substr(begin, i - begin);
    ++i;
    if (w.quoted) {
      auto plain = unescape(w.text);
      if (!plain) return wrong(type, plain.error().message);
      w.text = std::move(*plain);
    }
    out.push_back(std::move(w));
  }
  return out;
}

result<byte_vector> rdata_of(std::uint16_t type, const std::vector<rdata_word>& w,
                             const complete_name& complete) {
  if (!w.empty() && w[0].text == "\\#" && !w[0].quoted) return generic_rdata(type, w);
  byte_vector out;
  if (type == rtype::a || type == rtype::aaaa) {
    auto address = w.size() == 1 ? ip_address::parse(w[0].text) : fail(errc::invalid, "expected one address");
    if (!address || address->is_v4() != (type == rtype::a)) {
      std::string all;
      for (const auto& each : w) all += (all.empty() ? "" : " ") + each.text;
      return wrong(type,
                   "\"" + printable(all) + "\" is no " + (type == rtype::a ? "IPv4" : "IPv6") + " address");
    }
    out.assign(address->bytes().begin(), address->bytes().end());
    return out;
  }
  bool service = type == rtype::svcb || type == rtype::https;
  const auto* form =
      std::find_if(std::begin(forms), std::end(forms), [&](const auto& f) { return f.type == type; });
  if (!service && form == std::end(forms))
    return wrong(type, "write its data as \"\\# length hex\" (RFC 3597)");
  std::string_view fields = service ? std::string_view("2n") : form->fields;
  auto expected = [&] {
    return wrong(type, std::string("expected ") + (service ? "\"priority name key=value …\"" : form->help));
  };
  std::size_t at = 0;
  for (char field : fields) {
    if (at >= w.size()) return expected();
    const auto& word = w[at];
    switch (field) {
    case 'n': {
      auto target = complete(word.text);
      if (!target) return tl::unexpected(target.error());
      out.insert(out.end(), target->wire().begin(), target->wire().end());
      ++at;
      break;
    }
    case '1':
    case '2':
    case '4': {
      int octets = field - '0';
      // The times of an SOA may be written as "1h" in zone files of everybody.
      auto value = number(type, word.text, octets == 4 ? 0xffffffffu : (1u << 8 * octets) - 1);
      if (!value && octets == 4)
        if (auto time = parse_duration(word.text); time && *time < std::chrono::hours(24 * 365 * 100))
          value = static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(*time).count());
      if (!value) return tl::unexpected(value.error());
      put_number(out, *value, octets);
      ++at;
      break;
    }
    case 't': {
      if (word.text.empty() || word.text.size() > 255) return wrong(type, "the tag has 1 to 255 letters");
      put_string(out, word.text);
      ++at;
      break;
    }
    case 's':
    case 'S':
      do {
        auto text = string_of(w[at]);
        if (!text) return wrong(type, text.error().message);
        if (text->size() > 255) return wrong(type, "a string is longer than 255 octets");
        put_string(out, *text);
        ++at;
      } while (field == 'S' && at < w.size());
      break;
    case 'u': {
      auto text = string_of(word);
      if (!text) return wrong(type, text.error().message);
      out.insert(out.end(), text->begin(), text->end());
      ++at;
      break;
    }
    case 'x':
    case 'b': {
      std::string digits;
      for (; at < w.size(); ++at) digits += w[at].text;
      byte_vector data;
      if (!(field == 'x' ? from_hex(digits, data) : from_base64(digits, data)) || data.empty())
        return wrong(type, std::string("\"") + printable(digits.substr(0, 60)) + "\" is not " +
                               (field == 'x' ? "hex digits" : "base64"));
      out.insert(out.end(), data.begin(), data.end());
      break;
    }
    }
  }
  if (service) {
    if (auto keys = put_service_keys(out, type, w, at); !keys) return tl::unexpected(keys.error());
  } else if (at != w.size()) {
    return expected();
  }
  if (out.size() > 65535) return wrong(type, "it is longer than 65535 octets");
  return out;
}

result<byte_vector> parse_rdata(std::uint16_t type, std::string_view text, const name& origin) {
  auto words = split_rdata(type, text);
  if (!words) return tl::unexpected(words.error());
  bool quoted = std::any_of(words->begin(), words->end(), [](const rdata_word& w) { return w.quoted; });
  bool generic = !words->empty() && (*words)[0].text == "\\#";
  if (type == rtype::txt && !quoted && !generic) {
    // Text without quotation marks is one string, cut where it is longer than one can be.
    byte_vector out;
    for (std::size_t at = 0; at == 0 || at < text.size(); at += 255) put_string(out, text.substr(at, 255));
    if (out.size() > 65535) return wrong(type, "it is longer than 65535 octets");
    return out;
  }
  return rdata_of(type, *words, [&](std::string_view word) { return target_name(word, origin); });
}

} // namespace netlab::dns
