"""Real firmware by way of other loaders than UEFI's iPXE: BIOS and its PXE ROM, GRUB, and shim under Secure Boot."""

import pathlib
import subprocess

import pytest

from lab import bastion
from lab.boots import Boot, in_order, kernel
from lab.dnsmasq import Dnsmasq

pytestmark = pytest.mark.netlab_only

WORKER = bastion.RECIPES / "machines/worker.yaml"


def files(arch):
    """Kernel, initramfs and the boot loaders of an architecture."""
    return {**kernel(arch), "linux.efi": f"{arch}/linux.efi", "": f"loaders-{arch}/"}


def turned_away(boot):
    """Until netlab tells why."""
    boot.server.log.expect(r'"NL-BOOT-120"', 180)


VPC_DHCP = "10.77.0.2"
# What the documentation tells to write into an instance's user data; the iPXE of an image has an address by then.
USER_DATA = "#!ipxe\nchain http://10.77.0.1:8080/boot.ipxe?tag=worker\n"


def vpc(lab):
    """A VPC's own DHCP."""
    host = lab.network.host("vpc", f"{VPC_DHCP}/24")
    lab.keep(Dnsmasq(host, lab.folder, {"address": VPC_DHCP, "range": "10.77.0.20-10.77.0.29"}))


def instance(boot):
    """It starts from an iPXE image with user data."""
    script = boot.lab.folder / "image.ipxe"
    script.write_text(USER_DATA.replace("#!ipxe\n", "#!ipxe\ndhcp\n"))
    return ["-kernel", "/usr/lib/ipxe/ipxe.lkrn", "-initrd", str(script)]


def signed_by_ourselves(lab):
    """shim and the image carry a signature by the key that the firmware's owner enrolled."""
    keys = pathlib.Path("/usr/share/ovmf")
    key = lab.folder / "key.pem"
    subprocess.run(["openssl", "rsa", "-in", keys / "PkKek-1-snakeoil.key", "-passin", "pass:snakeoil", "-out", key],
                   check=True, capture_output=True, timeout=20)
    assets = lab.state / "assets"
    for plain, signed in (("shimx64.efi", "shimx64.efi.signed"), ("linux.efi", "ours.efi")):
        out = lab.folder / signed
        subprocess.run(["sbsign", "--key", key, "--cert", keys / "PkKek-1-snakeoil.pem", "--output", out, assets / plain],
                       check=True, capture_output=True, timeout=20)
        lab.asset(out, signed)


SIGNED = {"prepare": signed_by_ourselves, "loader": "shim", "uki": "ours.efi"}

BOOTS = {
    "test_ec2_user_data": Boot("ec2", "ec2", files("amd64"), prepare=vpc, ready=instance),
    "test_bios_undionly": Boot("bios", "loaders", files("amd64"), loader="ipxe"),
    "test_i386_grub": Boot("i386", "loaders", files("amd64")),
    "test_arm64_grub": Boot("arm64", "loaders", files("arm64"), loader="grub"),
    "test_amd64_secure_shim": Boot("amd64-secure", "loaders", files("amd64"), loader="shim"),
    "test_amd64_secure_unsigned": Boot("amd64-secure", "loaders", files("amd64"), follow=turned_away, loader="grub"),
    "test_amd64_secure_uki": Boot("amd64-snakeoil", "loaders", files("amd64"), http_boot=True, **SIGNED),
    "test_arm64_secure_shim": Boot("arm64-secure", "loaders", files("arm64"), loader="shim"),
    "test_arm64_secure_unsigned": Boot("arm64-secure", "loaders", files("arm64"), follow=turned_away, loader="grub"),
}


def check(boot, machine):
    assert boot.result["machine"] == machine
    assert boot.result["config_size"] == len(WORKER.read_bytes())
    assert boot.result["lease"]["server"] == bastion.ADDRESS


def is_locked_down(boot):
    """Linux itself saw that its firmware checks signatures."""
    return "UEFI Secure Boot is enabled" in boot.serial or "Secure boot enabled" in boot.serial


def check_turned_away(boot, program):
    assert "Access Denied" in boot.serial
    assert "userspace" not in boot.serial
    said = next(event for event in boot.events if event.get("id") == "NL-BOOT-120")
    assert program in said["message"] and "Secure Boot" in said["message"], said
    assert not any(line.startswith("script") for line in boot.steps()), "nothing ran"


