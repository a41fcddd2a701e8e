"""Malformed, oversized and deceitful input on every port of a running recipe.

After each attack the server still answers an honest client of the same protocol, and a counter of
`netlab status --json` tells that something came."""

import json
import random
import socket
import struct
import subprocess

import pytest

from lab import bastion, netns

SERVER = bastion.ADDRESS
MAC = bytes.fromhex("02000a4d0066")
COOKIE = bytes([99, 130, 83, 99])
pytestmark = pytest.mark.netlab_only


class Attacker:
    """A host of the laboratory with plain sockets, and the view of the server's counters."""

    def __init__(self, lab):
        self.lab = lab
        self.host = lab.network.host("attacker", "10.77.0.66/24")

    def udp(self, port=0, broadcast=False):
        with netns.inside(self.host.name):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(5)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, broadcast)
        made.bind(("0.0.0.0", port))
        return self.lab.keep(made)

    def tcp(self):
        with netns.inside(self.host.name):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(15)
        made.connect((SERVER, 8080))
        return made

    def status(self):
        done = subprocess.run([self.lab._binary, "--state", self.lab.state, "status", "--json"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=20)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def count(self, name, **labels):
        return sum(sample["value"] for sample in self.status()["counters"]
                   if sample["name"] == name and labels.items() <= sample["labels"].items())

    # What an honest client gets.

    def http(self, path="/made"):
        with self.tcp() as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return drain(connection)

    def tftp(self, name=b"made"):
        client = self.udp()
        client.sendto(b"\0\1" + name + b"\0octet\0", (SERVER, 69))
        data, peer = client.recvfrom(2048)
        if data[:2] == b"\0\3":
            client.sendto(b"\0\4\0\1", peer)
        return data

    def dhcp(self):
        """An INFORM by unicast is answered to the address it names."""
        client = self.udp(68)
        client.sendto(dhcp_packet(8, ciaddr="10.77.0.66"), (SERVER, 67))
        data, _ = client.recvfrom(2048)
        client.close()
        return data


def drain(connection):
    data = b""
    while True:
        try:
            more = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


def dhcp_packet(kind, ciaddr="0.0.0.0", options=b"", end=b"\xff", hlen=6, op=1):
    head = struct.pack("!BBBBIHH4s4s4s4s16s64s128s", op, 1, hlen, 0, 0x6e657462, 0, 0x8000, socket.inet_aton(ciaddr),
                       bytes(4), bytes(4), bytes(4), MAC, b"", b"")
    return head + COOKIE + bytes([53, 1, kind]) + options + end


@pytest.fixture
def attacker(lab):
    root = lab.folder / "served"
    root.mkdir()
    (root / "file.bin").write_bytes(b"content")
    (lab.folder / "secret").write_bytes(b"outside")
    lab.start("hostile", root=root)
    return Attacker(lab)


def test_dhcp(attacker):
    """Truncated at every length, random bytes, options that lie about their length, and giant ones."""
    sender = attacker.udp(broadcast=True)
    whole = dhcp_packet(1, options=bytes([55, 3, 1, 3, 6, 60, 9]) + b"PXEClient")
    attacks = [whole[:length] for length in range(0, len(whole), 3)]
    rng = random.Random(67)
    attacks += [rng.randbytes(rng.randrange(1, 1400)) for _ in range(100)]
    for _ in range(100):
        bent = bytearray(whole)
        for _ in range(4):
            bent[rng.randrange(len(bent))] = rng.randrange(256)
        attacks.append(bytes(bent))
    attacks += [
        dhcp_packet(1, options=bytes([12, 255]) + b"short"),                        # longer than the packet
        dhcp_packet(1, options=bytes([12, 255]) + b"n" * 255 + bytes([12, 255]) + b"n" * 255),  # a name of 510 bytes
        dhcp_packet(1, options=bytes([82, 255]) + b"\1\xff" * 127 + b"\1"),          # a relay's sub-options that lie
        dhcp_packet(1, options=bytes([61, 0])),                                     # an empty client id
        dhcp_packet(1, options=bytes([93, 1, 0])),                                  # half an architecture
        dhcp_packet(1, options=bytes([97, 3, 0, 1, 2])),                            # a cut UUID
        dhcp_packet(1, options=bytes([52, 1, 3])),                                  # overload into empty fields
        dhcp_packet(1, options=bytes([50, 2, 10, 77])),                             # half an address
        dhcp_packet(1, hlen=255), dhcp_packet(1, hlen=0), dhcp_packet(99), dhcp_packet(0),
        dhcp_packet(1, op=2), dhcp_packet(3, options=bytes([54, 4, 0, 0, 0, 0])),
        dhcp_packet(1, end=b"\0" * 1000), dhcp_packet(1, options=(bytes([200, 255]) + b"x" * 255) * 5),
    ]
    before = attacker.count("netlab_dhcp_packets_total", what="malformed")
    for packet in attacks:
        sender.sendto(packet, (SERVER, 67))
        sender.sendto(packet, ("10.77.0.255", 67))
    answer = attacker.dhcp()
    assert answer[0] == 2 and answer[4:8] == struct.pack("!I", 0x6e657462)
    assert attacker.count("netlab_dhcp_packets_total", what="malformed") - before > 100


def test_tftp(attacker):
    """Paths that lead outside, requests that are no requests, options of every wrong size."""
    for name in (b"../secret", b"../../secret", b"/../secret", b"a/../../secret", b"..\\secret", b"....//secret",
                 b"./../secret", b"/etc/passwd", b"%2e%2e/secret", b"x" * 400, b"\xff\xfe", b""):
        data = attacker.tftp(name)
        assert data[:2] == b"\0\5", (name, data)
        assert b"outside" not in data
    before = attacker.count("netlab_tftp_malformed_total")
    sender = attacker.udp()
    rng = random.Random(69)
    for data in [b"", b"\0", b"\0\1", b"\0\1made", b"\0\1made\0", b"\0\1made\0octet", b"\0\1made\0secret\0", b"\0\0", b"\0\7\0\0",
                 b"\0\1" + b"m" * 1400, b"\0\1made\0octet\0" + b"blksize\0" * 100] + [rng.randbytes(rng.randrange(1, 600)) for _ in range(100)]:
        sender.sendto(data, (SERVER, 69))
    for option, value in ((b"blksize", b"0"), (b"blksize", b"-1"), (b"blksize", b"9" * 200), (b"windowsize", b"0"),
                          (b"windowsize", b"65536"), (b"timeout", b"256"), (b"tsize", b"x"), (b"o" * 300, b"v" * 300)):
        client = attacker.udp()
        client.sendto(b"\0\1made\0octet\0" + option + b"\0" + value + b"\0", (SERVER, 69))
        reply, peer = client.recvfrom(2048)
        assert reply[:2] in (b"\0\3", b"\0\5", b"\0\6"), (option, value, reply)
        client.sendto(b"\0\5\0\0bye\0", peer)
    written = attacker.udp()
    written.sendto(b"\0\2upload\0octet\0", (SERVER, 69))
    assert written.recv(2048)[:2] == b"\0\5"
    assert attacker.tftp() == b"\0\3\0\1made on request"
    assert attacker.tftp(b"file.bin") == b"\0\3\0\1content"
    assert attacker.count("netlab_tftp_malformed_total") > before


SMUGGLED = [
    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /made HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\nGET /made HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\nGET /made HTTP/1.1\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /made HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /made HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\nGET /made HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\nGET /made HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /made HTTP/1.1\nHost: x\r\n X-Folded: a\r\n\r\n",
    b"GET /made HTTP/1.1\r\nHost: x\r\nX: a\rGET /made HTTP/1.1\r\n\r\n",
    b"GET /made HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    b"GET /made HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /made HTTP/1.1\r\n\r\n",
    b"GET  /made HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /made HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 9000 + b"\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", SMUGGLED, ids=range(len(SMUGGLED)))
def test_http(attacker, request_bytes):
    """One refusal, then the connection ends: what follows a request of doubtful length is never taken for one."""
    before = attacker.count("netlab_http_refused_total")
    with attacker.tcp() as connection:
        connection.sendall(request_bytes)
        answer = drain(connection)
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    assert answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 5"), answer
    assert b"made on request" not in answer
    assert attacker.count("netlab_http_refused_total") > before
    assert attacker.http().endswith(b"made on request")


def test_http_noise(attacker):
    """Random bytes and requests that stop half way hold nothing up."""
    rng = random.Random(80)
    half = []
    for _ in range(60):
        connection = attacker.tcp()
        connection.sendall(rng.randbytes(rng.randrange(1, 3000)) if rng.random() < 0.5 else b"GET /made HT")
        half.append(connection)
    for path in ("/files/../secret", "/files/%2e%2e/secret", "/files/..%5csecret", "/files/%00", "/%zz"):
        answer = attacker.http(path)
        assert answer.startswith(b"HTTP/1.1 4") and b"outside" not in answer, answer
    assert attacker.http().endswith(b"made on request")
    for connection in half:
        connection.close()
    assert attacker.count("netlab_http_refused_total", why="bad_request") > 0
