"""One question to each service from the client's side, to see when it answers for the first time."""

import contextlib
import socket
import struct
import time

from lab import netns

from .cable import CLIENT, SERVER


class Dhcp:
    """A DISCOVER by way of a relay agent, which needs no packet socket (RFC 2131 §4.1)."""

    def __init__(self, mac="02:00:00:00:01:01"):
        self._mac = bytes.fromhex(mac.replace(":", ""))
        self._xid = 0x6e6c0000

    def open(self):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((CLIENT, 67))
        return sock

    def ask(self, sock):
        self._xid += 1
        relay = socket.inet_aton(CLIENT)
        message = struct.pack("!BBBBIHH4s4s4s4s16s192x4s", 1, 1, 6, 1, self._xid, 0, 0, bytes(4), bytes(4), bytes(4), relay,
                              self._mac, bytes([99, 130, 83, 99])) + bytes([53, 1, 1, 55, 3, 1, 3, 6, 255])
        sock.sendto(message.ljust(300, b"\0"), (SERVER, 67))

    def answered(self, data):
        return len(data) >= 240 and data[0] == 2 and data[28:34] == self._mac

    def end(self, sock, server):
        """An offer that is not taken up ends by itself."""


class Tftp:
    def __init__(self, file, address=SERVER):
        self._request = b"\0\1" + file.encode() + b"\0octet\0"
        self._address = address

    def open(self):
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def ask(self, sock):
        sock.sendto(self._request, (self._address, 69))

    def answered(self, data):
        return len(data) >= 4 and data[1] in (3, 5, 6)

    def end(self, sock, server):
        # Else the server would go on sending what nobody wants (RFC 1350 §7).
        sock.sendto(b"\0\5\0\0done\0", server)


class Dns:
    """An A query.  `blocked`: only an answer counts that blocks, by the null address or by NXDOMAIN."""

    def __init__(self, name, blocked=False, address=SERVER):
        self._query = struct.pack("!6H", 0x6e6c, 0x0100, 1, 0, 0, 0) + \
            b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
        self._blocked, self._address = blocked, address

    def open(self):
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def ask(self, sock):
        sock.sendto(self._query, (self._address, 53))

    def answered(self, data):
        if len(data) < 12 or data[:2] != self._query[:2] or not data[2] & 0x80:
            return False
        code, answers = data[3] & 15, struct.unpack_from("!H", data, 6)[0]
        if not self._blocked:
            return code in (0, 5)
        return code == 3 or (code == 0 and answers == 1 and data[len(self._query) + 12:][:4] == bytes(4))

    def end(self, sock, server):
        """Nothing waits."""


class Http:
    def __init__(self, path, port=8080):
        self._request = f"GET {path} HTTP/1.1\r\nHost: {SERVER}\r\nConnection: close\r\n\r\n".encode()
        self._port = port

    def once(self):
        with contextlib.suppress(OSError), socket.create_connection((SERVER, self._port), timeout=0.5) as sock:
            sock.sendall(self._request)
            return sock.recv(64).startswith(b"HTTP/1.1 ")
        return False


def _datagrams(probe, sock):
    with contextlib.suppress(OSError):
        probe.ask(sock)
        deadline = time.monotonic() + 0.005
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            data, server = sock.recvfrom(2048)
            if probe.answered(data):
                probe.end(sock, server)
                return True
    return False


def wait(cable, probes, process, seconds=15):
    """Until every probe was answered; raises when the process ends or the time does."""
    deadline = time.monotonic() + seconds
    with netns.inside(cable.client.name), contextlib.ExitStack() as stack:
        waiting = []
        for probe in probes:
            if isinstance(probe, Http):
                waiting.append(probe.once)
            else:
                sock = stack.enter_context(probe.open())
                waiting.append(lambda probe=probe, sock=sock: _datagrams(probe, sock))
        while waiting:
            waiting = [ask for ask in waiting if not ask()]
            if waiting and process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode} before it answered")
            if waiting and time.monotonic() > deadline:
                raise RuntimeError(f"no answer within {seconds} s")
            if waiting:
                time.sleep(0.0005)
