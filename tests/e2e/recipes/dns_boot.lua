-- Nodes that get address, config and names from one machine.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
}
netlab.state(opt.state)

local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24", router = "10.77.0.1", domain = "lab.internal" }
local nodes = netlab.nodes {
  { name = "virtual-1", mac = "52:54:00:0a:4d:11", ip = "10.77.0.11" },
  { name = "virtual-2", mac = "52:54:00:0a:4d:12", ip = "10.77.0.12" },
}
local boot = netlab.boot.service {
  nodes = nodes,
  assets = "assets",
  profiles = { guest = { uki = "linux.efi", config = "machines/worker.yaml" } },
  groups = { { profile = "guest" } },
}
netlab.http.server { listen = lan:at(8080), serve = { boot } }
local dhcp = netlab.dhcp.server {
  network = lan,
  range = "10.77.0.100-10.77.0.199",
  lease = "1h",
  dns = lan.ip,
  nodes = nodes,
  boot = boot,
}
netlab.dns.server { listen = lan:at(53), nodes = nodes, leases = { dhcp }, upstreams = "10.77.0.53" }
