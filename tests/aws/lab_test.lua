-- A lab against the stand-in, both in this process, in virtual time: netlab test --virtual-time tests/aws/lab_test.lua
local netlab = require "netlab"
local test = require "netlab.test"
local cloud = require "cloud"

local world, reset, aws, declare, good, count_calls = cloud.world, cloud.reset, cloud.aws, cloud.declare, cloud.good, cloud.count_calls
local stranger = cloud.client("stranger", "wrong")

local lab = declare("one", "10.20", {})
local other = declare("two", "10.30", {})
local with_gateway = declare("three", "10.40", { nat = "gateway" })
local other_account = declare("four", "10.50", { account = "999999999999" })

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
  local there = cloud.list("one")
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
  test.equal(cloud.list("one"), {})
  local left = good(lab:leftovers())
  test.equal(#left, 0)
  test.equal(good(lab:destroy()).code, 0)
end)

test.case("two labs in one account: one goes, the other stays as it was", { deadline = "30m" }, function()
  reset { delay = 2, lag = 1 }
  good(lab:apply())
  good(other:apply())
  local before = cloud.list("two")
  good(lab:destroy())
  test.equal(cloud.list("one"), {})
  test.equal(cloud.list("two"), before)
  test.equal(good(other:drift()), {})
end)

test.case("with a NAT gateway, whose interface stays behind for a while", { deadline = "30m" }, function()
  reset { delay = 30, lag = 1 }
  good(with_gateway:apply())
  local out = good(with_gateway:destroy())
  test.equal(out.failed, {})
  test.equal(cloud.list("three"), {})
end)

test.case("what is not the lab's stops the teardown before anything is deleted, and is named", { deadline = "30m" }, function()
  reset {}
  good(lab:apply())
  local subnet = good(aws.ec2:describe_subnets { filters = { ["tag:netlab:name"] = "private" } }).subnets[1].subnet_id
  local eni = good(aws.ec2:create_network_interface { subnet_id = subnet, tag_specifications = { { resource_type = "network-interface", tags = { Name = "by-hand" } } } }).network_interface.network_interface_id
  local before = cloud.list("one")
  local out, err = lab:destroy()
  test.fails(out, err, "conflict")
  test.contains(err.message, eni)
  test.contains(err.message, "by-hand")
  test.equal(cloud.list("one"), before)
  good(aws.ec2:delete_network_interface { network_interface_id = eni })
  good(lab:destroy())
  test.equal(cloud.list("one"), {})
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
end)

-- Started again as an operator would, until it has ended well.
local function till_done(method)
  local out, err
  for _ = 1, 12 do
    out, err = lab[method](lab)
    if out and out.code ~= 1 then
      return
    end
  end
  error(out and out.failed[1].message or err, 0)
end

test.case("answers that do not come: nothing is made twice", { deadline = "60m" }, function()
  for seed = 1, 8 do
    reset { lose = 0.3, lag = 3, delay = 1, seed = seed * 7919 }
    till_done "apply"
    world.lose = 0
    test.equal(good(lab:plan()).code, 0)
    test.equal(#cloud.list("one"), 18, "seed " .. seed)
    world.lose = 0.3
    till_done "destroy"
    world.lose = 0
    good(lab:destroy())
    test.equal(cloud.list("one"), {})
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
  test.equal(#cloud.list("one"), 1)
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
  test.equal(cloud.list(), {})
  reset { skew = 3600 }
  out, err = lab:apply()
  test.fails(out, err, "denied")
  test.equal(cloud.list(), {})
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
  test.equal(cloud.list("one"), {})
end)

-- The stand-in is a service of this process, which would stay up for it.
test.case("the end", function()
  netlab.stop()
end)
