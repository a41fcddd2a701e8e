#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netlab/dns_engine.h"
#include "netlab/log.h"
#include "netlab/net.h"
#include "netlab/runtime.h"

namespace netlab::dns {

struct server_config {
  std::string name = "dns";         // in messages and metrics
  std::string worker = "0";         // tells the loops of one server apart in metrics
  std::vector<endpoint> listen;     // UDP and TCP; port 0: any free one
  bool reuse_port = false;          // other workers listen at the same endpoints
  std::vector<endpoint> listen_tls; // DNS over TLS (RFC 7858)
  std::optional<tls_identity> tls;
  engine_config engine;
  // Plain resolvers, all by UDP or all by TCP, that find the addresses of upstreams which are given by name.
  std::vector<upstream> bootstrap;
  query_sink* sink = nullptr; // gets every answered query; outlives the server
  query_hook* hook = nullptr; // is asked first; outlives the server
  duration hook_timeout = std::chrono::milliseconds(500);
  bool hook_refuses = false; // what counts without an answer of the hook: REFUSED, or as if there were none
  std::size_t max_streams = 512, max_streams_per_client = 32;
  duration stream_idle = std::chrono::seconds(15); // without a whole query; RFC 7766 §6.2.3
};
// What is wrong with it, or nothing.
result<void> check(const server_config& config);

struct server_status {
  engine_counts counts;
  std::vector<upstream_health> upstreams;
  std::size_t cached_answers = 0, cached_bytes = 0, waiting = 0, streams = 0;
  std::string last_bogus; // the last answer that failed validation, and why; empty when none did
};

// A DNS server on one loop: its sockets, its engine and its cache. Several workers are several of these, each
// on its own loop with `reuse_port`, given the same snapshots. Used on the loop's thread only. Destroying it
// closes everything; drain() first lets clients that wait get their answers.
class server {
public:
  // `world` outlives the server.
  server(runtime& world, server_config config);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  // Binds. An address that this machine does not have yet is waited for.
  result<void> start();
  // Names, filters and routes from now on.
  void use(std::shared_ptr<const snapshot> now_valid);
  // Takes no new queries; `done` runs when nobody waits any more, or after two seconds.
  void drain(std::function<void()> done);
  // The endpoints for UDP and TCP that are bound, with their ports; then those for TLS.
  std::vector<endpoint> local() const;
  server_status status() const;
  // Answers a query that came in another way (HTTPS), by the rules for its client. `done` gets the reply,
  // maybe inside this call; nothing when the query deserves none. It does not run after the server is gone.
  void ask(byte_view query, const endpoint& client, std::function<void(byte_view)> done);
  void clear_cache();
  // For a file that outlives the server; see engine::save_cache().
  byte_vector save_cache() const;
  std::size_t load_cache(byte_view saved);
  // As engine::kept.
  std::optional<kept_answer> kept(const name& qname, std::uint16_t type, std::uint8_t group,
                                  safe_search safe) const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// Every message of this room, for the reference in docs/.
std::span<const netlab::message* const> dns_messages();

} // namespace netlab::dns
