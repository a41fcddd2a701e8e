#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "netlab/dns_overlay.h"
#include "netlab/json.h"
#include "netlab/runtime.h"

namespace netlab::lua {

// What an operator changed about one server at run time: kept in a file of the state folder, ended by its
// time. Control loop only.
class dns_overlays {
public:
  // `path` is empty when nothing can be kept. `changed` runs after every change.
  dns_overlays(runtime& world, std::string server, std::string path, std::function<void()> changed);

  // Reads what an earlier run kept. `changed` does not run.
  void start();
  void stop() { next_.cancel(); }
  // Takes the place of an earlier change for the same name. Says what holds now, for the operator.
  json add(dns::overlay what, std::optional<duration> lasts);
  // The change of a name, or the pause when there is none. errc::not_found.
  result<json> remove(const std::optional<dns::name>& target, const std::string& origin);

  std::vector<dns::overlay> current() const;
  bool paused() const;
  json status() const;

private:
  struct entry {
    dns::overlay what;
    std::optional<boot_time> ends;
  };
  json shown(const entry& e) const;
  void store();
  void plan();
  void end_due();

  runtime& world_;
  std::string server_, path_;
  std::function<void()> changed_;
  std::vector<entry> all_;
  timer next_;
};

} // namespace netlab::lua