@pytest.mark.needs("qemu-system-x86_64", "dnsmasq")
def test_ec2_user_data(boot):
    """A VPC: netlab's DHCP and TFTP stay off and say so; iPXE's user data alone boots the right profile."""
    assert boot.result["machine"] == "x86_64"
    assert boot.result["lease"]["server"] == VPC_DHCP, "the address is the VPC's"
    assert boot.result["config_size"] == len(WORKER.read_bytes())
    assert "lab.instance=i-0123456789abcdef0 lab.tag=worker" in boot.result["cmdline"]
    off = [event["message"] for event in boot.events if event.get("id") == "NL-HOST-020"]
    assert len(off) == 2 and off[0].startswith("tftp.server stays off") and off[1].startswith("dhcp.server stays off"), off
    assert not [line for line in boot.sockets.splitlines() if line.startswith("udp")], boot.sockets
    in_order(boot.steps(), "script: iPXE script of by-instance", "kernel: amd64/vmlinuz",
             "config: config of by-instance")


@pytest.mark.needs("qemu-system-x86_64")
def test_bios_undionly(boot):
    """SeaBIOS: the card's PXE ROM, then undionly.kpxe in its place, then the script, kernel and initramfs."""
    check(boot, "x86_64")
    in_order(boot.steps(), "offer: bios-ipxe → tftp://10.77.0.1/ipxe/", "tftp: undionly.kpxe",
             "offer: bios-ipxe → http://10.77.0.1:8080/boot.ipxe", "script: iPXE script of guest",
             "kernel: amd64/vmlinuz", "initrd: amd64/initrd.gz", "config: config of guest")


@pytest.mark.needs("qemu-system-x86_64")
def test_i386_grub(boot):
    """OVMF of 32 bits: nothing but GRUB leads from there to a kernel of 64, and nobody had to ask for it."""
    check(boot, "x86_64")
    assert "BOOT_IMAGE=(http,10.77.0.1:8080)/assets/amd64/vmlinuz" in boot.result["cmdline"]
    in_order(boot.steps(), "offer: ia32-uefi → grubnetia32.efi", "tftp: grubnetia32.efi", "script: GRUB script of guest",
             "kernel: amd64/vmlinuz", "initrd: amd64/initrd.gz", "config: config of guest")


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_grub(boot):
    """AAVMF: PXE, then GRUB over TFTP with its modules, then the kernel over HTTP."""
    check(boot, "aarch64")
    assert "BOOT_IMAGE=(http,10.77.0.1:8080)/assets/arm64/vmlinuz" in boot.result["cmdline"]
    assert "lab.node=none" in boot.result["cmdline"]
    in_order(boot.steps(), "offer: arm64-uefi → grubnetaa64.efi", "tftp: grubnetaa64.efi", "script: GRUB script of guest",
             "kernel: arm64/vmlinuz", "initrd: arm64/initrd.gz", "config: config of guest")


@pytest.mark.needs("qemu-system-x86_64")
def test_amd64_secure_shim(boot):
    """OVMF with Microsoft's keys: the signed shim, the signed GRUB beside it, Debian's signed kernel."""
    check(boot, "x86_64")
    assert is_locked_down(boot)
    in_order(boot.steps(), "offer: x64-uefi → shim/52-54-00-0a-4d-77/shimx64.efi", "tftp: shimx64.efi",
             "tftp: grubx64.efi", "script: GRUB script of guest", "kernel: amd64/vmlinuz", "config: config of guest")


@pytest.mark.needs("qemu-system-x86_64")
def test_amd64_secure_unsigned(boot):
    """OVMF with Microsoft's keys turns an unsigned GRUB away, and netlab says what happened."""
    check_turned_away(boot, "grubnetx64.efi")


@pytest.mark.needs("qemu-system-x86_64", "sbsign")
def test_amd64_secure_uki(boot):
    """OVMF with a key of our own: shim by UEFI HTTP boot, which asks for GRUB and gets the signed image."""
    check(boot, "x86_64")
    assert is_locked_down(boot)
    in_order(boot.steps(), "offer: x64-http → http://10.77.0.1:8080/shim/52-54-00-0a-4d-77/shimx64.efi",
             "http: shimx64.efi", "uki: grubx64.efi (ours.efi)", "config: config of guest")


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_secure_shim(boot):
    """AAVMF with Microsoft's keys: the signed shim, the signed GRUB beside it, Debian's signed kernel."""
    check(boot, "aarch64")
    assert is_locked_down(boot)
    in_order(boot.steps(), "offer: arm64-uefi → shim/52-54-00-0a-4d-77/shimaa64.efi", "tftp: shimaa64.efi",
             "tftp: grubaa64.efi", "script: GRUB script of guest", "kernel: arm64/vmlinuz", "config: config of guest")


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_secure_unsigned(boot):
    """AAVMF with Microsoft's keys turns an unsigned GRUB away, and netlab says what happened."""
    check_turned_away(boot, "grubnetaa64.efi")
