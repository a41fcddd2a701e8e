"""DNS: kept answers, blocked names and misses beside dnsmasq and unbound; start-up, memory, a list that changes; the
resolver alone in process."""

import contextlib
import json
import random
import re
import shutil
import subprocess
import threading
import time

from lab import process

from kit import probe, servers
from kit.cable import CLIENT, SERVER, Cable
from kit.rows import Row, at_least, at_most, at_most_above_floor, at_most_of_floor, at_most_of_peer
from kit.turns import Turns, run

KEPT, DISTINCT = 1000, 200_000


def listed(number):
    return f"tracker{number}.{'ads' if number % 2 else 'metrics'}.example"


class Lists:
    """The same names for each server in its own words, and the questions."""

    def __init__(self, folder, names):
        folder.mkdir(parents=True, exist_ok=True)
        self.names, self._folder = names, folder
        self.hosts, self.dnsmasq, self.unbound = (folder / f"{kind}-{names}" for kind in ("hosts", "dnsmasq", "unbound"))
        for path, line in ((self.hosts, "0.0.0.0 {}\n"), (self.dnsmasq, "local=/{}/\n"),
                           (self.unbound, 'local-zone: "{}." always_nxdomain\n')):
            if not path.exists():
                text = "".join(line.format(listed(number)) for number in range(names))
                path.write_text(text if path != self.unbound else f"server:\n{text}")
        chosen = random.Random(7)
        self.kept = self._questions("kept", (f"host{n}.kept.bench" for n in range(KEPT)))
        self.forwarded = self._questions("forwarded", (f"host{n}.forwarded.bench" for n in range(KEPT)))
        self.blocked = self._questions("blocked", (listed(chosen.randrange(names)) for _ in range(DISTINCT)))

    def _questions(self, what, names):
        path = self._folder / f"questions-{what}"
        path.write_text("".join(f"{name} A\n" for name in names))
        return path

    def fresh(self, number, count):
        """Names that a server was not asked for before, when it gets each number once."""
        return self._questions(f"fresh-{number}", (f"n{each}.r{number}.miss.bench" for each in range(count)))

    def last(self):
        return listed(self.names - 1)


class Upstream:
    """nsd on the client's side, with an address for every name of the zone bench."""

    def __init__(self, cable, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "bench.zone").write_text("$ORIGIN bench.\n$TTL 3600\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\n"
                                           f"ns IN A {CLIENT}\n" + "".join(f"*.{zone} IN A 192.0.2.1\n" for zone in
                                                                           ("kept", "forwarded", "miss")))
        config = folder / "nsd.conf"
        config.write_text(f"""server:
  ip-address: {CLIENT}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  server-count: 1
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: bench
  zonefile: bench.zone
""")
        self._log = open(folder / "output.log", "ab")
        self._process = subprocess.Popen(cable.client.command(servers.program("nsd", package="nsd"), "-d", "-c", config),
                                         stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT,
                                         start_new_session=True)
        probe.wait(cable, [probe.Dns("host0.kept.bench", address=CLIENT)], self._process)

    def close(self):
        process.stop(self._process, timeout=10)
        self._log.close()


# ---- servers ----

def prepared_netlab(cable, setting, lists):
    """netlab with the list compiled by an earlier start, as after every restart but the first."""
    kept = setting.folder / "dns" / "prepared"
    options = {"list": lists.hosts, "upstream": CLIENT}
    first = servers.netlab(setting.netlab, "dns", **options)
    server = first.start(cable, kept, [probe.Dns(lists.last(), blocked=True)])
    compiled_seconds = server.start_seconds
    server.stop()

    def make(folder):
        shutil.copytree(kept / "state", folder / "state")
        (commands, environment) = ([str(setting.netlab), "run", "--log", "json", str(servers.RECIPES / "dns.lua"), "--state",
                                    str(folder / "state"), "--list", str(lists.hosts), "--upstream", CLIENT], {})
        return [commands], environment
    return servers.Kind("netlab", make), compiled_seconds


def dnsmasq(lists):
    def make(folder):
        config = folder / "dnsmasq.conf"
        config.write_text("\n".join(["keep-in-foreground", "interface=eth0", "bind-interfaces", "user=root", "no-resolv",
                                     "no-hosts", f"server={CLIENT}", "cache-size=10000", "dns-forward-max=10000",
                                     f"log-facility={folder}/dnsmasq.log", f"pid-file={folder}/dnsmasq.pid",
                                     f"conf-file={lists.dnsmasq}"]) + "\n")
        return [[servers.program("dnsmasq", package="dnsmasq-base"), f"--conf-file={config}"]], {}
    return servers.Kind("dnsmasq", make)


def unbound(lists):
    def make(folder):
        config = folder / "unbound.conf"
        config.write_text(f"""server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: {SERVER}
  access-control: 0.0.0.0/0 allow
  do-ip6: no
  num-threads: 1
  module-config: "iterator"
  do-not-query-localhost: no
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {CLIENT}
include: "{lists.unbound}"
""")
        return [[servers.program("unbound", package="unbound"), "-d", "-p", "-c", str(config)]], {}
    return servers.Kind("unbound", make)


