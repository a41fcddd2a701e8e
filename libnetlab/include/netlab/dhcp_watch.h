#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "netlab/clock.h"
#include "netlab/dhcp_client.h"
#include "netlab/dhcp_config.h"
#include "netlab/runtime.h"

namespace netlab::dhcp {

// What a network lacks so that machines can boot from it.
enum class network_need {
  server,  // nobody gives addresses
  proxy,   // somebody gives addresses and nothing to boot
  nothing, // somebody gives both
};
std::string_view to_string(network_need need);

struct network_verdict {
  network_need need = network_need::server;
  ip_address gives_addresses, tells_boot; // unspecified: nobody
  std::string text;                       // "10.0.0.254 gives addresses and no boot file"
};

// Judges the offers that a client collected. `as_boot_client`: it asked as boot firmware, so that an offer
// without a boot file means that there is none.
network_verdict judge(std::span<const received_offer> offers, bool as_boot_client);

// In which mode to serve a network that may have another server: as a proxy until a look at the wire found
// nobody who gives addresses. One server that went silent for a moment (a router that restarts) must not
// bring a second one into being, so that after it was seen it takes several silent looks.
class mode_choice {
public:
  explicit mode_choice(unsigned silent_looks = 3) : silent_looks_(silent_looks) {}
  // True when the mode changed, or when this was the first look.
  bool saw(const network_verdict& verdict);
  service mode() const { return mode_; }

private:
  unsigned silent_looks_, silent_ = 0;
  bool looked_ = false, met_ = false;
  service mode_ = service::proxy;
};

struct watch_options {
  std::string interface; // empty: the one that has `own`
  ip_address own;        // our address there; offers of this server do not count
  std::uint16_t architecture = 7;
  duration listen = std::chrono::seconds(6); // some servers look for three seconds whether an address is free
  duration every = std::chrono::minutes(5);
};

// Looks at the wire now and then: sends a DISCOVER of its own as boot firmware would, and collects who
// answers. Takes no address. Owns its client; used on the runtime's loop; destroying it ends it silently.
class network_watch {
public:
  // `on_verdict` runs after every look. An interface that is not there yet is waited for.
  network_watch(const runtime& rt, watch_options options,
                std::function<void(const network_verdict&)> on_verdict);
  ~network_watch();
  network_watch(const network_watch&) = delete;
  network_watch& operator=(const network_watch&) = delete;
  // Something was seen that may change the verdict: looks again at once, unless a look is under way.
  void look();

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

} // namespace netlab::dhcp
