-- What the inventory sees, and what it costs: everything that a lab can make, and everything in a VPC that has a price.
local netlab = require "netlab"
local test = require "netlab.test"
local cloud = require "cloud"

local world, reset, aws, declare, good = cloud.world, cloud.reset, cloud.aws, cloud.declare, cloud.good

local lab = declare("one", "10.20", { nat = "gateway", bucket = { name = "packages-of-one" } })
local instance = declare("two", "10.30")

-- { kind = { count, hourly } } of an inventory, and of one lab's part of it.
local function by_kind(got, name)
  local out = {}
  for _, item in ipairs(got.items) do
    if not name or item.lab == name then
      local here = out[item.kind] or { count = 0, hourly = 0, regions = {} }
      here.count, here.hourly, here.regions[item.region] = here.count + 1, here.hourly + item.hourly, true
      out[item.kind] = here
    end
  end
  return out
end

local function budget(name, tagged)
  good(aws.budgets:create_budget { account_id = "123456789012", budget = { budget_name = name, budget_limit = { amount = "1", unit = "USD" }, time_unit = "MONTHLY", budget_type = "COST" },
    resource_tags = tagged and { { key = "netlab:lab", value = tagged } } or nil })
end

test.case("all that a lab can make is in the inventory, and gone from it after the teardown", { deadline = "30m" }, function()
  reset {}
  good(lab:apply())
  good(lab:start_bastion())
  good(lab:launch { count = 1, expires = "2026-01-01T09:00:00Z" })
  budget("netlab-one", "one")
  local seen = by_kind(good(lab:inventory { all_regions = true }), "one")
  for _, kind in ipairs { "vpc", "subnet", "internet_gateway", "nat_gateway", "elastic_ip", "route_table", "vpc_endpoint", "security_group", "dhcp_options", "network_interface",
    "role", "instance_profile", "launch_template", "auto_scaling_group", "key_pair", "instance", "volume", "bucket", "schedule", "budget" } do
    test.truthy(seen[kind], kind .. " is not in the inventory")
  end
  local left = good(lab:leftovers())
  test.equal(left.unseen, {})
  test.truthy(#left >= 20)
  good(lab:destroy())
  test.equal(#good(lab:leftovers()), 0)
  test.equal(world.budgets, {})
  local all = by_kind(good(lab:inventory { all_regions = true }))
  test.equal(all, {})
end)

test.case("what nobody's lab makes has its price too: load balancers, interface endpoints, snapshots, public addresses", { deadline = "30m" }, function()
  reset {}
  local vpc = good(aws.ec2:create_vpc { cidr_block = "10.9.0.0/16" }).vpc.vpc_id
  local subnets = {}
  for i, zone in ipairs { "a", "b" } do
    subnets[i] = good(aws.ec2:create_subnet { vpc_id = vpc, cidr_block = ("10.9.%d.0/24"):format(i), availability_zone = "eu-west-1" .. zone }).subnet.subnet_id
  end
  good(aws.ec2:create_vpc_endpoint { vpc_id = vpc, service_name = "com.amazonaws.eu-west-1.s3" })
  local before = good(lab:inventory {})
  test.equal(before.hourly, 0)
  good(aws.ec2:create_vpc_endpoint { vpc_id = vpc, service_name = "com.amazonaws.eu-west-1.ec2", vpc_endpoint_type = "Interface", subnet_ids = subnets })
  good(aws.elbv2:create_load_balancer { name = "front", subnets = subnets })
  local started = good(aws.ec2:run_instances { image_id = "ami-0debian12arm64000", instance_type = "t4g.nano", min_count = 1, max_count = 1,
    network_interfaces = { { device_index = 0, subnet_id = subnets[1], associate_public_ip_address = true } } }).instances[1]
  local volume = good(aws.ec2:describe_volumes { filters = { ["attachment.instance-id"] = started.instance_id } }).volumes[1]
  good(aws.ec2:create_snapshot { volume_id = volume.volume_id })
  local seen = by_kind(good(lab:inventory {}))
  local function near(kind, hourly)
    test.truthy(seen[kind], kind .. " is not in the inventory")
    test.equal(math.abs(seen[kind].hourly - hourly) < 1e-9, true, ("%s: %.6f, not %.6f"):format(kind, seen[kind].hourly, hourly))
  end
  near("vpc_endpoint", 2 * 0.011)
  near("load_balancer", 0.0252)
  near("network_interface", 3 * 0.005) -- two of the load balancer, one of the instance
  near("instance", 0.0046)
  near("snapshot", 0.05 * volume.size / 730)
end)

test.case("an elastic address counts once, wherever it is", { deadline = "30m" }, function()
  reset {}
  good(instance:apply())
  good(instance:start_bastion())
  good(instance:launch { count = 1 })
  local got = by_kind(good(instance:inventory {}))
  test.equal(got.elastic_ip.count, 1)
  test.equal(math.abs(got.elastic_ip.hourly + got.network_interface.hourly + got.instance.hourly - 0.005) < 1e-9, true)
end)

test.case("buckets: listed once, page by page, each asked where it is; their size is not asked", { deadline = "30m" }, function()
  reset { page = 2 }
  for i = 1, 3 do
    good(aws.s3:create_bucket { bucket = "ireland-" .. i, create_bucket_configuration = { location_constraint = "eu-west-1" } })
  end
  good(aws.s3:create_bucket({ bucket = "virginia" }, { region = "us-east-1" }))
  good(aws.s3:put_bucket_tagging { bucket = "ireland-2", tagging = { tag_set = { { key = "netlab:lab", value = "one" } } } })
  world.calls = {}
  local got = good(lab:inventory { all_regions = true })
  test.equal(cloud.count_calls()["GET /"], 2) -- pages
  local places = {}
  for _, item in ipairs(got.items) do
    places[#places + 1] = item.kind .. " " .. item.id .. " " .. item.region .. " " .. tostring(item.lab)
    test.contains(item.note, "size")
  end
  test.equal(places, { "bucket ireland-1 eu-west-1 nil", "bucket ireland-2 eu-west-1 one", "bucket ireland-3 eu-west-1 nil", "bucket virginia us-east-1 nil" })
  test.equal(#good(lab:inventory {}).items, 3)
  local left = good(lab:leftovers())
  test.equal(#left, 1)
  test.equal(left[1].id, "ireland-2")
end)

test.case("a lab whose name begins with another's keeps its schedule; a budget without the tag stays", { deadline = "30m" }, function()
  reset {}
  good(instance:apply())
  world.schedules["netlab-two-b-expiry"] = { Name = "netlab-two-b-expiry", _region = "eu-west-1" }
  budget("netlab-two", nil)
  budget("netlab-two-b", "two-b")
  good(instance:destroy())
  test.truthy(world.schedules["netlab-two-b-expiry"])
  test.equal(#world.budgets, 2)
  local kinds = by_kind(good(instance:inventory { all_regions = true }), "two-b")
  test.equal({ kinds.schedule.count, kinds.budget.count }, { 1, 1 })
end)

test.case("what Amazon makes for everybody is no one's", { deadline = "30m" }, function()
  reset {}
  local vpc = good(aws.ec2:create_vpc { cidr_block = "172.31.0.0/16" }).vpc.vpc_id
  local set = good(aws.ec2:create_dhcp_options { dhcp_configurations = { { key = "domain-name-servers", values = { "AmazonProvidedDNS" } } } }).dhcp_options.dhcp_options_id
  good(aws.ec2:associate_dhcp_options { vpc_id = vpc, dhcp_options_id = set })
  local gateway = good(aws.ec2:create_internet_gateway {}).internet_gateway.internet_gateway_id
  good(aws.ec2:attach_internet_gateway { vpc_id = vpc, internet_gateway_id = gateway })
  test.equal(#good(lab:inventory {}).items, 3)
  world.regions["eu-west-1"].all[vpc].isDefault = "true"
  test.equal(#good(lab:inventory {}).items, 0)
end)

test.case("what one may not look at is told, and then nothing is proven", { deadline = "30m" }, function()
  reset { denied = { ["budgets:DescribeBudgets"] = true, ["elasticloadbalancing:DescribeLoadBalancers"] = true } }
  local got = good(lab:inventory { all_regions = true })
  local words = {}
  for i, missing in ipairs(got.unseen) do
    words[i] = missing.region .. " " .. missing.what
  end
  test.equal(words, { "all regions budget", "eu-west-1 load_balancer", "us-east-1 load_balancer" })
  test.contains(got.unseen[1].why, "this policy statement would allow it")
  test.equal(#good(lab:leftovers()).unseen, 3)
end)

test.case("the end", function()
  netlab.stop()
end)
