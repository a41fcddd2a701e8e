#pragma once
#include "tool.h"

// Reflectors: each answers as a server of its protocol would, with the system calls that such a server needs
// and nothing behind them.  What one costs is what the machine at hand takes for the row whatever the server
// does.  Each runs until it is killed.
namespace bench {

// --address IP --port N: sends every datagram back.
[[noreturn]] void floor_udp(arguments options);

// --address IP, port 53: every query comes back as an answer. With --upstream IP: every query goes there, and
// its answer comes back.
[[noreturn]] void floor_dns(arguments options);

// --interface NAME --address IP: OFFER for DISCOVER, ACK for REQUEST; no lease is kept.
[[noreturn]] void floor_dhcp(arguments options);

// --address IP --port N --file PATH: sends that file whatever is asked for; blksize and windowsize are
// granted.
[[noreturn]] void floor_tftp(arguments options);

// --address IP --port N --file PATH: 1 KiB for any request, and the file where the path starts with "/64m".
[[noreturn]] void floor_http(arguments options);

} // namespace bench
