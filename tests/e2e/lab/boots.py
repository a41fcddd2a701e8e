"""Machines with real firmware, each booting in a laboratory of its own, several at a time.

A module that has such tests names their boots in BOOTS, test name to Boot.  They start with the first test that takes
one, as many at once as the machine has cores and memory for: an emulated machine keeps one core busy and no more."""

import os
import pathlib
import re

from . import bastion
from .advertiser import Advertiser
from .qemu import Guest, run_to_config

_MOST, _MEMORY = 4, 1 << 30  # at once; what one of them takes


def kernel(arch):
    """The guest's kernel and initramfs, as files of the assets folder."""
    return {f"{arch}/{name}": f"{arch}/{name}" for name in ("vmlinuz", "initrd.gz")}


class Boot:
    """One machine in a laboratory of its own, from power-on to the end of `follow`.

    After run(): `lab` with its evidence, `result` of follow, the server's `events`, the machine's `serial` lines, the
    DHCP `messages` of the wire, and `sockets`, those that the server's host had open."""

    def __init__(self, machine, recipe, assets=None, node=None, http_boot=False, follow=None, prepare=None, ready=None,
                 power_on=None, peer_files=None, peer_nodes=(), ipv6_router=True, **options):
        """`assets`: name to path below the fixtures' folder, where one that ends with "/" is all that is in it.
        `prepare(lab)`: adds hosts before the server starts; may return further options for it.
        `ready(boot)`: the server runs and the machine is off; may return further arguments of the emulator.
        `power_on(boot)`: in place of a Guest.  `follow(boot)`: in place of the way to the machine configuration.
        `ipv6_router`: False lets iPXE wait for one, as it does in a network without IPv6.
        `options` are the recipe's; `peer_files` and `peer_nodes` what dnsmasq needs for the same boot."""
        self.machine, self.recipe, self.assets = machine, recipe, assets or {}
        self.node = node or {"mac": bastion.GUEST_MAC, "uuid": bastion.GUEST_UUID}
        self.http_boot, self.follow, self.prepare, self.ready, self.power_on = http_boot, follow, prepare, ready, power_on
        self.ipv6_router = ipv6_router
        self.peer_files, self.peer_nodes, self.options = peer_files or {}, peer_nodes, options
        self.lab = None

    def run(self, folder, server, binary):
        self.lab = bastion.Lab(folder, server, binary)
        try:
            if self.ipv6_router:
                self.lab.keep(Advertiser(self.lab.network))
            fixtures = bastion.fixtures("amd64", "arm64")
            for name, source in self.assets.items():
                if source.endswith("/"):
                    for path in (fixtures / source).rglob("*"):
                        if path.is_file():
                            self.lab.asset(path, pathlib.Path(name) / path.relative_to(fixtures / source))
                else:
                    self.lab.asset(fixtures / source, name)
            options = dict(self.options)
            if self.prepare:
                options.update(self.prepare(self.lab) or {})
            files = {name: source if isinstance(source, pathlib.Path) else fixtures / source
                     for name, source in self.peer_files.items()}
            self.server = self.lab.start(self.recipe, files=files, nodes=self.peer_nodes, **options)
            arguments = (self.ready(self) if self.ready else None) or ()
            self.guest = self.lab.keep(self.power_on(self) if self.power_on else
                                       Guest(self.lab.network, self.lab.folder, self.machine, self.node["mac"],
                                             self.node["uuid"], http_boot=self.http_boot, arguments=arguments))
            self.result = self.follow(self) if self.follow else self.to_config()
            if server == "netlab":
                self.events = self.server.events()
            self.messages = self.lab.wire.all()
            self.sockets = self.lab.host.run("ss", "-lnutH")
            self.serial = self.guest.serial.text()
            return self
        finally:
            self.lab.close()

    def to_config(self, timeout=300):
        return run_to_config(self.guest, timeout)

    def steps(self):
        """What netlab told of the boot, as "stage: what" in order, without the times and sizes."""
        told = [event.get("message", "") for event in self.events]
        names = tuple(f"{name} " for name in (self.node["mac"], self.node.get("name")) if name)
        return [line.split(" ", 1)[1].split(",")[0] for line in told if line.startswith(names)]


def in_order(lines, *wanted):
    """Each of the lines wanted comes after the one before it; a line may go on behind what is wanted."""
    at = -1
    for text in wanted:
        found = [i for i, line in enumerate(lines) if i > at and line.startswith(text)]
        assert found, f"no {text!r} after line {at + 1} of:\n" + "\n".join(lines)
        at = found[0]


def at_once():
    memory = re.search(r"^MemAvailable:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.M)
    return max(1, min(_MOST, len(os.sched_getaffinity(0)), int(memory.group(1)) * 1024 // _MEMORY))
