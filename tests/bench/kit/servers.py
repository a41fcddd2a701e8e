"""netlab, its peers and the reflector as processes in the server's namespace, each set up to do the same work.

The peers are as their packages ship them (logs on) but for what the row needs: leases are persisted everywhere,
and dnsmasq does not ping, for a ping to an address that nobody has takes it three seconds."""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from lab import process

from . import probe
from .cable import SERVER
from .usage import Usage

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent.parent
RECIPES = REPOSITORY / "tests/bench/recipes"
FIRST, LAST = "10.64.0.1", "10.79.255.254"


class Missing(Exception):
    """The server is not on this machine; the text says what to do."""


def program(*names, package):
    for name in names:
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path:
            return path
    raise Missing(f"not installed: {package}")


class Server:
    """One running server.  Construction returns when all probes were answered; stop() ends it."""

    def __init__(self, cable, folder, commands, probes, environment=None):
        self.usage = Usage()
        self._folder = pathlib.Path(folder)
        self._processes = []
        self._log = open(self._folder / "output.log", "ab")
        begun = time.monotonic()
        try:
            for command in commands:
                started = subprocess.Popen(self.usage.command(cable.server.command(*command)), start_new_session=True,
                                           stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT,
                                           cwd=self._folder, env={**os.environ, **(environment or {})})
                self.usage.watch(started.pid)
                self._processes.append(started)
            probe.wait(cable, probes, self._processes[0])
            self.start_seconds = time.monotonic() - begun
        except BaseException as error:
            self.stop()
            if isinstance(error, RuntimeError):
                raise RuntimeError(f"{error}: {self._tail()}") from None
            raise

    def _tail(self):
        lines = (self._folder / "output.log").read_text(errors="replace").splitlines()
        return " / ".join(lines[-4:]) or "it printed nothing"

    def poll(self):
        """The exit code of its first process, None while that runs."""
        return self._processes[0].poll()

    @property
    def returncode(self):
        return self._processes[0].returncode

    def alive(self):
        return all(started.poll() is None for started in self._processes)

    def stop(self):
        """The exit codes on SIGTERM."""
        codes = [process.stop(started, timeout=10) for started in self._processes]
        # What it forked may have left its process group.
        for pid in self.usage.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._log.close()
        self.usage.close()
        return codes


