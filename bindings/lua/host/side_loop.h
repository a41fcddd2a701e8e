#pragma once
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "netlab/event_loop.h"
#include "netlab/http_client.h"
#include "netlab/runtime.h"

namespace netlab::lua {

// A loop on a thread of its own beside the control loop: the bytes loop, a DNS worker. What is made from its
// runtime is used on that thread only, and destroyed there or after stop().
class side_loop {
public:
  side_loop(const netlab::log& out, metrics& counters)
      : http_(make_http_client(loop_)), world_{loop_.clock(), loop_.scheduler(), loop_.random(), loop_.net(),
                                               loop_.files(), loop_.processes(), *http_,         out,
                                               counters},
        thread_([this] { loop_.run(); }) {}
  ~side_loop() { stop(); }
  side_loop(const side_loop&) = delete;
  side_loop& operator=(const side_loop&) = delete;

  runtime& world() { return world_; }
  // Runs `fn` on the loop's thread and returns its result; short work only. Not after stop().
  template<class F>
  auto call(F fn) -> std::invoke_result_t<F> {
    std::promise<std::invoke_result_t<F>> done;
    loop_.scheduler().post([&] {
      if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
        fn();
        done.set_value();
      } else {
        done.set_value(fn());
      }
    });
    return done.get_future().get();
  }
  // Ends the thread; nothing runs there any more. Idempotent.
  void stop() {
    if (!thread_.joinable()) return;
    loop_.stop();
    thread_.join();
  }

private:
  event_loop loop_;
  std::unique_ptr<http_client> http_;
  runtime world_;
  std::thread thread_;
};

} // namespace netlab::lua
