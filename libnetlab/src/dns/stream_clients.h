#pragma once
#include <functional>
#include <memory>
#include <unordered_map>

#include "framing.h"
#include "netlab/clock.h"
#include "netlab/net.h"

namespace netlab::dns {

// Clients that come by TCP or TLS: queries in a row on one connection, answered in the order in which the
// answers are there (RFC 7766 §6.2.1.1). Owned by a server; used on its loop's thread. Destroying it closes
// every connection.
class stream_clients {
public:
  struct limits {
    std::size_t streams = 512, per_client = 32;
    duration idle = std::chrono::seconds(15);
  };
  // Answers a query into the buffer at once, or returns 0 and calls reply() later with the same stream.
  using handle_fn = std::function<std::size_t(std::uint64_t stream, const endpoint& client, byte_view query,
                                              byte_span out)>;
  stream_clients(const netlab::clock& clock, netlab::scheduler& scheduler, limits most, handle_fn handle,
                 std::function<void()> after);
  ~stream_clients();

  void accept(std::unique_ptr<netlab::stream> s);
  void reply(std::uint64_t stream, byte_view message);
  std::size_t count() const { return open_.size(); }
  std::uint64_t turned_away() const { return turned_away_; }

private:
  struct client {
    std::unique_ptr<netlab::stream> stream;
    frame_reader frames;
    std::size_t waiting = 0; // queries without an answer yet
    bool paused = false;
    boot_time used{};
  };
  void on_data(std::uint64_t id, byte_view bytes);
  void work(std::uint64_t id);
  void drop(std::uint64_t id);
  void sweep();

  const netlab::clock& clock_;
  netlab::scheduler& scheduler_;
  limits most_;
  handle_fn handle_;
  std::function<void()> after_;
  std::unordered_map<std::uint64_t, client> open_;
  std::unordered_map<ip_address, std::size_t> per_client_;
  std::uint64_t next_ = 1, turned_away_ = 0;
  timer sweeper_;
  byte_vector buffer_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

} // namespace netlab::dns
