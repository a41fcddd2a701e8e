"""proxyDHCP: netlab beside a router that does DHCP and knows nothing of network boot.

The router gives every address, netlab none; whichever of the two answers first, machines boot."""

import hashlib
import os
import signal

import pytest

from lab import bastion
from lab.boots import Boot, in_order, kernel
from lab.clients import Udhcpc
from lab.router import ADDRESS as ROUTER, Router

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("dnsmasq")]

WORKER = bastion.RECIPES / "machines/worker.yaml"


def router(lab, **options):
    return lab.keep(Router(lab.network, lab.folder, **options))


def hold(server):
    """netlab hears nothing from here on until the returned function is called."""
    os.kill(server.process.pid, signal.SIGSTOP)
    return lambda: os.kill(server.process.pid, signal.SIGCONT)


FILES = {**kernel("amd64"), "arm64/linux.efi": "arm64/linux.efi"}


def beside(**options):
    """The router is there before netlab is."""
    def prepare(lab):
        router(lab, **options)
    return prepare


def hears_nothing(boot):
    boot.release = hold(boot.server)


def router_first(boot):
    """netlab hears of the machine when the router has answered it."""
    boot.lab.wire.expect("OFFER", source=ROUTER, timeout=120)
    boot.release()
    return to_config(boot)


def to_config(boot):
    report = boot.to_config()
    boot.story = boot.lab.story(boot.node["name"])
    return report


def proxied(machine, node, **options):
    return Boot(machine, "proxy", FILES, node, follow=options.pop("follow", to_config), prepare=options.pop("prepare", beside()),
                **options)


BOOTS = {
    "test_amd64_pxe_router_answers_first": proxied("amd64", bastion.NODES[0], ready=hears_nothing, follow=router_first),
    "test_arm64_pxe_router_answers_last": proxied("arm64", bastion.NODES[1], prepare=beside(delay=1)),
    "test_bios_rom": proxied("bios", bastion.NODES[0], loader="ipxe"),
    "test_arm64_http_boot": proxied("arm64", bastion.NODES[1], http_boot=True),
    "test_amd64_http_boot": proxied("amd64", bastion.NODES[0], http_boot=True),
}


def check(boot, machine):
    report = boot.result
    assert report["machine"] == machine
    assert report["config_sha256"] == hashlib.sha256(WORKER.read_bytes()).hexdigest()
    assert report["lease"]["server"] == ROUTER
    assert 200 <= int(report["address"].split(".")[3]) <= 249
    offers = [m for m in boot.messages if m.source == bastion.ADDRESS]
    assert offers, "netlab answered"
    assert all(m.yiaddr == "0.0.0.0" and 51 not in m.options for m in offers), "a proxy gives no address"


@pytest.mark.needs("qemu-system-x86_64")
def test_amd64_pxe_router_answers_first(boot):
    """OVMF: the router's offer, netlab's proxy offer, port 4011, iPXE, which does the same once more, then Linux."""
    check(boot, "x86_64")
    assert f"lab.node={boot.node['name']}" in boot.result["cmdline"]
    stages = [s["stage"] for s in boot.story]
    assert stages.index("offer") < stages.index("ack") < stages.index("tftp") < stages.index("script") < stages.index("kernel")
    taken = next(s for s in boot.story if s["stage"] == "ack")
    assert ROUTER in taken["detail"], "the story tells who gave the address"


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_pxe_router_answers_last(boot):
    """AAVMF: netlab's proxy offer comes a second before the router's; then port 4011 and a unified kernel image."""
    check(boot, "aarch64")
    assert "tftp" not in [s["stage"] for s in boot.story], "the image is a step of its own kind"


@pytest.mark.needs("qemu-system-x86_64")
def test_bios_rom(boot):
    """SeaBIOS: the card's PXE ROM takes the router's address and the proxy's undionly.kpxe, which does the same again."""
    check(boot, "x86_64")
    in_order(boot.steps(), "offer: bios-ipxe → tftp://10.77.0.1/ipxe/", "tftp: undionly.kpxe",
             "offer: bios-ipxe → http://10.77.0.1:8080/boot.ipxe", "script: iPXE script of guest",
             "kernel: amd64/vmlinuz", "initrd: amd64/initrd.gz", "config: config of guest")


@pytest.mark.needs("qemu-system-aarch64")
def test_arm64_http_boot(boot):
    """AAVMF: UEFI HTTP boot with the router's address and the proxy's URL of a unified kernel image."""
    check(boot, "aarch64")
    in_order(boot.steps(), "offer: arm64-http → http://10.77.0.1:8080/uki/", "uki: ", "config: config of guest")


@pytest.mark.needs("qemu-system-x86_64")
def test_amd64_http_boot(boot):
    """OVMF: UEFI HTTP boot to iPXE, which finds the proxy in its turn, then kernel and initramfs."""
    check(boot, "x86_64")
    in_order(boot.steps(), "offer: x64-http → http://10.77.0.1:8080/ipxe/snponly.efi", "http: snponly.efi",
             "script: iPXE script of guest", "kernel: amd64/vmlinuz", "config: config of guest")


