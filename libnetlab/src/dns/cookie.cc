#include "cookie.h"

#include <bit>

#include "wire.h"

namespace netlab::dns {

namespace {

std::uint64_t little64(const std::uint8_t* at) {
  std::uint64_t out = 0;
  for (int i = 7; i >= 0; --i) out = out << 8 | at[i];
  return out;
}

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
  auto k0 = little64(key.data()), k1 = little64(key.data() + 8);
  std::uint64_t v0 = k0 ^ 0x736f6d6570736575ull, v1 = k1 ^ 0x646f72616e646f6dull;
  std::uint64_t v2 = k0 ^ 0x6c7967656e657261ull, v3 = k1 ^ 0x7465646279746573ull;
  auto round = [&] {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  };
  auto take = [&](std::uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  };
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) take(little64(bytes.data() + at));
  std::uint64_t last = std::uint64_t{bytes.size()} << 56;
  for (std::size_t i = 0; at + i < bytes.size(); ++i) last |= std::uint64_t{bytes[at + i]} << 8 * i;
  take(last);
  v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) round();
  return v0 ^ v1 ^ v2 ^ v3;
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
