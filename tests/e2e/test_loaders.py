"""Real firmware by way of other loaders than UEFI's iPXE: BIOS and its PXE ROM, GRUB, and shim under Secure Boot.

The guests of this file start two at a time, one for each core that a small machine has: while one test reads what
its guest did, the next guests are on their way."""

import concurrent.futures
import pathlib

import pytest

from lab import bastion
from lab.dnsmasq import Dnsmasq
from lab.qemu import Guest, run_to_config

pytestmark = pytest.mark.netlab_only

WORKER = bastion.RECIPES / "machines/worker.yaml"


class Boot:
    """One guest in a laboratory of its own, from power-on to `follow`'s result."""

    def __init__(self, machine, architecture, recipe, follow, prepare=None, **options):
        """`prepare(lab)` may add hosts to the laboratory, and returns further arguments of the emulator."""
        self.machine, self.architecture, self.recipe, self.follow = machine, architecture, recipe, follow
        self.prepare, self.options = prepare, options

    def run(self, folder, binary):
        """Leaves `lab` with its evidence, the server's `events` and the guest's `serial` lines."""
        self.lab = bastion.Lab(folder, "netlab", binary)
        try:
            guests = bastion.fixtures(self.architecture)
            for name in ("vmlinuz", "initrd.gz"):
                self.lab.asset(guests / self.architecture / name, f"{self.architecture}/{name}")
            self.lab.asset(guests / self.architecture / "linux.efi", "linux.efi")
            loaders = bastion.loaders(self.architecture)
            for path in loaders.rglob("*"):
                if path.is_file():
                    self.lab.asset(path, path.relative_to(loaders))
            server = self.lab.start(self.recipe, **self.options)
            arguments = self.prepare(self.lab) if self.prepare else ()
            guest = self.lab.keep(Guest(self.lab.network, self.lab.folder, self.machine, bastion.GUEST_MAC,
                                        bastion.GUEST_UUID, arguments=arguments))
            result = self.follow(guest, server)
            self.events = server.events()
            self.sockets = self.lab.host.run("ss", "-lnutH")
            self.serial = guest.serial.text()
            return result
        finally:
            self.lab.close()


def to_config(guest, _server):
    report = run_to_config(guest, 240)
    print(f"{report['seconds']:.1f} s")
    return report


def turned_away(guest, server):
    """Until netlab tells why."""
    server.log.expect(r'"NL-BOOT-120"', 180)


VPC_DHCP = "10.77.0.2"
# What the documentation tells to write into an instance's user data; the iPXE of an image has an address by then.
USER_DATA = "#!ipxe\nchain http://10.77.0.1:8080/boot.ipxe?tag=worker\n"


def instance(lab):
    """A VPC's own DHCP, and an instance that starts from an iPXE image with user data."""
    host = lab.network.host("vpc", f"{VPC_DHCP}/24")
    dhcp = lab.keep(Dnsmasq(host, lab.folder, {"address": VPC_DHCP, "range": "10.77.0.20-10.77.0.29"}))
    lab.dhcp = dhcp
    script = lab.folder / "image.ipxe"
    script.write_text(USER_DATA.replace("#!ipxe\n", "#!ipxe\ndhcp\n"))
    return ["-kernel", "/usr/lib/ipxe/ipxe.lkrn", "-initrd", str(script)]


BOOTS = {
    "ec2_user_data": Boot("ec2", "amd64", "ec2", to_config, prepare=instance),
    "bios_undionly": Boot("bios", "amd64", "loaders", to_config, loader="ipxe"),
    "arm64_grub": Boot("arm64", "arm64", "loaders", to_config, loader="grub"),
    "arm64_secure_shim": Boot("arm64-secure", "arm64", "loaders", to_config, loader="shim"),
    "arm64_secure_unsigned": Boot("arm64-secure", "arm64", "loaders", turned_away, loader="grub"),
}


