-- The network's resolver, with upstreams that the test chooses, and a DHCP server whose clients get names.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases" },
  { name = "upstreams", type = "string", default = "10.77.0.53", help = "separated by blanks" },
  { name = "bootstrap", type = "string", default = "", help = "resolvers for named upstreams" },
  { name = "forward", type = "string", default = "", help = "address of the resolver for corp.example" },
  { name = "ca", type = "path", help = "certificates that upstreams may show" },
  { name = "hosts", type = "path", help = "a hosts file" },
  { name = "cache", type = "string", default = "", help = "anything: keep answers over restarts" },
  { name = "anchor", type = "string", default = "", help = "the root's DS data: validate by it" },
  { name = "certificate", type = "path", help = "for DNS over HTTPS" },
  { name = "key", type = "path", help = "the certificate's" },
  { name = "workers", type = "integer", default = 1, help = "threads" },
}
netlab.state(opt.state)

local function words(text)
  local out = {}
  for word in text:gmatch "%S+" do
    out[#out + 1] = word
  end
  return out
end

local function given(text)
  return text ~= "" and text or nil
end

local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24", domain = "lab.internal" }

local nodes = netlab.nodes {
  { name = "virtual-1", mac = "52:54:00:0a:4d:11", ip = "10.77.0.11" },
  { name = "virtual-2", mac = "52:54:00:0a:4d:12", ip = "10.77.0.12" },
}

local dhcp = netlab.dhcp.server { network = lan, range = "10.77.0.100-10.77.0.199", lease = "1h", nodes = nodes }

local forward = {}
if opt.forward ~= "" then
  forward["corp.example"] = opt.forward
  forward["10.99.0.0/16"] = opt.forward
end

local dns = netlab.dns.server {
  listen = { lan:at(53), "127.0.0.1:53", "[::1]:53" },
  nodes = nodes,
  leases = dhcp,
  upstreams = words(opt.upstreams),
  bootstrap = given(opt.bootstrap),
  ca_file = opt.ca,
  hosts = opt.hosts,
  forward = forward,
  workers = opt.workers,
  cache = { save = opt.cache ~= "" },
  dnssec = opt.anchor ~= "" and { anchors = { ["."] = opt.anchor } },
  records = {
    registry = "10.77.0.1",
    dual = { "10.77.0.2", "fd00::2" },
    www = { cname = "registry" },
    outside = { cname = "www.example.org." },
    ["*.apps.lab.internal"] = "10.77.0.50",
    ["_etcd._tcp.lab.internal"] = { srv = { "0 10 2379 virtual-1", "0 10 2379 virtual-2" } },
    mail = { a = "10.77.0.3", mx = "10 mail", txt = { "v=spf1 -all", '"two" "strings"' }, ttl = "1h" },
  },
}

if opt.certificate then
  netlab.http.server { listen = lan:at(443), tls = { certificate = opt.certificate, key = opt.key }, serve = { dns } }
end
