-- A lab against the stand-in, both in this process, in virtual time: netlab test --virtual-time tests/aws/lab_test.lua
local netlab = require "netlab"
local test = require "netlab.test"
local core = require "fake.core"
local server = require "fake.server"

-- An address of this process alone, because a recipe declares where it listens before anybody can ask.
local pid = tonumber((netlab.fs.read "/proc/self/stat"):match "^%d+")
local place = ("127.%d.%d.%d:24566"):format(65 + math.floor(pid / 65536) % 60, math.floor(pid / 256) % 256, pid % 256)

local world = core.new {}
local function reset(options)
  for key in pairs(world) do
    world[key] = nil
  end
  for key, value in pairs(core.new(options or {})) do
    world[key] = value
  end
end
netlab.http.server { listen = place, serve = { server.route(world) }, body_limit = "8MiB", connections_per_client = 1000 }

local aws = netlab.aws.client {
  region = "eu-west-1", endpoint = "http://" .. place, backoff = "10ms", attempts = 30,
  credentials = function() return { access_key = "AKIDTEST", secret_key = "secret-of-the-test" } end,
}
local stranger = netlab.aws.client { name = "stranger", region = "eu-west-1", endpoint = "http://" .. place,
  credentials = function() return { access_key = "AKIDTEST", secret_key = "wrong" } end }
local other_account

