#include "netlab/lease.h"

#include "netlab/boot_event.h"

namespace netlab {

std::string_view to_string(lease_state state) {
  switch (state) {
  case lease_state::active: return "active";
  case lease_state::released: return "released";
  case lease_state::expired: return "expired";
  case lease_state::declined: return "declined";
  }
  return "unknown";
}

std::string_view to_string(boot_stage stage) {
  switch (stage) {
  case boot_stage::discover: return "discover";
  case boot_stage::offer: return "offer";
  case boot_stage::ack: return "ack";
  case boot_stage::nak: return "nak";
  case boot_stage::tftp: return "tftp";
  case boot_stage::http: return "http";
  case boot_stage::script: return "script";
  case boot_stage::kernel: return "kernel";
  case boot_stage::initrd: return "initrd";
  case boot_stage::uki: return "uki";
  case boot_stage::config: return "config";
  case boot_stage::image: return "image";
  case boot_stage::ready: return "ready";
  case boot_stage::refused: return "refused";
  }
  return "unknown";
}

} // namespace netlab
