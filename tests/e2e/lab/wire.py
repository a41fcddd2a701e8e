"""DHCP as it passes over the switch, read by the tests themselves and not by the server's own account."""

import collections
import ctypes
import functools
import ipaddress
import select
import socket
import struct
import subprocess
import time

from . import netns

_TYPES = {1: "DISCOVER", 2: "OFFER", 3: "REQUEST", 4: "DECLINE", 5: "ACK", 6: "NAK", 7: "RELEASE", 8: "INFORM"}

_SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 1, 1
_SO_ATTACH_FILTER = 26

Message = collections.namedtuple("Message", "type source destination mac xid ciaddr yiaddr siaddr giaddr flags options")


def _options(data):
    found = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 1 >= len(data):
            break
        code, length = data[at], data[at + 1]
        found[code] = found.get(code, b"") + data[at + 2:at + 2 + length]
        at += 2 + length
    return found


def parse(frame):
    """The DHCP message of an Ethernet frame, or None for anything else."""
    if len(frame) < 14 + 20 + 8 + 240 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    header = (frame[14] & 15) * 4
    udp = 14 + header
    source_port, destination_port = struct.unpack("!HH", frame[udp:udp + 4])
    if not {source_port, destination_port} <= {67, 68}:
        return None
    payload = frame[udp + 8:]
    if len(payload) < 240 or payload[236:240] != b"\x63\x82\x53\x63":
        return None

    def address(offset, data=payload):
        return str(ipaddress.IPv4Address(data[offset:offset + 4]))

    options = _options(payload[240:])
    return Message(
        type=_TYPES.get(options.get(53, b"\0")[0], "?"), source=address(26, frame), destination=address(30, frame),
        mac=payload[28:34].hex(":"), xid=payload[4:8].hex(), ciaddr=address(12), yiaddr=address(16), siaddr=address(20), giaddr=address(24),
        flags=struct.unpack("!H", payload[10:12])[0], options=options)


@functools.lru_cache(maxsize=1)
def _filter():
    """A kernel filter for DHCP, so that a boot's bulk data does not push it out of the socket's buffer."""
    done = subprocess.run(["tcpdump", "-y", "EN10MB", "-ddd", "udp port 67 or udp port 68"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True)
    code = b"".join(struct.pack("HBBI", *map(int, line.split())) for line in done.stdout.splitlines()[1:])
    return ctypes.create_string_buffer(code, len(code))


class Sniffer:
    """Every DHCP message on the bridge since construction, in order; one waits for the next that fits."""

    def __init__(self, network):
        with netns.inside(network.switch.name):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._index = socket.if_nametoindex("lan")
        self._socket.bind(("lan", 3))
        program = _filter()
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER,
                                struct.pack("HL", len(program) // 8, ctypes.addressof(program)))
        # Promiscuous, or the bridge would only show what is sent to everyone.
        self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("iHH8s", self._index, _PROMISCUOUS, 0, b""))
        self._socket.setblocking(False)
        self.messages = []
        self._next = 0

    def _receive(self, timeout):
        if not select.select([self._socket], [], [], max(timeout, 0))[0]:
            return
        try:
            message = parse(self._socket.recv(65536))
        except BlockingIOError:
            return
        if message:
            self.messages.append(message)

    def expect(self, kind, timeout=20, **fields):
        """The next message of this type whose fields have these values."""
        deadline = time.monotonic() + timeout
        while True:
            while self._next < len(self.messages):
                message = self.messages[self._next]
                self._next += 1
                if message.type == kind and all(getattr(message, name) == value for name, value in fields.items()):
                    return message
            left = deadline - time.monotonic()
            if left <= 0:
                seen = "\n".join(f"  {m.type} {m.source} > {m.destination} ciaddr {m.ciaddr} yiaddr {m.yiaddr}"
                                 for m in self.messages)
                raise AssertionError(f"no {kind} {fields} within {timeout} s; seen:\n{seen}")
            self._receive(left)

    def all(self):
        """Every message so far."""
        before = -1
        while before != len(self.messages):
            before = len(self.messages)
            self._receive(0)
        return self.messages

    def close(self):
        self._socket.close()
