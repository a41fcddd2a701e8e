#include "messages.h"

namespace netlab::messages {

const message journal_torn_tail{
    "NL-STORE-001", log_level::warn,
    "The lease journal ended in the middle of a record, as it does when the power goes during a write. The "
    "incomplete bytes were cut off. No acknowledged lease was in them: an ACK leaves only after its record "
    "is whole on the disk.",
    ""};
const message journal_damaged{
    "NL-STORE-002", log_level::error,
    "Part of the lease journal could not be read: the bytes on the disk are not those that were written. "
    "All readable records before and after it were recovered; a lease whose latest record lay in the "
    "damaged part is forgotten or has an older state.",
    "Check the disk or SD card (dmesg, smartctl). Clients keep their addresses: conflict probing finds "
    "those whose lease was forgotten."};
const message journal_write_failed{
    "NL-STORE-003", log_level::error,
    "Leases could not be made durable, so they were not acknowledged: new clients get no address and "
    "renewals are not answered until the disk takes writes again.",
    "Free space on the file system of the state folder, or find out why it became read-only (dmesg). "
    "netlab tries again with every claim; no restart is needed."};
const message journal_recovered{"NL-STORE-004", log_level::info,
                                "The lease journal takes writes again after an earlier failure.", ""};
const message journal_compact_failed{
    "NL-STORE-005", log_level::warn,
    "The lease journal could not be rewritten without its outdated records. Leases are still stored, but the "
    "file goes on growing.",
    "Free space on the file system of the state folder: for a moment the old and the new file are both "
    "there."};
const message journal_clock_rebased{
    "NL-STORE-006", log_level::warn,
    "The wall clock does not continue from the last stored lease: it went back, or it had never been set "
    "then. Stored leases keep what remained of them at that time.",
    "Nothing, on a machine without a battery-backed clock. Else set the clock (timedatectl) and check that "
    "NTP runs."};
const message journal_locked{
    "NL-STORE-007", log_level::error,
    "The lease journal belongs to another running process. Two writers would give one address twice.",
    "Stop the other netlab, or give this recipe its own netlab.state(…) folder."};
const message journal_newer{
    "NL-STORE-008", log_level::error,
    "The lease journal was written by a newer netlab, in a format that this one does not read.",
    "Run the newer netlab, or move the file away to start without leases."};
const message journal_overloaded{
    "NL-STORE-009", log_level::error,
    "So many leases wait for the disk that further ones were turned down: the disk hangs or is far too slow.",
    "Check the disk of the state folder (dmesg, iostat -x). Clients ask again by themselves."};
const message history_failed{
    "NL-STORE-010", log_level::warn,
    "The boot history (SQLite) cannot be written. Serving is not affected and the current boots are kept in "
    "memory; events are missing from the history until it works again.",
    "Check space and permissions of the state folder. A history that SQLite calls malformed may be moved "
    "away: a new one is made."};
const message history_recovered{"NL-STORE-011", log_level::info,
                                "The boot history is written again after an earlier failure.", ""};
const message journal_foreign{
    "NL-STORE-012", log_level::error,
    "The file is not a lease journal, or its beginning is destroyed. It was left as it is.",
    "Check the path; move the file away to start without leases."};

const message boot_refused{"NL-BOOT-101", log_level::warn,
                           "netlab refused to serve the node, as the recipe or a protocol rule demands.",
                           "Change what the reason names; see the message that came with the refusal."};
const message boot_no_offer{
    "NL-BOOT-102", log_level::warn, "The node asks for an address and netlab made no offer.",
    "Check that the range has free addresses, that the node's network is the one declared, and that the "
    "recipe does not leave this node out; on a relayed network check the relay's address (giaddr)."};
const message boot_other_offer_won{
    "NL-BOOT-103", log_level::warn,
    "Another DHCP server answers on this network, and the node took its offer instead.",
    "Switch the other server off, or run dhcp.proxy beside it, which adds boot information and leaves "
    "addresses to the other."};
const message boot_offer_ignored{
    "NL-BOOT-104", log_level::warn,
    "The node got an offer and never asked for it: the offer did not reach the node, or it lacked something "
    "that the node insists on.",
    "Check that broadcast replies reach the node (switch port in forwarding state: enable portfast; no "
    "client isolation), and that the offer carries what its firmware needs (a boot file for its "
    "architecture; option 60 PXEClient or HTTPClient)."};
const message boot_nak{"NL-BOOT-105", log_level::warn,
                       "The node asked for an address that it may not have here and did not start over.",
                       "Reset the node; if it comes again, release its old address on the node."};
const message boot_no_boot_file{
    "NL-BOOT-106", log_level::warn,
    "The node has its address, but it was told no boot file: it is not a netboot client, or no profile "
    "matches it.",
    "Check the groups and profiles of boot.service for this node and architecture: netlab check --dump."};
const message boot_file_not_fetched{
    "NL-BOOT-107", log_level::warn,
    "The node has its address and the name of its boot file, and never asked for the file.",
    "Check that UDP 69 and the HTTP port reach this machine (nft list ruleset), that next-server is an "
    "address the node can route to, and that the node is set to boot from the network first."};
const message boot_other_server_file{
    "NL-BOOT-108", log_level::warn,
    "The node has its address and never asked us for its boot file; another DHCP or proxyDHCP server is on "
    "the network and may have sent it elsewhere.",
    "Switch off the other server's boot options (66, 67, next-server) or the server itself."};
const message boot_transfer_aborted{
    "NL-BOOT-109", log_level::warn, "The transfer of a boot file began and did not finish.",
    "If it always stops at the same place, suspect the MTU or the block size (tftp.server { blksize = 1468 "
    "}); if anywhere, the cable, switch or firmware. A node out of memory gives up at large files."};
const message boot_file_not_run{
    "NL-BOOT-110", log_level::warn, "The node fetched its boot loader whole and nothing came after it.",
    "Secure Boot refuses unsigned loaders (switch it off or use a signed one); a loader of the wrong "
    "architecture does not start; a loader without a driver for this network card gets no further (try "
    "snponly.efi against ipxe.efi)."};
const message boot_script_no_kernel{
    "NL-BOOT-111", log_level::warn, "The node read its boot script and did not fetch a kernel.",
    "Look at the node's console: iPXE prints the URL and error. Check that the script's URLs name an address "
    "the node reaches and that its architecture matches the profile."};
const message boot_kernel_silent{
    "NL-BOOT-112", log_level::warn,
    "The node has its kernel and never asked for its config: it did not start, panicked, has no driver for "
    "its network card in the initrd, or was not told where the config is.",
    "Give the kernel a console (console=ttyS0 console=tty0) and look; check memory (Talos needs 2 GiB), the "
    "initrd, and talos.config= or the equivalent among the profile's args."};
const message boot_config_not_ready{
    "NL-BOOT-113", log_level::warn, "The node fetched its config and did not become ready.",
    "Check the config on the node (talosctl -n ADDRESS dmesg): a wrong install disk, an endpoint that does "
    "not answer, or images that cannot be pulled are the usual causes."};
const message boot_upstream_down{
    "NL-BOOT-114", log_level::warn,
    "The node waits for something that netlab must fetch first, and the upstream does not answer.",
    "Check this machine's own way to the internet: name resolution, default route, proxy."};
const message boot_error_reported{"NL-BOOT-115", log_level::warn,
                                  "The node's last step failed and it has not tried again.",
                                  "See the message that came with the step."};
const message boot_images_not_ready{
    "NL-BOOT-116", log_level::warn, "The node pulled container images and did not become ready.",
    "Check its services (talosctl -n ADDRESS service) and whether the remaining images can be pulled."};
const message boot_program_returned{
    "NL-BOOT-120", log_level::warn,
    "The node fetched its boot program whole, and its firmware asked for something to boot again at once. "
    "Firmware with Secure Boot does that to a program without a signature that it trusts.",
    "Look at the node's screen (\"Access Denied\", \"Security Violation\"). With Secure Boot give the "
    "profile "
    "loader = \"shim\", or switch Secure Boot off. A program of the wrong architecture is turned away in the "
    "same "
    "manner, and one that finds no network card gives up."};

} // namespace netlab::messages

namespace netlab {

std::span<const message* const> store_messages() {
  using namespace messages;
  static constexpr const message* table[] = {
      &journal_torn_tail,
      &journal_damaged,
      &journal_write_failed,
      &journal_recovered,
      &journal_compact_failed,
      &journal_clock_rebased,
      &journal_locked,
      &journal_newer,
      &journal_overloaded,
      &history_failed,
      &history_recovered,
      &journal_foreign,
      &boot_refused,
      &boot_no_offer,
      &boot_other_offer_won,
      &boot_offer_ignored,
      &boot_nak,
      &boot_no_boot_file,
      &boot_file_not_fetched,
      &boot_other_server_file,
      &boot_transfer_aborted,
      &boot_file_not_run,
      &boot_script_no_kernel,
      &boot_kernel_silent,
      &boot_config_not_ready,
      &boot_upstream_down,
      &boot_error_reported,
      &boot_images_not_ready,
      &boot_program_returned,
  };
  return table;
}

} // namespace netlab
