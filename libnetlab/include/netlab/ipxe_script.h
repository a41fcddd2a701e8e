#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "netlab/result.h"
#include "netlab/units.h"

namespace netlab::boot {

// A virtual iPXE: runs `#!ipxe` scripts as the real one does (ipxe.org/scripting), without any network.
// What it wants from the world it returns as an action; the caller carries it out and answers. Used on one
// thread. Never throws, and never runs for more than `step_limit` commands or 32 scripts deep.

using ipxe_settings = std::map<std::string, std::string>; // "mac", "uuid", "serial", "buildarch", "net0/ip" …

enum class ipxe_image_kind { script, kernel, initrd, other };

// Answer with fetched().
struct ipxe_fetch {
  std::string url;                                  // absolute
  ipxe_image_kind purpose = ipxe_image_kind::other; // what the script wants it for; `chain` says script
};
// Answer with slept() when the time has passed.
struct ipxe_sleep {
  duration time{};
};
// The machine starts something. Nothing comes after it, unless boot_failed() says that it did not start.
struct ipxe_boot {
  std::string kernel;  // URL
  std::string cmdline; // arguments, `${…}` filled in
  struct initrd {
    std::string name, url;
  };
  std::vector<initrd> initrds;
};
// The scripts ended without booting: `exit`, or the end of the first script. Firmware tries its next device.
struct ipxe_exit {
  int code = 0;
};
struct ipxe_failed {
  std::string url;      // of the script
  std::size_t line = 0; // from 1
  std::string why;
};
using ipxe_action = std::variant<ipxe_fetch, ipxe_sleep, ipxe_boot, ipxe_exit, ipxe_failed>;

struct ipxe_image {
  std::string bytes;      // needed of scripts; of anything else the beginning is enough
  std::uint64_t size = 0; // of the whole
};

class ipxe_machine {
public:
  explicit ipxe_machine(ipxe_settings settings, std::size_t step_limit = 10000);
  ~ipxe_machine();
  ipxe_machine(ipxe_machine&&) noexcept;
  ipxe_machine& operator=(ipxe_machine&&) noexcept;

  // Begins with the script or program at `url`, as DHCP's boot file does.
  ipxe_action start(const std::string& url);
  // Begins with a script at hand.
  ipxe_action start(std::string script, const std::string& url);
  // The answers; each runs the scripts up to the next action. An answer to what was not asked is a failure.
  ipxe_action fetched(result<ipxe_image> image);
  ipxe_action slept();
  ipxe_action boot_failed(const std::string& why);

  // What `echo` printed so far.
  const std::vector<std::string>& console() const;
  std::string setting(std::string_view name) const;
  std::size_t steps() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// `text` with `${name}` and `${name:type}` filled in, innermost first; unknown names are empty.
result<std::string> expand_ipxe(std::string_view text, const ipxe_settings& settings);
// RFC 3986 §5.2, as far as boot URLs need it: absolute, "//host", "/path", "path", "?query".
std::string resolve_url(std::string_view base, std::string_view reference);

// What Talos knows of its machine when it reads `talos.config=`.
struct talos_variables {
  std::string uuid, serial, mac, hostname, code;
};
// The URL that a Talos node with this command line fetches its configuration from: the last `talos.config=`,
// with ${uuid}, ${serial}, ${mac}, ${hostname} and ${code} filled in (any case, in query values only, as
// Talos does) and an empty `uuid=` given the UUID. errc::not_found when the command line has none.
result<std::string> talos_config_url(std::string_view cmdline, const talos_variables& variables);

} // namespace netlab::boot
