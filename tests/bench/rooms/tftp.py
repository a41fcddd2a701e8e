"""TFTP: one 64 MiB file, block by block and in windows, at once and over a cable that takes 1 ms, by one client and by 64."""

import json
import subprocess

from kit import probe, servers
from kit.cable import SERVER
from kit.rows import Row, at_least, at_least_of_floor, at_least_of_peer, at_most, at_most_of_floor, at_most_of_peer
from kit.turns import Turns, run

_SLOW_SERVER, _SLOW_CLIENT = "10.200.0.1", "10.200.0.2"


class Fetch:
    """One way of fetching the file: its rate and the server's processor time."""

    def __init__(self, cable, name, size, get, rate_goals=(), cpu_goals=()):
        self._cable, self._size, self._get = cable, size, get
        self.rate = Row(name, "MB/s", "higher", rate_goals)
        self.cpu = Row(f"{name}, processor", "s/GB", "lower", cpu_goals)
        self.rows = [self.rate, self.cpu]

    def measure(self, kind, server):
        before = server.usage.cpu_seconds()
        bytes_, seconds, granted = self._get()
        if bytes_ != self._size:
            raise RuntimeError(f"{bytes_} bytes came of {self._size}")
        self.rate.add(kind.name, bytes_ / seconds / 1e6)
        self.cpu.add(kind.name, (server.usage.cpu_seconds() - before) / (bytes_ / 1e9))
        if granted == 1:
            self.rate.note(kind.name, "grants no windowsize")


def _own_client(cable, tools, address, file, path, windowsize, clients=1):
    def get():
        text = run(cable.client, tools / "netlab-bench-tftp-get", "--server", address, "--file", file, "--expect", path,
                   "--windowsize", windowsize, "--clients", clients, seconds=200)
        result = json.loads(text.splitlines()[-1])
        return result["bytes"], result["seconds"], result["windowsize"] if windowsize > 1 else None
    return get


def _curl(cable, file):
    def get():
        text = run(cable.client, servers.program("curl", package="curl"), "-sS", "-o", "/dev/null",
                   "--tftp-blksize", "1428", "-w", "%{size_download} %{time_total}", f"tftp://{SERVER}/{file}", seconds=60)
        size, seconds = text.split()
        return int(float(size)), float(seconds), None
    return get


class SlowCable:
    """A second connection between the two machines, 1 ms long from the server to the client."""

    def __init__(self, cable, tools):
        self._process = subprocess.Popen([str(tools / "netlab-bench-delay"), "--slow", cable.server.name, "--other",
                                          cable.client.name, "--device", "slow0", "--us", "1000"], stdout=subprocess.PIPE)
        if self._process.stdout.readline() != b"ready\n":
            self.close()
            raise RuntimeError("no delayed cable: /dev/net/tun is needed")
        for host, address in ((cable.server, _SLOW_SERVER), (cable.client, _SLOW_CLIENT)):
            host.ip("addr", "add", address, "peer", _SLOW_CLIENT if address == _SLOW_SERVER else _SLOW_SERVER, "dev", "slow0")
            # Many windows at once are a burst that a device's usual queue of 500 packets would cut off.
            host.ip("link", "set", "slow0", "up", "txqueuelen", "4096")

    def close(self):
        self._process.terminate()
        self._process.wait(5)


def measure(cable, setting):
    root, whole, part = setting.data, "64m", "4m"
    kinds = [servers.dnsmasq_tftp(root), servers.tftpd_hpa(root), servers.atftpd(root, setting.folder / "atftpd")]
    if setting.netlab:
        kinds.insert(0, servers.netlab(setting.netlab, "tftp", root=root))
    folder = setting.folder / "tftp"
    if setting.quick:
        whole = part
    size = (root / whole).stat().st_size
    tools = setting.tools
    in_lockstep, in_windows = (_own_client(cable, tools, SERVER, whole, root / whole, blocks) for blocks in (1, 16))
    near = [
        Fetch(cable, "lockstep", size, in_lockstep, [at_least(90), at_least_of_peer(1.2)],
              [at_most(4.3), at_most_of_floor(1.23)]),
        Fetch(cable, "lockstep, curl", size, _curl(cable, whole)),
        Fetch(cable, "windowsize 16", size, in_windows, [at_least(650), at_least_of_peer(1.85)],
              [at_most(0.9), at_most_of_peer(0.5)]),
    ]
    memory = Row("memory after the load", "MiB", "lower")
    rows = [row for fetch in near for row in fetch.rows] + [memory]
    turns = Turns(kinds + [servers.floor(tools, "tftp", address=SERVER, file=root / whole)], setting.rounds, rows)

    def once(kind):
        server = kind.start(cable, folder / kind.name, [probe.Tftp("4m")])
        try:
            for fetch in near:
                fetch.measure(kind, server)
            memory.add(kind.name, server.usage.memory()["rss"])
        finally:
            server.stop()
    turns.each(once)

    size = (root / part).stat().st_size
    far = Fetch(cable, "windowsize 16, 1 ms", size, _own_client(cable, tools, _SLOW_SERVER, part, root / part, 16),
                [at_least_of_floor(0.97)])
    # A rack that boots: 64 machines, a file each. The cable itself, a process that holds packets, is the limit of those
    # that keep the windows full.
    herd = 8 if setting.quick else 64
    many = Fetch(cable, f"windowsize 16, 1 ms, {herd} clients", herd * (root / whole).stat().st_size,
                 _own_client(cable, tools, _SLOW_SERVER, whole, root / whole, 16, clients=herd), [at_least_of_peer(1)],
                 [at_most_of_peer(1)])
    # Those that are bound to one interface or address get the other one.
    far_kinds = [kind for kind in kinds if kind.name not in ("netlab", "dnsmasq")]
    far_kinds.insert(0, servers.dnsmasq_tftp(root, interface="slow0"))
    if setting.netlab:
        far_kinds.insert(0, servers.netlab(setting.netlab, "tftp", root=root, listen=f"{_SLOW_SERVER}:69"))
    far_kinds.append(servers.floor(tools, "tftp", address="0.0.0.0", file=root / part))
    slowly = Turns(far_kinds, 1 if setting.quick else min(setting.rounds, 2), far.rows)
    # The reflector serves one transfer at a time.
    crowded = Turns([kind for kind in far_kinds if kind.name != "floor"], 1, many.rows)
    slow = SlowCable(cable, tools)
    try:
        def once_far(kind):
            server = kind.start(cable, folder / kind.name, [probe.Tftp("4m", _SLOW_SERVER)])
            try:
                far.measure(kind, server)
            finally:
                server.stop()
        slowly.each(once_far)

        def once_many(kind):
            server = kind.start(cable, folder / kind.name, [probe.Tftp("4m", _SLOW_SERVER)])
            try:
                many.measure(kind, server)
            finally:
                server.stop()
        crowded.each(once_many)
    finally:
        slow.close()
    return [("tftp", turns), ("tftp, slow cable", slowly), ("tftp, crowded slow cable", crowded)]
