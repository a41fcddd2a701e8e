"""DHCP to DNS: a node that boots resolves its own name and its sibling's from netlab, and a lease takes its name along."""

import gzip
import subprocess
import time

import pytest

from lab import bastion, clients
from lab.qemu import Guest, run_to_config
from test_dns import answers

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("qemu-system-x86_64", "kdig", "busybox", "cpio")]

QUESTIONS = ("virtual-1.lab.internal", "virtual-2.lab.internal", "virtual-2", "laptop.lab.internal", "10.77.0.12",
             "nobody.lab.internal")


def initrd(guest_files, folder):
    """The test guest's initramfs, with an /init that asks the name server of its lease before it goes on."""
    tree = folder / "initrd"
    tree.mkdir()
    lines = (bastion.REPOSITORY / "tests/fixtures/guest_init").read_text().splitlines()
    at = lines.index("read -r cmdline </proc/cmdline")
    # Names first: what follows ends with the machine's power.
    asked = [f"say \"name {name} $(nslookup {name} \"$dns\" 2>&1 | tr '\\n' ' ')\"" for name in QUESTIONS]
    init = tree / "init"
    init.write_text("\n".join(lines[:at] + asked + lines[at:]) + "\n")
    init.chmod(0o755)
    packed = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input="init\n", text=True, encoding="latin-1",
                            stdout=subprocess.PIPE, check=True, cwd=tree).stdout.encode("latin-1")
    out = folder / "initrd.gz"
    out.write_bytes((guest_files / "amd64/initrd.gz").read_bytes() + gzip.compress(packed))
    return out


def test_a_node_knows_its_sibling(lab, guest_files):
    lab.asset(guest_files / "amd64/vmlinuz", "linux.efi")
    lab.start("dns_boot")
    laptop = lab.client(clients.Udhcpc, "laptop", hostname="laptop")
    laptop.start()
    lease = laptop.expect("bound")["address"]
    node = bastion.NODES[0]
    guest = lab.keep(Guest(lab.network, lab.folder, "ec2", node["mac"], node["uuid"], arguments=[
        "-kernel", str(guest_files / "amd64/vmlinuz"), "-initrd", str(initrd(guest_files, lab.folder)),
        "-append", "console=ttyS0 panic=1 talos.config=http://10.77.0.1:8080/config?mac=${mac}"]))
    report = run_to_config(guest, 120)
    assert report["address"] == node["ip"]
    assert report["lease"]["dns"] == bastion.ADDRESS
    said = {}
    for line in guest.serial.lines():
        words = line.split("netlab-e2e: name ", 1)
        if len(words) == 2:
            name, _, rest = words[1].partition(" ")
            said[name] = rest
    assert set(said) == set(QUESTIONS)
    for name, expected in (("virtual-1.lab.internal", "10.77.0.11"), ("virtual-2.lab.internal", "10.77.0.12"),
                           ("virtual-2", "10.77.0.12"), ("laptop.lab.internal", lease),
                           ("10.77.0.12", "virtual-2.lab.internal")):
        assert expected in said[name], f"{name}: {said[name]}"
    assert "NXDOMAIN" in said["nobody.lab.internal"]
    # The lease's name goes with the lease; the reserved ones stay.
    laptop.release()
    deadline = time.monotonic() + 20
    while answers(lab.host, "laptop.lab.internal")[0] != "NXDOMAIN":
        assert time.monotonic() < deadline
    assert answers(lab.host, "virtual-2.lab.internal") == ("NOERROR", ["10.77.0.12"])
