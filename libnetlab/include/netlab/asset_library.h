#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "netlab/result.h"
#include "netlab/units.h"

namespace netlab {

// How a file that is fetched from elsewhere stands, as who serves it wants to know.
struct asset_progress {
  bool usable = false;  // the local copy may be served
  bool failing = false; // not usable, and the last attempt to get it failed
  std::string words;    // "34 % of 20.1 MiB", or why it failed and when it is tried again
};

// Which files of an assets folder are fetched from elsewhere, and how far that is. Control loop only.
class asset_library {
public:
  virtual ~asset_library() = default;
  // Null when `name` is not one that is fetched. Valid until the loop's next turn.
  virtual const asset_progress* find(std::string_view name) const = 0;
  // Runs `fn` once: when the file is usable, or after `limit` with errc::busy and how it stands. Never
  // inside this call, and not at all when the library is gone.
  virtual void wait(const std::string& name, duration limit, std::function<void(result<void>)> fn) = 0;
};

} // namespace netlab
