-- bastion.lua: a whole lab network from one machine.
--
--   sudo netlab run bastion.lua --interface eth0 --address 10.20.13.140/24
--
-- DHCP hands out addresses, TFTP and HTTP boot Talos on amd64 and arm64, DNS knows every node and lease and
-- filters the rest, and every node's boot is told as one story in the log and by `netlab status`.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "interface", type = "string", default = "eth0", help = "where the lab network is" },
  { name = "address", type = "cidr", default = "10.20.13.140/24", help = "this machine's address on it" },
  { name = "router", type = "ip", default = "10.20.13.1", help = "the default gateway of the nodes" },
  { name = "range", type = "ip_range", default = "10.20.13.100-10.20.13.199", help = "addresses for machines that are not listed below" },
  { name = "upstreams", type = "string", default = "tls://1.1.1.1#one.one.one.one tls://9.9.9.9#dns.quad9.net", help = "resolvers for names of the outside" },
  { name = "blocklist", type = "url", help = "names that are not answered: a hosts file or filter list" },
  { name = "state", type = "path", default = "/var/lib/netlab", help = "leases, timeline, query log and boot assets live here" },
}
netlab.state(opt.state)

local lan = netlab.network {
  interface = opt.interface,
  address = opt.address,
  router = opt.router,
  domain = "lab.internal",
}

-- One place for who is who: DHCP reserves the address, boot picks the profile, the log speaks the name.
local nodes = netlab.nodes {
  { name = "talos-1", mac = "02:00:0a:14:0d:0b", ip = "10.20.13.11", role = "controlplane" },
  { name = "talos-2", mac = "02:00:0a:14:0d:0c", ip = "10.20.13.12", role = "worker" },
}

-- What Talos' kernel is told. ${mac} is filled in by the node itself, {{boot_url}} by netlab.
local function talos_args(console)
  return {
    "console=" .. console,
    "talos.platform=metal",
    "slab_nomerge",
    "pti=on",
    "talos.config={{boot_url}}/config?mac=${mac}",
  }
end

-- Assets are files below <state>/assets: the kernel and initramfs of a Talos release or Image Factory
-- schematic. An arm64 firmware gets both as one UKI, put together from systemd-boot's stub.
local boot = netlab.boot.service {
  nodes = nodes,
  assets = "assets",
  profiles = {
    talos = {
      amd64 = { kernel = "talos/vmlinuz-amd64", initrd = { "talos/initramfs-amd64.xz" }, args = talos_args("ttyS0") },
      arm64 = { kernel = "talos/vmlinuz-arm64", initrd = { "talos/initramfs-arm64.xz" }, args = talos_args("ttyAMA0") },
      -- A file beside this recipe: what `talosctl gen config` wrote.
      config = function(node) return "machines/" .. (node.role or "worker") .. ".yaml" end,
    },
  },
  groups = { { profile = "talos" } },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }

local dhcp = netlab.dhcp.server {
  network = lan,
  range = opt.range,
  lease = "12h",
  dns = lan.ip,
  nodes = nodes,
  boot = boot,
  on_lease = function(lease) netlab.log.info("lease", { node = lease.name or lease.hostname, ip = lease.ip }) end,
}

-- talos-1, talos-1.lab.internal and the machines with leases, each for as long as it has its address. What is
-- asked and blocked: netlab dns top, tail and why.
local upstreams = {}
for word in opt.upstreams:gmatch "%S+" do
  upstreams[#upstreams + 1] = word
end
netlab.dns.server {
  listen = lan:at(53),
  nodes = nodes,
  leases = { dhcp },
  upstreams = upstreams,
  -- In a VPC, names of other instances are Amazon's resolver's:
  -- forward = { ["eu-west-1.compute.internal"] = "10.20.0.2" },
  records = { registry = lan.ip, boot = lan.ip },
  blocklists = opt.blocklist and { opt.blocklist } or {},
}

-- Images: every node pulls through here, and each layer is fetched once for all of them. Nodes are told by
-- netlab.registry.mirrors: given this proxy it writes machine.registries.mirrors for Talos.
netlab.registry.proxy {
  cache = { max_size = "20GiB" },
  upstreams = {
    ["docker.io"] = { listen = lan:at(5050) },
    ["gcr.io"] = { listen = lan:at(5051) },
    ["ghcr.io"] = { listen = lan:at(5052) },
    ["quay.io"] = { listen = lan:at(5053) },
    ["registry.k8s.io"] = { listen = lan:at(5054) },
  },
  listen = lan:at(5000),
}
