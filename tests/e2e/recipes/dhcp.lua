-- DHCP alone, with a lease and a range that the test chooses.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases" },
  { name = "lease", type = "duration", default = "1h", help = "for how long an address is given" },
  { name = "range", type = "string", default = "10.77.0.100-10.77.0.199", help = "first and last address" },
}
netlab.state(opt.state)

local lan = netlab.network {
  interface = "eth0",
  address = "10.77.0.1/24",
  router = "10.77.0.1",
  domain = "lab.internal",
}

netlab.dhcp.server {
  network = lan,
  range = opt.range,
  lease = opt.lease,
  dns = "10.77.0.1",
  nodes = netlab.nodes {
    { name = "virtual-1", mac = "52:54:00:0a:4d:11", ip = "10.77.0.11" },
  },
}
