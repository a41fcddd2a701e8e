-- Every service that counts something, and the page that shows it.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path" },
}
netlab.state(opt.state)
local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24", domain = "lab.internal" }
local nodes = netlab.nodes { { name = "talos-1", mac = "52:54:00:0a:4d:11", ip = "10.77.0.11" } }
local boot = netlab.boot.service {
  nodes = nodes,
  profiles = { one = { kernel = "vmlinuz" } },
  groups = { { profile = "one" } },
}
netlab.http.server {
  name = "web",
  listen = lan:at(8080),
  serve = { boot, netlab.http.metrics(), netlab.http.metrics("/other/metrics") },
}
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
local dhcp = netlab.dhcp.server { name = "lan", network = lan, range = "10.77.0.100-10.77.0.109", lease = "1h", boot = boot }
netlab.registry.proxy {
  name = "images",
  cache = { path = "registry", max_size = "1GiB" },
  upstreams = { ["docker.io"] = { url = "http://10.77.0.53:5000" } },
  listen = lan:at(5000),
}
netlab.dns.server {
  name = "names",
  listen = lan:at(53),
  domain = "lab.internal",
  nodes = nodes,
  leases = { dhcp },
  records = { registry = lan.ip },
  upstreams = { "10.77.0.53" }, -- nobody is there: what is asked is answered here
}
