"""Boards with U-Boot: its PXE boot (pxelinux.cfg) and its UEFI boot, both over TFTP, up to the machine config."""

import hashlib

import pytest

from lab import bastion
from lab.boots import Boot, kernel
from lab.uboot import Board

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("qemu-system-aarch64")]

CONTROLPLANE = bastion.RECIPES / "machines/controlplane.yaml"
WORKER = bastion.RECIPES / "machines/worker.yaml"


def board(bootcmd=None):
    return lambda boot: Board(boot.lab.network, boot.lab.folder, boot.node["mac"], boot.node["uuid"], bootcmd)


BOOTS = {
    "test_pxe_boot": Boot("U-Boot", "kernel", kernel("arm64"), bastion.NODES[1], power_on=board("dhcp; pxe get && pxe boot")),
    "test_default_boot_is_uefi": Boot("U-Boot", "uki", {"linux.efi": "arm64/linux.efi"}, power_on=board()),
}


def check(report, config):
    assert report["machine"] == "aarch64"
    assert report["config_sha256"] == hashlib.sha256(config.read_bytes()).hexdigest()
    assert report["lease"]["server"] == bastion.ADDRESS


def test_pxe_boot(boot):
    """`dhcp; pxe get; pxe boot`: pxelinux.cfg/01-MAC, kernel and initrd, with this node's own command line."""
    check(boot.result, CONTROLPLANE)
    assert boot.result["address"] == boot.node["ip"]
    assert f"lab.node={boot.node['name']}" in boot.result["cmdline"]
    assert f"mac={boot.node['mac']}" in boot.result["cmdline"], "U-Boot has no ${mac}: netlab filled it in"
    log = boot.server.log.text()
    assert "arm64-uboot" in log
    assert "pxelinux.cfg/01-52-54-00-0a-4d-12 of guest" in log


def test_default_boot_is_uefi(boot):
    """What U-Boot does by itself: it asks as arm64 UEFI and starts a unified kernel image with `bootefi`."""
    check(boot.result, WORKER)
