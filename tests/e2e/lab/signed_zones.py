"""A tree of signed zones of its own: root, "tld" and zones below it, made with ldns and served by nsd; unbound
resolves them, as an upstream that does not validate and as a judge that does."""

import pathlib
import re
import subprocess
import time

from . import netns, process
from .output import Output
from .resolvers import ZONE

AUTHORITY, RESOLVER, JUDGE = "10.77.0.54", "10.77.0.53", "10.77.0.55"

NSD = """\
server:
  ip-address: {address}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: ""
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
"""

UNBOUND = """\
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  interface: {address}
  access-control: 0.0.0.0/0 allow
  do-ip6: no
  num-threads: 1
  root-hints: "{folder}/root.hints"
  module-config: "{modules}"
  target-fetch-policy: "0 0 0 0 0"
  {anchor}
remote-control:
  control-enable: no
"""

# What a zone is signed with and how it says that something is not there.
ZONES = {
    "signed.tld": ("ECDSAP256SHA256", []),
    "rsa.tld": ("RSASHA256", []),
    "ed.tld": ("ED25519", ["-n", "-a", "1", "-t", "0"]),
    "hashed.tld": ("ECDSAP384SHA384", ["-n", "-a", "1", "-t", "5", "-s", "ab"]),
    "broken.tld": ("ECDSAP256SHA256", []),
    "expired.tld": ("ECDSAP256SHA256", ["-i", str(int(time.time()) - 30 * 86400), "-e", str(int(time.time()) - 5 * 86400)]),
}


class SignedZones:
    """nsd and two unbound in a host's namespace.  `anchor` is the root key's DS data."""

    def __init__(self, host, folder):
        self._host = host
        self.folder = pathlib.Path(folder) / "signed"
        self.folder.mkdir()
        self._open = []
        for address in (AUTHORITY, JUDGE):
            host.ip("addr", "add", f"{address}/24", "dev", "eth0")
        delegations = []
        for name, (algorithm, options) in ZONES.items():
            text = ZONE.replace("example.org", name).replace("10.77.0.53", AUTHORITY).replace("example.net", "signed.tld")
            # The names below are of no use here, and big sets take long to sign.
            text = "\n".join(line for line in text.splitlines() if not line.startswith(("big ", "fat "))) + "\n"
            delegations.append(f"{name}. NS ns.tld.\n{self._sign(name, text, algorithm, options)}")
        self._write("plain.tld", ZONE.replace("example.org", "plain.tld"))
        head = "$TTL 300\n@ IN SOA ns.tld. hostmaster.tld. 1 3600 600 86400 60\n@ IN NS ns.tld.\n"
        ds = self._sign("tld", f"$ORIGIN tld.\n{head}ns IN A {AUTHORITY}\nplain NS ns\n" + "".join(delegations), "ECDSAP256SHA256",
                        ["-n", "-p", "-a", "1", "-t", "0"])
        root = self._sign(".", f"$ORIGIN .\n{head}tld. NS ns.tld.\nns.tld. A {AUTHORITY}\n{ds}", "RSASHA256", [])
        self.anchor = root.split("DS", 1)[1].strip()
        self._break("broken.tld", "www.broken.tld.")
        config = self.folder / "nsd.conf"
        config.write_text(NSD.format(address=AUTHORITY, folder=self.folder) + "".join(
            f'zone:\n  name: "{name}"\n  zonefile: "{self._file(name)}"\n' for name in [".", "tld", "plain.tld", *ZONES]))
        self._start("nsd", ["nsd", "-d", "-c", config], "nsd started")
        (self.folder / "root.hints").write_text(f". 3600 NS ns.tld.\nns.tld. 3600 A {AUTHORITY}\n")
        self._unbound("resolver", RESOLVER, "iterator", "")
        self._unbound("judge", JUDGE, "validator iterator", f'trust-anchor: ". DS {self.anchor}"')

    def _file(self, name):
        return self.folder / ("root.zone" if name == "." else f"{name}.zone")

    def _write(self, name, text):
        self._file(name).write_text(text)

    def _sign(self, name, text, algorithm, options):
        """Writes the signed zone; its DS record."""
        plain = self.folder / "plain.txt"
        plain.write_text(text)
        run = lambda *command: subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True, timeout=60).stdout
        size = ["-b", "2048"] if algorithm.startswith("RSA") else []
        key = run("ldns-keygen", "-a", algorithm, *size, "-k", "-r", "/dev/urandom", name).strip()
        run("ldns-signzone", *options, "-o", name, "-f", str(self._file(name)), str(plain), key)
        return (self.folder / f"{key}.ds").read_text()

    def _break(self, zone, owner):
        """Another address under the signature of the first one."""
        path = self._file(zone)
        path.write_text(re.sub(rf"(?m)^({re.escape(owner)}\s+\d+\s+IN\s+A\s+)\S+", r"\g<1>192.0.2.66", path.read_text()))

    def _start(self, name, command, ready):
        started = self._host.popen(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        log = Output(started.stdout, self.folder / f"{name}.log")
        self._open.append((started, log))
        log.expect(ready, 20)

    def _unbound(self, name, address, modules, anchor):
        config = self.folder / f"{name}.conf"
        config.write_text(UNBOUND.format(folder=self.folder, address=address, modules=modules, anchor=anchor))
        self._start(name, ["unbound", "-d", "-p", "-c", config], "start of service")

    def close(self):
        for started, log in reversed(self._open):
            process.stop(started)
            log.close()
