-- home.lua: the inner network of a home lab, taken over in one evening from the containers that ran it: dnsmasq,
-- matchbox, Pi-hole and a registry:2 for each registry. docs/moving-in.md goes through it step by step.
--
--   sudo netlab run home.lua --interface enp1s0 --matchbox /var/lib/matchbox --pihole /etc/pihole --registries /srv/registry
--
-- What they kept is only read: they can be started again as they were.
--
-- The house: the provider's router serves the front network 10.17.12.0/24; a dual-homed router
-- (10.17.12.249 and 10.17.13.249) leads to the inner network 10.17.13.0/24, where this machine is
-- 10.17.13.140. The devices of both networks keep asking the DNS server on this machine.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "interface", type = "string", default = "eth0", help = "the inner network's interface" },
  { name = "address", type = "cidr", default = "10.17.13.140/24", help = "this machine's address on it" },
  { name = "dnsmasq-leases", type = "path", default = "/var/lib/misc/dnsmasq.leases", help = "leases of the dnsmasq that ran here before" },
  { name = "matchbox", type = "path", help = "the folder of the matchbox that ran here before, such as /var/lib/matchbox" },
  { name = "pihole", type = "path", help = "the folder of the Pi-hole that ran here before, such as /etc/pihole" },
  { name = "registries", type = "path", help = "a folder with one of each registry:2 that ran here before: docker.io, gcr.io, …" },
  { name = "state", type = "path", default = "/var/lib/netlab", help = "leases, timeline, query log and boot assets live here" },
}
netlab.state(opt.state)

local inner = netlab.network {
  interface = opt.interface,
  address = opt.address,
  router = "10.17.13.249",
  domain = "home.internal",
}

local nodes = netlab.nodes {
  { name = "cm3-1", mac = "b8:27:eb:00:00:01", ip = "10.17.13.21", role = "controlplane" },
  { name = "cm3-2", mac = "b8:27:eb:00:00:02", ip = "10.17.13.22", role = "worker" },
  { name = "mini-1", mac = "02:17:0d:00:00:31", ip = "10.17.13.31", role = "worker" },
}

-- matchbox's groups and profiles answer first, at matchbox's addresses; the profiles here are for machines that none of
-- its groups is for.
local boot = netlab.boot.service {
  nodes = nodes,
  sources = opt.matchbox and { netlab.plugin("matchbox").folder { path = opt.matchbox } } or {},
  assets = "assets",
  profiles = {
    talos = {
      amd64 = { kernel = "talos/vmlinuz-amd64", initrd = { "talos/initramfs-amd64.xz" } },
      arm64 = { uki = "talos/metal-arm64-uki.efi" },
      args = { "talos.platform=metal", "slab_nomerge", "pti=on", "talos.config={{boot_url}}/config?mac=${mac}" },
      config = function(node) return "machines/" .. (node.role or "worker") .. ".yaml" end,
    },
  },
  groups = { { match = { role = "controlplane" }, profile = "talos" }, { profile = "talos" } },
}

netlab.http.server { listen = inner:at(8080), serve = { boot } }
netlab.tftp.server { listen = inner:at(69), serve = { boot } }

local dhcp = netlab.dhcp.server {
  network = inner,
  range = "10.17.13.100-10.17.13.199",
  lease = "12h",
  dns = inner.ip,
  nodes = nodes,
  boot = boot,
  import = { dnsmasq = opt["dnsmasq-leases"] }, -- read once, when netlab has no leases of its own
}

-- The resolver of both networks. The front network's machines ask from 10.17.12.0/24; their names are the
-- provider's router's, which gives them their addresses.
netlab.dns.server {
  listen = inner:at(53),
  nodes = nodes,
  leases = { dhcp },
  upstreams = { "tls://1.1.1.1#one.one.one.one", "tls://9.9.9.9#dns.quad9.net" },
  forward = { ["10.17.12.0/24"] = "10.17.12.1" },
  records = { files = inner.ip, registry = inner.ip, router = { "10.17.13.249", "10.17.12.249" } },
  pihole = opt.pihole and netlab.dns.pihole { path = opt.pihole }, -- its lists, groups, clients and names
}

-- The ports that the nodes' machine configs name already.
local ports = { ["docker.io"] = 5050, ["gcr.io"] = 5051, ["ghcr.io"] = 5052, ["quay.io"] = 5053, ["registry.k8s.io"] = 5054 }
local upstreams = {}
for registry, port in pairs(ports) do
  upstreams[registry] = { listen = inner:at(port), import = opt.registries and netlab.fs.join(opt.registries, registry) }
end
netlab.registry.proxy { cache = { max_size = "100GiB" }, upstreams = upstreams }
