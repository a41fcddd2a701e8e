"""Network namespaces: one switch without an address, and hosts that hang on it by a veth pair.

Everything a test sends stays inside.  Names carry the process id, so two runs never meet and a run that
was killed can be swept up by the next one."""

import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

PREFIX = "netlab-e2e-"
_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def run(*command, check=True, timeout=20):
    """Runs a short command, and returns its output; what it printed is in the error when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout


def sweep():
    """Removes what runs that no longer live left behind."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        match = re.fullmatch(PREFIX + r"(\d+)-.*", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            delete(name)


def _settings(name):
    """The folder whose files `ip netns exec` lays over those of /etc."""
    return pathlib.Path("/etc/netns") / name


def _pids(name):
    out = run("ip", "netns", "pids", name, check=False)
    return [int(pid) for pid in out.split() if pid.isdigit() and int(pid) != os.getpid()]


def delete(name):
    for sign in (signal.SIGTERM, signal.SIGKILL):
        pids = _pids(name)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + 2
        while pids and time.monotonic() < deadline:
            pids = _pids(name)
    run("ip", "netns", "delete", name, check=False)
    shutil.rmtree(_settings(name), ignore_errors=True)


@contextlib.contextmanager
def inside(name):
    """The calling thread is in the namespace; sockets opened meanwhile stay in it."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if _libc.setns(there, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")
        try:
            yield
        finally:
            if _libc.setns(home, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns back")
    finally:
        os.close(there)
        os.close(home)


class Namespace:
    """One named namespace.  Owned by the Network that made it, which deletes it and ends what runs in it."""

    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def command(self, *arguments):
        return ["ip", "netns", "exec", self.name, *map(str, arguments)]

    def run(self, *arguments, check=True, timeout=20):
        return run(*self.command(*arguments), check=check, timeout=timeout)

    def ip(self, *arguments):
        return run("ip", "-n", self.name, *map(str, arguments))

    def popen(self, *arguments, **options):
        # A process group of its own: ending it ends what it started.
        return subprocess.Popen(self.command(*arguments), start_new_session=True, **options)

    def knows(self, addresses):
        """What is started from now on finds these names: {name: address}."""
        folder = _settings(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
        (folder / "hosts").write_text("".join(f"{line}\n" for line in lines))

    def addresses(self, interface="eth0"):
        """IPv4 addresses of an interface, without the prefix length."""
        return re.findall(r"inet (\d+\.\d+\.\d+\.\d+)", self.ip("-4", "addr", "show", "dev", interface))


class Host(Namespace):
    """A machine on the lab network: its one card is eth0."""

    def __init__(self, name, mac):
        super().__init__(name)
        self.mac = mac

    def add_address(self, cidr):
        self.ip("addr", "add", cidr, "dev", "eth0")

    def lose_unicast_to(self, address):
        """From now on what this host sends to the address alone arrives nowhere; broadcasts still do.

        A wrong hardware address does it for every kind of socket, where a routing rule does not: the kernel
        takes a socket that is bound to a device past its rules."""
        self.ip("neigh", "replace", address, "lladdr", "02:00:00:00:de:ad", "dev", "eth0", "nud", "permanent")

    def regain_unicast_to(self, address):
        self.ip("neigh", "del", address, "dev", "eth0")


class Network:
    """A switch and the hosts on it.  Use as a context manager; leaving it ends every process inside."""

    _numbers = itertools.count(1)  # several threads make networks

    def __init__(self):
        self._stem = f"{PREFIX}{os.getpid()}-{next(Network._numbers)}"
        self._ports = 0
        self._members = []
        self.switch = self._add(Namespace(f"{self._stem}-switch"))
        self.switch.ip("link", "add", "lan", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        self.switch.ip("link", "set", "lan", "up")

    def _add(self, member):
        self._members.append(member)
        return member

    def _port(self):
        self._ports += 1
        return f"port{self._ports}"

    def host(self, name, address=None, mac=None):
        port = self._port()
        mac = mac or f"02:00:0a:4d:00:{self._ports:02x}"
        host = self._add(Host(f"{self._stem}-{name}", mac))
        self.switch.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        self.switch.ip("link", "set", port, "master", "lan", "up")
        host.ip("link", "set", "eth0", "address", mac, "up")
        if address:
            host.add_address(address)
        return host

    def tap(self):
        """A port for a guest; the emulator runs in the switch's namespace, where no address is."""
        port = self._port()
        self.switch.ip("tuntap", "add", "dev", port, "mode", "tap")
        self.switch.ip("link", "set", port, "master", "lan", "up")
        return port

    def close(self):
        while self._members:
            delete(self._members.pop().name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
