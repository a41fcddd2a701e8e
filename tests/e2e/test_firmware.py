"""Real firmware boots to a node with its machine configuration, over every path that a machine may take.

Each guest starts from power-on, and each must end in Linux userspace with a lease, having fetched what its
command line's talos.config= names."""

import hashlib

import pytest

from lab import bastion
from lab.qemu import Guest, run_to_config

WORKER = bastion.RECIPES / "machines/worker.yaml"
CONTROLPLANE = bastion.RECIPES / "machines/controlplane.yaml"


def boot(lab, arch, node=None, http_boot=False, timeout=150):
    guest = lab.keep(Guest(lab.network, lab.folder, arch, node["mac"] if node else bastion.GUEST_MAC,
                           node["uuid"] if node else bastion.GUEST_UUID, http_boot=http_boot))
    report = run_to_config(guest, timeout)
    print(f"{arch} {'HTTP' if http_boot else 'PXE'} boot by {lab.server}: {report['seconds']:.1f} s")
    return report


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


def files(folder, *names):
    return {"config": WORKER, **{name: folder / name for name in names}}


@pytest.mark.needs("qemu-system-x86_64")
def test_amd64_pxe_ipxe_kernel(lab, guest_files):
    """OVMF: PXE, then iPXE's snponly.efi, then the script, then kernel and initramfs over HTTP."""
    for name in ("vmlinuz", "initrd.gz"):
        lab.asset(guest_files / "amd64" / name, f"amd64/{name}")
    lab.start("kernel", files=files(guest_files / "amd64", "vmlinuz", "initrd.gz"), nodes=bastion.NODES)
    node = bastion.NODES[0]
    report = boot(lab, "amd64", node)
    check(report, WORKER, "x86_64", node["ip"])
    assert report["lease"]["hostname"] == node["name"]
    assert "mac=52-54-00-0a-4d-11" in report["config_url"], "iPXE fills its variables in before the kernel starts"
    if lab.server == "netlab":
        assert f"lab.node={node['name']}" in report["cmdline"], "the profile's {{name}} is the node's"


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_pxe_uki(lab, guest_files):
    """AAVMF: PXE, then a 34 MB unified kernel image over TFTP."""
    lab.asset(guest_files / "arm64/linux.efi", "linux.efi")
    lab.start("uki", files=files(guest_files / "arm64", "linux.efi"))
    check(boot(lab, "arm64"), WORKER, "aarch64")


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_http_boot_uki(lab, guest_files):
    """AAVMF: UEFI HTTP boot straight to a unified kernel image; TFTP and PXE take no part."""
    lab.asset(guest_files / "arm64/linux.efi", "linux.efi")
    lab.start("uki", files=files(guest_files / "arm64", "linux.efi"))
    check(boot(lab, "arm64", http_boot=True), WORKER, "aarch64")


@pytest.mark.netlab_only
@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_http_boot_assembled_uki(lab, guest_files):
    """AAVMF: a profile of kernel and initramfs reaches arm64 firmware as one file that netlab put together."""
    for name in ("vmlinuz", "initrd.gz"):
        lab.asset(guest_files / "arm64" / name, f"arm64/{name}")
    # Debian's systemd-boot-efi brings the stub of its own architecture only; this one lies beside the assets.
    lab.asset(guest_files / "arm64/stub.efi", "linuxaa64.efi.stub")
    lab.start("kernel")
    node = bastion.NODES[1]
    report = boot(lab, "arm64", node, http_boot=True)
    check(report, CONTROLPLANE, "aarch64", node["ip"])
    assert f"lab.node={node['name']}" in report["cmdline"], "the command line is this node's own"
