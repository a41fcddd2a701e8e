"""HTTP: 1 KiB by connections that stay, and 64 MiB by eight clients at once."""

import re
import time

from kit import probe, servers
from kit.cable import SERVER
from kit.rows import Row, at_least_of_peer, at_most, at_most_of_floor, at_most_of_peer
from kit.turns import Turns, run

_UNITS = {"us": 1, "ms": 1000, "s": 1_000_000}


class Small:
    """wrk, 64 connections."""

    def __init__(self, cable, seconds):
        self._cable, self._seconds = cable, seconds
        self.rate = Row("1 KiB, keep-alive", "1/s", "higher")
        self.cpu = Row("1 KiB, processor", "us/request", "lower", [at_most(4.5), at_most_of_floor(1.36)])
        self.p99 = Row("1 KiB, p99", "us", "lower")
        self.rows = [self.rate, self.cpu, self.p99]

    def measure(self, kind, server):
        before = server.usage.cpu_seconds()
        text = run(self._cable.client, servers.program("wrk", package="wrk"), "-t1", "-c64", f"-d{self._seconds}s",
                   "--latency", f"http://{SERVER}:8080/1k", seconds=self._seconds + 20)
        cpu = server.usage.cpu_seconds() - before
        requests = int(re.search(r"(\d+) requests in", text).group(1))
        if bad := re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", text):
            raise RuntimeError(f"wrk: {bad.group(0)}")
        if not requests:
            raise RuntimeError("wrk got no answer")
        self.rate.add(kind.name, float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)))
        self.cpu.add(kind.name, 1e6 * cpu / requests)
        value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text).groups()
        self.p99.add(kind.name, float(value) * _UNITS[unit])


class Large:
    """Eight curl at once, each fetching the file so many times over one connection."""

    def __init__(self, cable, size, times):
        self._cable, self._size, self._times = cable, size, times
        self.rate = Row("64 MiB x 8", "MB/s", "higher", [at_least_of_peer(0.9)])
        # Half of it is the kernel's noise: equal means within a quarter.
        self.cpu = Row("64 MiB x 8, processor", "s/GB", "lower", [at_most_of_peer(1.25)])
        self.rows = [self.rate, self.cpu]

    def measure(self, kind, server):
        before = server.usage.cpu_seconds()
        begun = time.monotonic()
        files = f"-o /dev/null http://{SERVER}:8080/64m " * self._times
        one = f"{servers.program('curl', package='curl')} -sS -w '%{{size_download}} %{{http_code}}\\n' {files}"
        text = run(self._cable.client, "/bin/sh", "-c", f"for i in 1 2 3 4 5 6 7 8; do {one} & done; wait", seconds=60)
        seconds = time.monotonic() - begun
        lines = text.splitlines()
        if lines != [f"{self._size} 200"] * (8 * self._times):
            raise RuntimeError(f"not every file came whole: {lines[:3]}")
        total = self._size * 8 * self._times
        self.rate.add(kind.name, total / seconds / 1e6)
        self.cpu.add(kind.name, (server.usage.cpu_seconds() - before) / (total / 1e9))


def measure(cable, setting):
    root = setting.data
    kinds = [servers.nginx(root), servers.nginx(root, 1),
             servers.floor(setting.tools, "http", address=SERVER, port=8080, file=root / "64m")]
    if setting.netlab:
        kinds.insert(0, servers.netlab(setting.netlab, "http", root=root))
    folder = setting.folder / "http"
    small = Small(cable, 1 if setting.quick else 3)
    large = Large(cable, (root / "64m").stat().st_size, 1 if setting.quick else 6)
    memory = Row("memory after the load", "MiB", "lower")
    turns = Turns(kinds, setting.rounds, small.rows + large.rows + [memory])

    def once(kind):
        server = kind.start(cable, folder / kind.name, [probe.Http("/1k")])
        try:
            small.measure(kind, server)
            large.measure(kind, server)
            memory.add(kind.name, server.usage.memory()["rss"])
        finally:
            server.stop()
    turns.each(once)
    return [("http", turns)]
