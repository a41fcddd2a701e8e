-- One folder over HTTP.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for what netlab keeps" },
  { name = "root", type = "path", help = "the folder to serve" },
}
netlab.state(opt.state)

netlab.http.server {
  listen = "10.0.0.1:8080",
  serve = { netlab.http.files("/", opt.root) },
}
