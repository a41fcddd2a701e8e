-- A resolver with a list and an upstream; everything else as it is by default.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for the compiled list" },
  { name = "list", type = "path", help = "names to block" },
  { name = "upstream", type = "string", help = "who is asked for the rest" },
}
netlab.state(opt.state)

netlab.dns.server {
  listen = "10.0.0.1:53",
  upstreams = opt.upstream,
  forward = { ["forwarded.bench"] = opt.upstream },
  blocklists = { opt.list },
}
