#pragma once
#include <uv.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "netlab/event_loop.h"

namespace netlab::io {

class tls_context;
struct udp_core;
struct udp_receive_slots;

// What the parts of one loop share. Lives as long as the event_loop.
class loop {
public:
  loop();
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  uv_loop_t* uv() { return &uv_; }

  // Runs `fn` when this turn's callbacks are done and before the loop waits again.
  void at_end_of_turn(std::function<void()> fn) { end_of_turn_.push_back(std::move(fn)); }

  // Owns work that nobody else holds until it is done; dropped unfinished when the loop goes.
  void keep(std::shared_ptr<void> work) { kept_.push_back(std::move(work)); }
  void release(const void* work) {
    std::erase_if(kept_, [&](const auto& k) { return k.get() == work; });
  }

  // What connections of this loop trust, by the file of certificates ("" for the system's).
  std::map<std::string, std::shared_ptr<tls_context>> trust;

  // Scratch space for one receive call: shared, because its content is used up before the next one.
  byte_span receive_buffer();
  // The same with all that one recvmmsg(2) fills in, set up once and not for each call.
  udp_receive_slots& udp_slots();

  // Sockets without an owner, and without a port: by family, IPv6 second.
  std::vector<std::unique_ptr<udp_core>> spare_udp[2];

  // Streams of this loop that have a file to send: they share what is sent in one turn.
  std::size_t file_senders = 0;

private:
  void run_end_of_turn();

  uv_loop_t uv_{};
  uv_prepare_t prepare_{};
  uv_check_t check_{};
  std::vector<std::function<void()>> end_of_turn_;
  std::vector<std::shared_ptr<void>> kept_;
  std::unique_ptr<std::uint8_t[]> receive_;
  std::unique_ptr<udp_receive_slots> udp_slots_;
};

inline constexpr std::size_t receive_slots = 32;        // datagrams taken in one call
inline constexpr std::size_t receive_slot_size = 65536; // untouched pages cost no memory

// Readiness of one descriptor. Owns the watch, not the descriptor; may be destroyed in its own callback.
// libuv watches no more after an error (an ICMP message for a UDP socket): who goes on says again what he
// wants.
class poller {
public:
  using fn = std::function<void(bool readable, bool writable)>;
  poller(loop& owner, int descriptor, fn callback);
  ~poller();
  poller(const poller&) = delete;
  poller& operator=(const poller&) = delete;
  void want(bool read, bool write);

private:
  struct handle;
  handle* handle_;
  int events_ = 0;
};

std::unique_ptr<clock> make_system_clock();
std::unique_ptr<random_source> make_system_random();
std::unique_ptr<netlab::net> make_net(loop& owner, netlab::scheduler& scheduler);
std::unique_ptr<netlab::files> make_files(loop& owner);
std::unique_ptr<netlab::processes> make_processes(loop& owner);

} // namespace netlab::io
