"""Guests with real firmware, without KVM: what a boot shows must not depend on the machine it runs on."""

import pathlib
import shutil
import subprocess
import time

from . import process
from .output import Output

# The firmware's own switches that make it try HTTP boot at once instead of PXE over IPv4 and IPv6 first.
_HTTP_ONLY = [("opt/org.tianocore/IPv4PXESupport", "n"), ("opt/org.tianocore/IPv6PXESupport", "n"),
              ("opt/org.tianocore/IPv6Support", "n")]
_PXE_ONLY = [("opt/org.tianocore/IPv6PXESupport", "n"), ("opt/org.tianocore/IPv6Support", "n")]

# Firmware that checks signatures keeps its variables where only it can write.
_GUARDED = ["-machine", "q35,smm=on", "-cpu", "max", "-global", "driver=cfi.pflash01,property=secure,value=on"]

_MACHINES = {
    "amd64": {
        "emulator": "qemu-system-x86_64",
        "machine": ["-machine", "q35", "-cpu", "max"],
        "code": "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "variables": "/usr/share/OVMF/OVMF_VARS_4M.fd",
    },
    # SeaBIOS knows no network: the card's option ROM does it, which in Debian is an iPXE of 2019. SeaBIOS runs
    # it only for the virtio card without the legacy interface, whose number is the one in the ROM.
    "bios": {
        "emulator": "qemu-system-x86_64",
        "machine": ["-machine", "q35,graphics=off", "-cpu", "max"],
        "rom": "/usr/lib/ipxe/qemu/pxe-virtio.rom",
    },
    # What an instance in EC2 shows of itself; it starts from a disk, here from what the test gives as -kernel.
    "ec2": {
        "emulator": "qemu-system-x86_64",
        "machine": ["-machine", "q35,graphics=off", "-cpu", "max",
                    "-smbios", "type=1,manufacturer=Amazon EC2,product=t3.small",
                    "-smbios", "type=2,manufacturer=Amazon EC2,asset=i-0123456789abcdef0"],
    },
    "arm64": {
        "emulator": "qemu-system-aarch64",
        "machine": ["-machine", "virt", "-cpu", "cortex-a72"],
        "code": "/usr/share/AAVMF/AAVMF_CODE.fd",
        "variables": "/usr/share/AAVMF/AAVMF_VARS.fd",
    },
    # The same firmware with Microsoft's keys enrolled: it starts only what they signed.
    "arm64-secure": {
        "emulator": "qemu-system-aarch64",
        "machine": ["-machine", "virt", "-cpu", "cortex-a72"],
        "code": "/usr/share/AAVMF/AAVMF_CODE.ms.fd",
        "variables": "/usr/share/AAVMF/AAVMF_VARS.ms.fd",
    },
    "amd64-secure": {
        "emulator": "qemu-system-x86_64",
        "machine": _GUARDED,
        "code": "/usr/share/OVMF/OVMF_CODE_4M.ms.fd",
        "variables": "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
    },
    # With keys of the firmware's own package enrolled, whose secret half comes with them.
    "amd64-snakeoil": {
        "emulator": "qemu-system-x86_64",
        "machine": _GUARDED,
        "code": "/usr/share/OVMF/OVMF_CODE_4M.snakeoil.fd",
        "variables": "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd",
    },
    # 32-bit UEFI on a processor that has 64 bits, as some tablets and mini-PCs have it.
    "i386": {
        "emulator": "qemu-system-x86_64",
        "machine": _GUARDED,
        "code": "/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd",
        "variables": "/usr/share/OVMF/OVMF32_VARS_4M.fd",
    },
}

FAILURE = r"netlab-e2e: failed|Kernel panic|No bootable (option|device)|Could not boot|Network boot canceled"


class Guest:
    """A virtual machine with one network card and a serial port.

    `started` is the moment of power-on; the emulator ends when the guest powers off or panics."""

    def __init__(self, network, folder, arch, mac, uuid, http_boot=False, name="guest", arguments=()):
        machine = _MACHINES[arch]
        tap = network.tap()
        folder = pathlib.Path(folder)
        command = [
            machine["emulator"], *machine["machine"], "-accel", "tcg", "-smp", "1", "-m", "768",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-uuid", uuid,
            "-netdev", f"tap,id=lan,ifname={tap},script=no,downscript=no",
            # Without the option ROM, which is iPXE, UEFI's own network stack does the work.
            "-device", f"virtio-net-pci,netdev=lan,mac={mac},bootindex=1,romfile="
            + (machine["rom"] + ",disable-legacy=on" if "rom" in machine else ""),
            "-device", "virtio-rng-pci",
        ]
        if "code" in machine:
            variables = folder / f"{name}-variables.fd"
            shutil.copyfile(machine["variables"], variables)
            command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={machine['code']}",
                        "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
            for key, value in _HTTP_ONLY if http_boot else _PXE_ONLY:
                command += ["-fw_cfg", f"name={key},string={value}"]
        command += arguments
        self.started = time.monotonic()
        self._process = network.switch.popen(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                             stderr=subprocess.STDOUT)
        self.serial = Output(self._process.stdout, folder / f"{name}-serial.log")

    def expect(self, pattern, timeout):
        return self.serial.expect(pattern, timeout, fail=FAILURE)

    def wait_off(self, timeout):
        """Seconds from power-on to power-off."""
        self._process.wait(timeout)
        seconds = time.monotonic() - self.started
        self.serial.close()
        return seconds

    def kill(self):
        if self._process.poll() is None:
            process.kill_group(self._process)
            self._process.wait(10)
        self.serial.close()


def run_to_config(guest, timeout):
    """Follows a guest to the end of its first boot.

    Returns what the guest's userspace reported: address, lease details, command line, the size and SHA-256 of
    the machine configuration, and the seconds from power-on to power-off."""
    deadline = time.monotonic() + timeout

    def line(pattern):
        return guest.expect(pattern, max(deadline - time.monotonic(), 0.1))

    report = {"machine": line(r"netlab-e2e: userspace (\S+)").group(1)}
    report["mac"] = line(r"netlab-e2e: mac (\S+)").group(1)
    report["address"] = line(r"netlab-e2e: lease (\d+\.\d+\.\d+\.\d+)").group(1)
    details = line(r"netlab-e2e: lease-details (.*)").group(1)
    report["lease"] = dict(part.split("=", 1) for part in details.split() if "=" in part)
    report["cmdline"] = line(r"netlab-e2e: cmdline (.*)").group(1)
    report["config_url"] = line(r"netlab-e2e: config-url (\S+)").group(1)
    config = line(r"netlab-e2e: config (\d+) bytes sha256=([0-9a-f]{64})")
    report["config_size"], report["config_sha256"] = int(config.group(1)), config.group(2)
    line(r"netlab-e2e: done")
    report["seconds"] = guest.wait_off(max(deadline - time.monotonic(), 1))
    return report
