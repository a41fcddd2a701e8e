#include "netlab/dhcp_messages.h"

namespace netlab::dhcp {

namespace messages {

const message malformed{
    "NL-DHCP-001", log_level::warn,
    "A datagram on the DHCP port could not be read: it is cut short, or an option is longer than the "
    "message.",
    "One such packet is harmless. If a node sends them steadily, update its firmware or network card's ROM."};
const message no_network{
    "NL-DHCP-002", log_level::warn,
    "A client asked from a network that the recipe does not serve: neither the interface that it came in on "
    "nor the relay's address lies in a configured subnet.",
    "Add the subnet to `networks`, or set `interface` if the server has no address on it yet."};
const message unknown_client{
    "NL-DHCP-003", log_level::info,
    "The network gives addresses to known machines only, and no node or host of the recipe matches this one.",
    "Add the machine to the nodes with the MAC address shown, or set known_clients_only = false."};
const message pool_exhausted{
    "NL-DHCP-004", log_level::error,
    "Every address of the network's ranges is leased, offered, reserved or held back after a conflict.",
    "Widen `range`, shorten `lease`, or drop leases of machines that are gone."};
const message boot_refused{
    "NL-DHCP-005", log_level::warn,
    "A machine asks to boot from the network and no boot profile fits it. It gets an address and no boot "
    "file (beside another DHCP server: no answer).",
    "The line says what did not fit. Add a profile or a group for the architecture or the machine."};
const message other_server{
    "NL-DHCP-006", log_level::warn,
    "A client took the offer of another DHCP server. That server's boot options decide what it boots.",
    "Stop the other server (its address is shown), or run netlab as a proxy beside it."};
const message wrong_address{
    "NL-DHCP-007", log_level::info,
    "A client asked for an address that it may not have here: of another network, reserved or leased to "
    "another machine, or outside the ranges. It got a NAK and starts again.",
    ""};
const message no_record{
    "NL-DHCP-008", log_level::info,
    "A client wants to keep an address that this server never gave it. The server is not authoritative and "
    "stays silent (RFC 2131, 4.3.2).",
    "Set authoritative = true if no other server gives out addresses on this network."};
const message commit_failed{
    "NL-DHCP-009", log_level::error,
    "The lease could not be stored, so it was not acknowledged. The client will ask again.",
    "Look at the reason: a full disk, a read-only file system, or an unreachable database."};
const message commit_conflict{
    "NL-DHCP-010", log_level::warn,
    "The lease store already holds this address for somebody else, so the client got a NAK. Two servers that "
    "share a store see this when they answer the same client.",
    ""};
const message address_in_use{
    "NL-DHCP-011", log_level::warn,
    "A free address answered ARP before it was offered: a machine uses it without a lease. It is held back "
    "and another one is tried.",
    "Find the machine by the MAC address shown. Give it a reservation, or exclude its address."};
const message declined{
    "NL-DHCP-012", log_level::warn,
    "The client found its address in use by another machine and declined it. It is held back for a while.",
    "Find the machine that uses the address without a lease (`ip neigh`, `arping`)."};
const message not_holder{"NL-DHCP-013", log_level::info,
                         "A client released or declined an address that is not its own; nothing was changed.",
                         ""};
const message reservation_taken{
    "NL-DHCP-014", log_level::warn,
    "The address reserved for this machine is still leased to another one, so it gets one of the range until "
    "that lease ends. The other machine is moved at its next renewal.",
    "Reboot the other machine, or drop its lease, to free the address at once."};
const message name_refused{
    "NL-DHCP-015", log_level::info,
    "A client asked for a host name that a node of the recipe holds. It got its address without the name.",
    "Rename one of the two, or add the client's MAC address to the node."};
const message options_dropped{
    "NL-DHCP-016", log_level::warn,
    "The options do not fit into the largest message that the client takes; the last ones were left out.",
    "Give fewer or shorter options to this class of clients."};
const message clock_stepped{"NL-DHCP-017", log_level::info,
                            "The wall clock was set. Running leases count on the boot clock and are not "
                            "affected; their stored end is "
                            "written again.",
                            ""};
const message foreign_reply{"NL-DHCP-018", log_level::warn, "Another DHCP server answered on this network.",
                            "Stop it (its address is shown), or run netlab as a proxy beside it."};
const message send_failed{"NL-DHCP-019", log_level::warn,
                          "A reply could not be sent. The client will ask again.",
                          "Look at the reason: an interface that went down, or missing CAP_NET_RAW."};
const message lease_granted{"NL-DHCP-020", log_level::debug, "A client got an address, or a new term for it.",
                            ""};
const message listening{"NL-DHCP-021", log_level::info, "The server answers on this interface.", ""};
const message no_interface{
    "NL-DHCP-022", log_level::warn,
    "No interface has an address in the network's subnet yet. The server starts there when one appears.",
    "Give the interface its address, or set `interface`."};
const message bind_failed{
    "NL-DHCP-023", log_level::error, "The DHCP port could not be opened on this interface.",
    "Stop the other server that holds the port (`ss -ulpn sport = 67`), and run as root or with "
    "CAP_NET_BIND_SERVICE and CAP_NET_RAW."};
const message bootp_refused{"NL-DHCP-024", log_level::info,
                            "A BOOTP client (a request without option 53) asked and BOOTP is off.",
                            "Set bootp = true if such machines are to be served."};
const message unsupported_type{"NL-DHCP-025", log_level::debug,
                               "A message type that a DHCP server does not handle was dropped.", ""};
const message lease_lines{"NL-DHCP-026", log_level::info,
                          "So many leases were granted at once that their lines were left out of the log.",
                          ""};
const message mode_chosen{
    "NL-DHCP-027", log_level::info,
    "mode = \"auto\" looked at the network and chose: addresses and boot options while no other DHCP server "
    "answers, boot options alone (proxyDHCP) beside one that does.",
    ""};
const message other_boot_server{
    "NL-DHCP-028", log_level::warn,
    "Another server on this network tells machines what to boot. Which of the two a machine follows is up to "
    "its firmware.",
    "Take boot file and next server (options 66 and 67) out of that server, or stop it."};
const message look_failed{
    "NL-DHCP-029", log_level::warn,
    "mode = \"auto\" could not ask the network who serves it, and gives no addresses until it can.",
    "Look at the reason: an interface that is down or not there yet (it is tried again), or missing "
    "CAP_NET_RAW."};
const message arp_not_kept{"NL-DHCP-030", log_level::warn,
                           "A machine that does not answer ARP while it loads (a Raspberry Pi 3) could not "
                           "be given a fixed entry in the "
                           "kernel's neighbour table, so that its transfers may stop after some seconds.",
                           "Run netlab as root or with CAP_NET_ADMIN."};

} // namespace messages

std::span<const message* const> dhcp_messages() {
  using namespace messages;
  static constexpr const message* all[] = {
      &malformed,       &no_network,    &unknown_client,    &pool_exhausted,    &boot_refused,
      &other_server,    &wrong_address, &no_record,         &commit_failed,     &commit_conflict,
      &address_in_use,  &declined,      &not_holder,        &reservation_taken, &name_refused,
      &options_dropped, &clock_stepped, &foreign_reply,     &send_failed,       &lease_granted,
      &listening,       &no_interface,  &bind_failed,       &bootp_refused,     &unsupported_type,
      &lease_lines,     &mode_chosen,   &other_boot_server, &look_failed,       &arp_not_kept};
  return all;
}

} // namespace netlab::dhcp
