#pragma once
#include <map>
#include <memory>
#include <string>

#include "netlab/clock.h"
#include "netlab/net.h"

struct nghttp2_session;

namespace netlab::http {

class server;

// One client that chose HTTP/2 (RFC 9113) in its TLS handshake. Each of its requests becomes a stream of its
// own that is served as a connection with one request in HTTP/1.1, so that routes, limits, ranges and
// counters hold for both alike; this class translates between the two. libnghttp2 knows the frames and their
// limits.
//
// Owned by its server, on whose loop everything runs; abort() and the peer's end take it down.
class http2_session : public std::enable_shared_from_this<http2_session> {
public:
  http2_session(server& owner, std::unique_ptr<stream> client);
  ~http2_session();
  // `first` is what the client has sent already.
  void start(byte_view first);
  // Takes no new requests and ends when those under way are answered.
  void drain();
  void abort();
  void tick(boot_time now);
  const ip_address& client() const { return peer_.address; }

private:
  class exchange;
  struct callbacks;
  friend class exchange;
  void receive(byte_view bytes);
  void pump();
  void flush_later();
  void leave();

  server* server_;
  std::unique_ptr<stream> stream_;
  endpoint peer_, local_;
  nghttp2_session* session_ = nullptr;
  struct request_in {
    std::string method, path, authority, fields;
    bool complete = false; // its header block has ended
    bool has_length = false, chunked = false;
    exchange* running = nullptr;
  };
  std::map<int, request_in> requests_;
  boot_time used_{};
  bool pumping_ = false, pump_again_ = false, draining_ = false, flush_pending_ = false;
};

} // namespace netlab::http
