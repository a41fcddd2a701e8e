#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/dns_name.h"
#include "netlab/result.h"

namespace netlab::dns {

// Record types (RFC 1035 §3.2.2 and later ones) are plain numbers: unknown ones pass through (RFC 3597).
namespace rtype {
inline constexpr std::uint16_t a = 1, ns = 2, cname = 5, soa = 6, ptr = 12, hinfo = 13, mx = 15, txt = 16,
                               rp = 17, afsdb = 18, sig = 24, aaaa = 28, srv = 33, naptr = 35, kx = 36,
                               dname = 39, opt = 41, ds = 43, rrsig = 46, nsec = 47, dnskey = 48, nsec3 = 50,
                               svcb = 64, https = 65, tsig = 250, ixfr = 251, axfr = 252, any = 255,
                               caa = 257;
} // namespace rtype
// "AAAA", or "TYPE65280" for a number without a name (RFC 3597 §5); and back, in any case of letters.
std::string type_name(std::uint16_t type);
std::optional<std::uint16_t> parse_type(std::string_view text);

inline constexpr std::uint16_t class_in = 1, class_chaos = 3, class_any = 255;

// Response codes (RFC 1035 §4.1.1, RFC 6895 §2.3); those above 15 need EDNS.
namespace rcode {
inline constexpr std::uint16_t no_error = 0, format_error = 1, server_failure = 2, name_error = 3,
                               not_implemented = 4, refused = 5, bad_version = 16, bad_cookie = 23;
} // namespace rcode
std::string rcode_name(std::uint16_t code); // "NXDOMAIN"

// Extended DNS errors (RFC 8914 §4).
namespace ede {
inline constexpr std::uint16_t other = 0, stale_answer = 3, blocked = 15, censored = 16, filtered = 17,
                               prohibited = 18, stale_nxdomain_answer = 19, not_authoritative = 20,
                               no_reachable_authority = 22, network_error = 23;
} // namespace ede

// Bits of the second 16-bit word of the header, with the opcode in bits 11 … 14 and the rcode in the lowest
// four (RFC 1035 §4.1.1, RFC 4035 §3).
namespace flag {
inline constexpr std::uint16_t qr = 0x8000, aa = 0x0400, tc = 0x0200, rd = 0x0100, ra = 0x0080, ad = 0x0020,
                               cd = 0x0010, opcode_mask = 0x7800, rcode_mask = 0x000f;
} // namespace flag

inline constexpr std::size_t header_size = 12;
inline constexpr std::size_t max_message = 65535;
// What fits everywhere without fragments (RFC 9715 §3, DNS flag day 2020).
inline constexpr std::uint16_t safe_udp_size = 1232;
inline constexpr std::uint16_t plain_udp_size = 512; // without EDNS (RFC 1035 §4.2.1)

struct question {
  name qname;
  std::uint16_t type = 0, klass = class_in;
  friend bool operator==(const question&, const question&) = default;
};

// One resource record. `data` is the RDATA with the names in it uncompressed.
struct record {
  name owner;
  std::uint16_t type = 0, klass = class_in;
  std::uint32_t ttl = 0; // seconds; at most 2^31 - 1 (RFC 2181 §8)
  byte_vector data;
  friend bool operator==(const record&, const record&) = default;
};

// An EDNS option (RFC 6891 §6.1.2) as it is on the wire.
struct edns_option {
  std::uint16_t code = 0;
  byte_vector data;
  friend bool operator==(const edns_option&, const edns_option&) = default;
};
namespace edns_code {
inline constexpr std::uint16_t cookie = 10, padding = 12, extended_error = 15;
} // namespace edns_code

// The OPT pseudo-record (RFC 6891 §6.1).
struct edns {
  std::uint16_t udp_size = safe_udp_size;
  std::uint8_t version = 0;
  bool dnssec_ok = false;
  std::vector<edns_option> options;
  friend bool operator==(const edns&, const edns&) = default;
};

// A whole message as values. The OPT record is not among the additional ones but in `opt`, and `rcode`
// holds its extended bits as well.
struct message {
  std::uint16_t id = 0;
  std::uint16_t flags = 0; // of `flag`, with the opcode and without the rcode
  std::uint16_t rcode = 0;
  std::vector<question> questions;
  std::vector<record> answers, authorities, additionals;
  std::optional<edns> opt;
  friend bool operator==(const message&, const message&) = default;
};

// Reads a whole message by RFC 1035 §4 with the rules of RFC 9267: compression pointers lead strictly
// backward, the work of one name is bounded, every count and length is checked against the bytes that are
// there, a second OPT or one outside the additional section is an error, nothing may follow the last record.
result<message> decode(byte_view bytes);

// Writes a message with compressed names into at most `limit` bytes. When the records do not fit, whole
// ones are left out from the end; the TC bit is set when one of the answer or authority section is among
// them (RFC 2181 §9).
byte_vector encode(const message& value, std::size_t limit = max_message);

// RDATA from its presentation form, for A, AAAA, NS, CNAME, PTR, MX, TXT, SRV, CAA and the generic
// "\# length hex" of RFC 3597 §5 for every type. A name without a dot is completed with `origin`.
result<byte_vector> parse_rdata(std::uint16_t type, std::string_view text, const name& origin);
// The presentation form; "\# …" for types without one here. Printable whatever the bytes are.
std::string rdata_text(std::uint16_t type, byte_view data);

} // namespace netlab::dns
