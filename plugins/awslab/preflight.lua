-- What can be known before the first creation: whether each would be allowed, and whether names and images are right.
local netlab = require "netlab"
local kinds = require "awslab.kinds"
local prices = require "awslab.prices"

netlab.plugin "machines"
local machines = require "machines.facts"

-- A creation of each kind that AWS only judges (dry run).
local tries = {
  vpc = { "create_vpc", function(o) return { cidr_block = o.cidr } end },
  internet_gateway = { "create_internet_gateway", function() return {} end },
  elastic_ip = { "allocate_address", function() return { domain = "vpc" } end },
  dhcp_options = { "create_dhcp_options", function(o) return { dhcp_configurations = { { key = "domain-name-servers", values = { o.dns } } } } end },
  launch_template = { "create_launch_template", function(o) return { launch_template_name = o.name .. "-try", launch_template_data = { instance_type = "t4g.nano" } } end },
  subnet = { "create_subnet", function(o) return { vpc_id = "vpc-00000000000000000", cidr_block = o.cidr } end },
  security_group = { "create_security_group", function(o) return { group_name = o.name .. "-try", description = "try", vpc_id = "vpc-00000000000000000" } end },
  network_interface = { "create_network_interface", function() return { subnet_id = "subnet-00000000000000000" } end },
  nat_gateway = { "create_nat_gateway", function() return { subnet_id = "subnet-00000000000000000" } end },
  route_table = { "create_route_table", function() return { vpc_id = "vpc-00000000000000000" } end },
  instance = { "run_instances", function() return { image_id = "ami-00000000000000000", instance_type = "t4g.nano", min_count = 1, max_count = 1 } end },
}

-- Whether an image is there, is for this type of machine, and fits on its volume.
local function check_image(r, res)
  local image, machine = r:image(res.spec.image), machines.machine(res.spec.type)
  local found, err = r:facts(image)
  if not found then
    error(err or netlab.err.new("not_found", ("there is no image %s in %s: images have another name in each region"):format(image, r.lab.region), "image"), 0)
  elseif machine and found.architecture ~= (machine.arch == "amd64" and "x86_64" or machine.arch) then
    error(netlab.err.new("invalid", ("image %s is for %s, %s is %s: take another image or type"):format(image, found.architecture, res.spec.type, machine.arch), "image"), 0)
  end
  for _, device in ipairs(found.block_device_mappings or {}) do
    local needs = device.device_name == found.root_device_name and (device.ebs or {}).volume_size or 0
    if needs > res.spec.disk then
      local month = needs * prices.of(r.lab.region, "gp3_gb_month", r.lab.refreshed)
      error(netlab.err.new("invalid", ("image %s (%s) needs a volume of %d GB, %s has %d GB: give it %dGiB, $%.2f for a month of 730 h, or take a smaller image"):format(
        image, found.name or "", needs, res.name, res.spec.disk, needs, month), "disk"), 0)
    end
  end
end

-- Names and images that a creation would stumble over when half of the rest is there.
local looks = {
  auto_scaling_group = function(r, res)
    local there = r:call("autoscaling", "describe_auto_scaling_groups", { auto_scaling_group_names = { res.name } }).auto_scaling_groups[1]
    if there and kinds.auto_scaling_group.here(there) and kinds.tag_map(there)["netlab:lab"] ~= r.lab.name then
      error(netlab.err.new("exists", ("Auto Scaling group %s exists and does not belong to lab %s: adopt it, or give bastion.group another name"):format(res.name, r.lab.name), "awslab"), 0)
    end
  end,
  instance = check_image, launch_template = check_image,
}

---Raises what would stop one of `steps` from being made; makes nothing.
return function(r, steps)
  local seen, tasks = {}, {}
  for _, step in ipairs(steps) do
    local kind = step.resource.kind
    local look = (step.action == "create" or step.action == "change" and kind == "launch_template") and looks[kind]
    -- All nodes are of one image.
    if look and not seen[kind] then
      seen[kind] = true
      look(r, step.resource)
    end
  end
  for _, step in ipairs(steps) do
    local try = (step.action == "create" or step.action == "replace") and tries[step.resource.kind]
    if try and not seen[try[1]] then
      seen[try[1]] = true
      tasks[#tasks + 1] = netlab.spawn(function()
        local input = try[2](r.lab)
        input.dry_run = true
        local _, err = r:try("ec2", try[1], input)
        return true, err and err.code == "denied" and err or nil
      end)
    end
  end
  local denied
  for _, task in ipairs(tasks) do
    local _, err = task:wait()
    denied = denied or err
  end
  if denied then
    error(denied, 0)
  end
end
