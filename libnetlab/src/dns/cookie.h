#pragma once
#include <array>
#include <cstdint>

#include "netlab/bytes.h"
#include "netlab/clock.h"
#include "netlab/ip.h"

namespace netlab::dns {

using cookie_secret = std::array<std::uint8_t, 16>;
inline constexpr std::size_t client_cookie_size = 8, server_cookie_size = 16;

// SipHash-2-4 with a 64-bit result.
std::uint64_t siphash(const cookie_secret& key, byte_view bytes);

// The server cookie of RFC 9018 §4: version, time, and a hash over them, the client's cookie and address.
std::array<std::uint8_t, server_cookie_size> make_server_cookie(const cookie_secret& secret, byte_view client,
                                                                const ip_address& address,
                                                                std::uint32_t seconds);
// Whether it is one of ours for this client, at most an hour old (or five minutes ahead).
bool is_server_cookie(const cookie_secret& secret, byte_view client, byte_view server,
                      const ip_address& address, std::uint32_t seconds);

} // namespace netlab::dns
