-- talos.lua: Talos Linux with system extensions, netbooted; nobody but the bastion loads anything from the internet.
--
--   sudo netlab run talos.lua --interface eth0 --address 10.20.13.140/24 --arch arm64
--
-- An Image Factory makes kernel and initramfs; netlab fetches them once, checks and keeps them, and serves its copy
-- from then on, also while the factory is out of reach. `netlab status` shows how far it is.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "interface", type = "string", default = "eth0", help = "where the lab network is" },
  { name = "address", type = "cidr", default = "10.20.13.140/24", help = "this machine's address on it" },
  { name = "range", type = "ip_range", default = "10.20.13.100-10.20.13.199", help = "addresses for the nodes" },
  { name = "version", type = "string", default = "v1.11.3", help = "the release of Talos" },
  { name = "arch", type = "string", default = "arm64", help = "the nodes' processor: amd64 or arm64" },
  { name = "factory", type = "string", default = "https://factory.talos.dev", help = "the Image Factory, or a mirror" },
  { name = "state", type = "path", default = "/var/lib/netlab", help = "leases, timeline and boot assets live here" },
}
netlab.state(opt.state)

local lan = netlab.network { interface = opt.interface, address = opt.address }

local boot = netlab.boot.service {
  profiles = {
    talos = netlab.talos.profile {
      version = opt.version,
      extensions = { "siderolabs/tailscale", "siderolabs/spin" },
      kernel_args = { opt.arch == "arm64" and "console=ttyAMA0" or "console=ttyS0" },
      arch = { opt.arch },
      factory = opt.factory,
      -- A file beside this recipe: what `talosctl gen config` wrote.
      config = function(node) return "machines/" .. (node.role or "worker") .. ".yaml" end,
    },
  },
  groups = { { profile = "talos" } },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
netlab.dhcp.server { network = lan, range = opt.range, lease = "12h", boot = boot }
