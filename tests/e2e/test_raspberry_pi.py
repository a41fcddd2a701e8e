"""Raspberry Pis boot from examples/raspberry-pi.lua: replayed as their ROM and boot loaders speak, byte by byte."""

import json
import random

import pytest

from lab import bastion
from lab.raspberry import PI3, PI4, PI5, RaspberryPi
from lab.router import ADDRESS as ROUTER, Router

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("curl")]

COOKIE = "63825363"
SERVER = "36040a4d0001"
TIMES = "33040000a8c0 3a0400005460 3b04000093a8"
WHERE = "0104ffffff00 03040a4d0001"
DOMAIN = "0f0c" + b"lab.internal".hex()
CLASS = "3c09" + b"PXEClient".hex()
MENU = "2b20 060103 0a0400" + b"PXE".hex() + "0914 0000 11" + b"Raspberry Pi Boot".hex() + "ff"
MENU_OF_3 = "2b23 060103 0a0400" + b"PXE".hex() + "0917 0000 14" + b"Raspberry Pi Boot   ".hex() + "ff"
NEXT = "4209" + b"10.77.0.1".hex()


@pytest.fixture
def files(lab):
    """The firmware's files and what the profiles start, small stand-ins with content of their own."""
    source = random.Random(3)
    made = {}
    for name, size in {"raspberry-pi/bootcode.bin": 52_000, "raspberry-pi/start.elf": 300_001, "raspberry-pi/start4.elf": 220_000,
                       "raspberry-pi/fixup4.dat": 5_400, "raspberry-pi/overlays/overlay_map.dtb": 1_024,
                       "pi/kernel8.img": 900_000, "pi/initrd.gz": 512 * 100, "pi/u-boot.bin": 600_000,
                       "rpi4-uefi/RPI_EFI.fd": 200_000, "talos/vmlinuz-arm64": 1000, "talos/initramfs-arm64.xz": 1000,
                       "talos/metal-arm64-uki.efi": 1000}.items():
        made[name] = source.randbytes(size)
        path = lab.folder / "files" / name.replace("/", "_")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(made[name])
        lab.asset(path, name)
    return made


def start(lab, **options):
    return lab.start("../../../examples/raspberry-pi", address=f"{bastion.ADDRESS}/24", router=bastion.ADDRESS,
                     range="10.77.0.100-10.77.0.199", **options)


def pi(lab, model):
    return lab.keep(RaspberryPi(lab, model, f"pi{model.generation}"))


def options(reply):
    """The reply from the magic cookie to the end, without the padding behind it."""
    return reply[236:].rstrip(b"\0").hex()


def expected(kind, menu, guid):
    text = COOKIE + f"3501{kind:02x}" + SERVER + TIMES + WHERE + CLASS + menu + NEXT + "6111" + guid + "ff"
    return text.replace(" ", "")


def story(lab, node):
    out = lab.host.run(str(lab._binary), "--state", str(lab.state), "status", "--json")
    return [b for b in json.loads(out)["boots"] if b["node"] == node][0]


