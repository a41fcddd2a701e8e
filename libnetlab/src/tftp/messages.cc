#include "messages.h"

#include <array>

#include "netlab/tftp.h"

namespace netlab::tftp {

constexpr message msg_sent{"NL-TFTP-001", log_level::debug,
                           "A client fetched a whole file and confirmed its last block.", ""};
constexpr message msg_not_found{
    "NL-TFTP-002", log_level::debug,
    "A client asked for a file that is not served. Boot loaders try many names that need not exist, so "
    "that this alone is no fault.",
    "If a node stops here, compare the name with the boot file that DHCP gave and with the served folder."};
constexpr message msg_refused_path{
    "NL-TFTP-003", log_level::warn,
    "A request was refused: its name leads out of the served folder (by \"..\" or a symbolic link), holds "
    "control bytes, or the file may not be read, or a policy forbids it.",
    "If the file should be served, put it or a copy into the served folder and make it readable."};
constexpr message msg_write_refused{"NL-TFTP-004", log_level::warn,
                                    "A client wanted to write a file. This server only sends.",
                                    "Point devices that save their configuration over TFTP elsewhere."};
constexpr message msg_client_error{
    "NL-TFTP-005", log_level::warn, "The client ended a transfer with a TFTP error.",
    "The text is the client's own. Typical: no memory for the file, or an image that its firmware refuses "
    "(wrong architecture, Secure Boot)."};
constexpr message msg_timeout{
    "NL-TFTP-006", log_level::warn, "A transfer was given up because the client did not answer any more.",
    "At the start: a firewall drops the high port that the transfer runs on (try single_port), or another "
    "server answered first. In the middle: the node was reset, or the path loses large packets (try a "
    "smaller max_blksize)."};
constexpr message msg_limit{
    "NL-TFTP-007", log_level::warn, "A request was refused because too many transfers run already.",
    "Raise max_transfers or max_transfers_per_client if so many nodes boot at once; otherwise look for a "
    "client that asks in a loop."};
constexpr message msg_malformed{"NL-TFTP-008", log_level::info,
                                "A request that is not valid TFTP was answered with error 4.",
                                "Look at the client: a broken loader, a scanner, or another protocol."};
constexpr message msg_content_failed{
    "NL-TFTP-009", log_level::error, "What a client asked for exists but could not be delivered.",
    "The text has the reason (the disk, an upstream, a profile that does not fit the node)."};
constexpr message msg_no_socket{"NL-TFTP-011", log_level::error,
                                "The system gave no socket for a transfer or an endpoint.",
                                "Raise the limit of open files, or look who else holds the endpoint."};
constexpr message msg_probe{"NL-TFTP-012", log_level::debug,
                            "The client only asked for the size of a file, as UEFI firmware does before it "
                            "fetches it.",
                            ""};
constexpr message msg_asked_again{
    "NL-TFTP-013", log_level::info,
    "A client asked for a file from the port of a transfer that was still running; the old one was dropped.",
    "Normal after a reset of the node. If it repeats, the node's loader starts over: look at the lines "
    "before."};
constexpr message msg_stopped{"NL-TFTP-014", log_level::warn,
                              "A transfer was cut off because the server stops.",
                              "The node tries again by itself or needs a reset."};

std::span<const message* const> messages() {
  static constexpr std::array<const message*, 13> all = {
      &msg_sent,    &msg_not_found,   &msg_refused_path, &msg_write_refused,  &msg_client_error,
      &msg_timeout, &msg_limit,       &msg_malformed,    &msg_content_failed, &msg_no_socket,
      &msg_probe,   &msg_asked_again, &msg_stopped};
  return all;
}

} // namespace netlab::tftp
