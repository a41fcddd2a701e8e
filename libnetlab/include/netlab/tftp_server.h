#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "netlab/asset.h"
#include "netlab/ip.h"
#include "netlab/result.h"
#include "netlab/runtime.h"
#include "netlab/tftp.h"

namespace netlab::tftp {

// One request and what became of it.
struct access_record {
  endpoint client;
  ip_address server; // the address that was asked
  std::string path;  // cleaned where it could be, else as the client wrote it, made printable
  bool write = false;
  std::uint32_t blksize = 0, windowsize = 0; // zero: it came to no transfer
  std::uint64_t retransmissions = 0;         // datagrams sent again
  transfer_report report;
};

struct server_config {
  std::string name = "tftp";    // label of its metrics and log lines
  std::vector<endpoint> listen; // at least one
  std::string device;           // bind to this interface only
  // Answer from the port that was asked instead of a new one for each transfer (RFC 1350 §4): for NAT
  // and firewalls that lose track of the second port.
  bool single_port = false;
  // Where content comes from: the source first, and the folder when the source says not_found. At least
  // one is given; the source lives on this server's loop (make_remote_source) and outlives it.
  asset_source* source = nullptr;
  std::string root;

  std::uint32_t max_blksize = tftp::max_blksize; // 8 to 65464
  // Never let a block be fragmented: caps blksize by the MTU of the interface that the request came in
  // on. Half of the field's boot ROMs cannot put fragments together.
  bool fit_mtu = true;
  std::uint32_t max_windowsize = 64;          // 1 to 1024
  duration timeout = std::chrono::seconds(1); // before the first retransmission
  unsigned retries = 6;                       // without progress, before a transfer is given up
  std::size_t max_transfers = 1024;
  std::size_t max_transfers_per_client = 64; // an address counts as one client
  // After every request, refused ones included. Must not destroy the server.
  std::function<void(const access_record&)> on_access;
};

// A read-only TFTP server. Owns its sockets, transfers and one timer; belongs to its runtime's loop and is
// used on that thread only. Ends when destroyed: running transfers are dropped (their on_done runs), the
// clients are told.
class server {
public:
  server(runtime& world, server_config config);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  // Binds every endpoint. An address that this machine does not have yet is waited for, with a warning;
  // anything else is an error and leaves nothing bound.
  result<void> start();
  // Takes no more requests, lets the running transfers end (at most `limit`, then they are told why not)
  // and runs `done` once, never inside this call; it may destroy the server.
  void drain(std::function<void()> done, duration limit = std::chrono::seconds(10));

  std::vector<endpoint> local() const; // what is bound, in the order of `listen`
  std::size_t transfers() const;       // running now, those that wait for their source included

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace netlab::tftp
