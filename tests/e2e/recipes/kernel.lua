-- Kernel and initramfs for both architectures: amd64 machines load them with iPXE, arm64 machines as one EFI
-- file that netlab assembles.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
}
netlab.state(opt.state)

local lan = netlab.network {
  interface = "eth0",
  address = "10.77.0.1/24",
  router = "10.77.0.1",
  domain = "lab.internal",
}

local nodes = netlab.nodes {
  { name = "virtual-1", mac = "52:54:00:0a:4d:11", ip = "10.77.0.11" },
  { name = "virtual-2", mac = "52:54:00:0a:4d:12", ip = "10.77.0.12", role = "controlplane" },
}

local boot = netlab.boot.service {
  nodes = nodes,
  assets = "assets",
  profiles = {
    guest = {
      amd64 = {
        kernel = "amd64/vmlinuz",
        initrd = { "amd64/initrd.gz" },
        args = {
          "console=ttyS0", "panic=1", "lab.node={{name}}",
          "talos.config=http://10.77.0.1:8080/config?mac=${mac:hexhyp}",
        },
      },
      arm64 = {
        kernel = "arm64/vmlinuz",
        initrd = { "arm64/initrd.gz" },
        args = {
          "console=ttyAMA0", "panic=1", "lab.node={{name}}",
          "talos.config=http://10.77.0.1:8080/config?mac=${mac}",
        },
      },
      config = function(node)
        return "machines/" .. (node.role or "worker") .. ".yaml"
      end,
    },
  },
  groups = { { profile = "guest" } },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
netlab.dhcp.server {
  network = lan,
  range = "10.77.0.100-10.77.0.199",
  lease = "1h",
  dns = "10.77.0.1",
  nodes = nodes,
  boot = boot,
}
