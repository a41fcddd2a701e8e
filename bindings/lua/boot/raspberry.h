#pragma once
#include "host/object.h"
#include "netlab/boot_profile.h"

namespace netlab::lua {

// netlab.boot.raspberry: what the boot loader of Raspberry Pis gets, given to a profile. Pure data.
class raspberry_object final : public object {
public:
  boot::raspberry_files files;
  std::string default_name() const override { return "raspberry"; }
};

} // namespace netlab::lua
