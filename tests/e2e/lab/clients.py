"""DHCP clients that other people wrote, each in the namespace of a host, reporting through one hook script."""

import contextlib
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import tempfile
import time

from . import process
from .output import Output

_HOOK = str(pathlib.Path(__file__).with_name("dhcp_hook.py"))


class Client:
    """What the three clients share: a folder, the pipe of events, the process and its end."""

    def __init__(self, host, folder, name):
        self.host = host
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._runs = 0
        # In the system's temporary folder, so that a client that gave up its rights can still reach it.
        self._pipe_folder = tempfile.TemporaryDirectory(prefix="netlab-e2e-")
        os.chmod(self._pipe_folder.name, 0o755)
        self._pipe_path = os.path.join(self._pipe_folder.name, "events")
        os.mkfifo(self._pipe_path)
        os.chmod(self._pipe_path, 0o666)
        self._pipe = os.open(self._pipe_path, os.O_RDWR | os.O_NONBLOCK)
        self._buffer = b""
        self.events = []
        self._next = 0
        self.process = None
        self.output = None

    def _start(self, *command):
        self._runs += 1
        environment = dict(os.environ, NETLAB_E2E_EVENTS=self._pipe_path)
        self.process = self.host.popen(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, env=environment)
        self.output = Output(self.process.stdout, self.folder / f"output-{self._runs}.log")

    def expect(self, *kinds, timeout=25):
        """The next event of one of these kinds."""
        deadline = time.monotonic() + timeout
        while True:
            while self._next < len(self.events):
                event = self.events[self._next]
                self._next += 1
                if event["event"] in kinds:
                    return event
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{self._name}: no {' or '.join(kinds)} within {timeout} s; "
                                     f"events: {self.events}\n{self.output.text()}")
            if select.select([self._pipe], [], [], left)[0]:
                self._buffer += os.read(self._pipe, 65536)
                *lines, self._buffer = self._buffer.split(b"\n")
                self.events += [json.loads(line) for line in lines]

    def signal(self, sign):
        os.kill(self.process.pid, sign)

    def stop(self):
        """Ends the client without a release, as when a machine loses power."""
        if self.process and self.process.poll() is None:
            process.kill_group(self.process)
            self.process.wait(10)

    def close(self):
        self.stop()
        os.close(self._pipe)
        self._pipe_folder.cleanup()


class Udhcpc(Client):
    """busybox udhcpc.  Its renewals are ours to trigger: it never takes a lease for shorter than two minutes."""

    kind = "udhcpc"

    def __init__(self, host, folder, name="udhcpc", hostname=None, architecture=None):
        """`architecture`: a number of RFC 4578 section 2.1; the client then looks like a machine's firmware."""
        super().__init__(host, folder, name)
        self._sends = ["-x", f"hostname:{hostname}"] if hostname else []
        if architecture is not None:
            self._sends += ["-x", f"0x5d:{architecture:04x}", "-V", f"PXEClient:Arch:{architecture:05d}:UNDI:003016"]

    def start(self, patience=120):
        """`patience`: for how many seconds a forced renewal asks the server alone before it asks everyone."""
        self._start("busybox", "udhcpc", "-i", "eth0", "-f", "-R", "-t", "4", "-T", "2", "-A", str(patience),
                    *self._sends, "-O", "hostname", "-O", "domain", "-s", _HOOK)

    def renew(self):
        self.signal(signal.SIGUSR1)

    def release(self):
        self.signal(signal.SIGUSR2)


class Dhclient(Client):
    """ISC dhclient.  It renews and rebinds at the lease's own T1 and T2 only."""

    kind = "dhclient"

    def __init__(self, host, folder, name="dhclient", hostname=None):
        super().__init__(host, folder, name)
        self._leases = self.folder / "leases"
        self._config = self.folder / "dhclient.conf"
        self._config.write_text(
            "timeout 20;\nretry 2;\nreboot 4;\ninitial-interval 1;\nbackoff-cutoff 2;\ninitial-delay 0;\n"
            + (f'send host-name "{hostname}";\n' if hostname else "")
            + "request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, host-name;\n")

    def _arguments(self):
        return ["-4", "-d", "-v", "-cf", self._config, "-lf", self._leases, "-pf", self.folder / "pid", "-sf", _HOOK,
                "-e", f"NETLAB_E2E_EVENTS={self._pipe_path}"]

    def remember(self, address, server):
        """The client believes that it holds this lease, from another network."""
        self._leases.write_text(
            "lease {\n  interface \"eth0\";\n"
            f"  fixed-address {address};\n  option subnet-mask 255.255.255.0;\n  option dhcp-lease-time 86400;\n"
            f"  option dhcp-message-type 5;\n  option dhcp-server-identifier {server};\n"
            "  renew never;\n  rebind never;\n  expire never;\n}\n")

    def start(self):
        self._start("dhclient", *self._arguments(), "eth0")

    def release(self):
        """A second dhclient reads the lease file, ends the first and sends the release."""
        self.host.run("dhclient", "-r", *[a for a in self._arguments() if a != "-d"], "eth0")


class Dhcpcd(Client):
    """dhcpcd, in a mount namespace of its own: it keeps its files at fixed paths."""

    kind = "dhcpcd"

    def __init__(self, host, folder, name="dhcpcd", hostname=None):
        super().__init__(host, folder, name)
        for part in ("lib", "run"):
            (self.folder / part).mkdir(exist_ok=True)
        self._config = self.folder / "dhcpcd.conf"
        self._config.write_text(
            "noarp\nnoipv4ll\nipv4only\nnolink\nreboot 4\ntimeout 30\nnohook resolv.conf\n"
            "option domain_name_servers, domain_name, host_name, routers\n"
            + (f"hostname {hostname}\n" if hostname else "nohook hostname\n"))

    def start(self):
        script = (f"mkdir -p /var/lib/dhcpcd /run/dhcpcd; mount --bind {self.folder}/lib /var/lib/dhcpcd; "
                  f"mount --bind {self.folder}/run /run/dhcpcd; "
                  f"exec dhcpcd -4 -B -d -f {self._config} -c {_HOOK} -e NETLAB_E2E_EVENTS={self._pipe_path} eth0")
        self._start("unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script)

    def release(self):
        """Asks until it has gone: dhcpcd 9 loses a signal that comes while it runs its script."""
        for _ in range(20):
            self.signal(signal.SIGALRM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.5)
                return
        raise AssertionError(f"dhcpcd does not release\n{self.output.text()}")


def perfdhcp(host, server, rate, exchanges, clients=None):
    """A burst of exchanges from many hardware addresses; returns the counts that perfdhcp prints.

    Keys: sent and received for `discover_offer` and `request_ack`."""
    out = host.run("perfdhcp", "-4", "-r", rate, "-n", exchanges, "-R", clients or exchanges, "-W", "2000000",
                   "-l", "eth0", server, check=False, timeout=60)
    counts = {}
    for block, key in (("DISCOVER-OFFER", "discover_offer"), ("REQUEST-ACK", "request_ack")):
        match = re.search(block + r".*?sent packets: (\d+).*?received packets: (\d+)", out, re.S)
        if not match:
            raise AssertionError(f"perfdhcp printed no {block} statistics:\n{out}")
        counts[key] = {"sent": int(match.group(1)), "received": int(match.group(2))}
    return counts
