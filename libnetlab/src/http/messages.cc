#include "messages.h"

#include <span>

namespace netlab {
namespace http::messages {

const message bad_request{
    "NL-HTTP-001", log_level::warn,
    "A client sent something that is not a well-formed HTTP/1.0 or HTTP/1.1 request, or whose length could "
    "be read in two ways. The connection was closed after a 4xx or 5xx answer.",
    "Look at what speaks to this port: a TLS client on a plain port, a port scanner and a broken proxy are "
    "the usual ones."};
const message header_limit{
    "NL-HTTP-002", log_level::warn,
    "A request's line and header fields were larger than the server's limit; it was answered 431.",
    "Raise the header limit if the client is yours and needs it (long cookies, long tokens)."};
const message header_timeout{
    "NL-HTTP-003", log_level::info,
    "A client began a request and did not finish it in time; the connection was closed.",
    "One of these is a node that was switched off; many from one address are an attack or a broken link."};
const message body_limit{"NL-HTTP-004", log_level::warn,
                         "A request's body was larger than the server's limit; it was answered 413.",
                         "Raise the body limit if the upload is meant to arrive here."};
const message connection_limit{
    "NL-HTTP-005", log_level::warn,
    "The server has as many connections as it may have; a new one was turned away with 503.",
    "Raise the connection limit, or find the client that holds so many open."};
const message client_limit{
    "NL-HTTP-006", log_level::warn,
    "One address holds as many connections as it may; its next one was turned away with 503.",
    "Raise the limit per client if many nodes reach the server through one address (NAT, a proxy)."};
const message source_refused{
    "NL-HTTP-007", log_level::warn, "What was asked for exists in the configuration but could not be given.",
    "The reason is in the line: a missing asset, an upstream that does not answer, a "
    "file without read permission."};
const message reply_timeout{
    "NL-HTTP-008", log_level::error,
    "A handler or boot source did not answer a request in time; the client got 504.",
    "Look for what the handler waits on: an upstream download, a lock, a handler without a reply."};
const message stalled{
    "NL-HTTP-009", log_level::info,
    "A client stopped taking data in the middle of a response; the transfer was given up.",
    "A node that was switched off or lost its link while loading. If it repeats, look at cable and MTU."};
const message outside_folder{"NL-HTTP-010", log_level::warn,
                             "A symbolic link in a served folder leads out of it; the request was refused.",
                             "Move the file into the folder, or allow links to the outside for this folder."};
const message unreadable_file{"NL-HTTP-011", log_level::warn,
                              "A file in a served folder could not be opened or read.",
                              "Check owner and mode of the file and of the folders above it."};
const message bad_reply{"NL-HTTP-012", log_level::error,
                        "A handler gave a reply that cannot be sent, or dropped its request without any; the "
                        "client got 500.",
                        "Fix the handler: header names and values must not hold line breaks or other control "
                        "bytes, and the status must be 200 to 599."};

} // namespace http::messages

std::span<const message* const> http_messages() {
  using namespace http::messages;
  static const message* const all[] = {&bad_request,      &header_limit,   &header_timeout,  &body_limit,
                                       &connection_limit, &client_limit,   &source_refused,  &reply_timeout,
                                       &stalled,          &outside_folder, &unreadable_file, &bad_reply};
  return all;
}

} // namespace netlab
