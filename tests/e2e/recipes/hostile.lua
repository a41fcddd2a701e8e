-- Every service at once, for clients that mean no good.
local netlab = require "netlab"

local opt = netlab.args {
  { name = "state", type = "path", help = "folder for leases and assets" },
  { name = "root", type = "path", help = "the folder to serve" },
}
netlab.state(opt.state)

local lan = netlab.network { interface = "eth0", address = "10.77.0.1/24", router = "10.77.0.1" }

local made = netlab.assets.handler(function(request)
  return request.path == "/made" and "made on request" or nil
end)
local echo = netlab.http.route("/echo", function(request)
  return request.method .. " " .. #request.body
end)
netlab.tftp.server { listen = lan:at(69), serve = { made }, root = opt.root }
netlab.http.server {
  listen = lan:at(8080),
  serve = { made, echo, netlab.http.files("/files", opt.root) },
  header_limit = "4KiB",
  body_limit = "4KiB",
}
netlab.dhcp.server { network = lan, range = "10.77.0.100-10.77.0.199", lease = "1h" }
