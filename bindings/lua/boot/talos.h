#pragma once
#include <memory>
#include <string>
#include <vector>

#include "host/object.h"
#include "netlab/boot_profile.h"
#include "netlab/fetch.h"

namespace netlab::lua {

// netlab.talos.profile: a boot profile and the files that an Image Factory makes for it. A boot service takes
// it where a profile may stand, and has the files fetched.
class talos_profile final : public object {
public:
  boot::profile profile; // its name is the boot service's to give
  std::vector<fetch::wanted_file> files;
  std::vector<std::string> notes;
  std::string default_name() const override { return "talos"; }
};

} // namespace netlab::lua
