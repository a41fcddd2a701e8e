#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/ip.h"
#include "netlab/mac.h"
#include "netlab/result.h"

namespace netlab::dhcp {

// Option 53 (RFC 2132 §9.6). `none` is a BOOTP packet, which has no option 53.
enum class message_type : std::uint8_t {
  none = 0,
  discover = 1,
  offer = 2,
  request = 3,
  decline = 4,
  ack = 5,
  nak = 6,
  release = 7,
  inform = 8,
};
std::string_view to_string(message_type type);

// Option numbers that the server and the client handle by name (RFC 2132 unless noted).
namespace option {
inline constexpr std::uint8_t pad = 0;
inline constexpr std::uint8_t subnet_mask = 1;
inline constexpr std::uint8_t router = 3;
inline constexpr std::uint8_t dns = 6;
inline constexpr std::uint8_t host_name = 12;
inline constexpr std::uint8_t boot_file_size = 13;
inline constexpr std::uint8_t domain_name = 15;
inline constexpr std::uint8_t mtu = 26;
inline constexpr std::uint8_t broadcast_address = 28;
inline constexpr std::uint8_t ntp = 42;
inline constexpr std::uint8_t vendor_specific = 43;
inline constexpr std::uint8_t requested_address = 50;
inline constexpr std::uint8_t lease_time = 51;
inline constexpr std::uint8_t overload = 52;
inline constexpr std::uint8_t type = 53;
inline constexpr std::uint8_t server_id = 54;
inline constexpr std::uint8_t parameter_list = 55;
inline constexpr std::uint8_t message = 56;
inline constexpr std::uint8_t max_size = 57;
inline constexpr std::uint8_t renewal_time = 58;
inline constexpr std::uint8_t rebinding_time = 59;
inline constexpr std::uint8_t vendor_class = 60;
inline constexpr std::uint8_t client_id = 61;
inline constexpr std::uint8_t tftp_server = 66;
inline constexpr std::uint8_t boot_file = 67;
inline constexpr std::uint8_t user_class = 77;        // RFC 3004
inline constexpr std::uint8_t rapid_commit = 80;      // RFC 4039
inline constexpr std::uint8_t client_fqdn = 81;       // RFC 4702
inline constexpr std::uint8_t relay_agent = 82;       // RFC 3046
inline constexpr std::uint8_t architecture = 93;      // RFC 4578
inline constexpr std::uint8_t undi = 94;              // RFC 4578
inline constexpr std::uint8_t machine_id = 97;        // RFC 4578
inline constexpr std::uint8_t subnet_selection = 118; // RFC 3011
inline constexpr std::uint8_t domain_search = 119;    // RFC 3397
inline constexpr std::uint8_t classless_routes = 121; // RFC 3442
inline constexpr std::uint8_t ipxe = 175;             // iPXE's encapsulated options
inline constexpr std::uint8_t end = 255;
} // namespace option

// Options in order, each code once (RFC 3396 pieces joined). Values live in one buffer that clear()
// keeps, so that a list which is used again does not allocate. Views stay valid until the next change.
class option_list {
public:
  // Appends; a code that is already there is replaced in its place.
  void set(std::uint8_t code, byte_view value);
  void set_u8(std::uint8_t code, std::uint8_t value);
  void set_u16(std::uint8_t code, std::uint16_t value);
  void set_u32(std::uint8_t code, std::uint32_t value);
  void set_text(std::uint8_t code, std::string_view value) { set(code, as_bytes(value)); }
  void set_address(std::uint8_t code, const ip_address& value) { set(code, value.bytes()); }
  void erase(std::uint8_t code);
  void clear();

  bool has(std::uint8_t code) const { return index(code) >= 0; }
  std::optional<byte_view> find(std::uint8_t code) const;
  // The value as a number or address when it has exactly that width, else nothing.
  std::optional<std::uint16_t> u16(std::uint8_t code) const;
  std::optional<std::uint32_t> u32(std::uint8_t code) const;
  std::optional<ip_address> address(std::uint8_t code) const;
  // The value as text without trailing NULs, which many ROMs append; empty when absent.
  std::string_view text(std::uint8_t code) const;

  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  std::uint8_t code_at(std::size_t i) const { return entries_[i].code; }
  byte_view value_at(std::size_t i) const {
    return byte_view(data_).subspan(entries_[i].offset, entries_[i].length);
  }

private:
  struct entry {
    std::uint8_t code;
    std::uint32_t offset, length;
  };
  int index(std::uint8_t code) const;
  std::vector<entry> entries_;
  byte_vector data_;
};

// A whole BOOTP/DHCP message (RFC 951, RFC 2131 §2).
struct packet {
  static constexpr std::uint8_t request_op = 1, reply_op = 2;
  static constexpr std::uint16_t broadcast_flag = 0x8000;

  std::uint8_t op = request_op, htype = 1, hlen = 6, hops = 0;
  std::uint32_t xid = 0;
  std::uint16_t secs = 0, flags = 0;
  ip_address ciaddr, yiaddr, siaddr, giaddr;
  std::array<std::uint8_t, 16> chaddr{};
  std::string sname, file; // up to the first NUL; empty when option 52 lent the field to options
  bool cookie = true;      // false: BOOTP without RFC 1497's magic cookie, hence without options
  option_list options;

  message_type type() const;
  // The hardware address when it is Ethernet-like (hlen 6), else zeros.
  mac_address mac() const {
    return hlen == 6 ? mac_address::from(byte_view(chaddr).first(6)) : mac_address{};
  }
  void set_mac(const mac_address& mac);
  bool wants_broadcast() const { return (flags & broadcast_flag) != 0; }
  void clear(); // back to a fresh packet, keeping buffers
};

// Messages longer than this are refused: real ones are bounded by option 57 and the link's MTU.
inline constexpr std::size_t max_message_size = 4096;
// What every client takes without option 57: a 576-byte IP datagram without its headers (RFC 2131 §2).
inline constexpr std::size_t default_message_size = 548;
// BOOTP's length; some ROMs and relays drop anything shorter.
inline constexpr std::size_t min_message_size = 300;

// Reads a message. Lengths are checked strictly: an option that runs past its area is errc::protocol.
// Forgiven, because real firmware does it: a missing END, bytes after END, unterminated sname and file,
// a second option 52, NULs at the end of texts. `out` is reused without allocation and left unspecified
// after an error.
result<void> decode_into(byte_view datagram, packet& out);
result<packet> decode(byte_view datagram);

struct encoded {
  std::size_t size = 0;
  unsigned dropped = 0; // options that did not fit even after overload (RFC 2131 §4.1)
};
// Writes at most `limit` bytes (no fewer than min_message_size) into `out`: type, server id and lease
// time first, relay information last (RFC 3046 §2.1), no PAD between options, values above 255 bytes
// split (RFC 3396). What does not fit moves to `file` and `sname` where those are unused.
result<encoded> encode(const packet& message, byte_span out, std::size_t limit = default_message_size);
// For tests and the client: the same into a vector of its own.
result<byte_vector> encode(const packet& message, std::size_t limit = default_message_size);

} // namespace netlab::dhcp
