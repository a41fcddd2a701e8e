"""A herd: 200 machines that boot at the same moment, 16 MiB each, with ordinary DHCP and DNS clients beside them.

There is no peer that does all of it; the goals are the design's own."""

import json
import os
import threading

from kit import probe, servers
from kit.cable import CLIENT, SERVER
from kit.rows import Row, at_least, at_most
from kit.turns import Turns, run

NODES, KERNEL, INITRD, LOADER = 200, 6 << 20, 10 << 20, 256 << 10
GROWTH = 48  # MiB: what 200 machines may add; 16 MiB each would be 3,200


class Peak:
    """The most memory that a server had while it was looked at."""

    def __init__(self, usage):
        self._usage, self._over, self.most = usage, threading.Event(), usage.memory()["rss"]
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self):
        while not self._over.wait(0.1):
            self.most = max(self.most, self._usage.memory()["rss"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def measure(cable, setting):
    nodes = 40 if setting.quick else NODES
    assets = setting.folder / "herd-assets"
    assets.mkdir(parents=True, exist_ok=True)
    for name, size in (("vmlinuz", KERNEL), ("initrd.gz", INITRD), ("loader.efi", LOADER)):
        if not (assets / name).exists() or (assets / name).stat().st_size != size:
            (assets / name).write_bytes(os.urandom(size))
    booted = Row(f"reached their kernel, of {nodes}", "nodes", "higher", [at_least(nodes)])
    whole = Row("all of them", "s", "lower")
    rate = Row("bytes", "MB/s", "higher")
    cpu = Row("processor", "s/GB", "lower")
    median = Row("first byte, median", "ms", "lower")
    late = Row("first byte, p99", "ms", "lower", [at_most(200)])
    alone = Row("DHCP alone, p99", "ms", "lower")
    beside = Row("DHCP beside the herd, p99", "ms", "lower", [at_most(50)])
    names_alone = Row("DNS alone, p99", "ms", "lower")
    names_beside = Row("DNS beside the herd, p99", "ms", "lower", [at_most(50)])
    names_lost = Row("DNS, no answer", "queries", "lower", [at_most(0)])
    before = Row("memory before", "MiB", "lower")
    peak = Row("memory, most", "MiB", "lower", [at_most(64)])
    kinds = []
    if setting.netlab:
        kinds = [servers.netlab(setting.netlab, "herd", assets=assets, loader=assets / "loader.efi")]
    turns = Turns(kinds, setting.rounds, [booted, whole, rate, cpu, median, late, alone, beside, names_alone,
                                           names_beside, names_lost, before, peak])

    def once(kind):
        server = kind.start(cable, setting.folder / "herd" / kind.name, [probe.Http("/boot.ipxe"), probe.Dhcp(), probe.Dns("kernel.bench.internal")])
        try:
            before.add(kind.name, server.usage.memory()["rss"])
            used = server.usage.cpu_seconds()
            # Machines of an earlier turn have gone.
            cable.client.ip("addr", "flush", "dev", "eth0", "to", "10.64.0.0/12")
            with Peak(server.usage) as looked:
                text = run(cable.client, setting.tools / "netlab-bench-herd", "--server", SERVER, "--relay", CLIENT,
                           "--nodes", nodes, "--quiet", 0.5 if setting.quick else 2, seconds=120)
            most = looked.most
            result = json.loads(text.splitlines()[-1])
            if result["booted"] < nodes:
                raise RuntimeError(f"{nodes - result['booted']} machines did not reach their kernel: {text.strip()[:300]}")
            if most > before.values[kind.name][-1] + GROWTH:
                raise RuntimeError(f"memory grew to {most:.1f} MiB")
            peak.add(kind.name, most)
            booted.add(kind.name, result["booted"])
            whole.add(kind.name, result["seconds"])
            rate.add(kind.name, result["bytes"] / result["seconds"] / 1e6)
            cpu.add(kind.name, (server.usage.cpu_seconds() - used) / (result["bytes"] / 1e9))
            median.add(kind.name, result["first_byte_p50"])
            late.add(kind.name, result["first_byte_p99"])
            alone.add(kind.name, result["dhcp_alone_p99"])
            beside.add(kind.name, result["dhcp_beside_p99"])
            names_alone.add(kind.name, result["dns_alone_p99"])
            names_beside.add(kind.name, result["dns_beside_p99"])
            names_lost.add(kind.name, result["dns_lost"])
        finally:
            server.stop()
    turns.each(once)
    return [("herd", turns)]
