-- A DHCP server that looks at the network first: addresses while nobody else gives them, else boot options alone.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
}
netlab.state(opt.state)

local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24", router = "10.77.0.254" }

local boot = netlab.boot.service {
  assets = "assets",
  profiles = { guest = { uki = "linux.efi" } },
  groups = { { profile = "guest" } },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
netlab.dhcp.server {
  mode = "auto",
  network = lan,
  range = "10.77.0.100-10.77.0.199",
  lease = "1h",
  boot = boot,
}
