"""A tcpdump of the switch beside every test, shown as text when the test fails."""

import subprocess

from . import process
from .output import Output

# Bulk data (TFTP blocks, HTTP bodies) is left out: what decides a boot is who asked for what.
_FILTER = "arp or icmp or udp port 67 or udp port 68 or udp port 69 or udp port 4011 or tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0"


class Capture:
    """Records the switch's bridge from construction to stop()."""

    def __init__(self, network, folder):
        self._path = folder / "wire.pcap"
        # -Z root: the folder belongs to root, and tcpdump would give its rights up before writing.
        self._process = network.switch.popen(
            "tcpdump", "-Z", "root", "-i", "lan", "-U", "-n", "-s", "800", "-w", self._path, _FILTER,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._messages = Output(self._process.stderr, folder / "tcpdump.log")
        self._messages.expect("listening on", 10)

    def stop(self):
        process.stop(self._process)

    def text(self, limit=200):
        """What was seen, at most `limit` lines of it."""
        if not self._path.exists():
            return ""
        done = subprocess.run(["tcpdump", "-n", "-v", "-r", str(self._path)], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)
        lines = done.stdout.splitlines()
        (self._path.with_suffix(".txt")).write_text(done.stdout)
        return "\n".join(lines[-limit:])
