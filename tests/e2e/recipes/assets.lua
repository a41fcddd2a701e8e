-- A boot service whose files come from elsewhere: from URLs, a Talos Image Factory and a registry of the lab.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", default = "/tmp/netlab", help = "where everything is kept" },
  { name = "web", type = "string", default = "", help = "the web server" },
  { name = "sha256", type = "string", default = "", help = "of the kernel" },
  { name = "sums", type = "string", default = "", help = "the list of checksums" },
  { name = "factory", type = "string", default = "", help = "the Image Factory" },
  { name = "registry", type = "string", default = "", help = "registry, repository and tag" },
  { name = "keep_free", type = "size", default = "1MiB", help = "of the disk" },
  { name = "retry", type = "duration", default = "200ms", help = "after a failure" },
}
netlab.state(opt.state)

local files, profiles = {}, {}
if opt.web ~= "" then
  files["web/vmlinuz"] = {
    url = opt.web .. "/vmlinuz",
    sha256 = opt.sha256 ~= "" and opt.sha256 or nil,
    checksums = opt.sums ~= "" and opt.sums or nil,
  }
  profiles.web = { kernel = "web/vmlinuz", args = { "console=ttyS0" } }
end
if opt.registry ~= "" then
  files["oci/vmlinuz"] = { url = "oci+http://" .. opt.registry .. "#vmlinuz", arch = "amd64" }
  files["oci/initramfs.xz"] = { url = "oci+http://" .. opt.registry .. "#initramfs.xz", arch = "amd64" }
  profiles.oci = { kernel = "oci/vmlinuz", initrd = { "oci/initramfs.xz" } }
end
if opt.factory ~= "" then
  profiles.talos = netlab.talos.profile {
    version = "v1.11.3",
    extensions = { "siderolabs/tailscale", "siderolabs/spin" },
    kernel_args = { "vga=791" },
    arch = { "amd64" },
    factory = opt.factory,
    config = "machines/worker.yaml",
  }
end

local boot = netlab.boot.service {
  assets = netlab.boot.assets { files = files, keep_free = opt.keep_free, retry = opt.retry },
  profiles = profiles,
  groups = { { profile = next(profiles) } },
}
local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24" }
netlab.http.server { listen = lan:at(8080), serve = { boot } }
netlab.tftp.server { listen = lan:at(69), serve = { boot } }
netlab.dhcp.server { network = lan, range = "10.77.0.100-10.77.0.199", lease = "1h", boot = boot }
