#include "netlab/dhcp_options.h"

#include <algorithm>
#include <charconv>

#include "netlab/text.h"

namespace netlab::dhcp {

namespace {
tl::unexpected<error> bad(std::string what) { return fail(errc::protocol, std::move(what), "dhcp.option"); }
bool letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
} // namespace

result<byte_vector> encode_addresses(std::span<const ip_address> addresses) {
  byte_vector out;
  for (const auto& a : addresses) {
    if (!a.is_v4()) return fail(errc::invalid, a.to_string() + " is not an IPv4 address", "dhcp.option");
    out.insert(out.end(), a.bytes().begin(), a.bytes().end());
  }
  return out;
}

result<std::vector<ip_address>> decode_addresses(byte_view value) {
  if (value.empty() || value.size() % 4 != 0) return bad("a list of addresses has a broken length");
  byte_reader r(value);
  std::vector<ip_address> out;
  while (r.remaining() > 0) out.push_back(ip_address::v4(r.u32()));
  return out;
}

result<byte_vector> encode_routes(std::span<const static_route> routes) {
  byte_vector out;
  for (const auto& route : routes) {
    if (!route.destination.address.is_v4() || !route.gateway.is_v4() || route.destination.prefix > 32)
      return fail(errc::invalid, route.destination.to_string() + " is not an IPv4 route", "dhcp.option");
    auto network = route.destination.network();
    out.push_back(route.destination.prefix);
    auto significant = network.bytes().first((route.destination.prefix + 7u) / 8u);
    out.insert(out.end(), significant.begin(), significant.end());
    out.insert(out.end(), route.gateway.bytes().begin(), route.gateway.bytes().end());
  }
  return out;
}

result<std::vector<static_route>> decode_routes(byte_view value) {
  std::vector<static_route> out;
  byte_reader r(value);
  while (r.remaining() > 0) {
    auto prefix = r.u8();
    if (prefix > 32) return bad("a route's prefix is longer than 32");
    std::uint8_t octets[4] = {};
    auto significant = r.bytes((prefix + 7u) / 8u);
    std::copy(significant.begin(), significant.end(), octets);
    auto gateway = r.u32();
    if (r.failed()) return bad("a route is cut short");
    out.push_back(
        {{ip_address::v4(octets[0], octets[1], octets[2], octets[3]), prefix}, ip_address::v4(gateway)});
  }
  return out;
}

result<byte_vector> encode_domains(std::span<const std::string> names) {
  byte_vector out;
  std::vector<std::pair<std::string, std::size_t>> seen; // suffix → where it was written
  for (const auto& name : names) {
    std::string_view rest = name;
    if (rest.ends_with('.')) rest.remove_suffix(1);
    if (rest.empty() || rest.size() > 253)
      return fail(errc::invalid, "\"" + printable(name) + "\" is not a domain name", "dhcp.option");
    bool pointed = false;
    while (!rest.empty()) {
      auto suffix = to_lower(rest);
      auto known = std::find_if(seen.begin(), seen.end(), [&](const auto& s) { return s.first == suffix; });
      if (known != seen.end()) {
        out.push_back(static_cast<std::uint8_t>(0xc0 | known->second >> 8));
        out.push_back(static_cast<std::uint8_t>(known->second));
        pointed = true;
        break;
      }
      if (out.size() < 0x3fff) seen.emplace_back(suffix, out.size());
      auto dot = rest.find('.');
      auto label = rest.substr(0, dot);
      if (label.empty() || label.size() > 63)
        return fail(errc::invalid, "\"" + printable(name) + "\" has an empty or too long label",
                    "dhcp.option");
      out.push_back(static_cast<std::uint8_t>(label.size()));
      out.insert(out.end(), label.begin(), label.end());
      rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
    }
    if (!pointed) out.push_back(0);
  }
  return out;
}

result<std::vector<std::string>> decode_domains(byte_view value) {
  std::vector<std::string> out;
  std::size_t at = 0;
  while (at < value.size()) {
    std::string name;
    std::size_t read = at;
    bool jumped = false;
    for (;;) {
      if (read >= value.size()) return bad("a domain name is cut short");
      std::size_t length = value[read];
      if ((length & 0xc0) == 0xc0) {
        if (read + 1 >= value.size()) return bad("a name pointer is cut short");
        std::size_t target = (length & 0x3f) << 8 | value[read + 1];
        if (!jumped) at = read + 2;
        if (target >= read) return bad("a name pointer does not go backwards");
        jumped = true;
        read = target;
        continue;
      }
      if (length > 63) return bad("a label is longer than 63 bytes");
      ++read;
      if (length == 0) {
        if (!jumped) at = read;
        break;
      }
      if (value.size() - read < length) return bad("a label is cut short");
      if (!name.empty()) name += '.';
      name += as_text(value.subspan(read, length));
      if (name.size() > 253) return bad("a domain name is longer than 253 bytes");
      read += length;
    }
    out.push_back(std::move(name));
    if (out.size() > 64) return bad("more than 64 search domains");
  }
  return out;
}

std::string user_class_text(byte_view value) {
  // Raw when the lengths do not add up: "iPXE" would need 105 bytes after its first.
  std::string framed;
  std::size_t at = 0;
  while (at < value.size()) {
    std::size_t length = value[at++];
    if (length == 0 || value.size() - at < length) {
      auto raw = as_text(value);
      while (!raw.empty() && raw.back() == '\0') raw.remove_suffix(1);
      return std::string(raw);
    }
    if (!framed.empty()) framed += ',';
    framed += as_text(value.subspan(at, length));
    at += length;
  }
  return framed;
}

byte_vector encode_user_class(std::string_view name) {
  name = name.substr(0, 254);
  byte_vector out{static_cast<std::uint8_t>(name.size())};
  out.insert(out.end(), name.begin(), name.end());
  return out;
}

std::vector<std::uint16_t> architectures(const packet& request) {
  std::vector<std::uint16_t> out;
  if (auto value = request.options.find(option::architecture); value && value->size() >= 2) {
    byte_reader r(*value);
    while (r.remaining() >= 2 && out.size() < 16) out.push_back(r.u16());
    return out;
  }
  auto text = request.options.text(option::vendor_class);
  auto at = text.find(":Arch:");
  if (at == std::string_view::npos) return out;
  auto digits = text.substr(at + 6, 5);
  std::uint16_t number = 0;
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (ec == std::errc{} && end == digits.data() + digits.size()) out.push_back(number);
  return out;
}

namespace {
std::optional<uuid> usable(const uuid& id) {
  // All zero, all one, and the 0x44 of every Raspberry Pi 3: what many machines share tells none of them.
  if (std::all_of(id.bytes.begin(), id.bytes.end(), [&](auto b) { return b == id.bytes[0]; }))
    return std::nullopt;
  return id;
}
} // namespace

std::optional<uuid> machine_uuid(const packet& request) {
  if (auto id = request.options.find(option::machine_id); id && id->size() == 17 && (*id)[0] == 0)
    if (auto found = usable(uuid::from_guid(id->subspan(1)))) return found;
  auto id = request.options.find(option::client_id);
  if (!id) return std::nullopt;
  if (id->size() == 23 && (*id)[0] == 255 && (*id)[5] == 0 && (*id)[6] == 4) {
    uuid out;
    std::copy(id->begin() + 7, id->end(), out.bytes.begin());
    return usable(out);
  }
  if (id->size() == 17 && (*id)[0] == 0) return usable(uuid::from_guid(id->subspan(1)));
  return std::nullopt;
}

std::string machine_serial(const packet& request) {
  if (auto id = request.options.find(option::machine_id);
      id && id->size() == 17 && (*id)[0] == 0 && machine_uuid(request) &&
      (as_text(id->subspan(1, 3)) == "RPi" || std::equal(id->begin() + 1, id->end() - 4, id->begin() + 5))) {
    // Little-endian like the other words of the identifier; early boot loaders of the Pi 4 repeat it four
    // times.
    std::uint8_t serial[4] = {(*id)[16], (*id)[15], (*id)[14], (*id)[13]};
    return to_hex(serial);
  }
  auto id = request.options.find(option::client_id);
  if (id && id->size() > 1 && id->size() <= 64 && (*id)[0] == 0) {
    auto text = as_text(id->subspan(1));
    if (std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; }))
      return std::string(text);
  }
  return {};
}

