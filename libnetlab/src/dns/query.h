#pragma once
#include <cstdint>
#include <string_view>

#include "answer_cache.h"
#include "cookie.h"
#include "netlab/dns_engine.h"

namespace netlab::dns {

// A query as the engine works with it. `original` and `client_cookie` look into the bytes it came in.
struct query {
  std::uint16_t id = 0, flags = 0, type = 0, klass = 0;
  byte_view original;      // the question's bytes: name in the client's letters, type, class
  byte_view client_cookie; // empty, or 8 octets
  byte_view server_cookie; // empty, or 8 to 32 octets
  bool has_edns = false, dnssec_ok = false;
  std::uint16_t udp_size = plain_udp_size;
  std::uint8_t lower_size = 0;
  alignas(8) std::uint8_t lower[256]; // the name in lower case

  byte_view qname() const { return {lower, lower_size}; }
};

enum class query_problem : std::uint8_t { none, drop, format, not_implemented, bad_version };
// Reads a query. On every outcome but `drop` what is needed to answer is filled in; `original` stays empty
// when the question could not be read.
query_problem read_query(byte_view bytes, query& out);

// What every reply to one query has in common.
struct reply_context {
  const query& asked;
  std::size_t limit;      // bytes that the answer may have
  std::uint16_t udp_size; // that we tell in OPT
  const cookie_secret& secret;
  const ip_address& client;
  std::uint32_t seconds; // of the running clock, for the cookie
};

// An extended error beside an answer (RFC 8914); none when code is 0 and the text empty.
struct extended {
  std::uint16_t code = 0;
  std::string_view text;
  bool set = false;
};

std::size_t opt_size(const reply_context& c, const extended& why);
// Writes the OPT record at `at`, when the query had one; returns the end.
std::size_t put_opt(const reply_context& c, byte_span out, std::size_t at, std::uint16_t rcode,
                    const extended& why);
// A reply without records.
std::size_t put_empty(const reply_context& c, byte_span out, std::uint16_t flags, std::uint16_t rcode,
                      const extended& why = {});
// Those of the addresses that are of the asked type, each for `ttl` seconds; when there is none, the SOA of a
// zone of the asked name (RFC 2308 §3), so that the client keeps the answer no longer.
std::size_t put_addresses(const reply_context& c, byte_span out, std::uint16_t rcode,
                          std::span<const ip_address> addresses, std::uint32_t ttl, const extended& why);
// A cached answer whose records are `age` seconds old; `stale_ttl` instead of what is left when it is not 0.
std::size_t put_cached(const reply_context& c, byte_span out, const cached_answer& answer, std::uint32_t age,
                       std::uint32_t stale_ttl);

} // namespace netlab::dns
