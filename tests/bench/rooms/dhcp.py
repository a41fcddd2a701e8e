"""DHCP: relayed clients at a rate that is looked for, clients without an address in a closed loop, a slow disk."""

import json
import math
import pathlib
import re

from kit import probe, servers
from kit.cable import SERVER
from kit.rows import Row, at_least, at_least_of_peer, at_most, at_most_of_floor
from kit.turns import Turns, run

# Where the search for the highest rate begins, exchanges/s.
_GUESS = {"netlab": 12000, "dnsmasq": 250, "kea": 4500, "kea_mt": 6500, "floor": 16000}


# Seconds of load before the measured ones: netlab's window of probed addresses follows the demand in rounds of
# 250 ms, so the first clients of a herd wait for their probe.  All servers get the same.
_WARM_UP = 1.0
# Clients at once on the slow disk.  dnsmasq syncs for each lease, one after the other: of 512 clients nearly all would
# give up before their turn, and what it then does for them is for nobody.
_FEWER_CLIENTS = {"dnsmasq": 8}


def _perfdhcp(cable, rate, seconds):
    """One run of perfdhcp as a relay agent: dict of rate (completed), asked (rate of DISCOVERs), drops (%), latency (us)."""
    # It ends with 3 when anything was dropped; the report is there all the same.
    text = run(cable.client, servers.program("perfdhcp", package="kea-admin"), "-4", "-r", rate, "-R", 16000000,
               "-p", seconds, "-W", 300000, SERVER, seconds=seconds + 20, check=False)
    sent = [int(n) for n in re.findall(r"^sent packets: (\d+)", text, re.M)]
    received = [int(n) for n in re.findall(r"^received packets: (\d+)", text, re.M)]
    delays = [float(n) for n in re.findall(r"^avg delay: ([\d.]+) ms", text, re.M)]
    if len(sent) != 2 or len(received) != 2 or not received[1]:
        raise RuntimeError(f"perfdhcp completed no exchange: {text.strip()[-300:]}")
    # Drops of the whole exchange: what was lost on the first half never comes to the second.  The report's own rate
    # counts the time that perfdhcp waits for late answers as well.
    return {"rate": received[1] / seconds, "asked": sent[0] / seconds, "drops": 100 * (1 - received[1] / max(sent[0], 1)),
            "latency": 1000 * sum(delays), "exchanges": received[1]}


def _clean(result, wanted):
    return result["drops"] < 1 and result["asked"] >= 0.95 * wanted


class Relayed:
    """Looks for the highest rate with under 1 % of exchanges dropped, and measures there."""

    def __init__(self, cable, folder, quick):
        self._cable, self._folder = cable, folder
        self._step, self._seconds, self._tries = (1, 1, 2) if quick else (2, 5, 6)
        self._found = {}
        self.rate = Row("relayed, perfdhcp", "1/s", "higher", [at_least(20000), at_least_of_peer(2.7)])
        self.cpu = Row("relayed, processor", "us/exchange", "lower", [at_most(20), at_most_of_floor(2)])
        self.latency = Row("relayed, both halves", "us", "lower")
        self.drops = Row("relayed, dropped", "%")
        self.memory = Row("memory after the load", "MiB", "lower")
        self.rows = [self.rate, self.cpu, self.latency, self.drops, self.memory]

    def _once(self, kind, rate, seconds):
        # A new server each time: the size of the lease table is part of what is measured.
        server = kind.start(self._cable, self._folder / kind.name, [probe.Dhcp()])
        try:
            before = server.usage.cpu_seconds()
            result = _perfdhcp(self._cable, rate, seconds)
            result["cpu"] = 1e6 * (server.usage.cpu_seconds() - before) / result["exchanges"]
            result["rss"] = server.usage.memory()["rss"]
            if not server.alive():
                raise RuntimeError("the server ended under load")
            return result
        finally:
            server.stop()

    def search(self, kind):
        low, high, rate = 0, math.inf, _GUESS[kind.name]
        for _ in range(self._tries):
            if _clean(self._once(kind, int(rate), self._step), rate):
                low = rate
            else:
                high = rate
            if high < 1.12 * low:
                break
            rate = low * 1.5 if high == math.inf else math.sqrt(low * high) if low else high / 2
        self._found[kind.name] = int(low or rate)

    def measure(self, kind):
        rate = self._found[kind.name]
        for _ in range(4):
            result = self._once(kind, rate, self._seconds)
            if _clean(result, rate):
                break
            # A longer run is harder than the steps of the search were.
            rate = self._found[kind.name] = max(int(rate * 0.85), 1)
        else:
            self.rate.note(kind.name, "dropped 1 % or more at every rate that was tried")
        self.rate.add(kind.name, result["rate"])
        self.cpu.add(kind.name, result["cpu"])
        self.latency.add(kind.name, result["latency"])
        self.drops.add(kind.name, result["drops"])
        self.memory.add(kind.name, result["rss"])