result<relay_information> decode_relay(byte_view value) {
  relay_information out;
  byte_reader r(value);
  while (r.remaining() > 0) {
    auto code = r.u8();
    auto length = r.u8();
    auto data = r.bytes(length);
    if (r.failed()) return bad("relay sub-option " + std::to_string(code) + " is cut short");
    switch (code) {
    case 1: out.circuit_id = data; break;
    case 2: out.remote_id = data; break;
    case 6: out.subscriber_id = data; break;
    case 19: out.source_port = true; break;
    case 5:
    case 11:
      if (length != 4) return bad("relay sub-option " + std::to_string(code) + " is not an address");
      (code == 5 ? out.link_selection : out.server_override) = ip_address::v4(byte_reader(data).u32());
      break;
    default: break;
    }
  }
  return out;
}

encapsulated decode_encapsulated(byte_view value) {
  encapsulated out;
  std::size_t at = 0;
  while (at < value.size()) {
    auto code = value[at++];
    if (code == 0) continue;
    if (code == 255) return out;
    if (at == value.size() || value.size() - at - 1 < value[at]) {
      out.complete = false;
      return out;
    }
    std::size_t length = value[at++];
    out.options.emplace_back(code, value.subspan(at, length));
    at += length;
  }
  return out;
}

result<client_fqdn> decode_fqdn(byte_view value) {
  if (value.size() < 3) return bad("option 81 is shorter than three bytes");
  client_fqdn out;
  out.flags = value[0];
  auto rest = value.subspan(3);
  if ((out.flags & 4) == 0) {
    auto text = as_text(rest);
    while (!text.empty() && (text.back() == '\0' || text.back() == '.')) text.remove_suffix(1);
    out.name = text;
    return out;
  }
  // Wire form; RFC 4702 §2.3.1 allows a partial name without its final zero.
  std::size_t at = 0;
  while (at < rest.size() && rest[at] != 0) {
    std::size_t length = rest[at++];
    if (length > 63 || rest.size() - at < length) return bad("the name in option 81 is cut short");
    if (!out.name.empty()) out.name += '.';
    out.name += as_text(rest.subspan(at, length));
    at += length;
  }
  return out;
}

