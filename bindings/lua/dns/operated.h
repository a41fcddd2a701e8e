#pragma once
#include <optional>
#include <string>

#include "dns/overlays.h"
#include "netlab/dns_message.h"
#include "netlab/ip.h"
#include "netlab/json.h"

namespace netlab::dns {
class query_log;
}

namespace netlab::lua {

// What the control socket's verbs and the recipe's own questions need of a DNS server, whatever it is made
// of. Control loop only.
class dns_operated {
public:
  virtual ~dns_operated() = default;
  virtual bool is_running() const = 0;
  // Names that the recipe set and leases that came count from here on, with every worker. Waits for them.
  virtual void settle() = 0;
  // Where it answers by UDP, as this machine reaches it; nothing while it has no endpoint.
  virtual std::optional<endpoint> own_endpoint() const = 0;
  // How a question of that client would be answered now, step by step (dns_why.h).
  virtual json why(const dns::name& qname, std::uint16_t type, const std::optional<ip_address>& client) = 0;
  virtual dns_overlays* overlays() = 0; // null before it runs
  virtual dns::query_log* log() = 0;    // null when it keeps none
  virtual std::string log_folder() const = 0;
  virtual std::string log_privacy() const = 0;
};

} // namespace netlab::lua
