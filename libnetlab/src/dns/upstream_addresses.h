#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "netlab/dns_upstream.h"
#include "netlab/runtime.h"

namespace netlab::dns {

// What the bootstrap resolvers are asked about a named upstream. errc::invalid unless they are plain ones of
// one transport, and there is one.
result<host_question> bootstrap_question(const std::string& host, const std::vector<upstream>& resolvers);

// Keeps the addresses of a server's named upstreams: asks the bootstrap resolvers again when what they said
// has run out, and every few seconds while they say nothing; meanwhile the address found last stays. Lives on
// its runtime's loop; dropping it ends it.
class upstream_addresses {
public:
  using found_fn = std::function<void(const std::string& host, const ip_address& address)>;
  // `server` is who complains. `found` may run as long as this lives, never inside the constructor.
  upstream_addresses(runtime& world, std::string server, const std::vector<upstream_group>& groups,
                     std::vector<upstream> resolvers, found_fn found);

private:
  struct named_upstream {
    std::string host;
    std::unique_ptr<host_lookup> lookup; // under way
    timer next;
    ip_address address; // the last one; unspecified when there was none
    bool missed = false;
  };
  void look_up(named_upstream& n);
  void on_answer(named_upstream& n, const result<host_addresses>& got);

  runtime& world_;
  const std::string server_;
  const std::vector<upstream> resolvers_;
  const found_fn found_;
  std::vector<named_upstream> all_; // fixed: look-ups know their places
};

} // namespace netlab::dns
