#pragma once
#include <optional>
#include <type_traits>
#include <utility>

#include "host/host.h"

namespace netlab::lua {

// host::run_on_bytes() for a function with a result: for starting and inspecting servers.
template<class F>
auto on_bytes_loop(host& h, F fn, std::size_t which = 0) -> std::invoke_result_t<F> {
  std::optional<std::invoke_result_t<F>> out;
  h.run_on_bytes([&](runtime&) { out.emplace(fn()); }, which);
  return std::move(*out);
}

} // namespace netlab::lua
