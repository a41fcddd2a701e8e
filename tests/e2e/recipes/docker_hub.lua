-- A cache of Docker Hub with a port of its own, and a registry of the lab's own on the port for all; what Docker needs to
-- know of them is written into the state folder.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", default = "/tmp/netlab", help = "where everything is kept" },
  { name = "ca", type = "string", default = "", help = "what Docker Hub's certificate is signed with" },
}
netlab.state(opt.state)

local proxy = netlab.registry.proxy {
  upstreams = { ["docker.io"] = { ca = opt.ca ~= "" and opt.ca or nil, listen = "10.77.0.1:5050" } },
  listen = "10.77.0.1:5000",
  hosted = "lab",
}

netlab.main(function()
  return netlab.fs.write(opt.state .. "/daemon.json", netlab.registry.mirrors(proxy).docker)
end)
