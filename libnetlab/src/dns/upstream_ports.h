#pragma once
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "netlab/dns_engine.h"
#include "netlab/runtime.h"
#include "node_pool.h"

namespace netlab::dns {

// The UDP sockets that queries to upstreams leave from, each connected, each query's own: its port is the
// kernel's random choice and is closed with its answer (RFC 5452 §9.2). The network keeps the sockets for the
// next ones, which costs less than making them.
//
// Only when `most_alone` queries wait at a time, which takes upstreams that are silent or a flood, the others
// share, because a port of its own is half of what such a query costs: a port carries at most `max_queries`
// within `max_age`, and what comes is told apart by the id. A forger is not helped. What it sends counts only
// when it hits the port, the 16 random bits of the id, the letters' case and the question that waits, and for
// any one question there is one port and one id to hit, as equal questions are merged before they come here.
// What a port in longer use gives away is its number, to somebody who probes for open ports; a second is far
// too short to probe the whole range, and a port that gets what nobody asked for is given up at once.
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

  static constexpr std::size_t most_alone = 64;
  static constexpr unsigned max_queries = 64;
  static constexpr duration max_age = std::chrono::seconds(1);
  static constexpr unsigned max_strays = 16; // messages with the id of no query that waits

private:
  struct port;
  std::shared_ptr<port> port_for(const transmission& t);
  bool may_carry(const port& p, std::uint16_t id) const;
  void on_batch(port& p, std::span<const datagram> batch);
  void drop_if_done(port& p);

  netlab::net& net_;
  const netlab::clock& clock_;
  callbacks on_;
  std::unordered_map<endpoint, std::shared_ptr<port>> current_; // the last of an upstream
  struct place {
    port* where;
    std::uint16_t id;
  };
  node_pool nodes_;
  std::pmr::unordered_map<port*, std::shared_ptr<port>> retired_{&nodes_}; // what carries no more queries
  std::pmr::unordered_map<std::uint64_t, place> attempts_{&nodes_};
  std::vector<std::shared_ptr<port>> filled_; // have something to send
  std::vector<datagram> batch_;               // what flush() sends, in room that is there
  std::shared_ptr<upstream_ports*> self_ = std::make_shared<upstream_ports*>(this);
};

} // namespace netlab::dns
