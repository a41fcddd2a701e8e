#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netlab/dns_message.h"
#include "netlab/dns_upstream.h"
#include "netlab/runtime.h"

namespace netlab::dns {

struct client_question {
  name qname;
  std::uint16_t type = rtype::a;
  std::vector<upstream> servers;              // asked in this order
  std::vector<upstream> finders;              // plain ones that find the addresses of servers that are named
  duration timeout = std::chrono::seconds(5); // for everything
  unsigned rounds = 2;                        // through all servers
  bool edns = true, dnssec_ok = false, checking_disabled = false, recursion = true;
  bool retry_by_tcp = true; // when an answer does not fit into a datagram
};

// One message that was sent, and what became of it.
struct client_step {
  std::string server;
  transport over = transport::udp;
  duration at{}, took{}; // since the start; since it was sent
  std::size_t bytes = 0; // of the reply
  std::string trouble;   // empty: there was a reply
};

struct client_report {
  std::optional<message> reply; // of whatever rcode
  std::string server;           // whose reply it is
  transport over = transport::udp;
  duration took{};
  std::vector<client_step> steps;
  std::optional<error> failure; // when there is no reply
};

// Asks resolvers one question, as a machine of the network would. SERVFAIL and REFUSED send it to the next
// server; what does not match the question is ignored. Lives on its runtime's loop; dropping it ends it.
class client {
public:
  // `done` runs once, never inside this call, and may drop the client. Errors: invalid (no server, or a named
  // one without finders, or finders that are encrypted).
  static result<std::unique_ptr<client>> start(runtime& world, client_question question,
                                               std::function<void(client_report)> done);
  ~client();
  client(const client&) = delete;
  client& operator=(const client&) = delete;

private:
  struct impl;
  explicit client(std::unique_ptr<impl> made);
  std::unique_ptr<impl> impl_;
};

// The name servers of a resolv.conf(5), at port 53.
std::vector<upstream> parse_resolv_conf(std::string_view text);

} // namespace netlab::dns
