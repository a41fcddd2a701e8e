-- One ready-made unified kernel image for whoever asks; its command line is baked in.
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

local boot = netlab.boot.service {
  assets = "assets",
  profiles = {
    guest = { uki = "linux.efi", config = "machines/worker.yaml" },
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
  boot = boot,
}
