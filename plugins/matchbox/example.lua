-- A matchbox folder with DHCP and TFTP around it: what dnsmasq and matchbox did in two containers.
--   sudo netlab run example.lua --interface eth0 --folder /var/lib/matchbox
local netlab = require "netlab"

local opt = netlab.args {
  { name = "interface", type = "string", default = "eth0", help = "where the lab network is" },
  { name = "address", type = "cidr", default = "10.20.13.140/24", help = "this machine's address in it" },
  { name = "range", type = "string", default = "10.20.13.100-10.20.13.199", help = "addresses to give out" },
  { name = "folder", type = "path", default = "/var/lib/matchbox", help = "the matchbox folder" },
  { name = "state", type = "path", default = "/var/lib/netlab", help = "where leases are kept" },
}
netlab.state(opt.state)
local lan = netlab.network { interface = opt.interface, address = opt.address, domain = "lab.internal" }

local boot = netlab.boot.service {
  sources = { netlab.plugin("matchbox").folder { path = opt.folder } },
}
netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
netlab.dhcp.server { network = lan, range = opt.range, lease = "12h", boot = boot }
