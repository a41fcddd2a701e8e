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
  reset { denied = { ["budgets:DescribeBudgets"] = true, ["elasticloadbalancing:DescribeLoadBalancers"] = true, ["tag:GetResources"] = true, ["logs:DescribeLogGroups"] = true } }
  local got = good(lab:inventory { all_regions = true })
  local words = {}
  for i, missing in ipairs(got.unseen) do
    words[i] = missing.region .. " " .. missing.what
  end
  test.equal(words, { "all regions budget",
    "eu-west-1 classic_load_balancer", "eu-west-1 load_balancer", "eu-west-1 log_group", "eu-west-1 what other services have with a lab's tag",
    "us-east-1 classic_load_balancer", "us-east-1 load_balancer", "us-east-1 log_group", "us-east-1 what other services have with a lab's tag" })
  test.contains(got.unseen[1].why, "this policy statement would allow it")
  test.contains(got.unseen[5].why, '"Action":"tag:GetResources"')
  test.equal(#good(lab:leftovers()).unseen, 9)
end)

-- A VPC of nobody's lab with a subnet.
local function network(cidr)
  local vpc = good(aws.ec2:create_vpc { cidr_block = cidr .. ".0.0/16" }).vpc.vpc_id
  return vpc, good(aws.ec2:create_subnet { vpc_id = vpc, cidr_block = cidr .. ".1.0/24" }).subnet.subnet_id
end

local function tagged(name)
  return { { key = "netlab:lab", value = name } }
end

test.case("connections, firewalls, logs and classic load balancers have their price, images name their snapshots", { deadline = "30m" }, function()
  reset { page = 2 }
  local vpc, subnet = network "10.9"
  local ec2 = aws.ec2
  good(aws.elb:create_load_balancer { load_balancer_name = "old", listeners = { { protocol = "HTTP", load_balancer_port = 80, instance_port = 80 } }, subnets = { subnet }, tags = tagged "one" })
  good(aws.elbv2:create_load_balancer { name = "new", subnets = { subnet }, tags = tagged "one", scheme = "internal" })
  local customer = good(ec2:create_customer_gateway { type = "ipsec.1", ip_address = "203.0.113.1" }).customer_gateway.customer_gateway_id
  local gateway = good(ec2:create_vpn_gateway { type = "ipsec.1" }).vpn_gateway.vpn_gateway_id
  local vpn = good(ec2:create_vpn_connection { customer_gateway_id = customer, type = "ipsec.1", vpn_gateway_id = gateway }).vpn_connection.vpn_connection_id
  local transit = good(ec2:create_transit_gateway {}).transit_gateway.transit_gateway_id
  good(ec2:describe_transit_gateways {})
  local attachment = good(ec2:create_transit_gateway_vpc_attachment { transit_gateway_id = transit, vpc_id = vpc, subnet_ids = { subnet } }).transit_gateway_vpc_attachment.transit_gateway_attachment_id
  good(ec2:create_vpc_endpoint { vpc_id = vpc, service_name = "com.amazonaws.vpce.eu-west-1.vpce-svc-1", vpc_endpoint_type = "GatewayLoadBalancer", subnet_ids = { subnet },
    tag_specifications = { { resource_type = "vpc-endpoint", tags = { AWSNetworkFirewallManaged = "true" } } } })
  for i = 1, 3 do good(aws.logs:create_log_group { log_group_name = "/lab/" .. i, tags = { ["netlab:lab"] = "one" } }) end
  good(aws.logs:create_log_group { log_group_name = "/others" })
  world.regions["eu-west-1"].logs["/lab/2"].storedBytes = 3 * 2 ^ 30
  local started = good(ec2:run_instances { image_id = "ami-0debian12arm64000", instance_type = "t4g.nano", min_count = 1, max_count = 1, subnet_id = subnet }).instances[1].instance_id
  local image = good(ec2:create_image { instance_id = started, name = "golden" }).image_id
  local got = good(lab:inventory {})
  local seen = by_kind(got)
  for kind, want in pairs { classic_load_balancer = 0.028, load_balancer = 0.0252, vpn_connection = 0.05, vpn_gateway = 0, transit_gateway = 0, transit_gateway_attachment = 0.05,
    vpc_endpoint = 0.395, log_group = 3 * 0.03 / 730, image = 0, snapshot = 2 * 0.05 / 730, network_interface = 0.005 } do
    test.truthy(seen[kind], kind .. " is not in the inventory")
    test.equal(math.abs(seen[kind].hourly - want) < 1e-9, true, ("%s: %.6f, not %.6f"):format(kind, seen[kind].hourly, want))
  end
  test.equal({ seen.log_group.count, seen.snapshot.count, seen.network_acl }, { 4, 1, nil })
  -- Those that do not tell their tags have them from the tagging service.
  local mine = by_kind(got, "one")
  test.equal({ mine.log_group.count, mine.load_balancer.count, mine.classic_load_balancer.count }, { 3, 1, 1 })
  for _, item in ipairs(got.items) do
    if item.kind == "snapshot" then
      test.equal(item.name, "golden (" .. image .. ")")
      local ok, err = ec2:delete_snapshot { snapshot_id = item.id }
      test.fails(ok, err, "conflict")
      test.equal(err.aws, "InvalidSnapshot.InUse")
    elseif item.kind == "image" then
      test.equal(item.name, "golden")
      test.contains(item.note, "costs what its snapshots cost: snap-")
    end
  end
  -- What AWS still shows for an hour is gone.
  good(ec2:delete_vpn_connection { vpn_connection_id = vpn })
  local ok, err = ec2:delete_transit_gateway { transit_gateway_id = transit }
  test.fails(ok, err, "conflict")
  good(ec2:delete_transit_gateway_vpc_attachment { transit_gateway_attachment_id = attachment })
  good(lab:inventory {})
  good(ec2:delete_transit_gateway { transit_gateway_id = transit })
  good(ec2:delete_vpn_gateway { vpn_gateway_id = gateway })
  good(lab:inventory {})
  seen = by_kind(good(lab:inventory {}))
  test.equal({ seen.vpn_connection, seen.vpn_gateway, seen.transit_gateway, seen.transit_gateway_attachment }, {})
end)

