#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "netlab/bytes.h"
#include "netlab/node.h"

namespace netlab {

// How a DHCP server asks what a client shall boot, without knowing profiles.

struct boot_request {
  node_identity node;
  std::vector<std::uint16_t> architectures; // option 93, RFC 4578 §2.1; empty when absent
  std::string vendor_class;                 // option 60, e.g. "PXEClient:Arch:00011:UNDI:003000"
  std::string user_class;                   // option 77, RFC 3004 framing removed, e.g. "iPXE"
  byte_vector guid;                         // option 97, type byte included
  byte_vector ipxe;                         // option 175, encapsulated iPXE options
  std::vector<std::uint8_t> wanted;         // option 55
  ip_address server;                        // our address on the client's network
};

struct boot_reply {
  enum class kind {
    ignore, // not a network boot client: an ordinary lease, no boot options
    boot,   // the fields below go into the reply
    refuse, // a boot client that gets nothing; `reason` says why (and is logged by the DHCP server)
  };
  kind what = kind::ignore;
  ip_address next_server; // siaddr, and option 66 as dotted address when `server_name_option`
  std::string file;       // BOOTP `file` and option 67: a TFTP name, or a URL for UEFI HTTP boot and iPXE
  bool server_name_option = false;
  std::string vendor_class;   // option 60 of the reply ("HTTPClient", "PXEClient"); empty: not sent
  byte_vector vendor_options; // option 43
  std::vector<std::pair<std::uint8_t, byte_vector>> options; // further raw options
  // What a client lacks of an IP stack (the boot ROM of a Raspberry Pi 3).
  bool takes_offer = false; // uses the OFFER's address and sends no REQUEST: the lease begins with the OFFER
  bool keep_arp = false;    // answers no ARP while it loads: its hardware address is kept for it
  bool nudge = false;       // looks at an OFFER only when another frame comes: it is sent some
  std::string reason;
  std::string summary;      // for the timeline: "x64-uefi → snponly.efi"
  std::string architecture; // the name for the timeline: "x64-uefi"
  std::string message_id;   // of a refusal: "NL-BOOT-003"; the DHCP server tells the timeline, in its turn
};

// Called on the control loop.
using boot_policy_fn = std::function<boot_reply(const boot_request&)>;

} // namespace netlab
