"""Boards with U-Boot: its PXE boot (pxelinux.cfg) and its UEFI boot, both over TFTP, up to the machine config."""

import hashlib

import pytest

from lab import bastion
from lab.qemu import run_to_config
from lab.uboot import Board

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("qemu-system-aarch64")]

CONTROLPLANE = bastion.RECIPES / "machines/controlplane.yaml"
WORKER = bastion.RECIPES / "machines/worker.yaml"


def boot(lab, node=None, bootcmd=None):
    board = lab.keep(Board(lab.network, lab.folder, node["mac"] if node else bastion.GUEST_MAC,
                           node["uuid"] if node else bastion.GUEST_UUID, bootcmd))
    report = run_to_config(board, 200)
    print(f"U-Boot, {'pxe' if bootcmd else 'its default'}: {report['seconds']:.1f} s")
    return report


def check(report, config):
    assert report["machine"] == "aarch64"
    assert report["config_sha256"] == hashlib.sha256(config.read_bytes()).hexdigest()
    assert report["lease"]["server"] == bastion.ADDRESS


def test_pxe_boot(lab, guest_files):
    """`dhcp; pxe get; pxe boot`: pxelinux.cfg/01-MAC, kernel and initrd, with this node's own command line."""
    for name in ("vmlinuz", "initrd.gz"):
        lab.asset(guest_files / "arm64" / name, f"arm64/{name}")
    server = lab.start("kernel")
    node = bastion.NODES[1]
    report = boot(lab, node, "dhcp; pxe get && pxe boot")
    check(report, CONTROLPLANE)
    assert report["address"] == node["ip"]
    assert f"lab.node={node['name']}" in report["cmdline"]
    assert f"mac={node['mac']}" in report["cmdline"], "U-Boot has no ${mac}: netlab filled it in"
    log = server.log.text()
    assert "arm64-uboot" in log
    assert "pxelinux.cfg/01-52-54-00-0a-4d-12 of guest" in log


def test_default_boot_is_uefi(lab, guest_files):
    """What U-Boot does by itself: it asks as arm64 UEFI and starts a unified kernel image with `bootefi`."""
    lab.asset(guest_files / "arm64/linux.efi", "linux.efi")
    lab.start("uki")
    check(boot(lab), WORKER)
