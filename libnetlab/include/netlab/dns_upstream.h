#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netlab/ip.h"
#include "netlab/result.h"
#include "netlab/units.h"

namespace netlab::dns {

enum class transport : std::uint8_t {
  udp,   // and TCP for answers that do not fit
  tcp,   // RFC 7766
  tls,   // RFC 7858
  https, // RFC 8484
};
std::string_view to_string(transport t);
inline bool is_encrypted(transport t) { return t == transport::tls || t == transport::https; }

// A resolver that is asked for what is not known here.
struct upstream {
  transport over = transport::udp;
  endpoint address;        // unspecified while that of `host` is not known
  std::string host;        // a name whose address has to be found; empty when the address is given
  std::string server_name; // whose certificate it must show: a name or an address
  std::string url;         // https: the whole URL
  std::string ca_file;     // trusted instead of the system's certificates; PEM
  std::string text;        // as the recipe wrote it

  // "1.1.1.1", "1.1.1.1:5353", "[2606:4700::1111]:53", "udp://…", "tcp://…", "tls://1.1.1.1#one.one.one.one",
  // "tls://dns.quad9.net", "https://dns.google/dns-query". A plain name without a scheme is an error: it
  // would have to be looked up by itself.
  static result<upstream> parse(std::string_view text);
};

// Upstreams that know the same names; the best of them is asked. Each group has its own answers.
struct upstream_group {
  std::vector<upstream> members;
  // errc::invalid when plain and encrypted ones are mixed: a choice by speed would drop the encryption.
  result<void> check() const;
};

// How one upstream does, for status and logs.
struct upstream_health {
  std::string text;
  bool up = true;
  duration round_trip{}; // smoothed; zero before the first answer
  std::uint64_t sent = 0, answered = 0, timeouts = 0, failures = 0;
  std::string last_trouble; // why it was last called down, empty when never
};

} // namespace netlab::dns
