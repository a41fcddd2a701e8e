-- DHCP for a million clients, everything else as it is by default; the leases go to the state folder.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases" },
}
netlab.state(opt.state)

local lan = netlab.network {
  interface = "eth0",
  address = "10.0.0.1/8",
  router = "10.0.0.1",
  domain = "bench.internal",
}

netlab.dhcp.server {
  network = lan,
  range = "10.64.0.1-10.79.255.254",
  lease = "12h",
  dns = "10.0.0.1",
}
