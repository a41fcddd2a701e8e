-- Boot options beside a router that does DHCP: kernel and initramfs through iPXE for amd64, one image for arm64.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for assets" },
  { name = "option43", type = "string", default = "auto", help = "to virtual-2" },
  { name = "loader", type = "string", default = "auto", help = "what stands between firmware and kernel" },
}
netlab.state(opt.state)

local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24", router = "10.77.0.254" }

local nodes = netlab.nodes {
  { name = "virtual-1", mac = "52:54:00:0a:4d:11" },
  { name = "virtual-2", mac = "52:54:00:0a:4d:12" },
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
          "console=ttyS0", "panic=1", "lab.node={{name|none}}",
          "talos.config=http://10.77.0.1:8080/config?mac=${mac:hexhyp}",
        },
      },
      arm64 = { uki = "arm64/linux.efi" },
      loader = opt.loader,
      config = "machines/worker.yaml",
    },
  },
  groups = { { profile = "guest" } },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
netlab.dhcp.proxy {
  network = lan,
  boot = boot,
  nodes = nodes,
  hosts = { { name = "virtual-2", option43 = opt.option43 } },
}
