#pragma once
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace netlab {

// What went wrong, as a word a caller can branch on. The same words reach Lua as `err.code`.
enum class errc {
  invalid,     // the input is malformed or out of range
  not_found,   // no such file, name, node, route …
  exists,      // already there (an endpoint in use, a lease held by another)
  denied,      // permission refused by the system or a policy
  refused,     // the peer refused (ECONNREFUSED, TFTP error, HTTP status)
  unreachable, // no route, no interface, no such address here
  timeout,     // a deadline passed
  closed,      // the peer or we closed it
  cancelled,   // the task or its parent was cancelled
  limit,       // a configured or protocol limit was reached
  conflict,    // somebody else changed it first
  protocol,    // the peer broke the protocol
  unsupported, // valid, but not offered
  busy,        // not now: the same may succeed in a moment
  io,          // the system failed in another way (message has errno's text)
};

std::string_view to_string(errc code);

// An error that a human reads: `message` says what, where and what to do; `op` names the operation
// ("dhcp.decode", "open", …) and may be empty.
struct error {
  errc code = errc::invalid;
  std::string message;
  std::string op;
};

// The value or why there is none. Library code never throws across a room's border.
template<class T>
using result = tl::expected<T, error>;

inline tl::unexpected<error> fail(errc code, std::string message, std::string op = {}) {
  return tl::unexpected<error>(error{code, std::move(message), std::move(op)});
}

// The error that belongs to a system errno value, with `what` in front of its text.
error system_error(int errno_value, std::string_view what, std::string_view op = {});
inline tl::unexpected<error> system_fail(int errno_value, std::string_view what, std::string_view op = {}) {
  return tl::unexpected<error>(system_error(errno_value, what, op));
}

} // namespace netlab
