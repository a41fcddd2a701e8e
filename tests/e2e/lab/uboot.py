"""A board with U-Boot, Debian's build for QEMU's arm64 machine."""

import pathlib
import struct
import subprocess
import time
import zlib

from .output import Output
from .qemu import Guest

_FIRMWARE = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
_FLASH, _ENVIRONMENT = 64 << 20, 0x40000
# Where U-Boot puts what it loads; its own defaults, which an environment of ours replaces.
_ADDRESSES = {"loadaddr": "0x40200000", "scriptaddr": "0x40200000", "pxefile_addr_r": "0x40300000",
              "kernel_addr_r": "0x40400000", "ramdisk_addr_r": "0x44000000", "fdt_addr": "0x40000000"}


class Board(Guest):
    """A virtual machine that U-Boot starts.  `bootcmd`: what it does after power-on; its own default unless given."""

    def __init__(self, network, folder, mac, uuid, bootcmd=None, name="board"):
        tap = network.tap()
        folder = pathlib.Path(folder)
        command = [
            "qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72", "-accel", "tcg", "-smp", "1", "-m", "768",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-uuid", uuid,
            "-bios", _FIRMWARE,
            "-netdev", f"tap,id=lan,ifname={tap},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=lan,mac={mac},romfile=",
            "-device", "virtio-rng-pci",
        ]
        if bootcmd:
            flash = folder / f"{name}-flash.img"
            values = {"ethaddr": mac, "bootdelay": "0", "bootcmd": bootcmd, **_ADDRESSES}
            data = b"".join(f"{key}={value}".encode() + b"\0" for key, value in values.items()) + b"\0"
            data = data.ljust(_ENVIRONMENT - 4, b"\xff")
            with open(flash, "wb") as file:
                file.write(struct.pack("<I", zlib.crc32(data)) + data)
                file.truncate(_FLASH)
            command += ["-drive", f"if=pflash,format=raw,unit=1,file={flash}"]
        self.started = time.monotonic()
        self._process = network.switch.popen(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                             stderr=subprocess.STDOUT)
        self.serial = Output(self._process.stdout, folder / f"{name}-serial.log")
