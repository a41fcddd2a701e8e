#pragma once
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "netlab/dns_engine.h"
#include "netlab/runtime.h"
#include "node_pool.h"

namespace netlab::dns {

// The UDP sockets that queries to upstreams leave from, each connected, on a port of the kernel's random
// choice.
//
// A socket for each query costs more than everything else about the query, so that a socket carries the
// queries of a moment: at most `max_queries` of them within `max_age`, then another port takes its place, and
// it stays open only for the answers that are still to come. A forger is not helped. What it sends counts
// only when it hits the port, the 16 random bits of the id, the letters' case and the question that waits,
// and for any one question there is one port and one id to hit, as with a socket of its own, because equal
// questions are merged before they come here. What a port in longer use would give away is its number, to
// somebody who probes for open ports; a second is far too short to probe the whole range, and a port that
// gets what nobody asked for is given up at once.
//
// Owned by upstream_links; used on its loop's thread.
class upstream_ports {
public:
  struct callbacks {
    std::function<void(std::uint64_t attempt, const endpoint& from, byte_view bytes)> on_message;
    std::function<void(std::uint64_t attempt, std::string why)> on_failure;
    std::function<void()> after; // runs after a round of the first
  };
  upstream_ports(netlab::net& net, const netlab::clock& clock, callbacks on);
  ~upstream_ports();

  // Leaves with flush(), together with the others that go the same way. May call on_failure at once.
  void send(transmission t);
  void flush();
  // Nothing of the attempt is called any more.
  void close(std::uint64_t attempt);

  static constexpr unsigned max_queries = 64;
  static constexpr duration max_age = std::chrono::seconds(1);
  static constexpr unsigned max_strays = 16; // messages with the id of no query that waits

private:
  struct port;
  std::shared_ptr<port> port_for(const transmission& t);
  void on_batch(port& p, std::span<const datagram> batch);
  void retire(std::shared_ptr<port> p);
  void drop_if_done(port& p);

  netlab::net& net_;
  const netlab::clock& clock_;
  callbacks on_;
  std::unordered_map<endpoint, std::shared_ptr<port>> current_; // by upstream
  std::unordered_map<port*, std::shared_ptr<port>> retired_;    // for the answers that are still to come
  struct place {
    port* where;
    std::uint16_t id;
  };
  node_pool nodes_;
  std::pmr::unordered_map<std::uint64_t, place> attempts_{&nodes_};
  std::vector<std::shared_ptr<port>> filled_; // have something to send
  std::vector<datagram> batch_;               // what flush() sends, in room that is there
  std::shared_ptr<upstream_ports*> self_ = std::make_shared<upstream_ports*>(this);
};

} // namespace netlab::dns