local function declare(name, cidr, more)
  local options = {
    name = name, aws = aws, region = "eu-west-1", cidr = cidr .. ".0.0/16", ipv6 = true,
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
  return netlab.plugin("awslab").lab(options)
end

local lab = declare("one", "10.20", {})
local other = declare("two", "10.30", {})
local with_gateway = declare("three", "10.40", { nat = "gateway" })
other_account = declare("four", "10.50", { account = "999999999999" })

local function good(value, err)
  if not value then
    error(err, 0)
  end
  return value
end

local function count_calls()
  local out = {}
  for _, call in ipairs(world.calls) do
    out[call.action] = (out[call.action] or 0) + 1
  end
  return out
end

test.case("plan, apply, plan again: what was declared is there, once, and nothing is left to do", { deadline = "10m" }, function()
  reset { delay = 10, lag = 3 }
  local plan = good(lab:plan())
  test.equal(plan.code, 2)
  test.contains(plan:text(), "the t4g.small trial end")
  local out = good(lab:apply())
  test.equal(out.failed, {})
  test.equal(out.code, 2)
  test.equal(good(lab:plan()).code, 0)
  test.equal(good(lab:drift()), {})
  test.equal(good(lab:apply()).code, 0)
  local there = server.list(world, "one")
  local seen = {}
  for _, line in ipairs(there) do
    test.falsy(seen[line], line .. " is there twice")
    seen[line] = true
  end
  test.equal(#there, 18)
  test.truthy(out.outputs.bastion_ipv6)
end)

test.case("a plan asks once for each kind", { deadline = "10m" }, function()
  reset {}
  good(lab:apply())
  world.calls = {}
  good(lab:plan())
  for action, count in pairs(count_calls()) do
    test.equal(count <= 1, true, action .. " was asked " .. count .. " times")
  end
end)

test.case("applying takes as long as the longest chain of waits", { deadline = "10m" }, function()
  reset { delay = 60 }
  local began = netlab.uptime()
  good(with_gateway:apply())
  -- The NAT gateway takes 180 s; everything else is done meanwhile.
  local took = netlab.uptime() - began
  test.equal(took >= 180 and took <= 198, true, ("it took %.1f s"):format(took))
end)

test.case("three nodes, their check, the end of the session, and zero", { deadline = "30m" }, function()
  reset { delay = 5, lag = 2 }
  good(lab:apply())
  local out = good(lab:launch { count = 3, expires = "2026-01-01T09:00:00Z" })
  test.equal(out.failed, {})
  test.equal(#out.nodes, 3)
  test.equal(out.nodes[1].ip, "10.20.13.11")
  test.matches(out.nodes[3].mac, "^02:")
  test.equal(#good(lab:nodes()), 3)
  test.truthy(world.schedules["netlab-one-expiry"])
  test.equal(good(lab:launch { count = 3, expires = "2026-01-01T09:00:00Z" }).made, {})
  good(lab:end_session())
  test.equal(#good(lab:nodes()), 0)
  test.equal(good(lab:plan()).code, 0)
  test.falsy(world.schedules["netlab-one-expiry"])
  good(lab:launch { count = 1, expires = "2025-12-31T09:00:00Z" })
  test.equal(good(lab:reap()), { "talos-node-1" })
  local gone = good(lab:destroy())
  test.equal(gone.failed, {})
  test.equal(server.list(world, "one"), {})
  local left = good(lab:leftovers())
  test.equal(#left, 0)
  test.equal(good(lab:destroy()).code, 0)
end)

test.case("two labs in one account: one goes, the other stays as it was", { deadline = "30m" }, function()
  reset { delay = 2, lag = 1 }
  good(lab:apply())
  good(other:apply())
  local before = server.list(world, "two")
  good(lab:destroy())
  test.equal(server.list(world, "one"), {})
  test.equal(server.list(world, "two"), before)
  test.equal(good(other:drift()), {})
end)

test.case("with a NAT gateway, whose interface stays behind for a while", { deadline = "30m" }, function()
  reset { delay = 30, lag = 1 }
  good(with_gateway:apply())
  local out = good(with_gateway:destroy())
  test.equal(out.failed, {})
  test.equal(server.list(world, "three"), {})
end)

test.case("what is not the lab's stops the teardown before anything is deleted, and is named", { deadline = "30m" }, function()
  reset {}
  good(lab:apply())
  local subnet = good(aws.ec2:describe_subnets { filters = { ["tag:netlab:name"] = "private" } }).subnets[1].subnet_id
  local eni = good(aws.ec2:create_network_interface { subnet_id = subnet, tag_specifications = { { resource_type = "network-interface", tags = { Name = "by-hand" } } } }).network_interface.network_interface_id
  local before = server.list(world, "one")
  local out, err = lab:destroy()
  test.fails(out, err, "conflict")
  test.contains(err.message, eni)
  test.contains(err.message, "by-hand")
  test.equal(server.list(world, "one"), before)
  good(aws.ec2:delete_network_interface { network_interface_id = eni })
  good(lab:destroy())
  test.equal(server.list(world, "one"), {})
end)

test.case("drift is found and put back", { deadline = "30m" }, function()
  reset {}
  good(lab:apply())
  local group = good(aws.ec2:describe_security_groups { filters = { ["tag:netlab:name"] = "bastion-sg" } }).security_groups[1].group_id
  good(aws.ec2:authorize_security_group_ingress { group_id = group, ip_permissions = { { ip_protocol = "tcp", from_port = 22, to_port = 22, ipv6_ranges = { { cidr_ipv6 = "::/0" } } } } })
  local drift = good(lab:drift())
  test.equal(#drift, 1)
  test.equal(drift[1].key, "security_rules/bastion-sg")
  test.contains(drift[1].differences[1].want, "::/0")
  test.equal(good(lab:apply()).made, { "security_rules/bastion-sg" })
  test.equal(good(lab:drift()), {})
  -- What cannot be changed where it is, is said before anything is done.
  for _, r in pairs(world.regions["eu-west-1"].all) do
    if r._kind == "dhcp" then r.dhcpConfigurationSet[1].valueSet[1].value = "10.20.13.141" end
  end
  local out, err = lab:apply()
  test.fails(out, err, "conflict")
  test.contains(err.message, "dhcp_options/main")
end)

test.case("answers that do not come: nothing is made twice", { deadline = "60m" }, function()
  for seed = 1, 8 do
    reset { lose = 0.3, lag = 3, delay = 1, seed = seed * 7919 }
    local out, err
    for _ = 1, 12 do
      out, err = lab:apply()
      if out and out.code ~= 1 then
        break
      end
    end
    test.truthy(out, err and err.message)
    world.lose = 0
    test.equal(good(lab:plan()).code, 0)
    test.equal(#server.list(world, "one"), 18, "seed " .. seed)
    world.lose = 0.3
    for _ = 1, 12 do
      out, err = lab:destroy()
      if out and out.code ~= 1 then
        break
      end
    end
    test.truthy(out, err and err.message)
    world.lose = 0
    good(lab:destroy())
    test.equal(server.list(world, "one"), {})
  end
end)

test.case("a second apply at the same time is kept out", { deadline = "30m" }, function()
  reset { delay = 30 }
  -- The claim of a netlab on another machine.
  good(aws.ec2:create_launch_template { launch_template_name = "netlab-claim-one", launch_template_data = { instance_type = "t4g.nano" },
    tag_specifications = { { resource_type = "launch-template", tags = { ["netlab:lab"] = "one", ["netlab:claim"] = "another-boot/1/1", ["netlab:until"] = tostring(os.time() + 60) } } } })
  local out, err = lab:apply()
  test.fails(out, err, "busy")
  test.contains(err.message, "another netlab is at work on lab one")
  test.equal(#server.list(world, "one"), 1)
end)

test.case("saved plans hold, and are refused when the lab has changed", { deadline = "30m" }, function()
  reset {}
  local path = test.folder() .. "/plan.json"
  good(good(lab:plan()):save(path))
  local vpc = good(aws.ec2:create_vpc { cidr_block = "10.20.0.0/16", tag_specifications = { { resource_type = "vpc", tags = { ["netlab:lab"] = "one", ["netlab:name"] = "main" } } } }).vpc.vpc_id
  local out, err = lab:apply { plan = path }
  test.fails(out, err, "conflict")
  good(aws.ec2:delete_vpc { vpc_id = vpc })
  test.equal(good(lab:apply { plan = path }).code, 2)
end)

test.case("existing resources are adopted after their differences are shown", { deadline = "30m" }, function()
  reset {}
  local vpc = good(aws.ec2:create_vpc { cidr_block = "10.20.0.0/16", amazon_provided_ipv6_cidr_block = true }).vpc.vpc_id
  local group = good(aws.ec2:create_security_group { vpc_id = vpc, group_name = "bastion-sg", description = "by terraform" }).group_id
  local want = { ["vpc/main"] = vpc, ["security_group/bastion-sg"] = group }
  local shown = good(lab:adopt { resources = want })
  test.equal(shown[1].adopted, nil)
  test.equal(good(lab:plan()).counts.keep, 0)
  good(lab:adopt { resources = want, yes = true })
  local counts = good(lab:plan()).counts
  test.equal(counts.keep + counts.change, 3) -- and the rules of the group that is there
  test.fails(other:adopt { resources = want, yes = true })
  good(lab:apply())
  test.equal(good(lab:drift()), {})
end)

test.case("mistakes are told before anything is created", { deadline = "30m" }, function()
  reset {}
  local out, err = other_account:apply()
  test.fails(out, err, "denied")
  test.contains(err.message, "account 123456789012")
  reset { denied = { ["ec2:CreateSubnet"] = true } }
  out, err = lab:apply()
  test.fails(out, err, "denied")
  test.contains(err.message, '"Action":"ec2:CreateSubnet"')
  test.equal(server.list(world), {})
  reset { skew = 3600 }
  out, err = lab:apply()
  test.fails(out, err, "denied")
  test.equal(server.list(world), {})
  out, err = stranger.ec2:describe_vpcs {}
  test.fails(out, err, "denied")
  test.equal(err.aws ~= nil, true)
end)

test.case("throttled at 30 %, and paged by two", { deadline = "60m" }, function()
  reset { throttle = 0.3, delay = 2, lag = 1, page = 2 }
  test.equal(good(lab:apply()).failed, {})
  test.equal(good(lab:launch { count = 3 }).failed, {})
  test.equal(good(lab:drift()), {})
  test.equal(good(lab:destroy()).failed, {})
  test.equal(server.list(world, "one"), {})
end)

-- The stand-in is a service of this process, which would stay up for it.
test.case("the end", function()
  netlab.stop()
end)
