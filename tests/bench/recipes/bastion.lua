-- A bastion that netboots: DHCP, TFTP, HTTP and a boot profile, for start-up time and what it takes when idle.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
}
netlab.state(opt.state)

local lan = netlab.network {
  interface = "eth0",
  address = "10.0.0.1/8",
  router = "10.0.0.1",
  domain = "bench.internal",
}

local nodes = netlab.nodes {
  { name = "node-1", mac = "02:00:00:00:01:01", ip = "10.0.1.1" },
}

local boot = netlab.boot.service {
  nodes = nodes,
  assets = "assets",
  profiles = {
    guest = {
      kernel = "vmlinuz",
      initrd = { "initrd.gz" },
      args = { "console=ttyS0" },
    },
  },
  groups = { { profile = "guest" } },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
netlab.dhcp.server {
  network = lan,
  range = "10.64.0.1-10.64.255.254",
  lease = "12h",
  dns = "10.0.0.1",
  nodes = nodes,
  boot = boot,
}
