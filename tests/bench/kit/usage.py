"""What a server takes: processor time and memory, of all its processes and threads, also those that ended."""

import contextlib
import os
import pathlib
import time

_TICK = os.sysconf("SC_CLK_TCK")
_PREFIX = "netlab-bench-"
# The unified hierarchy first, then that of the older kind.
_ROOTS = (("/sys/fs/cgroup", "cpu.stat"), ("/sys/fs/cgroup/cpuacct", "cpuacct.usage"),
          ("/sys/fs/cgroup/cpu,cpuacct", "cpuacct.usage"))


# Where a group's memory is accounted: what it holds now, what it may hold, and the most that it held, which begins anew
# when it is written to (in the unified hierarchy since Linux 6.12, and only for who keeps the file open).
_MEMORY = (("/sys/fs/cgroup", "memory.current", "memory.max", "memory.peak"),
           ("/sys/fs/cgroup/memory", "memory.usage_in_bytes", "memory.limit_in_bytes", "memory.max_usage_in_bytes"))


def sweep():
    """Removes the groups that this run, or one that no longer lives, left behind; their processes must have ended."""
    for root in {root for root, *_ in (*_ROOTS, *_MEMORY)}:
        for group in pathlib.Path(root).glob(f"{_PREFIX}*"):
            run = group.name[len(_PREFIX):].split("-")[0]
            if run == str(os.getpid()) or not os.path.exists(f"/proc/{run}"):
                with contextlib.suppress(OSError):
                    group.rmdir()


class Usage:
    """A control group that a server is started in.  Without control groups, the processes that still live and the
    children that they have waited for.  close() removes the group; its processes must have ended."""

    _count = 0

    def __init__(self):
        Usage._count += 1
        name = f"{_PREFIX}{os.getpid()}-{Usage._count}"
        self._group = self._memory = None
        self._pid = None
        for root, now, limit, most in _MEMORY:
            group = pathlib.Path(root, name)
            with contextlib.suppress(OSError):
                if not pathlib.Path(root, "cgroup.procs").exists():
                    continue
                group.mkdir(exist_ok=True)
                if (group / now).exists():
                    self._memory, self._memory_now, self._memory_most = group, group / now, group / most
                    self._memory_limit = group / limit
                    break
                group.rmdir()
        for root, accounting in _ROOTS:
            group = pathlib.Path(root, name)
            with contextlib.suppress(OSError):
                if not pathlib.Path(root, "cgroup.procs").exists():
                    continue
                group.mkdir(exist_ok=True)
                if (group / accounting).exists():
                    self._group, self._accounting = group, accounting
                    return
                group.rmdir()

    def command(self, command):
        """The command, so written that it runs in the group from its first instruction."""
        for group in {self._group, self._memory} - {None}:
            command = ["/bin/sh", "-c", 'echo $$ >"$0"; exec "$@"', str(group / "cgroup.procs"), *command]
        return list(command)

    def watch(self, pid):
        self._pid = pid

    def pids(self):
        if self._group:
            return [int(line) for line in (self._group / "cgroup.procs").read_text().split()]
        found, look = [], [self._pid] if self._pid else []
        while look:
            pid = look.pop()
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    children = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()
                    look += map(int, children)
                found.append(pid)
        return found

    def cpu_seconds(self):
        if self._group and self._accounting == "cpu.stat":
            fields = dict(line.split() for line in (self._group / "cpu.stat").read_text().splitlines())
            return int(fields["usage_usec"]) / 1e6
        if self._group:
            return int((self._group / "cpuacct.usage").read_text()) / 1e9
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                ticks += sum(int(field) for field in fields[11:15])
        return ticks / _TICK

    def memory(self):
        """MiB of all processes together: rss, pss, private (mapped by them alone), and own: what they wrote, which no
        file could give back."""
        total = {"rss": 0, "pss": 0, "private": 0, "own": 0}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    key, _, value = line.partition(":")
                    kind = {"Rss": "rss", "Pss": "pss", "Private_Clean": "private", "Private_Dirty": "private"}.get(key)
                    if kind:
                        total[kind] += int(value.split()[0]) / 1024
                    if key == "Private_Dirty":
                        total["own"] += int(value.split()[0]) / 1024
        return total

    def group_memory(self):
        """MiB that the kernel counts for all of its processes, with what it keeps of their files; None where it does
        not count."""
        if not self._memory:
            return None
        return int(self._memory_now.read_text()) / (1 << 20)

    def limit_group(self, times):
        """The group may hold so many times what it holds now, and no more.  False where groups have no limits."""
        if not self._memory:
            return False
        self._memory_limit.write_text(str(int(times * int(self._memory_now.read_text()))))
        return True

    @contextlib.contextmanager
    def group_peak(self):
        """Gives a function that tells the most of group_memory() since then, as the kernel saw it; None where it does
        not say."""
        if not self._memory or not self._memory_most.exists():
            yield lambda: None
            return
        with open(self._memory_most, "r+", encoding="ascii") as file:
            try:
                file.write("0")
                file.flush()
            except OSError:  # it only tells the most since the group began
                yield lambda: None
                return

            def most():
                file.seek(0)
                return int(file.read()) / (1 << 20)
            yield most

    def wakeups(self):
        """How often any of its threads went to sleep by itself so far."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    for line in pathlib.Path(f"/proc/{pid}/task/{task}/status").read_text().splitlines():
                        if line.startswith("voluntary_ctxt_switches"):
                            total += int(line.split()[1])
        return total

    def processes(self):
        return len(self.pids())

    def close(self):
        deadline = time.monotonic() + 5
        for group in {self._group, self._memory} - {None}:
            while True:
                try:
                    group.rmdir()
                    break
                except OSError:
                    # A process that has just ended still counts for a moment.
                    if time.monotonic() > deadline or not group.exists():
                        break
                    time.sleep(0.01)