class Kind:
    """How to start one server for one room.  `make` gets the folder, and returns commands and environment."""

    def __init__(self, name, make):
        self.name = name
        self._make = make

    def start(self, cable, folder, probes, environment=None):
        folder = pathlib.Path(folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        commands, own = self._make(folder)
        os.sync()  # what the server before it wrote must not hold up this one's first sync
        return Server(cable, folder, commands, probes, {**own, **(environment or {})})


# ---- netlab and the reflector ----

def netlab(binary, recipe, **options):
    def make(folder):
        if not pathlib.Path(binary).exists():
            raise Missing(f"{binary} is not built")
        state = folder / "state"
        state.mkdir()
        command = [str(binary), "run", "--log", "json", str(RECIPES / f"{recipe}.lua"), "--state", str(state)]
        for key, value in options.items():
            if key == "assets":  # where a boot service looks for them
                shutil.copytree(value, state / "assets")
            else:
                command += [f"--{key}", str(value)]
        return [command], {}
    return Kind("netlab", make)


def floor(tools, what, **options):
    def make(_):
        command = [str(tools / "netlab-floor"), what]
        for key, value in options.items():
            command += [f"--{key}", str(value)]
        return [command], {}
    return Kind("floor", make)


# ---- DHCP ----

def _dnsmasq_dhcp(folder):
    return [f"dhcp-range={FIRST},{LAST},255.0.0.0,12h", "dhcp-lease-max=2000000", "no-ping", "dhcp-authoritative",
            f"dhcp-leasefile={folder}/leases", f"dhcp-option=option:dns-server,{SERVER}",
            f"dhcp-option=option:router,{SERVER}"]


def _dnsmasq(folder, lines, interface="eth0"):
    config = folder / "dnsmasq.conf"
    config.write_text("\n".join(["port=0", "keep-in-foreground", f"interface={interface}", "bind-interfaces", "user=root",
                                 "no-resolv", "no-hosts", f"log-facility={folder}/dnsmasq.log",
                                 f"pid-file={folder}/dnsmasq.pid", *lines]) + "\n")
    return [program("dnsmasq", package="dnsmasq-base"), f"--conf-file={config}"]


def dnsmasq_dhcp():
    return Kind("dnsmasq", lambda folder: ([_dnsmasq(folder, _dnsmasq_dhcp(folder))], {}))


def kea(threads):
    def make(folder):
        config = {
            "interfaces-config": {"interfaces": ["eth0"]},
            "lease-database": {"type": "memfile", "persist": True, "name": str(folder / "leases.csv"), "lfc-interval": 3600},
            "valid-lifetime": 43200,
            "multi-threading": {"enable-multi-threading": threads > 1, "thread-pool-size": threads},
            "option-data": [{"name": "routers", "data": SERVER}, {"name": "domain-name-servers", "data": SERVER}],
            "subnet4": [{"subnet": "10.0.0.0/8", "pools": [{"pool": f"{FIRST} - {LAST}"}]}],
            "loggers": [{"name": "kea-dhcp4", "severity": "INFO",
                         "output_options": [{"output": str(folder / "kea.log"), "maxsize": 0}]}],
        }
        path = folder / "kea.conf"
        path.write_text(json.dumps({"Dhcp4": config}, indent=1))
        command = [program("kea-dhcp4", package="kea-dhcp4-server"), "-c", str(path)]
        return [command], {"KEA_LOCKFILE_DIR": str(folder), "KEA_PIDFILE_DIR": str(folder)}
    return Kind("kea" if threads == 1 else "kea_mt", make)


# ---- TFTP ----

def dnsmasq_tftp(root, interface="eth0"):
    return Kind("dnsmasq", lambda folder: ([_dnsmasq(folder, ["enable-tftp", "tftp-max=200", f"tftp-root={root}"], interface)], {}))


def tftpd_hpa(root):
    def make(_):
        return [[program("in.tftpd", package="tftpd-hpa"), "--foreground", "--address", "0.0.0.0:69", "--secure",
                 "--user", "root", str(root)]], {}
    return Kind("tftpd_hpa", make)


def atftpd(root, kept):
    """Its package conflicts with tftpd-hpa's, so it is unpacked into the folder `kept` and not installed."""
    def make(_):
        found = shutil.which("atftpd", path="/usr/sbin")
        unpacked = pathlib.Path(kept, "root/usr/sbin/atftpd")
        if not found and not unpacked.exists():
            pathlib.Path(kept).mkdir(parents=True, exist_ok=True)
            got = subprocess.run(["apt-get", "-qq", "download", "atftpd"], cwd=kept, capture_output=True, text=True,
                                 timeout=60)
            for package in glob.glob(f"{kept}/atftpd_*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, f"{kept}/root"], check=True, timeout=20)
            if not unpacked.exists():
                raise Missing(f"apt-get download atftpd: {got.stderr.strip()}")
        return [[found or str(unpacked), "--daemon", "--no-fork", "--port", "69", "--user", "root.root",
                 "--logfile", "-", str(root)]], {}
    return Kind("atftpd", make)


# ---- HTTP ----

def _nginx(folder, root, workers):
    config = folder / "nginx.conf"
    config.write_text(f"""user root;
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 768; }}
http {{
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  default_type application/octet-stream;
  access_log {folder}/access.log;
  gzip on;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen {SERVER}:8080 backlog=1024; root {root}; }}
}}
""")
    return [program("nginx", package="nginx-light"), "-c", str(config), "-e", f"{folder}/error.log", "-p", str(folder)]


def nginx(root, workers="auto"):
    return Kind("nginx" if workers == "auto" else f"nginx{workers}", lambda folder: ([_nginx(folder, root, workers)], {}))


# ---- the set of processes that a bastion is today ----

def bastion_set(root):
    def make(folder):
        dhcp_and_tftp = _dnsmasq(folder, _dnsmasq_dhcp(folder) + ["enable-tftp", f"tftp-root={root}"])
        return [dhcp_and_tftp, _nginx(folder, root, "auto")], {}
    return Kind("dnsmasq+nginx", make)
