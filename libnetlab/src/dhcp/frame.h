#pragma once
#include <optional>

#include "netlab/bytes.h"
#include "netlab/ip.h"
#include "netlab/mac.h"

namespace netlab::dhcp {

// IPv4/UDP and ARP packets for clients that have no address yet. They travel in Ethernet frames whose
// header packet_socket adds.

inline constexpr std::uint16_t ethertype_ipv4 = 0x0800, ethertype_arp = 0x0806;

byte_vector make_udp_frame(const endpoint& from, const endpoint& to, byte_view payload);
// The same behind what is in `to_buffer` already.
void append_udp_frame(byte_vector& to_buffer, const endpoint& from, const endpoint& to, byte_view payload);

struct udp_frame {
  endpoint from, to;
  byte_view payload;
};
// The UDP datagram in an unfragmented IPv4 packet, else nothing. The UDP checksum is not checked: the
// kernel hands over frames of virtual interfaces before the checksum is filled in.
std::optional<udp_frame> parse_udp_frame(byte_view frame);

// RFC 5227 §2.1.1: who has `target`? The sender's address is zero, so that no cache is polluted.
byte_vector make_arp_probe(const mac_address& sender, const ip_address& target);

// "`address` is at `sender`", for the one who asked.
byte_vector make_arp_reply(const mac_address& sender, const ip_address& address, const mac_address& to,
                           const ip_address& to_address);

struct arp_frame {
  bool reply = false;
  mac_address sender;
  ip_address sender_address, target_address;
};
// Ethernet/IPv4 ARP (RFC 826), else nothing.
std::optional<arp_frame> parse_arp(byte_view frame);

} // namespace netlab::dhcp