@pytest.fixture(scope="module")
def running(request):
    """The boots of this file that were asked for, on their way: name to future."""
    wanted = [item.originalname.removeprefix("test_") for item in request.session.items
              if pathlib.Path(item.path) == pathlib.Path(__file__)]
    out = pathlib.Path(request.config.getoption("--out"))
    binary = pathlib.Path(request.config.getoption("--netlab"))
    assert binary.exists(), f"{binary} is not there: ./lab build"
    bastion.fixtures("amd64", "arm64")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = {name: pool.submit(boot.run, out / f"loader_{name}", binary)
                   for name, boot in BOOTS.items() if name in wanted}
        yield futures
        for future in futures.values():
            future.cancel()


@pytest.fixture
def boot(request, running):
    """The test's own boot, over: its result and what was seen."""
    name = request.node.originalname.removeprefix("test_")
    try:
        BOOTS[name].result = running[name].result()
    finally:
        request.node.laboratory = getattr(BOOTS[name], "lab", None)
    return BOOTS[name]


def check(boot, machine):
    assert boot.result["machine"] == machine
    assert boot.result["config_size"] == len(WORKER.read_bytes())
    assert boot.result["lease"]["server"] == bastion.ADDRESS


def steps(boot):
    """What netlab told of the boot, as "stage: what" in order, without the times and sizes."""
    told = [event.get("message", "") for event in boot.events]
    return [line.split(" ", 1)[1].split(",")[0] for line in told if line.startswith(bastion.GUEST_MAC)]


def in_order(lines, *wanted):
    at = -1
    for text in wanted:
        found = [i for i, line in enumerate(lines) if i > at and line.startswith(text)]
        assert found, f"no {text!r} after line {at + 1} of:\n" + "\n".join(lines)
        at = found[0]


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
    in_order(steps(boot), "script: iPXE script of by-instance", "kernel: amd64/vmlinuz",
             "config: config of by-instance")


@pytest.mark.needs("qemu-system-x86_64")
def test_bios_undionly(boot):
    """SeaBIOS: the card's PXE ROM, then undionly.kpxe in its place, then the script, kernel and initramfs."""
    check(boot, "x86_64")
    in_order(steps(boot), "offer: bios-ipxe → tftp://10.77.0.1/ipxe/", "tftp: undionly.kpxe",
             "offer: bios-ipxe → http://10.77.0.1:8080/boot.ipxe", "script: iPXE script of guest",
             "kernel: amd64/vmlinuz", "initrd: amd64/initrd.gz", "config: config of guest")


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_grub(boot):
    """AAVMF: PXE, then GRUB over TFTP with its modules, then the kernel over HTTP."""
    check(boot, "aarch64")
    assert "BOOT_IMAGE=(http,10.77.0.1:8080)/assets/arm64/vmlinuz" in boot.result["cmdline"]
    assert "lab.node=none" in boot.result["cmdline"]
    in_order(steps(boot), "offer: arm64-uefi → grubnetaa64.efi", "tftp: grubnetaa64.efi", "script: GRUB script of guest",
             "kernel: arm64/vmlinuz", "initrd: arm64/initrd.gz", "config: config of guest")


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_secure_shim(boot):
    """AAVMF with Microsoft's keys: the signed shim, the signed GRUB beside it, Debian's signed kernel."""
    check(boot, "aarch64")
    assert "UEFI Secure Boot is enabled" in boot.serial, "the kernel was started by firmware that checks signatures"
    in_order(steps(boot), "offer: arm64-uefi → shim/52-54-00-0a-4d-77/shimaa64.efi", "tftp: shimaa64.efi",
             "tftp: grubaa64.efi", "script: GRUB script of guest", "kernel: arm64/vmlinuz", "config: config of guest")


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_secure_unsigned(boot):
    """AAVMF with Microsoft's keys turns an unsigned GRUB away, and netlab says what happened."""
    assert "Access Denied" in boot.serial
    assert "userspace" not in boot.serial
    said = next(event for event in boot.events if event.get("id") == "NL-BOOT-120")
    assert "grubnetaa64.efi" in said["message"] and "Secure Boot" in said["message"], said
    assert not any(line.startswith("script") for line in steps(boot)), "nothing ran"
