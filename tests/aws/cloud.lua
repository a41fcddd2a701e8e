-- The stand-in in this process, in virtual time, and labs that are declared against it: what the tests here share.
local netlab = require "netlab"
local core = require "fake.core"
local server = require "fake.server"

local cloud = {}

-- An address of this process alone, because a recipe declares where it listens before anybody can ask.
local pid = tonumber((netlab.fs.read "/proc/self/stat"):match "^%d+")
cloud.place = ("127.%d.%d.%d:24566"):format(65 + math.floor(pid / 65536) % 60, math.floor(pid / 256) % 256, pid % 256)

cloud.world = core.new {}
function cloud.reset(options)
  for key in pairs(cloud.world) do
    cloud.world[key] = nil
  end
  for key, value in pairs(core.new(options or {})) do
    cloud.world[key] = value
  end
end
netlab.http.server { listen = cloud.place, serve = { server.route(cloud.world) }, body_limit = "8MiB", connections_per_client = 1000 }

function cloud.client(name, secret)
  return netlab.aws.client {
    name = name, region = "eu-west-1", endpoint = "http://" .. cloud.place, backoff = "10ms", attempts = 30,
    credentials = function() return { access_key = "AKIDTEST", secret_key = secret or "secret-of-the-test" } end,
  }
end
cloud.aws = cloud.client "aws"

-- A lab of everything: two subnets, the bastion as the way out, nodes.
local function declaration(name, cidr, more)
  local options = {
    name = name, aws = cloud.aws, region = "eu-west-1", cidr = cidr .. ".0.0/16", ipv6 = true,
    subnets = { public = { cidr = cidr .. ".1.0/24", public = true, ipv6 = true }, private = { cidr = cidr .. ".13.0/24" } },
    nat = "instance", dns = cidr .. ".13.140", domain = "lab.internal",
    groups = {
      ["bastion-sg"] = { ingress = { { cidr = "2001:db8::1/128", port = 22 }, { group = "talos-nodes-sg" } } },
      ["talos-nodes-sg"] = { ingress = { { group = "bastion-sg" }, { group = "talos-nodes-sg" } }, egress = { { group = "bastion-sg" }, { cidr = "0.0.0.0/0", port = 443 } } },
    },
    bastion = { name = "tf-bastion", group = name .. "-asg", address = cidr .. ".13.140", groups = { "bastion-sg" }, key = "ssh-ed25519 AAAA test",
      schedule = { start = "18:00", stop = "23:00", time_zone = "Europe/Dublin" } },
    nodes = { image = "ami-0ipxearm640000000", groups = { "talos-nodes-sg" }, first_address = cidr .. ".13.11" },
  }
  for key, value in pairs(more or {}) do
    options[key] = value
  end
  return options
end

function cloud.declare(name, cidr, more)
  return netlab.plugin("awslab").lab(declaration(name, cidr, more))
end

local function filled(options, schema)
  for _, o in ipairs(schema) do
    if options[o.name] == nil then options[o.name] = o.default end
    local shape = o.options or type(o.of) == "table" and o.type == "map" and o.of.options
    if shape and options[o.name] then
      for _, value in pairs(o.type == "map" and options[o.name] or { options[o.name] }) do filled(value, shape) end
    end
  end
  return options
end

-- The same lab as its operator may declare it another day. A recipe has one of each name, so this is what the
-- plugin's constructor would return.
function cloud.another_day(name, cidr, more)
  local plugin = require("awslab.awslab").lab
  local options = filled(declaration(name, cidr, more), plugin.options)
  return setmetatable({}, { __index = function(_, method)
    return function(_, given)
      local lab, err = plugin.create(options)
      if not lab then return nil, err end
      return plugin.methods[method](lab, given)
    end
  end })
end

function cloud.good(value, err)
  if not value then
    error(err, 0)
  end
  return value
end

function cloud.list(lab)
  return server.list(cloud.world, lab)
end

-- How often each action was called.
function cloud.count_calls()
  local out = {}
  for _, call in ipairs(cloud.world.calls) do
    out[call.action] = (out[call.action] or 0) + 1
  end
  return out
end

return cloud
