#include "messages.h"

#include <array>

#include "netlab/dns_server.h"

namespace netlab::dns {

constexpr netlab::message msg_upstream_down{
    "NL-DNS-001", log_level::warn,
    "A resolver that the recipe names as an upstream did not answer three times in a row. The others are "
    "asked "
    "first from now on; this one is tried again every few seconds. With all of them down, answers that have "
    "expired are given for a day (RFC 8767), and everything else gets SERVFAIL with the reason.",
    "The text says why. When it is every upstream, the uplink is down; when it is one, that resolver is. A "
    "certificate that is not accepted means a wrong name after \"#\" or a clock that is wrong."};
constexpr netlab::message msg_upstream_up{
    "NL-DNS-002", log_level::info, "An upstream that was silent answers again and is used as before.", ""};
constexpr netlab::message msg_rebind{
    "NL-DNS-003", log_level::warn,
    "A name of the outside led to an address of a private network, which a web page could use to reach "
    "machines "
    "behind the router (DNS rebinding). The address was left out of the answer.",
    "If the name is yours, add it or its domain to `rebind_allow`."};
constexpr netlab::message msg_bootstrap_failed{
    "NL-DNS-006", log_level::warn,
    "The address of an upstream that is given by name could not "
    "be found. It is looked up again every few seconds. An upstream that "
    "had one before keeps it; one that never had is not asked.",
    "Check `bootstrap`, and the name. An address in the upstream "
    "itself, as in \"tls://1.1.1.1#one.one.one.one\", "
    "needs no look-up."};

constexpr netlab::message msg_bogus{"NL-DNS-120", log_level::warn,
                                    "An upstream's answer failed DNSSEC validation, and with several "
                                    "upstreams the second one's as well. The client "
                                    "got SERVFAIL with the reason (RFC 8914): the zone's signatures are "
                                    "broken or expired, this machine's clock is "
                                    "wrong, or somebody changes answers on the way.",
                                    "Compare with `delv NAME`. A zone that is known to be broken can be "
                                    "excepted: dnssec = { negative = { \"its.zone\" } "
                                    "}. A name that only an internal server knows belongs to `forward`, "
                                    "where nothing is validated without an "
                                    "anchor."};

std::span<const netlab::message* const> dns_messages() {
  static constexpr std::array<const netlab::message*, 5> all{&msg_upstream_down, &msg_upstream_up,
                                                             &msg_rebind, &msg_bootstrap_failed, &msg_bogus};
  return all;
}

} // namespace netlab::dns
