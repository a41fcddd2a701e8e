-- What changes in a lab: replacing, its bucket, adopting, and how long and with how many calls. As lab_test.lua.
local netlab = require "netlab"
local test = require "netlab.test"
local cloud = require "cloud"

local world, reset, aws, declare, good = cloud.world, cloud.reset, cloud.aws, cloud.declare, cloud.good

local lab = declare("one", "10.20")
local moved = cloud.another_day("one", "10.20", { subnets = { public = { cidr = "10.20.1.0/24", public = true, ipv6 = true }, private = { cidr = "10.20.12.0/23" } } })
local renumbered = cloud.another_day("one", "10.21")
local resolver = cloud.another_day("one", "10.20", { dns = "10.20.13.141" })
local bigger = cloud.another_day("one", "10.20", { nodes = { image = "ami-0ipxearm640000000", type = "t4g.medium", groups = { "talos-nodes-sg" }, first_address = "10.20.13.11" } })
local with_bucket = cloud.another_day("one", "10.20", { bucket = { name = "packages-of-one" } })
local in_virginia = netlab.plugin("awslab").lab {
  name = "east", aws = aws, region = "us-east-1", cidr = "10.60.0.0/16", subnets = { only = { cidr = "10.60.1.0/24" } }, groups = {}, bucket = { name = "packages-of-east" },
}
local adopting = cloud.another_day("one", "10.20", {
  bucket = { name = "made-by-hand" },
  bastion = { name = "tf-bastion", group = "tf-asg", address = "10.20.13.140", groups = { "bastion-sg" }, role = "tf-role", profile = "tf-profile" },
})

-- Forty resources: ten subnets in private and public, their tables, groups that refer to each other, everything else.
local function large()
  local subnets, groups = {}, {}
  for i = 1, 8 do
    subnets["private" .. i] = { cidr = ("10.70.%d.0/24"):format(20 + i) }
  end
  subnets.public, subnets.private = { cidr = "10.70.1.0/24", public = true, ipv6 = true }, { cidr = "10.70.13.0/24" }
  for i = 1, 6 do
    groups["group" .. i] = { ingress = { { group = "group" .. (i % 6 + 1) } } }
  end
  return declare("large", "10.70", { nat = "gateway", subnets = subnets, groups = groups,
    bastion = { name = "tf-bastion", group = "large-asg", address = "10.70.13.140", groups = { "group1" } },
    nodes = { image = "ami-0ipxearm640000000", groups = { "group2" } } })
end
local forty = large()

local function ids()
  local out = {}
  for _, region in pairs(world.regions) do
    for id, r in pairs(region.all) do
      for _, t in ipairs(r.tagSet or {}) do
        if t.key == "netlab:name" and not (r.instanceState and r.instanceState.name == "terminated") then out[r._kind .. "/" .. t.value] = id end
      end
    end
  end
  return out
end

