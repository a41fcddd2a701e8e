-- Kernel and initramfs for every processor, by the boot loader that the test names.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
  { name = "loader", type = "string", default = "auto", help = "what stands between firmware and kernel" },
  { name = "uki", type = "string", default = "", help = "a unified kernel image instead" },
}
netlab.state(opt.state)

local lan = netlab.network {
  interface = "eth0",
  address = "10.77.0.1/24",
  router = "10.77.0.1",
  domain = "lab.internal",
}

local function guest(arch, console)
  return {
    kernel = arch .. "/vmlinuz",
    initrd = { arch .. "/initrd.gz" },
    args = { "console=" .. console, "panic=1", "lab.node={{name|none}}", "talos.config={{boot_url}}/config?mac=${mac}" },
  }
end

local boot = netlab.boot.service {
  assets = "assets",
  profiles = {
    guest = opt.uki ~= "" and { uki = opt.uki, loader = opt.loader, config = "machines/worker.yaml" } or {
      amd64 = guest("amd64", "ttyS0"),
      arm64 = guest("arm64", "ttyAMA0"),
      loader = opt.loader,
      config = "machines/worker.yaml",
    },
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