byte_vector encode_fqdn(std::uint8_t flags, std::string_view name) {
  byte_vector out{flags, 255, 255}; // RFC 4702 §2.2: RCODE1 and RCODE2 are 255 from a server
  if ((flags & 4) == 0) {
    out.insert(out.end(), name.begin(), name.end());
    return out;
  }
  for (auto label : split(name, '.')) {
    label = label.substr(0, 63);
    if (label.empty()) continue;
    out.push_back(static_cast<std::uint8_t>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
  }
  out.push_back(0);
  return out;
}

std::string clean_hostname(std::string_view name) {
  name = name.substr(0, name.find('.'));
  std::string out;
  for (char c : name.substr(0, 255)) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (c == '_' || c == ' ' || c == '-') {
      if (!out.empty() && out.back() != '-') out += '-';
    } else if (letter_or_digit(c)) {
      out += c;
    }
    if (out.size() == 63) break;
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out;
}

std::string architecture_name(std::uint16_t number) {
  // IANA "Processor Architecture Types"; 9 is EBC in RFC 4578 but means x64 in practice (erratum 4625).
  switch (number) {
  case 0: return "bios";
  case 6: return "ia32-uefi";
  case 7:
  case 9: return "x64-uefi";
  case 10: return "arm32-uefi";
  case 11: return "arm64-uefi";
  case 15: return "ia32-uefi-http";
  case 16:
  case 17: return "x64-uefi-http";
  case 18: return "arm32-uefi-http";
  case 19: return "arm64-uefi-http";
  case 20: return "bios-http";
  case 21: return "arm32-uboot";
  case 22: return "arm64-uboot";
  case 23: return "arm32-uboot-http";
  case 24: return "arm64-uboot-http";
  case 25: return "riscv32-uefi";
  case 27: return "riscv64-uefi";
  case 28: return "riscv64-uefi-http";
  case 41: return "rpi";
  default: return "arch-" + std::to_string(number);
  }
}

} // namespace netlab::dhcp