@pytest.mark.parametrize("arch,loader", [("x64", "snponly.efi"), ("bios", "undionly.kpxe"), ("arm64", "guest-arm64.efi"),
                                         ("x64-http", "http://10.77.0.1:8080/ipxe/snponly.efi"),
                                         ("arm64-http", "guest-arm64.efi")])
def test_probe_walks_a_proxied_network(lab, guest_files, arch, loader):
    """`netlab probe boot` goes the way of each firmware: the router's address, the proxy's file, up to the config."""
    for name in ("vmlinuz", "initrd.gz"):
        lab.asset(guest_files / "amd64" / name, f"amd64/{name}")
    lab.asset(guest_files / "arm64/linux.efi", "arm64/linux.efi")
    router(lab)
    lab.start("proxy")
    machine = lab.network.host("machine")
    out = machine.run(str(lab._binary), "probe", "boot", "--interface", "eth0", "--arch", arch, timeout=60)
    assert loader in out
    assert "proxy from 10.77.0.1" in out
    assert f"from {ROUTER}" in out
    assert "done" in out and "STOPPED" not in out, out


def test_probe_says_what_the_network_needs(lab):
    """`netlab probe dhcp` ends with a verdict: who gives addresses, who tells what to boot, what is missing."""
    machine = lab.network.host("machine")

    def verdict(*options):
        return machine.run(str(lab._binary), "probe", "dhcp", "--interface", "eth0", "--kind", "pxe", *options, check=False,
                           timeout=60)

    assert "no DHCP server gives addresses" in verdict("--timeout", "3s")
    router(lab)
    out = verdict()
    assert f"{ROUTER} gives addresses; nobody tells what to boot" in out
    assert "netlab.dhcp.proxy" in out


def test_option43_is_switched_per_machine(lab):
    """BIOS firmware gets discovery control, UEFI nothing; the recipe overrides it for one machine."""
    lab.start("proxy", option43="control")
    firmware = {"bios": (0, "52:54:00:0a:4d:33"), "uefi": (7, "52:54:00:0a:4d:34"), "other": (11, "52:54:00:0a:4d:12")}
    seen = {}
    for name, (number, mac) in firmware.items():
        host = lab.network.host(name, mac=mac)
        client = lab.client_on(Udhcpc, host, name, architecture=number)
        client.start()
        seen[name] = lab.wire.expect("OFFER", source=bastion.ADDRESS, mac=mac)
        client.stop()
    assert seen["bios"].options[43] == bytes.fromhex("060108ff")
    assert 43 not in seen["uefi"].options
    assert seen["other"].options[43] == bytes.fromhex("060108ff")
    for offer in seen.values():
        assert offer.options[60] == b"PXEClient"
        assert offer.siaddr == bastion.ADDRESS and offer.yiaddr == "0.0.0.0"


@pytest.mark.needs("busybox")
def test_nobody_gives_addresses(lab):
    """A proxy alone boots nobody; the timeline says so instead of staying silent."""
    server = lab.start("proxy")
    client = lab.client(Udhcpc, "alone", architecture=7)
    client.start()
    lab.wire.expect("OFFER", source=bastion.ADDRESS)
    server.log.expect("NL-BOOT-117", 60)


@pytest.mark.needs("busybox")
def test_auto_beside_a_router(lab):
    """mode = "auto" hears the router, stays a proxy, and says so."""
    router(lab)
    server = lab.start("auto")
    assert f"{ROUTER} gives addresses" in server.log.expect("NL-DHCP-027", 30).string
    client = lab.client(Udhcpc, "pc")
    client.start()
    assert client.expect("bound")["server"] == ROUTER
    assert not [m for m in lab.wire.all() if m.source == bastion.ADDRESS and m.type in ("OFFER", "ACK")]


@pytest.mark.needs("busybox")
def test_auto_alone_then_beside_a_router(lab):
    """mode = "auto" gives addresses where nobody else does, and steps back when a router begins to."""
    server = lab.start("auto")
    client = lab.client(Udhcpc, "pc")
    assert "no DHCP server" in server.log.expect("NL-DHCP-027", 40).string
    client.start()
    assert client.expect("bound")["server"] == bastion.ADDRESS
    router(lab, extra=["dhcp-boot=else.efi"])
    # The next machine takes the router's offer, because netlab's comes later; netlab sees that and looks again.
    other = lab.client(Udhcpc, "other", architecture=7)
    release = hold(server)
    other.start()
    lab.wire.expect("ACK", mac=other.host.mac)
    release()
    assert "as a proxy" in server.log.expect("NL-DHCP-027", 60).string
    assert "NL-DHCP-028" in server.log.text()
