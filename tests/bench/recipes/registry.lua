-- A registry proxy in front of one registry.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for what netlab keeps" },
  { name = "upstream", type = "string", help = "the registry" },
}
netlab.state(opt.state)

netlab.registry.proxy {
  upstreams = { ["upstream.lab"] = { url = opt.upstream, listen = "10.0.0.1:5050", tags = "1h" } },
}
