#include "cookie.h"

#include "sip_state.h"
#include "wire.h"

namespace netlab::dns {

namespace {

std::uint64_t cookie_hash(const cookie_secret& secret, byte_view client, const std::uint8_t* fields,
                          const ip_address& address) {
  std::uint8_t input[client_cookie_size + 8 + 16];
  std::memcpy(input, client.data(), client_cookie_size);
  std::memcpy(input + client_cookie_size, fields, 8);
  auto who = address.bytes();
  std::memcpy(input + client_cookie_size + 8, who.data(), who.size());
  return siphash(secret, byte_view(input).first(client_cookie_size + 8 + who.size()));
}

} // namespace

std::uint64_t siphash(const cookie_secret& key, byte_view bytes) {
  sip_state<2, 4> state(key.data());
  auto rest = state.absorb_words(bytes);
  state.absorb(std::uint64_t{bytes.size()} << 56 | rest);
  return state.value();
}

std::array<std::uint8_t, server_cookie_size> make_server_cookie(const cookie_secret& secret, byte_view client,
                                                                const ip_address& address,
                                                                std::uint32_t seconds) {
  std::array<std::uint8_t, server_cookie_size> out{};
  out[0] = 1;
  put32(out.data() + 4, seconds);
  auto h = cookie_hash(secret, client, out.data(), address);
  for (std::size_t i = 0; i < 8; ++i) out[8 + i] = static_cast<std::uint8_t>(h >> 8 * i);
  return out;
}

bool is_server_cookie(const cookie_secret& secret, byte_view client, byte_view server,
                      const ip_address& address, std::uint32_t seconds) {
  if (server.size() != server_cookie_size || server[0] != 1) return false;
  auto age = static_cast<std::int32_t>(seconds - get32(server.data() + 4)); // RFC 1982 arithmetic
  if (age > 3600 || age < -300) return false;
  auto h = cookie_hash(secret, client, server.data(), address);
  std::uint8_t difference = 0;
  for (std::size_t i = 0; i < 8; ++i)
    difference =
        static_cast<std::uint8_t>(difference | (server[8 + i] ^ static_cast<std::uint8_t>(h >> 8 * i)));
  return difference == 0;
}

} // namespace netlab::dns
