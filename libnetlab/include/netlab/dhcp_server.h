#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netlab/boot_event.h"
#include "netlab/dhcp_config.h"
#include "netlab/dhcp_engine.h"
#include "netlab/lease.h"
#include "netlab/runtime.h"

namespace netlab::dhcp {

struct server_options {
  server_config config;
  engine_hooks hooks;
  boot_event_fn on_event;
  // After the store has it: a lease began or was renewed; a lease ended.
  std::function<void(const lease&)> on_lease;
  std::function<void(const lease&, end_reason)> on_lease_end;
  std::uint16_t port = 67;         // 0: any free one, for tests
  std::uint16_t proxy_port = 4011; // opened where a network is a proxy; 0: any free one
  // Bind to this address instead of to every interface of the networks: for loopback and tests. No packet
  // sockets and no conflict probes then.
  std::optional<ip_address> listen;
};

// A DHCP server on real sockets: one UDP socket and, for clients without an address, packet sockets on
// each interface that has a configured network. Owns them and the engine; uses the runtime's loop thread
// only. The lease store must outlive it. Destroying it closes the sockets; stop() first lets leases that
// are being stored be acknowledged.
class server {
public:
  // Loads the leases and opens the sockets. Networks without an interface yet are waited for.
  static result<std::unique_ptr<server>> start(const runtime& rt, lease_store& store, server_options options);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  // Keeps leases, offers and the sockets of interfaces that stay. errc::invalid leaves everything as it is.
  result<void> reconfigure(server_config config);
  // Takes no new messages; `done` runs when every lease in flight is stored and acknowledged, or failed.
  void stop(std::function<void()> done);
  // Keeps a machine's hardware address in the kernel's neighbour table for some minutes, because it does not
  // answer ARP while it loads. Done by itself for machines that get their address from here.
  void keep_arp(const ip_address& address, const mac_address& mac);
  // Takes an address from its holder, as an operator asks.
  result<void> drop_lease(const ip_address& address);

  std::vector<lease> leases() const;
  std::vector<foreign_server> foreign_servers() const;
  counts counters() const;
  // Where it answers: one endpoint a socket, port 67 first.
  std::vector<endpoint> endpoints() const;

private:
  struct impl;
  explicit server(std::shared_ptr<impl> i) : impl_(std::move(i)) {}
  std::shared_ptr<impl> impl_;
};

} // namespace netlab::dhcp