test.case("databases, clusters and functions show by their interfaces; what they cost is not guessed", { deadline = "30m" }, function()
  reset {}
  local _, subnet = network "10.9"
  local place = { world = world, region = world.regions["eu-west-1"], p = {} }
  for _, text in ipairs { "RDSNetworkInterface", "Amazon EKS prod", "arn:aws:ecs:eu-west-1:123456789012:attachment/1", "DMSNetworkInterface", "Interface for NAT Gateway nat-1" } do
    require("fake.ec2").managed_interface(place, subnet, text, text:find "NAT" and "nat_gateway" or "interface")
  end
  local notes = {}
  for _, item in ipairs(good(lab:inventory {}).items) do
    test.equal(item.unpriced == true, item.note ~= nil)
    notes[#notes + 1] = item.note
  end
  table.sort(notes)
  test.equal(notes, { "of DMSNetworkInterface: only the bill tells what it costs", "of an ECS task: only the bill tells what it costs", "of an RDS database: only the bill tells what it costs",
    "of the EKS cluster prod: only the bill tells what it costs" })
end)

test.case("what has the lab's tag in a service that no lab uses is left over; what the tagging service remembers is not", { deadline = "30m" }, function()
  reset { page = 2 }
  local database, ghost = "arn:aws:rds:us-east-1:123456789012:db:notes", "arn:aws:ec2:eu-west-1:123456789012:vpc/vpc-0ghost"
  world.tagged = {
    { region = "us-east-1", arn = database, tags = tagged "one" }, { region = "us-east-1", arn = "arn:aws:rds:us-east-1:123456789012:db:other", tags = tagged "two" },
    { region = "eu-west-1", arn = ghost, tags = tagged "one" }, { region = "eu-west-1", arn = "arn:aws:sns:eu-west-1:123456789012:topic", tags = tagged "one" },
    { region = "eu-west-1", arn = "arn:aws:sqs:eu-west-1:123456789012:unrelated", tags = { { key = "team", value = "one" } } },
  }
  good(lab:apply())
  good(lab:destroy())
  local left = good(lab:leftovers())
  local words = {}
  for i, item in ipairs(left) do
    words[i] = ("%s %s %s"):format(item.region, item.kind, item.id)
    test.equal({ item.unpriced, item.monthly, item.note, item.stays }, { true, 0, "only the bill tells what it costs", true })
  end
  test.equal(words, { "eu-west-1 sns arn:aws:sns:eu-west-1:123456789012:topic", "us-east-1 rds db " .. database })
end)

test.case("a VPC that is tied to elsewhere is not taken apart, and says by what", { deadline = "60m" }, function()
  reset {}
  good(instance:apply())
  local vpc = good(aws.ec2:describe_vpcs { filters = { ["tag:netlab:lab"] = "two" } }).vpcs[1].vpc_id
  local other = network "10.9"
  local ec2 = aws.ec2
  local gateway = good(ec2:create_vpn_gateway { type = "ipsec.1" }).vpn_gateway.vpn_gateway_id
  local ties = {
    { "vpn gateway", function()
      good(ec2:attach_vpn_gateway { vpn_gateway_id = gateway, vpc_id = vpc })
      return gateway, function() good(ec2:detach_vpn_gateway { vpn_gateway_id = gateway, vpc_id = vpc }) end
    end },
    { "vpc peering", function()
      local id = good(ec2:create_vpc_peering_connection { vpc_id = other, peer_vpc_id = vpc }).vpc_peering_connection.vpc_peering_connection_id
      good(ec2:accept_vpc_peering_connection { vpc_peering_connection_id = id })
      return id, function() good(ec2:delete_vpc_peering_connection { vpc_peering_connection_id = id }) end
    end },
    { "network acl", function()
      local id = good(ec2:create_network_acl { vpc_id = vpc }).network_acl.network_acl_id
      return id, function() good(ec2:delete_network_acl { network_acl_id = id }) end
    end },
    { "transit gateway attachment", function()
      local transit = good(ec2:create_transit_gateway {}).transit_gateway.transit_gateway_id
      good(ec2:describe_transit_gateways {})
      local id = good(ec2:create_transit_gateway_vpc_attachment { transit_gateway_id = transit, vpc_id = vpc }).transit_gateway_vpc_attachment.transit_gateway_attachment_id
      return id, function() good(ec2:delete_transit_gateway_vpc_attachment { transit_gateway_attachment_id = id }) end
    end },
  }
  local before = cloud.list "two"
  for _, tie in ipairs(ties) do
    local id, untie = tie[2]()
    local out, err = instance:destroy()
    test.fails(out, err, "conflict")
    test.contains(err.message, ("nothing was deleted: in the network of lab two there is what does not belong to it: %s %s"):format(tie[1], id))
    test.equal(cloud.list "two", before)
    untie()
    good(ec2:describe_vpc_peering_connections {})
  end
  -- Who may not list them learns of them from AWS.
  good(ec2:create_vpc_peering_connection { vpc_id = other, peer_vpc_id = vpc })
  world.denied = { ["ec2:DescribeVpcPeeringConnections"] = true }
  local out = good(instance:destroy())
  test.equal(out.code, 1)
  test.contains(out.failed[1].message, "vpc " .. vpc .. " cannot be deleted: ec2 DeleteVpc in eu-west-1: DependencyViolation")
  world.denied = {}
  test.contains(good(instance:strangers())[1].kind, "vpc_peering")
end)

test.case("the statement of the manual allows all that the inventory asks", { deadline = "30m" }, function()
  local text = assert(netlab.fs.read "../../docs/recipes.md")
  local statement = assert(netlab.json.decode(text:match('{ "Effect": "Allow", "Resource": "%*", "Action": %[.-%] }')))
  local prefixes, actions = { tagging = "tag" }, { ["GET /schedules"] = "ListSchedules" }
  reset {}
  good(instance:inventory { all_regions = true })
  test.truthy(#world.calls > 50)
  for _, call in ipairs(world.calls) do
    -- S3 has no names of actions on the wire, Budgets a permission for several.
    local asked, allowed = (prefixes[call.service] or call.service) .. ":" .. (actions[call.action] or call.action), call.service == "s3" or call.action == "DescribeBudgets"
    for _, pattern in ipairs(statement.Action) do
      allowed = allowed or asked:find("^" .. pattern:gsub("%*$", ".*") .. "$") ~= nil
    end
    test.truthy(allowed, asked .. " is not in the statement")
  end
end)

test.case("the end", function()
  netlab.stop()
end)
