"""The laboratory of one test: a switch, a bastion that runs the server under test, and a folder of evidence."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess

from . import dnsmasq, netlab, netns
from .capture import Capture
from .wire import Sniffer

ADDRESS = "10.77.0.1"
RECIPES = pathlib.Path(__file__).resolve().parent.parent / "recipes"
REPOSITORY = RECIPES.parent.parent.parent
NODES = [
    {"name": "virtual-1", "mac": "52:54:00:0a:4d:11", "ip": "10.77.0.11", "uuid": "0f8c1c52-6d52-4c1e-9a55-77000000000b"},
    {"name": "virtual-2", "mac": "52:54:00:0a:4d:12", "ip": "10.77.0.12", "uuid": "0f8c1c52-6d52-4c1e-9a55-77000000000c"},
]
GUEST_MAC, GUEST_UUID = "52:54:00:0a:4d:77", "0f8c1c52-6d52-4c1e-9a55-770000000077"

# What the peer needs to do for each recipe of the same name.
_PEER = {
    "dhcp": {"boot": None},
    "files": {"boot": None},
    "kernel": {"boot": "kernel"},
    "uki": {"boot": "uki"},
    "proxy": {"boot": "proxy"},
}


def fixtures(*architectures):
    """The folder with the guests' kernels, made when it is not there."""
    done = subprocess.run([str(REPOSITORY / "tests/fixtures/make"), *architectures], stdout=subprocess.PIPE, text=True,
                          check=True, timeout=600)
    return pathlib.Path(done.stdout.strip().splitlines()[-1])


def loaders(*architectures):
    """Unpacks the boot loaders of Debian's packages when they are not there: loaders-ARCHITECTURE of the same folder."""
    subprocess.run([str(REPOSITORY / "tests/fixtures/loaders"), *architectures], stdout=subprocess.DEVNULL, check=True,
                   timeout=600)


def place(source, target):
    """A file under another name, without a second copy of it where the file system allows."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class Lab:
    """Owns the namespaces, the capture and the servers of one test; close() ends all of them."""

    def __init__(self, folder, server, binary):
        self.folder = pathlib.Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.server = server
        self.binary = self._binary = binary
        self.state = self.folder / "state"
        self.state.mkdir()
        self._open = contextlib.ExitStack()
        self._servers = []
        self._starts = 0
        self.address = ADDRESS
        try:
            self.network = self._open.enter_context(netns.Network())
            self.host = self.network.host("bastion", f"{ADDRESS}/24", mac="02:00:0a:4d:00:01")
            self._capture = Capture(self.network, self.folder)
            self.wire = Sniffer(self.network)
            self._open.callback(self.wire.close)
        except BaseException:
            self._open.close()
            raise

    def asset(self, source, name):
        """Puts a file into the assets folder of the boot service."""
        place(source, self.state / "assets" / name)

    def start(self, recipe, files=None, nodes=(), **options):
        """Starts the server under test with a recipe of tests/e2e/recipes and its options.

        `files`: the peer's TFTP and HTTP files, name to path; netlab has its own idea of what it serves."""
        self._starts += 1
        if self.server == "dnsmasq":
            scenario = dict(_PEER[recipe], address=ADDRESS, range=options.get("range", "10.77.0.100-10.77.0.199"),
                            lease=_seconds(options.get("lease", "1h")), nodes=nodes, files=files or {})
            server = dnsmasq.Dnsmasq(self.host, self.folder, scenario)
        else:
            server = netlab.Netlab(self.host, self.folder, self._binary, RECIPES / f"{recipe}.lua",
                                   {"state": self.state, **options}, log_name=f"netlab-{self._starts}")
        self._servers.append(server)
        return server

    def client(self, kind, name, **options):
        """A DHCP client on a host of its own."""
        host = self.network.host(name)
        client = kind(host, self.folder, name, **options)
        self._open.callback(client.close)
        return client

    def client_on(self, kind, host, name, **options):
        client = kind(host, self.folder, name, **options)
        self._open.callback(client.close)
        return client

    def keep(self, thing):
        """Closes the thing (its close or kill) with the laboratory."""
        self._open.callback(getattr(thing, "close", None) or thing.kill)
        return thing

    def command(self, *words, code=0, typed=""):
        """The netlab command beside the running instance: what it prints.  `typed`: its standard input."""
        done = subprocess.run([str(self.binary), "--no-colour", "--state", str(self.state), *words], input=typed,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode == code, f"netlab {' '.join(words)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def story(self, node):
        """The steps of the node's boot as `netlab status` tells them."""
        out = self.host.run(str(self.binary), "--state", str(self.state), "status", "--json")
        boots = [boot for boot in json.loads(out)["boots"] if boot["node"] == node]
        assert boots, out
        return boots[0]["steps"]

    def evidence(self):
        """What a reader needs to see why a test failed."""
        parts = []
        for path in sorted(self.folder.rglob("*.log")):
            if not path.is_file():
                continue
            lines = path.read_text(errors="replace").splitlines()
            if lines:
                parts.append(f"--- {path.relative_to(self.folder)} (last {min(len(lines), 60)} of {len(lines)} lines)")
                parts += lines[-60:]
        wire = self._capture.text()
        if wire:
            parts += ["--- the wire", wire]
        return "\n".join(parts)

    def close(self):
        """Ends everything.  AssertionError when netlab did not stop in order."""
        codes = [server.stop() for server in self._servers if server.process.poll() is None]
        self._capture.stop()
        self._open.close()
        assert all(code == 0 for code in codes), f"the server ended with {codes} on SIGTERM"


def _seconds(text):
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]
