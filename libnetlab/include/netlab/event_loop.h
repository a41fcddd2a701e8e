#pragma once
#include <functional>
#include <memory>

#include "netlab/clock.h"
#include "netlab/files.h"
#include "netlab/log.h"
#include "netlab/net.h"
#include "netlab/process.h"
#include "netlab/random.h"

namespace netlab {

// The real world: one thread's loop with its clock, timers, sockets, files and processes. Owns all of
// them. Everything is used on the thread that calls run(), but scheduler().post() and stop(). Destroy it
// after everything made from it. The HTTP client is made on top of it (http_client.h).
class event_loop {
public:
  event_loop();
  ~event_loop();
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  netlab::clock& clock();
  netlab::scheduler& scheduler();
  netlab::random_source& random();
  netlab::net& net();
  netlab::files& files();
  netlab::processes& processes();

  // Runs until stop(). Sockets, timers and exchanges that are still open do not keep it from returning.
  void run();
  // Any thread. A stop before run() makes the next run() return at once.
  void stop();
  // Runs `fn` on the loop when the process gets `signal`, until the returned object is dropped.
  [[nodiscard]] std::shared_ptr<void> on_signal(int signal, std::function<void()> fn);
  // Runs `fn(readable, writable)` whenever the descriptor (not owned) is ready for what is wanted, until
  // the returned object is dropped, which must be before the descriptor is closed. An error or hang-up
  // counts as both.
  [[nodiscard]] std::shared_ptr<void> watch(int descriptor, bool read, bool write,
                                            std::function<void(bool, bool)> fn);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace netlab
