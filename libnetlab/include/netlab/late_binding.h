#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "netlab/log.h"
#include "netlab/net.h"
#include "netlab/runtime.h"

namespace netlab {

// Binds a server's endpoints: at once, or as soon as this machine has the address (that of an interface which
// is attached late, for instance). A server owns one and uses it on its own loop; dropping it ends the wait,
// and nothing is called any more.
class late_binding {
public:
  // Opens the sockets; fails with errc::unreachable while the address is not on this machine.
  using open_fn = std::function<result<void>()>;

  // `name` is the server's, as the log calls it.
  late_binding(runtime& world, std::string name);
  ~late_binding();
  late_binding(const late_binding&) = delete;
  late_binding& operator=(const late_binding&) = delete;

  // Success means bound, or waited for. `open` is called again with every change of this machine's addresses
  // until it does not say errc::unreachable; a failure of another kind then is logged as NL-NET-001.
  [[nodiscard]] result<void> bind(const endpoint& wanted, open_fn open);
  // Waits no longer.
  void stop();

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

// The messages of sockets, NL-NET-….
std::span<const message* const> net_messages();

} // namespace netlab