class Unaddressed:
    """Clients that have no address, each exchange with a new hardware address, a fixed number at once."""

    def __init__(self, cable, folder, tools, quick, reply):
        self._cable, self._folder, self._tools, self._reply = cable, folder, tools, reply
        self._seconds = 2 if quick else 3
        self.rate = Row(f"no address, {reply} reply", "1/s", "higher")
        self.cpu = Row(f"no address, {reply}, processor", "us/exchange", "lower")
        self.p99 = Row(f"no address, {reply}, p99", "us", "lower")
        self.rows = [self.rate, self.cpu, self.p99]

    def measure(self, kind):
        server = kind.start(self._cable, self._folder / kind.name, [probe.Dhcp()])
        try:
            before = server.usage.cpu_seconds()
            clients = _FEWER_CLIENTS.get(kind.name, 64)
            result = load(self._cable, self._tools, self._seconds, clients, self._reply)
            if clients != 64:
                self.rate.note(kind.name, f"{clients} clients at once: it syncs for each lease, more would give up first")
            cpu = server.usage.cpu_seconds() - before
        finally:
            server.stop()
        self.rate.add(kind.name, result["rate"])
        # The processor time includes the client's warm-up, the exchanges do not.
        share = result["seconds"] / (result["seconds"] + _WARM_UP)
        self.cpu.add(kind.name, 1e6 * cpu / result["exchanges"] * share)
        self.p99.add(kind.name, result["p99_us"])


def load(cable, tools, seconds, outstanding, reply="unicast"):
    text = run(cable.client, tools / "netlab-bench-dhcp", "--seconds", seconds, "--outstanding", outstanding,
               "--reply", reply, "--warmup", _WARM_UP, seconds=seconds + 20)
    result = json.loads(text.splitlines()[-1])
    if not result["exchanges"]:
        raise RuntimeError(f"no exchange was completed: {text.strip()}")
    if result["duplicates"]:
        raise RuntimeError(f"{result['duplicates']} addresses were given to two clients")
    return result


class SlowDisk:
    """512 clients at once (or as many as the server can serve) while fsync and fdatasync take 5 ms longer."""

    def __init__(self, cable, folder, tools, quick):
        self._cable, self._folder, self._tools = cable, folder, tools
        self._seconds = 0.5 if quick else 3
        self.rate = Row("sync takes 5 ms", "1/s", "higher", [at_least(15000)])
        self.p99 = Row("sync takes 5 ms, p99", "us", "lower")
        self.syncs = Row("sync takes 5 ms, syncs", "1/s")
        self.rows = [self.rate, self.p99, self.syncs]

    def measure(self, kind):
        count = self._folder / f"syncs-{kind.name}"
        count.unlink(missing_ok=True)
        environment = {"LD_PRELOAD": str(self._tools / "netlab-slow-sync.so"), "NETLAB_SLOW_SYNC_US": "5000",
                       "NETLAB_SLOW_SYNC_COUNT": str(count)}
        server = kind.start(self._cable, self._folder / kind.name, [probe.Dhcp()], environment)
        try:
            before = _count(count)
            clients = _FEWER_CLIENTS.get(kind.name, 512)
            result = load(self._cable, self._tools, self._seconds, clients)
            if clients != 512:
                self.rate.note(kind.name, f"{clients} clients at once: it syncs for each lease, more would give up first")
            synced = _count(count) - before
        finally:
            server.stop()
        if not synced:
            raise RuntimeError("the server never called fsync or fdatasync while it gave leases")
        self.rate.add(kind.name, result["rate"])
        self.p99.add(kind.name, result["p99_us"])
        self.syncs.add(kind.name, synced / (result["seconds"] + _WARM_UP))


def _count(path):
    data = pathlib.Path(path).read_bytes() if path.exists() else b""
    return int.from_bytes(data[:8], "little")


def measure(cable, setting):
    """The room's tables: (title, Turns) each."""
    kinds = [servers.dnsmasq_dhcp(), servers.kea(1), servers.kea(2),
             servers.floor(setting.tools, "dhcp", interface="eth0", address=SERVER)]
    if setting.netlab:
        kinds.insert(0, servers.netlab(setting.netlab, "dhcp"))
    folder = setting.folder / "dhcp"
    relayed = Relayed(cable, folder, setting.quick)
    unaddressed = [Unaddressed(cable, folder, setting.tools, setting.quick, reply) for reply in ("unicast", "broadcast")]
    rows = relayed.rows + [row for each in unaddressed for row in each.rows]
    turns = Turns(kinds, setting.rounds, rows)
    turns.each(relayed.search, rounds=1)
    turns.each(relayed.measure, rounds=min(setting.rounds, 2))
    for each in unaddressed:
        turns.each(each.measure)

    slow = SlowDisk(cable, folder, setting.tools, setting.quick)
    waiting = Turns([kind for kind in kinds if kind.name in ("netlab", "dnsmasq")], setting.rounds, slow.rows)
    waiting.each(slow.measure)
    return [("dhcp", turns), ("dhcp, slow disk", waiting)]
