-- A bastion for many machines at the same moment: firmware loads a loader over TFTP, iPXE the rest over HTTP, and
-- whoever is there already goes on asking for names.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
  { name = "loader", type = "path", help = "what stands for iPXE" },
}
netlab.state(opt.state)

local lan = netlab.network { interface = "eth0", address = "10.0.0.1/8", router = "10.0.0.1", domain = "bench.internal" }

local boot = netlab.boot.service {
  assets = "assets",
  ipxe = { amd64 = opt.loader },
  profiles = { guest = { kernel = "vmlinuz", initrd = { "initrd.gz" }, args = { "console=ttyS0" } } },
  groups = { { profile = "guest" } },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
local dhcp = netlab.dhcp.server { network = lan, range = "10.64.0.1-10.64.255.254", lease = "12h", dns = "10.0.0.1", boot = boot }
netlab.dns.server {
  listen = lan:at(53),
  upstreams = "10.0.0.2", -- nobody there: no name of the world is asked for
  leases = dhcp,
  records = { kernel = "10.0.0.1" },
}