# ---- load ----

class Station:
    """One kind of server with a cable and an upstream of its own, so that all of them can stand ready at once and take
    turns second by second."""

    def __init__(self, kind, folder, stack):
        self.kind, self._folder = kind, folder / kind.name
        self.cable = stack.enter_context(Cable())
        self._upstream = stack.enter_context(contextlib.closing(Upstream(self.cable, folder / f"{kind.name}-upstream")))
        self.server = None
        self.misses = 0  # how often it was asked for fresh names
        stack.callback(self.stop)

    def start(self, *probes, kind=None):
        self.stop()
        self.server = (kind or self.kind).start(self.cable, self._folder, probes)
        return self.server

    def stop(self):
        if self.server:
            self.server.stop()
        self.server = None

    def ask(self, questions):
        """Each of them once."""
        run(self.cable.client, "dnsperf", "-s", SERVER, "-d", questions, "-q", 50, "-n", 1, seconds=60)


class Load:
    """dnsperf with one kind of question: the server's processor time for each, and how many it answered a second."""

    def __init__(self, name, goals):
        self.cpu = Row(f"{name}, processor", "us/query", "lower", goals, paired=True)
        self.rate = Row(name, "1/s", "higher", paired=True)
        self.rows = [self.cpu, self.rate]

    def measure(self, station, questions, *options):
        kind, server = station.kind, station.server
        before = server.usage.cpu_seconds()
        text = run(station.cable.client, servers.program("dnsperf", package="dnsperf"), "-s", SERVER, "-d", questions,
                   "-q", 200, "-c", 4, "-t", 2, *options, seconds=90)
        cpu = server.usage.cpu_seconds() - before
        sent, completed = (int(re.search(rf"Queries {what}:\s+(\d+)", text).group(1)) for what in ("sent", "completed"))
        if completed < 0.98 * sent or not completed:
            raise RuntimeError(f"{completed} of {sent} queries were answered")
        self.cpu.add(kind.name, 1e6 * cpu / completed)
        self.rate.add(kind.name, float(re.search(r"Queries per second:\s+([\d.]+)", text).group(1)))


class Peak:
    """The most memory that a server has while this is open, in MiB: private to its processes, and counted for its
    control group, where there is one.  Of private memory only what they wrote themselves is followed: their libraries'
    pages become private, or shared, as other programs come and go."""

    def __init__(self, server):
        self._server, self._over = server, threading.Event()
        taken = server.usage.memory()
        self._own, self.before = taken["own"], taken["private"]
        self.most = self.before
        self.group_before = self.group_most = server.usage.group_memory()
        self._kernel = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._over.wait(0.005):
            with contextlib.suppress(OSError):
                self.most = max(self.most, self.before + self._server.usage.memory()["own"] - self._own)
                if self.group_before is not None:
                    self.group_most = max(self.group_most, self._server.usage.group_memory())

    def __enter__(self):
        self._told = self._kernel.enter_context(self._server.usage.group_peak())
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        told = self._told()
        if told is not None:
            self.group_most = max(self.group_most, told)
        self._kernel.close()


def in_process(setting):
    kept = Row("kept", "ns", "lower")
    blocked = Row("blocked, 200,000 names", "ns", "lower")
    miss = Row("miss", "ns", "lower")
    both = Row("two threads to one", "x", "higher", [at_least(1.8)])
    turns = Turns([servers.Kind("netlab", None)], setting.rounds, [kept, blocked, miss, both])

    def once(kind):
        options = ["--names", "50000", "--queries", "50000"] if setting.quick else []
        done = subprocess.run([setting.tools / "netlab-bench-dns-engine", "--folder", setting.folder, *options],
                              capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip() or f"ended with {done.returncode}")
        got = json.loads(done.stdout)
        for row, key in ((kept, "cached_ns"), (blocked, "blocked_ns"), (miss, "miss_ns"), (both, "two_threads")):
            row.add(kind.name, got[key])
    turns.each(once)
    return turns


