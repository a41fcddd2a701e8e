"""Real firmware boots to a node with its machine configuration, over every path that a machine may take.

Each guest starts from power-on, and each must end in Linux userspace with a lease, having fetched what its
command line's talos.config= names."""

import hashlib

import pytest

from lab import bastion
from lab.boots import Boot, kernel

WORKER = bastion.RECIPES / "machines/worker.yaml"
CONTROLPLANE = bastion.RECIPES / "machines/controlplane.yaml"

IMAGE = {"assets": {"linux.efi": "arm64/linux.efi"}, "peer_files": {"config": WORKER, "linux.efi": "arm64/linux.efi"}}

BOOTS = {
    "test_amd64_pxe_ipxe_kernel": Boot(
        "amd64", "kernel", kernel("amd64"), bastion.NODES[0], peer_nodes=bastion.NODES,
        peer_files={"config": WORKER, "vmlinuz": "amd64/vmlinuz", "initrd.gz": "amd64/initrd.gz"}),
    "test_arm64_pxe_uki": Boot("arm64", "uki", **IMAGE),
    "test_arm64_http_boot_uki": Boot("arm64", "uki", http_boot=True, **IMAGE),
    # Debian's systemd-boot-efi brings the stub of its own architecture only; this one lies beside the assets.
    "test_arm64_http_boot_assembled_uki": Boot(
        "arm64", "kernel", {**kernel("arm64"), "linuxaa64.efi.stub": "arm64/stub.efi"}, bastion.NODES[1], http_boot=True),
}


def check(report, config, machine, address=None):
    body = config.read_bytes()
    assert report["machine"] == machine
    assert report["config_size"] == len(body)
    assert report["config_sha256"] == hashlib.sha256(body).hexdigest()
    assert report["lease"]["server"] == bastion.ADDRESS
    assert report["lease"]["mask"] in ("24", "255.255.255.0")
    assert report["lease"]["router"] == bastion.ADDRESS
    assert report["lease"]["domain"] == "lab.internal"
    if address:
        assert report["address"] == address
    else:
        assert 100 <= int(report["address"].split(".")[3]) <= 199


@pytest.mark.needs("qemu-system-x86_64")
def test_amd64_pxe_ipxe_kernel(boot):
    """OVMF: PXE, then iPXE's snponly.efi, then the script, then kernel and initramfs over HTTP."""
    report, node = boot.result, boot.node
    check(report, WORKER, "x86_64", node["ip"])
    assert report["lease"]["hostname"] == node["name"]
    assert "mac=52-54-00-0a-4d-11" in report["config_url"], "iPXE fills its variables in before the kernel starts"
    if boot.lab.server == "netlab":
        assert f"lab.node={node['name']}" in report["cmdline"], "the profile's {{name}} is the node's"


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_pxe_uki(boot):
    """AAVMF: PXE, then a 34 MB unified kernel image over TFTP."""
    check(boot.result, WORKER, "aarch64")


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_http_boot_uki(boot):
    """AAVMF: UEFI HTTP boot straight to a unified kernel image; TFTP and PXE take no part."""
    check(boot.result, WORKER, "aarch64")


@pytest.mark.netlab_only
@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_http_boot_assembled_uki(boot):
    """AAVMF: a profile of kernel and initramfs reaches arm64 firmware as one file that netlab put together."""
    check(boot.result, CONTROLPLANE, "aarch64", boot.node["ip"])
    assert f"lab.node={boot.node['name']}" in boot.result["cmdline"], "the command line is this node's own"
