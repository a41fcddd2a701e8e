"""talos-launch --follow as an operator has it: the bastion is another machine, reached by Debian's own ssh and sshd."""

import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import urllib.request

import pytest

from lab import netns, process
from lab.output import Output
from test_aws import IMAGE, StandIn, environment

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("ssh", "/usr/sbin/sshd", "ssh-keygen")]
NODES = {"talos-node-1": "10.20.13.11", "talos-node-2": "10.20.13.12"}


class Bastion:
    """sshd and a netlab that boots nodes, in a namespace of their own: each can be stopped and started."""

    def __init__(self, host, binary, folder):
        self.host, self.binary, self.folder = host, binary, folder
        folder.mkdir()
        self.sshd = self.netlab = None
        (folder / "bin").mkdir()
        (folder / "bin/netlab").write_text(f'#!/bin/sh\nexec {shlex.quote(str(binary))} --state {folder}/state "$@"\n')
        (folder / "bin/netlab").chmod(0o755)
        for name in ("kernel", "initrd"):
            (folder / name).write_bytes(b"\0" * 5000)
        (folder / "machine.yaml").write_text("machine: {}\n")
        (folder / "bastion.lua").write_text(f"""
local netlab = require "netlab"
netlab.state "{folder}/state"
local boot = netlab.boot.service {{ nodes = netlab.nodes {{}}, assets = "{folder}",
  profiles = {{ talos = {{ kernel = "kernel", initrd = {{ "initrd" }}, args = {{ "console=ttyS0" }}, config = "{folder}/machine.yaml" }} }},
  groups = {{ {{ profile = "talos" }} }} }}
netlab.http.server {{ listen = "0.0.0.0:18080", serve = {{ boot }} }}
""")
        self.key("operator")
        self.key("stranger")
        self.key("host")
        (folder / "authorized").write_text((folder / "operator.pub").read_text())
        # The key that the operator has seen is not always the one that is there.
        (folder / "sshd_config").write_text(f"""HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
SetEnv PATH={folder}/bin:/usr/bin:/bin
""")

    def key(self, name):
        for path in (self.folder / name, self.folder / f"{name}.pub"):
            path.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)], check=True, timeout=60)

    def known(self, address):
        """The file of host keys of an operator who has compared the key."""
        path = self.folder / "known"
        path.write_text(f"{address} {' '.join((self.folder / 'host.pub').read_text().split()[:2])}\n")
        return str(path)

    def start_sshd(self):
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.sshd = self.host.popen("/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "sshd_config"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        Output(self.sshd.stderr, self.folder / "sshd.log").expect("Server listening on :: port 22", 30)

    def cut(self):
        """sshd goes, and every session of it."""
        process.kill_group(self.sshd)
        self.sshd.wait(20)
        for pid in netns.run("ip", "netns", "pids", self.host.name).split():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                    os.kill(int(pid), signal.SIGKILL)

    def start_netlab(self):
        self.netlab = self.host.popen(self.binary, "run", str(self.folder / "bastion.lua"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        Output(self.netlab.stderr, self.folder / "netlab.log").expect("NL-HOST-001", 60)

    def stop_netlab(self):
        self.netlab.terminate()
        assert self.netlab.wait(30) == 0

    def boots(self, mac, *names):
        """What iPXE asks for, asked for by a virtual node."""
        with netns.inside(self.host.name):
            with urllib.request.urlopen(f"http://127.0.0.1:18080/ipxe?mac={mac}&arch=arm64", timeout=20) as answer:
                assert "kernel" in answer.read().decode()
            for name in names:
                urllib.request.urlopen(f"http://127.0.0.1:18080/{name}?mac={mac}" if name == "config" else f"http://127.0.0.1:18080/assets/{name}?mac={mac}", timeout=20).read()


@pytest.fixture
def two_machines(request, tmp_path):
    """An operator with the stand-in for AWS, and a bastion at the address that AWS gives it."""
    binary = pathlib.Path(request.config.getoption("--netlab")).resolve()
    with netns.Network() as network:
        operator, there = network.host("operator", "192.0.2.1/24"), network.host("bastion", "192.0.2.2/24")
        with netns.inside(operator.name):
            cloud = StandIn(binary, tmp_path / "aws", delay=0.02)
            try:
                raised = cloud.run("lab", "--yes", expect=2).stdout
                address = re.search(r"bastion_ipv6 (\S+)", raised)[1]
                there.ip("addr", "add", f"{address}/64", "dev", "eth0", "nodad")
                operator.ip("addr", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
                operator.ip("route", "add", f"{address}/128", "dev", "eth0")
                there.ip("route", "add", "2001:db8::/64", "dev", "eth0")
                cloud.run("talos-launch", "--image", IMAGE, "--count", "2", "--yes", expect=2)
                yield cloud, Bastion(there, binary, tmp_path / "bastion"), address
            finally:
                cloud.close()


def launch(cloud, bastion, *options):
    return cloud.command("talos-launch", "--image", IMAGE, "--count", "2", "--follow", "--user", "root", "--stage", "config", "--identity", str(bastion.folder / "operator"), "--yes", *options)


def refused(cloud, bastion, *options):
    done = subprocess.run(launch(cloud, bastion, *options), env=environment(cloud.endpoint, cloud.home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, text=True, cwd=cloud.folder)
    assert done.returncode == 1, done.stdout
    return done.stdout


def test_host_keys_and_logins_are_not_guessed(two_machines):
    """An unknown host, another key than before and a key that the bastion does not know end it at once, with what to do."""
    cloud, bastion, address = two_machines
    bastion.start_netlab()
    bastion.start_sshd()
    empty = bastion.folder / "empty"
    empty.write_text("")
    unknown = refused(cloud, bastion, "--known-hosts", str(empty))
    assert f"nobody has vouched for the host key of root@{address}" in unknown and "--accept-host-key" in unknown, unknown
    assert empty.read_text() == ""
    stranger = refused(cloud, bastion, "--known-hosts", bastion.known(address), "--identity", str(bastion.folder / "stranger"))
    assert f"root@{address} lets nobody in with this key" in stranger, stranger
    # Taken unseen when that is asked for, and then held to: the bastion that the Auto Scaling group makes anew has another.
    patience = ("--known-hosts", str(empty), "--accept-host-key", "--patience", "1s")
    assert "0 of 2 nodes came to config" in refused(cloud, bastion, *patience)
    assert (bastion.folder / "host.pub").read_text().split()[1] in empty.read_text()
    bastion.cut()
    bastion.key("host")
    bastion.start_sshd()
    changed = refused(cloud, bastion, *patience)
    assert "has another host key than it had" in changed and f"ssh-keygen -R {address} -f {empty}" in changed, changed


def test_follows_through_refusals_cuts_and_restarts(two_machines):
    """No sshd yet, a session that is cut, a netlab that starts anew: it says what is in the way, goes on, and shows each
    step once."""
    cloud, bastion, address = two_machines
    macs = {i["PrivateIpAddress"]: i["MacAddress"] for i in cloud.aws("ec2", "describe-network-interfaces", "--filters", "Name=tag:netlab:session,Values=yes")["NetworkInterfaces"]}
    first, second = (macs[ip] for ip in NODES.values())
    bastion.start_netlab()
    child = subprocess.Popen(launch(cloud, bastion, "--known-hosts", bastion.known(address), "--patience", "3m", "--pace", "200ms"), env=environment(cloud.endpoint, cloud.home),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cloud.folder, start_new_session=True)
    try:
        shown = Output(child.stdout, bastion.folder / "follow.log")
        shown.expect("the bastion does not tell yet: ssh: connect to host .* port 22: Connection refused", 60)
        bastion.start_sshd()
        bastion.boots(first, "kernel")
        shown.expect(r"talos-node-1 .* kernel", 60)
        bastion.cut()
        shown.expect("the bastion does not tell yet: .*(Connection|connection|closed|reset)", 60)
        bastion.boots(first, "initrd", "config")
        bastion.start_sshd()
        shown.expect(r"talos-node-1 .* config", 60)
        bastion.stop_netlab()
        shown.expect("the bastion does not tell yet: ", 60)
        bastion.start_netlab()
        bastion.boots(second, "kernel", "initrd", "config")
        shown.expect(r"talos-node-2 .* config", 60)
        shown.expect("2 of 2 nodes came to config", 60)
        assert child.wait(60) == 0
        steps = [line for line in shown.lines() if re.search(r"talos-node-\d +[\d.]+ s", line)]
        assert len(steps) == len(set(steps)) and len(steps) >= 8, "\n".join(shown.lines())
    finally:
        if child.poll() is None:
            process.kill_group(child)
        child.wait(20)
