#pragma once
#include <functional>
#include <string>

#include "netlab/clock.h"
#include "netlab/node.h"

namespace netlab {

// The stations of a netboot in the order in which a node passes them. A node may skip some (HTTP boot
// has no TFTP) and repeat some (iPXE asks DHCP again).
enum class boot_stage {
  discover, // a DHCP DISCOVER, or a REQUEST without one
  offer,
  ack,
  nak,
  tftp,   // a boot file over TFTP
  http,   // a boot file over HTTP (UEFI HTTP boot)
  script, // an iPXE or GRUB script
  kernel,
  initrd,
  uki,
  config, // the machine config
  image,  // container images
  ready,
  refused, // we said no; detail says why
};
std::string_view to_string(boot_stage stage);

// One step of one node, as the room that served it saw it.
struct boot_event {
  node_identity node;
  boot_stage stage = boot_stage::discover;
  std::string detail;       // human: "snponly.efi, 281 KiB in 120 ms"
  std::string architecture; // "x64-uefi" … where the request told it, else empty
  std::uint64_t bytes = 0;
  duration elapsed{};
  bool done = true;       // false: began and did not finish (aborted, timed out, size probe)
  std::string message_id; // the catalogued message when something went wrong, else empty
  bool proxied = false;   // of an exchange in which another server gives the address
  bool overheard = false; // the node spoke to that other server; we only listened
};

// How rooms tell the story. Called on the control loop's thread; cheap, never throws.
using boot_event_fn = std::function<void(const boot_event&)>;

} // namespace netlab
