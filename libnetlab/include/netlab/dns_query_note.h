#pragma once
#include <cstdint>
#include <string_view>

#include "netlab/bytes.h"
#include "netlab/clock.h"
#include "netlab/ip.h"

namespace netlab::dns {

// Where an answer came from, or why there was none. The numbers are stored in query logs: never reuse one.
enum class query_outcome : std::uint8_t {
  local = 0,     // the recipe's records, hosts and zone files, leases, special names
  cached = 1,    // kept from an earlier question
  stale = 2,     // kept, and given past its time because no upstream answered
  forwarded = 3, // an upstream's answer
  blocked = 4,   // a list's rule, or an operator's
  refused = 5,   // not a client of ours, or a question that is nobody's here
  limited = 6,   // too many questions
  failed = 7,    // no upstream answered
  hook = 8,      // the recipe's on_query answered
  none = 255,    // nothing that a log should tell: malformed, our own questions
};
std::string_view to_string(query_outcome outcome);

inline constexpr std::uint16_t no_list = 0xffff;
inline constexpr std::uint8_t no_upstream = 0xff;

// One answered query, as the engine tells it. Views hold during the call.
struct query_note {
  byte_view qname; // a whole wire name in lower case
  ip_address client;
  boot_time at{};  // when it was answered
  duration took{}; // since it came
  std::uint16_t type = 0, rcode = 0;
  std::uint16_t list = no_list; // that blocked it
  query_outcome outcome = query_outcome::none;
  std::uint8_t policy = 0;             // index into the snapshot's
  std::uint8_t group = 0;              // of upstreams, when forwarded
  std::uint8_t upstream = no_upstream; // its place in the group
  bool stream = false;                 // by TCP, TLS or HTTPS
};

// Gets every query of one engine, on the engine's thread and on the answering path: it copies and returns.
class query_sink {
public:
  virtual ~query_sink() = default;
  virtual void note(const query_note& query) noexcept = 0;
};

} // namespace netlab::dns
