-- One folder over TFTP.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for what netlab keeps" },
  { name = "root", type = "path", help = "the folder to serve" },
  { name = "listen", type = "string", default = "10.0.0.1:69", help = "address and port" },
}
netlab.state(opt.state)

netlab.tftp.server { listen = opt.listen, root = opt.root }
