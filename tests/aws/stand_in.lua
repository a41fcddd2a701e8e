-- The stand-in as a process of its own, for clients that we did not write: netlab run tests/aws/stand_in.lua
-- --listen 127.0.0.1:4566. What tests ask of it besides AWS' own actions is below /-/.
local netlab = require "netlab"
local core = require "fake.core"
local identity = require "fake.identity"
local server = require "fake.server"

local opt = netlab.args {
  { name = "listen", type = "listen", default = "127.0.0.1:0", help = "where" },
  { name = "throttle", type = "number", default = 0, help = "share of requests that are refused for their number" },
  { name = "lose", type = "number", default = 0, help = "share of requests that are carried out and not answered" },
  { name = "delay", type = "number", default = 0, help = "seconds that instances take; gateways take three times that" },
  { name = "lag", type = "number", default = 0, help = "seconds until what was made shows, at most" },
  { name = "page", type = "integer", default = 100, help = "entries of a page at most" },
  { name = "seed", type = "integer", default = 1, help = "of the refusals" },
}

local world = core.new { throttle = opt.throttle, lose = opt.lose, delay = opt.delay, lag = opt.lag, page = opt.page, seed = opt.seed }
world.keys.AKIDOLD = { secret = "secret-of-the-test", expired = true }
world.keys.ASIAROLE = { secret = "secret-of-the-test", token = "role-session" } -- of an instance's role

local control = netlab.http.route("/-/", function(request)
  local q = core.form(request.query)
  local what = request.path:match "^/%-/(.*)$"
  if what == "list" then
    return { json = server.list(world, q.lab) }
  elseif what == "calls" then
    return { json = world.calls }
  elseif what == "set" then
    for key, value in pairs(q) do
      world[key] = tonumber(value)
    end
    return "ok"
  elseif what == "world" then
    for key, value in pairs(netlab.json.decode(request.body)) do
      world[key] = value
    end
    return "ok"
  elseif what == "deny" then
    world.denied = { [q.action] = true }
    return "ok"
  elseif what == "expire" then
    identity.expire(world)
    return "ok"
  elseif what == "forget" then
    world.calls = {}
    return "ok"
  end
  return 404, "no such thing"
end)

netlab.http.server { listen = opt.listen, serve = { control, server.route(world) }, body_limit = "8MiB", connections_per_client = 1000 }