@pytest.mark.parametrize("model", [PI4, PI5], ids=["pi4", "pi5"])
def test_pi4_and_pi5(lab, files, model):
    """DISCOVER, OFFER, REQUEST, ACK, then the firmware, its configuration and Linux, below the serial number."""
    start(lab)
    machine = pi(lab, model)
    offer = machine.discover()
    assert options(offer) == expected(2, MENU, model.guid)
    assert offer[20:24] == bytes([10, 77, 0, 1])
    ack = machine.request(offer)
    assert options(ack) == expected(5, MENU, model.guid)
    machine.take(ack)
    at = model.serial
    assert machine.load(f"{at}/start4.elf") == files["raspberry-pi/start4.elf"]
    for probe in ("pieeprom.sig", "recover4.elf", "recovery.elf", "dt-blob.bin", "bootcfg.txt", "armstub8-gic.bin"):
        assert machine.load(f"{at}/{probe}") is None
    config = machine.load(f"{at}/config.txt").decode()
    assert "\nkernel=kernel8.img\n" in config and "\ninitramfs initrd.gz followkernel\n" in config
    assert machine.load(f"{at}/fixup4.dat", blksize=1468) == files["raspberry-pi/fixup4.dat"]
    assert machine.load(f"{at}/overlays/overlay_map.dtb") == files["raspberry-pi/overlays/overlay_map.dtb"]
    name = f"pi{model.generation}-1"
    assert machine.load(f"{at}/cmdline.txt") == f"console=serial0,115200 ip=dhcp lab.node={name}\n".encode()
    assert machine.load(f"{at}/initrd.gz") == files["pi/initrd.gz"]
    assert machine.load(f"{at}/kernel8.img", blksize=1468) == files["pi/kernel8.img"]
    # TFTP_PREFIX=2: the MAC instead of the serial.
    assert machine.load(f"{model.mac.replace(':', '-')}/fixup4.dat") == files["raspberry-pi/fixup4.dat"]
    boot = story(lab, name)
    assert boot["architecture"] == f"raspberry-pi-{model.generation}"
    stages = [s["stage"] for s in boot["steps"]]
    assert stages[:3] == ["discover", "offer", "ack"]
    assert {"tftp", "script", "kernel", "initrd"} <= set(stages)
    assert "refused" not in stages, "what does not exist is no refusal"
    assert any("start4.elf" in s["detail"] for s in boot["steps"])


def test_pi3(lab, files):
    """The ROM takes the OFFER's address without a REQUEST, answers no ARP, and wants to be nudged."""
    start(lab)
    machine = pi(lab, PI3)
    offer = machine.discover()
    assert options(offer) == expected(2, MENU_OF_3, PI3.guid)
    address = machine.take(offer)
    machine.nudges(2)
    assert f"{address} dev eth0 lladdr {PI3.mac} PERMANENT" in lab.host.ip("neigh", "show")
    assert machine.load("bootcode.bin", blksize=512) == files["raspberry-pi/bootcode.bin"]
    assert machine.load("bootsig.bin") is None
    assert machine.load(f"{PI3.serial}/start.elf") == files["raspberry-pi/start.elf"]
    assert "kernel=u-boot.bin" in machine.load(f"{PI3.serial}/config.txt").decode()
    assert machine.load(f"{PI3.serial}/u-boot.bin") == files["pi/u-boot.bin"]
    leases = json.loads(lab.host.run(str(lab._binary), "--state", str(lab.state), "status", "--json"))
    assert [s for s in leases["services"] if s["kind"] == "dhcp.server"][0]["status"]["leases"] == 1, "leased with the OFFER"
    boot = story(lab, "cm3-1")
    assert boot["architecture"] == "raspberry-pi-3"
    assert any("u-boot.bin" in s["detail"] for s in boot["steps"])


@pytest.mark.needs("dnsmasq")
def test_pi4_beside_a_router(lab, files):
    """The router gives the address, netlab the rest; the story joins the two."""
    lab.keep(Router(lab.network, lab.folder))
    start(lab, dhcp="proxy")
    machine = pi(lab, PI4)
    offer, boot_offer = machine.ask(PI4.discover, count=2)
    text = COOKIE + "350102" + SERVER + CLASS + MENU + NEXT + "6111" + PI4.guid + "ff"
    assert options(boot_offer) == text.replace(" ", "")
    assert boot_offer[20:24] == bytes([10, 77, 0, 1])
    machine.take(machine.request(offer))
    assert machine.load(f"{PI4.serial}/start4.elf") == files["raspberry-pi/start4.elf"]
    assert machine.load(f"{PI4.serial}/kernel8.img") == files["pi/kernel8.img"]
    boot = story(lab, "pi4-1")
    assert boot["architecture"] == "raspberry-pi-4"
    assert [s["stage"] for s in boot["steps"]] == ["discover", "offer", "ack", "tftp", "kernel"]
    assert ROUTER in boot["steps"][2]["detail"]


def test_firmware_is_missing(lab):
    """A Pi without anything to load is refused, and the log says where its files belong."""
    server = start(lab)
    machine = pi(lab, PI4)
    machine._send(PI4.discover)
    line = server.log.expect("refused:.*NL-BOOT-017", 20).string
    assert "pi4-1" in line and "assets/raspberry-pi has none of" in line
