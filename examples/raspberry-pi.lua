-- raspberry-pi.lua: Raspberry Pi 3, CM3, 4, CM4 and 5 boot from the network, without an SD card.
--
--   sudo netlab run raspberry-pi.lua --interface eth0 --address 10.17.13.140/24
--
-- Assets, below <state>/assets:
--   raspberry-pi/   bootcode.bin, start.elf, start4.elf, fixup.dat, fixup4.dat, *.dtb, overlays/ of the firmware
--   pi/kernel8.img, pi/initrd.gz                     a Linux that boots directly
--   pi/u-boot.bin                                    U-Boot for rpi_arm64, which boots Talos
--   rpi4-uefi/RPI_EFI.fd, start4.elf, config.txt …   UEFI firmware (pftf), which boots a unified image
--   talos/…                                          kernel, initramfs and unified image of Talos for arm64
-- A Pi 3 needs network boot switched on in its OTP once; a Pi 4 and 5 need BOOT_ORDER with a 2 in it.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "interface", type = "string", default = "eth0", help = "where the Pis are" },
  { name = "address", type = "cidr", default = "10.17.13.140/24", help = "this machine's address on it" },
  { name = "router", type = "ip", default = "10.17.13.249", help = "the default gateway of the Pis" },
  { name = "range", type = "ip_range", default = "10.17.13.100-10.17.13.199", help = "addresses for machines that are not listed below" },
  { name = "dhcp", type = "string", default = "server", help = "server; proxy beside a router that gives the addresses; auto to let netlab find out" },
  { name = "state", type = "path", default = "/var/lib/netlab", help = "leases, timeline and boot assets live here" },
}
netlab.state(opt.state)

local lan = netlab.network {
  interface = opt.interface,
  address = opt.address,
  router = opt.router,
  domain = "lab.internal",
}

-- A Pi 4 and 5 tell their serial number; a Pi 3 is known by its MAC.
local nodes = netlab.nodes {
  { name = "cm3-1", mac = "b8:27:eb:20:30:40", role = "talos" },
  { name = "pi4-1", mac = "dc:a6:32:20:30:40", serial = "10203040", role = "linux" },
  { name = "pi5-1", mac = "2c:cf:67:20:30:40", serial = "50607080", role = "linux" },
  { name = "pi4-2", mac = "dc:a6:32:20:30:41", role = "uefi" },
}

local talos_args = {
  "console=tty0",
  "console=ttyAMA0,115200",
  "talos.platform=metal",
  "slab_nomerge",
  "pti=on",
  "talos.config={{boot_url}}/config?mac=${mac}",
}

local boot = netlab.boot.service {
  nodes = nodes,
  assets = "assets",
  profiles = {
    -- The Pi's own firmware starts Linux; config.txt and cmdline.txt are made for each node.
    linux = {
      raspberry = netlab.boot.raspberry {
        kernel = "pi/kernel8.img",
        initrd = { "pi/initrd.gz" },
        args = { "console=serial0,115200", "ip=dhcp", "lab.node={{name}}" },
      },
    },
    -- The firmware starts U-Boot, which asks DHCP again and reads its pxelinux.cfg: kernel and initramfs of Talos.
    talos = {
      raspberry = netlab.boot.raspberry { kernel = "pi/u-boot.bin" },
      arm64 = { kernel = "talos/vmlinuz-arm64", initrd = { "talos/initramfs-arm64.xz" } },
      args = talos_args,
      config = function(node) return "machines/" .. (node.labels.kind or "worker") .. ".yaml" end,
    },
    -- The firmware starts UEFI, which asks DHCP again as any arm64 machine does.
    uefi = {
      raspberry = netlab.boot.raspberry { firmware = "rpi4-uefi", uefi = "rpi4-uefi/RPI_EFI.fd" },
      arm64 = { uki = "talos/metal-arm64-uki.efi" },
      config = "machines/worker.yaml",
    },
  },
  groups = {
    { match = { role = "talos" }, profile = "talos" },
    { match = { role = "uefi" }, profile = "uefi" },
    { profile = "linux" },
  },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
if opt.dhcp == "proxy" then
  netlab.dhcp.proxy { network = lan, boot = boot, nodes = nodes }
else
  netlab.dhcp.server {
    mode = opt.dhcp,
    network = lan,
    range = opt.range,
    lease = "12h",
    nodes = nodes,
    boot = boot,
  }
end