test.case("DHCP options are replaced: the new set is there before the old one goes", { deadline = "30m" }, function()
  reset { lag = 2, delay = 5 }
  good(lab:apply())
  local before = ids()
  world.calls = {}
  local plan = good(resolver:plan())
  test.equal(plan.counts.replace, 1)
  test.contains(plan:text(), "! dhcp_options/main")
  local out = good(resolver:apply())
  test.equal(out.failed, {})
  local after = ids()
  for key, id in pairs(before) do
    test.equal(after[key] == id, key ~= "dhcp/main", key)
  end
  test.equal(good(resolver:plan()).code, 0)
  test.equal(#cloud.list("one"), 18)
  local order = {}
  for _, call in ipairs(world.calls) do
    if call.action:find "DhcpOptions$" and not call.action:find "^Describe" then order[#order + 1] = call.action end
  end
  test.equal({ order[#order - 2], order[#order - 1], order[#order] }, { "CreateDhcpOptions", "AssociateDhcpOptions", "DeleteDhcpOptions" })
end)

test.case("what has given way in a run that was ended goes with the next", { deadline = "30m" }, function()
  reset {}
  good(lab:apply())
  local old = ids()["dhcp/main"]
  good(aws.ec2:create_tags { resources = { old }, tags = { ["netlab:replaced"] = "yes" } })
  local plan = good(lab:plan())
  test.equal(plan.code, 2)
  test.contains(plan:text(), "- dhcp_options has been replaced, and goes")
  test.equal(good(lab:apply()).failed, {})
  test.equal(#cloud.list("one"), 18)
  test.truthy(ids()["dhcp/main"] ~= old)
  test.equal(good(lab:plan()).code, 0)
end)

test.case("a subnet with another network takes what stands on it along, and only with leave", { deadline = "60m" }, function()
  reset { lag = 2, delay = 10 }
  good(lab:apply())
  good(lab:start_bastion())
  local before, list = ids(), cloud.list("one")
  local plan = good(moved:plan())
  test.contains(plan:text(), "! subnet/private")
  test.contains(plan:text(), "stands on: subnet/private → the new one")
  local out, err = moved:apply()
  test.fails(out, err, "conflict")
  test.contains(err.message, "cidr is 10.20.13.0/24 and should be 10.20.12.0/23")
  test.contains(err.message, "network_interface/bastion")
  test.contains(err.message, "--replace")
  test.equal(cloud.list("one"), list)
  out = good(moved:apply { replace = true })
  test.equal(out.failed, {})
  local after = ids()
  for _, key in ipairs { "subnet/private", "eni/bastion" } do
    test.truthy(after[key] and after[key] ~= before[key], key .. " is the old one")
  end
  for _, key in ipairs { "vpc/main", "subnet/public", "eni/bastion-public", "igw/main", "rtb/private", "lt/one-bastion", "sg/bastion-sg" } do
    test.equal(after[key], before[key], key)
  end
  test.equal(good(moved:plan()).code, 0)
  -- The new template names the new interface, and the route leads to it.
  good(moved:start_bastion())
  local eni = good(aws.ec2:describe_network_interfaces { network_interface_ids = { after["eni/bastion"] } }).network_interfaces[1]
  test.equal(eni.status, "in-use")
  good(moved:destroy())
  test.equal(cloud.list("one"), {})
end)

test.case("another network for the VPC: all of it is made again; nodes of an evening are not pulled from under", { deadline = "60m" }, function()
  reset { delay = 2 }
  good(lab:apply())
  good(lab:launch { count = 1 })
  local list = cloud.list("one")
  local out, err = renumbered:apply { replace = true }
  test.fails(out, err, "conflict")
  test.contains(err.message, "end the session first")
  test.equal(cloud.list("one"), list)
  good(lab:end_session())
  local before = ids()
  test.equal(good(renumbered:apply { replace = true }).failed, {})
  test.truthy(ids()["vpc/main"] ~= before["vpc/main"])
  test.equal(good(renumbered:plan()).code, 0)
  test.equal(#cloud.list("one"), 18)
end)

test.case("a node of another type is ended and started again on its own interface, with leave", { deadline = "60m" }, function()
  reset { delay = 2 }
  good(lab:apply())
  good(lab:launch { count = 2 })
  local before = ids()
  local out, err = bigger:launch { count = 2 }
  test.fails(out, err, "conflict")
  test.contains(err.message, "type is t4g.small and should be t4g.medium")
  out = good(bigger:launch { count = 2, replace = true })
  test.equal(out.failed, {})
  test.equal(good(bigger:nodes())[1].type, "t4g.medium")
  test.equal(ids()["eni/talos-node-1"], before["eni/talos-node-1"])
end)

test.case("the bucket is private, tagged and emptied before it goes", { deadline = "30m" }, function()
  reset { delay = 20, lag = 1 }
  test.contains(good(with_bucket:plan()):text(), "a cache of 10 GB would be $0.23 a month")
  good(with_bucket:apply())
  local b = world.buckets["packages-of-one"]
  test.equal(b.region, "eu-west-1")
  test.contains(b.lifecycle, "<DaysAfterInitiation>1</DaysAfterInitiation>")
  test.equal(good(with_bucket:plan()).code, 0)
  -- Drift of what keeps it closed.
  b.block = "false"
  test.equal(good(with_bucket:drift())[1].differences[1].field, "public access")
  good(with_bucket:apply())
  test.equal(b.block, "true")
  -- Versions, markers of deleted objects, parts of an upload that nobody ended, and more than a page.
  good(aws.s3:put_bucket_versioning { bucket = "packages-of-one", versioning_configuration = { status = "Enabled" } })
  world.page = 3
  for i = 1, 5 do
    good(aws.s3:put_object { bucket = "packages-of-one", key = "k" .. i, body = "one" })
    good(aws.s3:put_object { bucket = "packages-of-one", key = "k" .. i, body = "two" })
  end
  good(aws.s3:delete_object { bucket = "packages-of-one", key = "k1" })
  local upload = good(aws.s3:create_multipart_upload { bucket = "packages-of-one", key = "big" }).upload_id
  good(aws.s3:upload_part { bucket = "packages-of-one", key = "big", part_number = 1, upload_id = upload, body = "part" })
  local out, err = aws.s3:delete_bucket { bucket = "packages-of-one" }
  test.fails(out, err, "conflict")
  -- Who takes the lab down need not know the bucket's name.
  test.equal(good(lab:plan()).unwanted, {})
  test.equal(#good(lab:leftovers()) > 0, true)
  test.equal(good(lab:destroy()).failed, {})
  test.equal(next(world.buckets), nil)
  test.equal(#good(lab:leftovers()), 0)
  -- Its name is not free for a moment.
  good(with_bucket:apply())
  test.truthy(world.buckets["packages-of-one"])
end)

test.case("buckets that are somebody's: another account's, one's own without the tag, one in the middle of being made", { deadline = "30m" }, function()
  reset { foreign_buckets = true }
  world.foreign_buckets = { ["packages-of-one"] = true }
  local out = good(with_bucket:apply())
  test.equal(out.code, 1)
  test.contains(out.failed[1].message, "taken by another account")
  good(with_bucket:destroy())
  reset {}
  good(aws.s3:create_bucket({ bucket = "packages-of-one", create_bucket_configuration = { location_constraint = "eu-west-1" } }))
  out = good(with_bucket:apply())
  test.contains(out.failed[1].message, "does not belong to lab one: adopt it")
  good(with_bucket:destroy())
  test.truthy(world.buckets["packages-of-one"])
  -- us-east-1 has a rule of its own for where, and says nothing when a bucket is made twice.
  good(in_virginia:apply())
  test.equal(world.buckets["packages-of-east"].region, "us-east-1")
  good(aws.s3:create_bucket({ bucket = "packages-of-east" }, { region = "us-east-1" }))
  local refused, err = aws.s3:create_bucket({ bucket = "packages-of-west", create_bucket_configuration = { location_constraint = "us-east-1" } }, { region = "us-east-1" })
  test.fails(refused, err, "invalid")
  test.equal(good(in_virginia:plan()).code, 0)
  good(in_virginia:destroy())
  test.equal(cloud.list("east"), {})
end)

test.case("answers that do not come: no bucket is left without its tags", { deadline = "60m" }, function()
  for seed = 1, 6 do
    reset { lose = 0.3, lag = 2, seed = seed * 104729 }
    local out, err
    for _ = 1, 12 do
      out, err = with_bucket:apply()
      if out and out.code ~= 1 then break end
    end
    test.truthy(out and out.code ~= 1, err and err.message)
    world.lose = 0
    test.equal(good(with_bucket:plan()).code, 0)
    test.equal(#cloud.list("one"), 19)
    world.lose = 0.3
    for _ = 1, 12 do
      out, err = with_bucket:destroy()
      if out and out.code ~= 1 then break end
    end
    world.lose = 0
    good(with_bucket:destroy())
    test.equal(cloud.list("one"), {})
    test.equal(next(world.buckets), nil)
  end
end)

test.case("role, instance profile and bucket that others made are adopted, and go with the lab", { deadline = "30m" }, function()
  reset {}
  good(aws.iam:create_role { role_name = "tf-role", assume_role_policy_document = '{"Version":"2012-10-17","Statement":[]}', tags = { made_by = "terraform" } })
  good(aws.iam:attach_role_policy { role_name = "tf-role", policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore" })
  good(aws.iam:create_instance_profile { instance_profile_name = "tf-profile" })
  good(aws.iam:add_role_to_instance_profile { instance_profile_name = "tf-profile", role_name = "tf-role" })
  good(aws.s3:create_bucket { bucket = "made-by-hand", create_bucket_configuration = { location_constraint = "eu-west-1" } })
  good(aws.s3:put_bucket_tagging { bucket = "made-by-hand", tagging = { tag_set = { { key = "team", value = "lab" } } } })
  local out, err = adopting:apply()
  test.equal(out and out.code, 1, err and err.message)
  local words = {}
  for _, f in ipairs(out.failed) do words[#words + 1] = f.key .. ": " .. f.message end
  test.contains(table.concat(words, "\n"), "does not belong to lab one: adopt it")
  local want = { ["role/tf-role"] = "tf-role", ["instance_profile/tf-profile"] = "tf-profile", ["bucket/made-by-hand"] = "made-by-hand" }
  local shown = good(adopting:adopt { resources = want })
  test.equal({ shown[1].key, shown[1].adopted }, { "bucket/made-by-hand" })
  test.equal(shown[1].differences[1].field, "tags")
  out, err = adopting:adopt { resources = { ["role/tf-role"] = "another" } }
  test.fails(out, err, "invalid")
  test.contains(err.message, "bastion.role")
  good(adopting:adopt { resources = want, yes = true })
  test.equal(good(adopting:apply()).failed, {})
  test.equal(good(adopting:plan()).code, 0)
  test.equal(#world.buckets["made-by-hand"].tags, 4) -- its own stays
  good(adopting:destroy())
  test.equal(cloud.list("one"), {})
  test.equal(world.iam.roles["tf-role"], nil)
  test.equal(next(world.buckets), nil)
end)

test.case("an image with another root device has one volume, which is the declared one", { deadline = "30m" }, function()
  reset {}
  local ubuntu = cloud.another_day("one", "10.20", { bastion = { name = "tf-bastion", group = "one-asg", address = "10.20.13.140", groups = { "bastion-sg" }, image = "ubuntu-24.04", disk = "8GiB" } })
  good(ubuntu:apply())
  good(ubuntu:start_bastion())
  good(aws.autoscaling:describe_auto_scaling_groups {})
  local volumes = good(aws.ec2:describe_volumes {}).volumes
  test.equal(#volumes, 1)
  test.equal({ volumes[1].size, volumes[1].encrypted, volumes[1].volume_type, volumes[1].attachments[1].device }, { 8, true, "gp3", "/dev/sda1" })
  -- Its disk is 8 GB: AWS would refuse less, each evening anew and where nobody looks.
  local small = cloud.another_day("one", "10.20", { bastion = { name = "tf-bastion", group = "one-asg", address = "10.20.13.140", groups = { "bastion-sg" }, image = "ubuntu-24.04" } })
  local out, err = small:apply()
  test.fails(out, err, "invalid")
  test.contains(err.message, "needs a volume of 8 GB, one-bastion has 4 GB: give it 8GiB")
end)

test.case("any recipe waits for what AWS makes or deletes", { deadline = "30m" }, function()
  reset { delay = 40, lag = 1 }
  good(lab:apply())
  local ids = {}
  local run = good(aws.ec2:run_instances { image_id = "ami-0ipxearm640000000", instance_type = "t4g.small", min_count = 1, max_count = 1,
    subnet_id = good(aws.ec2:describe_subnets { filters = { ["tag:netlab:name"] = "private" } }).subnets[1].subnet_id })
  ids[1] = run.instances[1].instance_id
  local began = netlab.uptime()
  local got = good(aws.ec2:wait("instance_running", { instance_ids = ids }))
  test.equal(got.reservations[1].instances[1].state.name, "running")
  test.equal(netlab.uptime() - began >= 38, true)
  good(aws.ec2:terminate_instances { instance_ids = ids })
  local out, err = aws.ec2:wait("instance_running", { instance_ids = ids }, { deadline = "1m" })
  test.fails(out, err, "refused")
  test.contains(err.message, "instance running: it is shutting-down")
  out, err = aws.ec2:wait("instance_terminated", { instance_ids = ids }, { deadline = "5s" })
  test.fails(out, err, "timeout")
  test.contains(err.message, "instance terminated: not reached within 5s")
  good(aws.ec2:wait("instance_terminated", { instance_ids = ids }))
  good(aws.s3:wait("bucket_deleted", { bucket = "was-never-there" }))
  test.raises(function() aws.ec2:wait("instance_runing", {}) end, 'ec2 has no state "instance_runing" to wait for')
end)

test.case("forty resources: a plan asks once a kind and page, an apply takes what its longest chain of waits takes", { deadline = "60m" }, function()
  reset { delay = 60, lag = 1, page = 5 }
  local began = netlab.uptime()
  local out = good(forty:apply())
  local took = netlab.uptime() - began
  test.equal(out.failed, {})
  local count = #cloud.list("large")
  test.equal(count >= 40, true, count .. " resources")
  -- The NAT gateway is pending for 180 s; the route through it, the endpoint and the group come after.
  test.equal(took >= 180 and took <= 198, true, ("it took %.1f s"):format(took))
  world.calls = {}
  began = netlab.uptime()
  test.equal(good(forty:plan()).code, 0)
  test.equal(netlab.uptime() - began < 5, true)
  local kinds = { DescribeSubnets = 10, DescribeRouteTables = 10, DescribeSecurityGroups = 6 }
  local calls = 0
  for action, times in pairs(cloud.count_calls()) do
    test.equal(times <= math.ceil((kinds[action] or 1) / world.page), true, ("%s was called %d times"):format(action, times))
    calls = calls + times
  end
  test.equal(calls <= 30, true, calls .. " calls")
  netlab.log.info(("%d resources: applied in %.1f s with %d calls, planned with %d"):format(count, took, out.calls, calls))
  good(forty:destroy())
  test.equal(cloud.list("large"), {})
end)

test.case("the end", function()
  netlab.stop()
end)
