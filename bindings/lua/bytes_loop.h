#pragma once
#include <future>
#include <type_traits>
#include <utility>

#include "host.h"

namespace netlab::lua {

// Runs `fn` on the loop that serves files and waits for its result. For starting and inspecting servers
// only: it holds the control loop for as long as the bytes loop is busy with its current turn.
template<class F>
auto on_bytes_loop(host& h, F fn) -> std::invoke_result_t<F> {
  auto& bytes = h.bytes();
  if (&bytes.scheduler == &h.world().scheduler) return fn(); // one loop plays both parts in tests
  std::packaged_task<std::invoke_result_t<F>()> work(std::move(fn));
  auto answer = work.get_future();
  bytes.scheduler.post([&work] { work(); });
  return answer.get();
}

} // namespace netlab::lua
