#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/dhcp_packet.h"
#include "netlab/ip.h"
#include "netlab/result.h"
#include "netlab/uuid.h"

namespace netlab::dhcp {

// Values of options that are more than a number or a text.

struct static_route {
  cidr destination;
  ip_address gateway;
  friend bool operator==(const static_route&, const static_route&) = default;
};

// Addresses in a row, four bytes each. Fails on IPv6.
result<byte_vector> encode_addresses(std::span<const ip_address> addresses);
// Fails when the length is no positive multiple of four.
result<std::vector<ip_address>> decode_addresses(byte_view value);

// Option 121 (RFC 3442): only the significant octets of a destination are sent.
result<byte_vector> encode_routes(std::span<const static_route> routes);
result<std::vector<static_route>> decode_routes(byte_view value);

// Option 119 (RFC 3397): names in DNS wire form, compressed against each other within the option.
result<byte_vector> encode_domains(std::span<const std::string> names);
// Pointers must go backwards, so that none can loop.
result<std::vector<std::string>> decode_domains(byte_view value);

// Option 77: RFC 3004's length-prefixed classes joined by commas, or the raw text that iPXE sends.
std::string user_class_text(byte_view value);
// RFC 3004 form of one class.
byte_vector encode_user_class(std::string_view name);

// Option 93 (RFC 4578 §2.1); when it is absent, the `Arch:nnnnn` of option 60.
std::vector<std::uint16_t> architectures(const packet& request);

// The machine's UUID: option 97 of type 0 (RFC 4578 §2.3), else a DUID-UUID in option 61 (RFC 4361,
// RFC 6355), else 16 bytes after a type 0 in option 61 (PXE 2.1). One byte repeated is no identifier.
std::optional<uuid> machine_uuid(const packet& request);
// A Raspberry Pi's serial, which the last four bytes of its option 97 hold ("RPi4", board revision, MAC,
// serial, or the serial four times), as eight hex digits; a text in option 61 of type 0; else empty.
std::string machine_serial(const packet& request);

// Option 82 (RFC 3046) with the sub-options that change what a server does. Views into the option.
struct relay_information {
  byte_view circuit_id, remote_id, subscriber_id;
  std::optional<ip_address> link_selection;  // sub-option 5, RFC 3527
  std::optional<ip_address> server_override; // sub-option 11, RFC 5107
  bool source_port = false;                  // sub-option 19, RFC 8357
};
// Fails when a sub-option runs past the end or has a wrong length.
result<relay_information> decode_relay(byte_view value);

// Encapsulated options (43, 175): code, length, value; 0 is padding, 255 ends. False in `complete` when
// the last one was cut.
struct encapsulated {
  std::vector<std::pair<std::uint8_t, byte_view>> options;
  bool complete = true;
};
encapsulated decode_encapsulated(byte_view value);

// Option 81 (RFC 4702): the name in either of its forms.
struct client_fqdn {
  std::uint8_t flags = 0; // 1 S, 2 O, 4 E (wire form), 8 N
  std::string name;
};
result<client_fqdn> decode_fqdn(byte_view value);
byte_vector encode_fqdn(std::uint8_t flags, std::string_view name);

// The first label of what a client calls itself, made an RFC 1123 host name: lower case letters, digits
// and inner hyphens, at most 63; blanks and underscores become hyphens. Empty when nothing is left.
std::string clean_hostname(std::string_view name);

// "x64-uefi" and the like for an architecture number of option 93; "arch-N" for an unknown one.
std::string architecture_name(std::uint16_t number);

} // namespace netlab::dhcp
