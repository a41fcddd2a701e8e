"""An upstream that lies and is slow: `odd_upstream.py ADDRESS SECONDS`, run in a host's namespace.

To each query by UDP it sends a handful of forged replies at once, with an address of their own, and the true one after
that many seconds."""

import socket
import struct
import sys
import threading

FORGED, TRUE = "203.0.113.66", "203.0.113.1"


def reply(query, address, spoil=lambda message: message):
    end = 12
    while query[end]:
        end += query[end] + 1
    head = query[:2] + b"\x81\x80" + struct.pack("!4H", 1, 1, 0, 0)
    return spoil(bytearray(head + query[12:end + 5] + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + socket.inet_aton(address)))


def other_id(message):
    message[1] ^= 1
    return message


def other_name(message):
    message[13] = ord("q")
    return message


def other_type(message):
    message[message.index(b"\0\x01\0\x01") + 1] = 28
    return message


def main():
    seconds = float(sys.argv[2])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((sys.argv[1], 53))
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.bind((sys.argv[1], 0))
    print("ready", flush=True)
    while True:
        query, client = sock.recvfrom(4096)
        for spoil in (other_id, other_name, other_type, lambda message: message[:-3], lambda message: message[:12]):
            sock.sendto(reply(query, FORGED, spoil), client)
        stranger.sendto(reply(query, FORGED), client)
        threading.Timer(seconds, sock.sendto, (reply(query, TRUE), client)).start()


if __name__ == "__main__":
    main()
