#pragma once
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "framing.h"
#include "netlab/dns_engine.h"
#include "netlab/runtime.h"
#include "upstream_ports.h"

namespace netlab::dns {

// The ways to upstreams: UDP from ports that change all the time (upstream_ports.h); TCP and TLS connections
// that are shared and kept for a while (RFC 7766 §6.2.1); HTTPS by the runtime's client. Used by one server
// on its loop's thread; destroying it drops everything under way.
class upstream_links {
public:
  struct callbacks {
    std::function<void(std::uint64_t attempt, const endpoint& from, byte_view bytes)> on_message;
    std::function<void(std::uint64_t attempt, std::string why)> on_failure;
    std::function<void()> after; // runs after a round of the two above
  };
  upstream_links(runtime& world, callbacks on);
  ~upstream_links();

  // May call on_failure at once. UDP queries leave with flush().
  void send(transmission t);
  void flush() { ports_.flush(); }
  void close(std::uint64_t attempt);

private:
  struct connection;
  using connections = std::list<std::shared_ptr<connection>>;
  void send_stream(transmission t, bool fresh);
  void send_https(transmission& t);
  void connect(const std::shared_ptr<connection>& c, const transmission& t);
  void on_data(const std::shared_ptr<connection>& c, byte_view bytes);
  void on_end(const std::shared_ptr<connection>& c, const std::string& why);
  void sweep();

  runtime& world_;
  callbacks on_;
  upstream_ports ports_;
  std::unordered_map<std::uint64_t, std::unique_ptr<http_exchange>> exchanges_;
  std::unordered_map<std::uint64_t, std::weak_ptr<connection>> streams_;
  std::map<std::string, connections> open_; // by upstream and transport
  timer sweeper_;
  std::shared_ptr<upstream_links*> self_ = std::make_shared<upstream_links*>(this);
};

} // namespace netlab::dns
