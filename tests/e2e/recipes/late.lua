-- Servers on an address that the machine gets only after they have started, as an ENI attached late gives it.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
  { name = "root", type = "path", help = "the folder to serve" },
}
netlab.state(opt.state)

netlab.tftp.server { name = "files-tftp", listen = "10.77.0.2:69", root = opt.root }
netlab.http.server { name = "files-http", listen = "10.77.0.2:8080", serve = { netlab.http.files("/", opt.root) } }
