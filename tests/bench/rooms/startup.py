"""A bastion that netboots: from exec until DHCP, TFTP and HTTP answer, and what it takes when nobody asks."""

import time

from kit import probe, servers
from kit.cable import SERVER
from kit.rows import Row, at_most
from kit.turns import Turns


def measure(cable, setting):
    start = Row("exec until all answer", "ms", "lower", [at_most(60)])
    wakeups = Row("wake-ups when idle", "1/s", "lower", [at_most(1)])
    cpu = Row("processor when idle", "ms/s", "lower")
    rss = Row("memory, RSS", "MiB", "lower", [at_most(40)])
    private = Row("memory, private", "MiB", "lower", [at_most(14)])
    processes = Row("processes", "", "lower", [at_most(1)])
    assets = setting.folder / "startup-assets"
    assets.mkdir(parents=True, exist_ok=True)
    for name in ("vmlinuz", "initrd.gz", "boot.ipxe"):
        (assets / name).write_bytes(b"x" * 4096)
    kinds = [servers.bastion_set(assets)]
    if setting.netlab:
        kinds.insert(0, servers.netlab(setting.netlab, "bastion", assets=assets))
    # What starting any process in a namespace and asking it takes.
    kinds.append(servers.floor(setting.tools, "http", address=SERVER, port=8080, file=assets / "vmlinuz"))
    turns = Turns(kinds, setting.rounds, [start, wakeups, cpu, rss, private, processes])
    idle_seconds = 1 if setting.quick else 8

    def once(kind, idle):
        probes = [probe.Http("/boot.ipxe")]
        if kind.name != "floor":
            probes += [probe.Dhcp(), probe.Tftp("vmlinuz")]
        server = kind.start(cable, setting.folder / "startup" / kind.name, probes)
        try:
            start.add(kind.name, 1000 * server.start_seconds)
            if not idle:
                return
            # What starting leaves to do is not idleness.
            time.sleep(idle_seconds / 8)
            before, used = server.usage.wakeups(), server.usage.cpu_seconds()
            begun = time.monotonic()
            time.sleep(idle_seconds)
            seconds = time.monotonic() - begun
            wakeups.add(kind.name, (server.usage.wakeups() - before) / seconds)
            cpu.add(kind.name, 1000 * (server.usage.cpu_seconds() - used) / seconds)
            memory = server.usage.memory()
            rss.add(kind.name, memory["rss"])
            private.add(kind.name, memory["private"])
            processes.add(kind.name, server.usage.processes())
        finally:
            server.stop()
    turns.each(lambda kind: once(kind, True), rounds=1)
    turns.each(lambda kind: once(kind, False), rounds=1 if setting.quick else 4)
    return [("start-up", turns)]