def measure(_cable, setting):
    lists = Lists(setting.data / "dns", 100_000 if setting.quick else 1_000_000)
    folder = setting.folder / "dns"
    misses = 10_000 if setting.quick else 40_000
    started = Row("exec until a listed name is blocked", "ms", "lower", [at_most(50)])
    kept = Load("kept", [at_most_above_floor(0.4), at_most_of_floor(1.2)])
    forwarded = Load("kept, of a forwarded zone", [at_most_above_floor(0.4), at_most_of_floor(1.2)])
    blocked = Load("blocked, 200,000 names", [at_most_above_floor(0.6), at_most_of_floor(1.3)])
    miss = Load("miss", [at_most(10), at_most_of_peer(0.52)])
    memory = Row("memory at start, RSS", "MiB", "lower")
    private = Row("memory at start, private", "MiB", "lower")
    own = Row("memory at start, own", "MiB", "lower")
    blocked_private = Row("memory after 200,000 blocked names, private", "MiB", "lower", [at_most(14)])
    blocked_own = Row("memory after 200,000 blocked names, own", "MiB", "lower", [at_most(14)])
    loaded = Row("memory after the load, private", "MiB", "lower")
    loaded_own = Row("memory after the load, own", "MiB", "lower")
    compiled = Row("compiling the list, from exec to the first blocked answer", "ms", "lower")
    update = Row("a list's update, peak above private memory", "%", "lower", [at_most(10)])
    group = Row("a list's update, peak above what its control group held", "%", "lower", [at_most(10)])
    limited = Row("a list's update in a group limited to that, until it counts", "ms", "lower")
    turns = Turns([dnsmasq(lists), unbound(lists), servers.floor(setting.tools, "dns", address=SERVER)], setting.rounds,
                  [started, *kept.rows, *forwarded.rows, *blocked.rows, *miss.rows, memory, private, own, blocked_private,
                   blocked_own, loaded, loaded_own, compiled, update, group, limited])
    with contextlib.ExitStack() as stack:
        if setting.netlab:
            cable = stack.enter_context(Cable())
            kind, compiled_seconds = prepared_netlab(cable, setting, lists)
            compiled.add("netlab", 1000 * compiled_seconds)
            turns.kinds.insert(0, kind)
        stations = {kind.name: Station(kind, folder, stack) for kind in turns.kinds}

        def start(kind):
            server = stations[kind.name].start(probe.Dns(lists.last(), blocked=kind.name != "floor"))
            started.add(kind.name, 1000 * server.start_seconds)
            taken = server.usage.memory()
            memory.add(kind.name, taken["rss"])
            private.add(kind.name, taken["private"])
            own.add(kind.name, taken["own"])
        turns.each(start)

        def take_turns(work):
            turns.each(work)
            if not setting.quick:  # dnsmasq is the slowest by far: three of its turns tell enough
                turns.each(work, rounds=2 * setting.rounds, only=[kind.name for kind in turns.kinds if kind.name != "dnsmasq"])

        for load, questions, options in ((kept, lists.kept, ["-l", 1]), (forwarded, lists.forwarded, ["-l", 1]),
                                         (blocked, lists.blocked, ["-n", 1])):
            def prepare(kind):
                if kind.name != "floor":  # what was not asked for yet is a miss
                    stations[kind.name].ask(questions)
            turns.each(prepare, rounds=1)
            take_turns(lambda kind: load.measure(stations[kind.name], questions, *options))

        def look(total, written):
            def at(kind):
                taken = stations[kind.name].server.usage.memory()
                total.add(kind.name, taken["private"])
                written.add(kind.name, taken["own"])
            turns.each(at, rounds=1)
        look(blocked_private, blocked_own)
        forwarding = servers.floor(setting.tools, "dns", address=SERVER, upstream=CLIENT)
        turns.each(lambda kind: stations[kind.name].start(probe.Dns("host0.kept.bench"), kind=forwarding), rounds=1,
                   only=["floor"])

        def ask_fresh(kind):
            station = stations[kind.name]
            station.misses += 1
            # dnsmasq takes 300 us for each, and would be busy with one turn for minutes.
            miss.measure(station, lists.fresh(station.misses, misses), "-n", 1, "-l", 3)
        take_turns(ask_fresh)
        look(loaded, loaded_own)
        for station in stations.values():
            station.stop()
        turns.each(lambda kind: change(kind, stations[kind.name], setting, lists, update, group, limited), rounds=1,
                   only=["netlab"])
    return [("dns", turns), ("dns, in process", in_process(setting))]


def change(kind, station, setting, lists, update, group, limited):
    """One name more in the list, twice: with room, and with as much as the goal allows."""
    changing = setting.folder / "dns" / "changing.list"
    shutil.copyfile(lists.hosts, changing)
    server = station.start(probe.Dns(lists.last(), blocked=True),
                           kind=servers.netlab(setting.netlab, "dns", list=changing, upstream=CLIENT))

    def add(name):
        begun = time.monotonic()
        with Peak(server) as peak:
            with open(changing, "a", encoding="ascii") as out:
                out.write(f"0.0.0.0 {name}\n")
            probe.wait(station.cable, [probe.Dns(name, blocked=True)], server, seconds=60)
        return peak, time.monotonic() - begun

    def settle():
        # All of the list is in memory then, as after a day in use; what compiling took is given back.
        station.ask(lists.blocked)
        time.sleep(1)
    settle()
    peak, _ = add("brand-new.example")
    update.add(kind.name, 100 * (peak.most - peak.before) / peak.before)
    settle()
    # What the kernel keeps of files it gives back when it must, and the group is told to stop there: who needs more is
    # killed.
    if server.usage.limit_group(1.1):
        peak, seconds = add("newer.example")
        group.add(kind.name, 100 * (peak.group_most - peak.group_before) / peak.group_before)
        limited.add(kind.name, 1000 * seconds)
