"""The boot loader of a Raspberry Pi, replayed: DHCP by recorded packet shapes through raw frames, files by curl's TFTP."""

import select
import socket
import struct
import subprocess
import time

from . import bastion, netns

_BROADCAST = b"\xff" * 6
_VENDOR_CLASS = "3c20" + b"PXEClient:Arch:00000:UNDI:002001".hex()
_ASKS = "370e 01032b3c42438081828384858687 5d020000 5e03010201"
_ROM_ASKS = "370c 2b3c4243 8081828384858687 5d020000 5e03010201"


class Model:
    """What one generation sends.  `guid`: option 97; a Pi 3's is the same in all of them."""

    def __init__(self, generation, mac, guid, serial):
        self.generation, self.mac, self.guid, self.serial = generation, mac, guid, serial
        asks = _ROM_ASKS if generation == 3 else _ASKS
        self.discover = bytes.fromhex("350101" + asks + "6111" + guid + _VENDOR_CLASS)
        # Without the vendor class, as the boot loader of a Pi 4 sends it.
        self.request = bytes.fromhex("350103" + asks + "6111" + guid)


PI3 = Model(3, "b8:27:eb:20:30:40", "00" + "44" * 16, "a1203040")
PI4 = Model(4, "dc:a6:32:20:30:40", "0052506934 1131c000 32203040 40302010", "10203040")
PI5 = Model(5, "2c:cf:67:20:30:40", "0052506935 7041d000 67203040 80706050", "50607080")


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class RaspberryPi:
    """A machine on the lab network that behaves like a Pi from power-on to its kernel.  close() ends it."""

    def __init__(self, lab, model, name):
        self.model = model
        self.host = lab.network.host(name, mac=model.mac)
        self._lab = lab
        self._xid = 0x26f30339
        self.folder = lab.folder / name
        self.folder.mkdir()
        with netns.inside(self.host.name):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            self._socket.bind(("eth0", 0x0800))
        if model.generation == 3:
            # The ROM answers no ARP while it loads, and asks for nobody whose packets it has seen.
            self.host.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=8")
            self.host.ip("neigh", "replace", bastion.ADDRESS, "lladdr", lab.host.mac, "dev", "eth0", "nud", "permanent")

    def _send(self, options):
        mac = bytes.fromhex(self.model.mac.replace(":", ""))
        payload = struct.pack("!BBBBIHH", 1, 1, 6, 0, self._xid, 0, 0) + bytes(16) + mac + bytes(10 + 64 + 128)
        payload += b"\x63\x82\x53\x63" + options + b"\xff"
        udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
        ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
        self._socket.send(_BROADCAST + mac + b"\x08\x00" + ip + udp)

    def _datagrams(self, port, timeout):
        """UDP payloads to this port, as they come."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                return
            frame = self._socket.recv(65536)
            udp = 14 + (frame[14] & 15) * 4
            if frame[23] == 17 and struct.unpack("!H", frame[udp + 2:udp + 4])[0] == port:
                yield frame[udp + 8:udp + struct.unpack("!H", frame[udp + 4:udp + 6])[0]]

    def ask(self, options, count=1, timeout=20):
        """Sends a message and returns the first raw replies to it, a proxy's (without an address) last."""
        self._send(options)
        replies = []
        for payload in self._datagrams(68, timeout):
            if payload[0] == 2 and payload[4:8] == struct.pack("!I", self._xid):
                replies.append(payload)
                if len(replies) == count:
                    return sorted(replies, key=lambda reply: reply[16:20] == bytes(4))
        raise AssertionError(f"{len(replies)} of {count} DHCP replies to the Pi {self.model.generation}")

    def discover(self):
        return self.ask(self.model.discover)[0]

    def request(self, offer):
        server = offer[offer.index(b"\x36\x04", 240):][:6]
        return self.ask(self.model.request + b"\x32\x04" + offer[16:20] + server)[0]

    def nudges(self, count, timeout=10):
        """Waits for this many magic packets for this very machine."""
        magic = b"\xff" * 6 + bytes.fromhex(self.model.mac.replace(":", "")) * 16
        seen = 0
        for payload in self._datagrams(9, timeout):
            seen += payload == magic
            if seen == count:
                return
        raise AssertionError(f"{seen} of {count} nudges")

    def take(self, reply):
        """Uses the address of an OFFER or ACK."""
        address = socket.inet_ntoa(reply[16:20])
        self.host.add_address(f"{address}/24")
        return address

    def load(self, name, blksize=1024):
        """A file over TFTP: its bytes, or None when the server says that there is none."""
        target = self.folder / name.replace("/", "_")
        command = ["curl", "-sS", "--tftp-blksize", str(blksize), "-o", target, f"tftp://{bastion.ADDRESS}/{name}"]
        done = subprocess.run(self.host.command(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        if done.returncode == 68:  # TFTP error 1: file not found
            return None
        assert done.returncode == 0, f"{name}: {done.stdout}"
        return target.read_bytes()

    def close(self):
        self._socket.close()
