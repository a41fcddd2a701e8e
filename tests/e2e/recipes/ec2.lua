-- A bastion in a VPC: the recipe asks for DHCP and TFTP as at home, and they stay off.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
}
netlab.state(opt.state)

local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24", platform = "ec2" }

local function guest(kernel)
  return {
    kernel = kernel,
    initrd = { "amd64/initrd.gz" },
    args = {
      "console=ttyS0", "panic=1", "lab.instance={{query.instance_id|none}}", "lab.tag={{query.tag|none}}",
      "talos.config={{boot_url}}/config?mac=${mac:hexhyp}",
    },
    config = "machines/worker.yaml",
  }
end

local boot = netlab.boot.service {
  profiles = {
    ["by-instance"] = guest "amd64/vmlinuz",
    others = guest "amd64/missing",
  },
  groups = {
    { profile = "others" },
    { match = { manufacturer = "Amazon*" }, profile = "others" },
    { match = { instance_id = "i-0123456789abcdef0", tag = { "worker", "controlplane" } }, profile = "by-instance" },
  },
}

netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
netlab.dhcp.server { network = lan, range = "10.77.0.100-10.77.0.199", lease = "1h", boot = boot }
