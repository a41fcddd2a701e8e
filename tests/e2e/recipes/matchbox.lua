-- An existing matchbox folder decides what machines boot; DHCP and TFTP bring them to it.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases" },
  { name = "folder", type = "path", help = "the matchbox folder" },
}
netlab.state(opt.state)

local lan = netlab.network {
  interface = "eth0",
  address = "10.77.0.1/24",
  router = "10.77.0.1",
  domain = "lab.internal",
}

local boot = netlab.boot.service {
  sources = { netlab.plugin("matchbox").folder { path = opt.folder } },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
netlab.dhcp.server {
  network = lan,
  range = "10.77.0.100-10.77.0.199",
  lease = "1h",
  boot = boot,
}
