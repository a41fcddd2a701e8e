-- A folder over TFTP and HTTP, and a boot service over both; the folder's TFTP has a port of its own.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
  { name = "root", type = "path", help = "the folder to serve" },
  { name = "workers", type = "number", default = 1, help = "of the HTTP server" },
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
    guest = {
      kernel = "vmlinuz",
      initrd = { "initrd.gz" },
      args = { "console=ttyS0" },
      config = "machines/worker.yaml",
    },
  },
  groups = { { profile = "guest" } },
}

netlab.tftp.server { name = "folder", listen = lan:at(69), root = opt.root }
netlab.tftp.server { name = "boot", listen = lan:at(6969), serve = { boot } }
netlab.http.server {
  listen = lan:at(8080),
  serve = { boot, netlab.http.files("/files", opt.root) },
  workers = opt.workers,
}
