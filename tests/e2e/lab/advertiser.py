"""What a router says to IPv6 hosts that ask for one: here is a network, and nothing to configure (RFC 4861 §4.2).

iPXE asks each time it configures a card, and goes on only when it was answered or 16 seconds have passed."""

import contextlib
import socket
import struct
import threading

from . import netns

_SOLICITATION = 133
# Type 134; hop limit 64, no flags, no default router, nothing about times.  The kernel fills in the checksum.
_ADVERTISEMENT = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0)


class Advertiser:
    """Answers on the switch from construction to close()."""

    def __init__(self, network):
        with netns.inside(network.switch.name):
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            index = socket.if_nametoindex("lan")
        self._to = ("ff02::1", 0, 0, index)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)  # routers prove that they are near
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                                socket.inet_pton(socket.AF_INET6, "ff02::2") + struct.pack("@I", index))
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self):
        while not self._over.is_set():
            with contextlib.suppress(OSError):  # a time-out among them
                if self._socket.recv(256)[:1] == bytes([_SOLICITATION]):
                    self._socket.sendto(_ADVERTISEMENT, self._to)

    def close(self):
        self._over.set()
        self._thread.join()
        self._socket.close()
