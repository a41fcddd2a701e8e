-- Every kind of resource: how it is found, made, compared, changed, waited for and deleted. `c` is the run (run.lua):
-- c:call(service, action, input) raises on failure, c:id(key) is the id of what is there already.
local netlab = require "netlab"
local networks = require "awslab.networks"

local kinds = {}

-- Network interfaces call their tags otherwise than everything else does.
local function tag_map(raw)
  local out = {}
  for _, t in ipairs(raw.tags or raw.tag_set or {}) do
    out[t.key] = t.value
  end
  return out
end
kinds.tag_map = tag_map

local function specification(c, r, word)
  return { { resource_type = word, tags = c:tags(r) } }
end

-- Options of security group rules in one normal form: "tcp/22/22/cidr 1.2.3.4/32".
local function rule_key(c, rule)
  local from, to = rule.port, rule.port
  if type(rule.port) == "string" then
    from, to = rule.port:match "^(%d+)%-(%d+)$"
  end
  local protocol = rule.protocol or (rule.port and "tcp" or "-1")
  local peer = rule.group and c:id("security_group/" .. rule.group) or rule.cidr:lower()
  return ("%s/%s/%s/%s"):format(protocol, from or "", to or "", peer), { protocol = protocol, from = tonumber(from), to = tonumber(to), peer = peer }
end

local function live_rules(permissions)
  local out = {}
  for _, p in ipairs(permissions) do
    local function add(peer)
      local key = ("%s/%s/%s/%s"):format(p.ip_protocol, p.from_port or "", p.to_port or "", peer)
      out[key] = { protocol = p.ip_protocol, from = p.from_port, to = p.to_port, peer = peer }
    end
    for _, x in ipairs(p.ip_ranges) do add(x.cidr_ip) end
    for _, x in ipairs(p.ipv6_ranges) do add(x.cidr_ipv6:lower()) end
    for _, x in ipairs(p.user_id_group_pairs) do add(x.group_id) end
  end
  return out
end
kinds.live_rules = live_rules

local function permission(rule)
  local out = { ip_protocol = rule.protocol, from_port = rule.from, to_port = rule.to }
  if rule.peer:find "^sg%-" then
    out.user_id_group_pairs = { { group_id = rule.peer } }
  elseif rule.peer:find ":" then
    out.ipv6_ranges = { { cidr_ipv6 = rule.peer } }
  else
    out.ip_ranges = { { cidr_ip = rule.peer } }
  end
  return out
end

local function difference(field, have, want, fixed)
  return { field = field, have = have, want = want, replace = not fixed }
end

kinds.vpc = {
  action = "describe_vpcs", list = "vpcs", id = "vpc_id", word = "vpc",
  create = function(c, r)
    return c:call("ec2", "create_vpc", { cidr_block = r.spec.cidr, amazon_provided_ipv6_cidr_block = r.spec.ipv6 or nil, tag_specifications = specification(c, r, "vpc") }).vpc
  end,
  finish = function(c, r, raw)
    c:call("ec2", "modify_vpc_attribute", { vpc_id = raw.vpc_id, enable_dns_hostnames = { value = true } })
    return c:await(r, function()
      local got = c:call("ec2", "describe_vpcs", { vpc_ids = { raw.vpc_id } }).vpcs[1]
      local block = got and got.ipv6_cidr_block_association_set and got.ipv6_cidr_block_association_set[1]
      return got and got.state == "available" and (not r.spec.ipv6 or block and block.ipv6_cidr_block_state.state == "associated") and got
    end)
  end,
  differ = function(c, r, raw)
    local out = {}
    if raw.cidr_block ~= r.spec.cidr then out[1] = difference("cidr", raw.cidr_block, r.spec.cidr) end
    local names = c:call("ec2", "describe_vpc_attribute", { vpc_id = raw.vpc_id, attribute = "enableDnsHostnames" }).enable_dns_hostnames
    if not (names and names.value == true) then out[#out + 1] = difference("DNS host names", "off", "on", true) end
    return out
  end,
  change = function(c, r, raw) return kinds.vpc.finish(c, r, raw) end,
  delete = function(c, raw) c:call("ec2", "delete_vpc", { vpc_id = raw.vpc_id }) end,
}

kinds.subnet = {
  bound = function() return { "vpc/main" } end,
  action = "describe_subnets", list = "subnets", id = "subnet_id", word = "subnet",
  create = function(c, r)
    local block
    if r.spec.ipv6 then
      block = networks.subnet64(c.live["vpc/main"].ipv6_cidr_block_association_set[1].ipv6_cidr_block, r.spec.index)
    end
    return c:call("ec2", "create_subnet", { vpc_id = c:id "vpc/main", cidr_block = r.spec.cidr, availability_zone = r.spec.zone, ipv6_cidr_block = block, tag_specifications = specification(c, r, "subnet") }).subnet
  end,
  finish = function(c, r, raw)
    if r.spec.ipv6 then
      c:call("ec2", "modify_subnet_attribute", { subnet_id = raw.subnet_id, assign_ipv6_address_on_creation = { value = true } })
    end
  end,
  differ = function(_, r, raw)
    local out = {}
    if raw.cidr_block ~= r.spec.cidr then out[#out + 1] = difference("cidr", raw.cidr_block, r.spec.cidr) end
    if raw.availability_zone ~= r.spec.zone then out[#out + 1] = difference("zone", raw.availability_zone, r.spec.zone) end
    if r.spec.ipv6 and not raw.assign_ipv6_address_on_creation and #(raw.ipv6_cidr_block_association_set or {}) > 0 then out[#out + 1] = difference("IPv6 on creation", "off", "on", true) end
    return out
  end,
  change = function(c, r, raw) kinds.subnet.finish(c, r, raw) end,
  delete = function(c, raw) c:call("ec2", "delete_subnet", { subnet_id = raw.subnet_id }) end,
}

kinds.internet_gateway = {
  bound = function() return { "vpc/main" } end,
  action = "describe_internet_gateways", list = "internet_gateways", id = "internet_gateway_id", word = "internet-gateway",
  create = function(c, r)
    return c:call("ec2", "create_internet_gateway", { tag_specifications = specification(c, r, "internet-gateway") }).internet_gateway
  end,
  finish = function(c, _, raw)
    if not (raw.attachments or {})[1] then
      local ok, err = c:try("ec2", "attach_internet_gateway", { internet_gateway_id = raw.internet_gateway_id, vpc_id = c:id "vpc/main" })
      if not ok and err.aws ~= "Resource.AlreadyAssociated" then error(err, 0) end
    end
  end,
  differ = function(_, _, raw)
    return raw.attachments[1] and {} or { difference("attached", "no", "yes", true) }
  end,
  change = function(c, r, raw) kinds.internet_gateway.finish(c, r, raw) end,
  delete = function(c, raw)
    for _, a in ipairs(raw.attachments) do
      local ok, err = c:try("ec2", "detach_internet_gateway", { internet_gateway_id = raw.internet_gateway_id, vpc_id = a.vpc_id })
      if not ok and err.aws ~= "Gateway.NotAttached" then error(err, 0) end
    end
    c:call("ec2", "delete_internet_gateway", { internet_gateway_id = raw.internet_gateway_id })
  end,
}

kinds.egress_only_gateway = {
  bound = function() return { "vpc/main" } end,
  action = "describe_egress_only_internet_gateways", list = "egress_only_internet_gateways", id = "egress_only_internet_gateway_id", word = "egress-only-internet-gateway", token = true,
  create = function(c, r)
    return c:call("ec2", "create_egress_only_internet_gateway", { client_token = c:token(r), vpc_id = c:id "vpc/main", tag_specifications = specification(c, r, "egress-only-internet-gateway") }).egress_only_internet_gateway
  end,
  delete = function(c, raw) c:call("ec2", "delete_egress_only_internet_gateway", { egress_only_internet_gateway_id = raw.egress_only_internet_gateway_id }) end,
}

kinds.security_group = {
  bound = function() return { "vpc/main" } end,
  action = "describe_security_groups", list = "security_groups", id = "group_id", word = "security-group",
  create = function(c, r)
    return { group_id = c:call("ec2", "create_security_group", { group_name = r.name, description = r.spec.description, vpc_id = c:id "vpc/main", tag_specifications = specification(c, r, "security-group") }).group_id,
      ip_permissions = {}, ip_permissions_egress = { { ip_protocol = "-1", ip_ranges = { { cidr_ip = "0.0.0.0/0" } }, ipv6_ranges = {}, user_id_group_pairs = {} } } }
  end,
  delete = function(c, raw) c:call("ec2", "delete_security_group", { group_id = raw.group_id }) end,
}

-- "tcp 22 ::/0"
local function rule_text(rule)
  local ports = rule.from and rule.from == rule.to and " " .. rule.from or rule.from and (" %s-%s"):format(rule.from, rule.to) or ""
  return ("%s%s %s"):format(rule.protocol == "-1" and "all" or rule.protocol, ports, rule.peer)
end

-- The rules of a group are compared as a whole: groups may refer to each other, so all groups come first.
local function rule_changes(c, r, raw)
  local out = {}
  for side, permissions in pairs { ingress = raw.ip_permissions, egress = raw.ip_permissions_egress } do
    local have, want = live_rules(permissions), {}
    for _, rule in ipairs(r.spec[side] or (side == "egress" and { { cidr = "0.0.0.0/0" } } or {})) do
      local known = not rule.group or c.live["security_group/" .. rule.group]
      if known then
        local key, value = rule_key(c, rule)
        want[key] = value
      else
        out[#out + 1] = { side = side, text = rule.group, missing = true }
      end
    end
    for key, value in pairs(want) do
      if not have[key] then out[#out + 1] = { side = side, add = value, text = "+ " .. rule_text(value) } end
    end
    for key, value in pairs(have) do
      if not want[key] then out[#out + 1] = { side = side, remove = value, text = "- " .. rule_text(value) } end
    end
  end
  table.sort(out, function(a, b) return a.side .. a.text < b.side .. b.text end)
  return out
end

kinds.security_rules = {
  of = "security_group",
  differ = function(c, r, raw)
    local out = {}
    for i, change in ipairs(rule_changes(c, r, raw)) do
      out[i] = difference(change.side, "", change.text, true)
    end
    return out
  end,
  change = function(c, r)
    local raw = c:call("ec2", "describe_security_groups", { group_ids = { c:id("security_group/" .. r.name) } }).security_groups[1]
    for _, change in ipairs(rule_changes(c, r, raw)) do
      local verb = change.add and "authorize" or "revoke"
      local ok, err = c:try("ec2", ("%s_security_group_%s"):format(verb, change.side), { group_id = raw.group_id, ip_permissions = { permission(change.add or change.remove) } })
      if not ok and err.aws ~= "InvalidPermission.Duplicate" and err.aws ~= "InvalidPermission.NotFound" then error(err, 0) end
    end
  end,
}

kinds.network_interface = {
  bound = function(r) return { r.spec.subnet } end,
  action = "describe_network_interfaces", list = "network_interfaces", id = "network_interface_id", word = "network-interface", token = true,
  create = function(c, r)
    local groups = {}
    for i, key in ipairs(r.spec.groups) do groups[i] = c:id(key) end
    return c:call("ec2", "create_network_interface", { client_token = c:token(r), subnet_id = c:id(r.spec.subnet), private_ip_address = r.spec.address, groups = groups, description = c.lab.name .. " " .. r.name,
      ipv6_address_count = r.spec.ipv6 and 1 or nil, tag_specifications = specification(c, r, "network-interface") }).network_interface
  end,
  finish = function(c, r, raw)
    if r.spec.forward then
      c:call("ec2", "modify_network_interface_attribute", { network_interface_id = raw.network_interface_id, source_dest_check = { value = false } })
    end
  end,
  differ = function(c, r, raw)
    local out = {}
    if r.spec.address and raw.private_ip_address ~= r.spec.address then out[#out + 1] = difference("address", raw.private_ip_address, r.spec.address) end
    if r.spec.forward and raw.source_dest_check then out[#out + 1] = difference("source/dest check", "on", "off", true) end
    local have, want = {}, {}
    for i, g in ipairs(raw.groups) do have[i] = g.group_id end
    for i, key in ipairs(r.spec.groups) do want[i] = c.live[key] and c:id(key) or key end
    table.sort(have)
    table.sort(want)
    if table.concat(have, " ") ~= table.concat(want, " ") then out[#out + 1] = difference("groups", table.concat(have, " "), table.concat(want, " "), true) end
    return out
  end,
  change = function(c, r, raw)
    kinds.network_interface.finish(c, r, raw)
    local groups = {}
    for i, key in ipairs(r.spec.groups) do groups[i] = c:id(key) end
    c:call("ec2", "modify_network_interface_attribute", { network_interface_id = raw.network_interface_id, groups = groups })
  end,
  delete = function(c, raw)
    c:call("ec2", "delete_network_interface", { network_interface_id = raw.network_interface_id })
  end,
}

kinds.elastic_ip = {
  action = "describe_addresses", list = "addresses", id = "allocation_id", word = "elastic-ip",
  create = function(c, r)
    return c:call("ec2", "allocate_address", { domain = "vpc", tag_specifications = specification(c, r, "elastic-ip") })
  end,
  finish = function(c, r, raw)
    if r.spec.interface and not raw.association_id then
      c:call("ec2", "associate_address", { allocation_id = raw.allocation_id, network_interface_id = c:id(r.spec.interface) })
    end
  end,
  differ = function(_, r, raw)
    return r.spec.interface and not raw.association_id and { difference("associated", "no", "yes", true) } or {}
  end,
  change = function(c, r, raw) kinds.elastic_ip.finish(c, r, raw) end,
  delete = function(c, raw)
    if raw.association_id then
      local ok, err = c:try("ec2", "disassociate_address", { association_id = raw.association_id })
      if not ok and err.code ~= "not_found" then error(err, 0) end
    end
    c:call("ec2", "release_address", { allocation_id = raw.allocation_id })
  end,
}

kinds.nat_gateway = {
  bound = function(r) return { r.spec.subnet } end,
  action = "describe_nat_gateways", list = "nat_gateways", id = "nat_gateway_id", word = "natgateway", token = true,
  here = function(raw) return raw.state ~= "deleted" and raw.state ~= "failed" end,
  going = function(raw) return raw.state == "deleting" end,
  create = function(c, r)
    return c:call("ec2", "create_nat_gateway", { client_token = c:token(r), subnet_id = c:id(r.spec.subnet), allocation_id = c:id "elastic_ip/nat", tag_specifications = specification(c, r, "natgateway") }).nat_gateway
  end,
  finish = function(c, _, raw) return c:wait("ec2", "nat_gateway_available", { nat_gateway_ids = { raw.nat_gateway_id } }).nat_gateways[1] end,
  differ = function(_, _, raw) return raw.state == "pending" and { difference("state", "pending", "available", true) } or {} end,
  change = function(c, r, raw) kinds.nat_gateway.finish(c, r, raw) end,
  delete = function(c, raw)
    if raw.state ~= "deleting" then c:call("ec2", "delete_nat_gateway", { nat_gateway_id = raw.nat_gateway_id }) end
  end,
}

local target_fields = { internet_gateway = "gateway_id", nat_gateway = "nat_gateway_id", network_interface = "network_interface_id", egress_only_gateway = "egress_only_internet_gateway_id" }

local function route_changes(c, r, raw)
  local out, have = {}, {}
  for _, route in ipairs(raw.routes) do
    have[route.destination_cidr_block or route.destination_ipv6_cidr_block or ""] = route
  end
  for _, want in ipairs(r.spec.routes) do
    local field = target_fields[want.target:match "^[^/]+"]
    local id = c.live[want.target] and c:id(want.target)
    local old = have[want.to]
    if not old or old[field] ~= id then
      out[#out + 1] = { to = want.to, field = field, id = id, old = old, text = ("%s → %s"):format(want.to, want.target) }
    end
  end
  return out
end

kinds.route_table = {
  bound = function() return { "vpc/main" } end,
  action = "describe_route_tables", list = "route_tables", id = "route_table_id", word = "route-table", token = true,
  create = function(c, r)
    return c:call("ec2", "create_route_table", { client_token = c:token(r), vpc_id = c:id "vpc/main", tag_specifications = specification(c, r, "route-table") }).route_table
  end,
  finish = function(c, r, raw)
    for _, route in ipairs(route_changes(c, r, raw)) do
      local input = { route_table_id = raw.route_table_id, [route.field] = route.id, [route.to:find ":" and "destination_ipv6_cidr_block" or "destination_cidr_block"] = route.to }
      local ok, err = c:try("ec2", route.old and "replace_route" or "create_route", input)
      -- An earlier attempt without an answer may have made it.
      if not ok and err.aws == "RouteAlreadyExists" then ok, err = c:try("ec2", "replace_route", input) end
      if not ok then error(err, 0) end
    end
    local there = false
    for _, a in ipairs(raw.associations or {}) do there = there or a.subnet_id == c:id(r.spec.subnet) end
    if not there then
      local ok, err = c:try("ec2", "associate_route_table", { route_table_id = raw.route_table_id, subnet_id = c:id(r.spec.subnet) })
      if not ok and err.aws ~= "Resource.AlreadyAssociated" then error(err, 0) end
    end
  end,
  differ = function(c, r, raw)
    local out = {}
    for i, route in ipairs(route_changes(c, r, raw)) do
      out[i] = difference("route", route.old and "another target" or "none", route.text, true)
    end
    local there = false
    for _, a in ipairs(raw.associations or {}) do there = there or c.live[r.spec.subnet] and a.subnet_id == c:id(r.spec.subnet) end
    if not there then out[#out + 1] = difference("subnet", "not associated", r.spec.subnet, true) end
    return out
  end,
  change = function(c, r, raw) kinds.route_table.finish(c, r, raw) end,
  delete = function(c, raw)
    for _, a in ipairs(raw.associations or {}) do
      if not a.main then
        local ok, err = c:try("ec2", "disassociate_route_table", { association_id = a.route_table_association_id })
        if not ok and err.code ~= "not_found" then error(err, 0) end
      end
    end
    c:call("ec2", "delete_route_table", { route_table_id = raw.route_table_id })
  end,
}

kinds.vpc_endpoint = {
  bound = function() return { "vpc/main" } end,
  action = "describe_vpc_endpoints", list = "vpc_endpoints", id = "vpc_endpoint_id", word = "vpc-endpoint", token = true,
  here = function(raw) return raw.state ~= "deleted" end,
  create = function(c, r)
    local tables = {}
    for _, key in ipairs(r.needs) do
      if key:find "^route_table/" then tables[#tables + 1] = c:id(key) end
    end
    return c:call("ec2", "create_vpc_endpoint", { client_token = c:token(r), vpc_id = c:id "vpc/main", service_name = r.spec.service, vpc_endpoint_type = "Gateway", route_table_ids = tables, tag_specifications = specification(c, r, "vpc-endpoint") }).vpc_endpoint
  end,
  delete = function(c, raw) c:call("ec2", "delete_vpc_endpoints", { vpc_endpoint_ids = { raw.vpc_endpoint_id } }) end,
}

local function dhcp_values(raw)
  local out = {}
  for _, entry in ipairs(raw.dhcp_configurations) do
    local values = {}
    for i, v in ipairs(entry.values) do values[i] = v.value end
    out[entry.key] = table.concat(values, ",")
  end
  return out
end

kinds.dhcp_options = {
  before = true, action = "describe_dhcp_options", list = "dhcp_options", id = "dhcp_options_id", word = "dhcp-options",
  create = function(c, r)
    local set = { { key = "domain-name-servers", values = { r.spec.dns } } }
    if r.spec.domain then set[2] = { key = "domain-name", values = { r.spec.domain } } end
    return c:call("ec2", "create_dhcp_options", { dhcp_configurations = set, tag_specifications = specification(c, r, "dhcp-options") }).dhcp_options
  end,
  finish = function(c, _, raw)
    if c.live["vpc/main"].dhcp_options_id ~= raw.dhcp_options_id then
      c:call("ec2", "associate_dhcp_options", { dhcp_options_id = raw.dhcp_options_id, vpc_id = c:id "vpc/main" })
    end
  end,
  differ = function(c, r, raw)
    local out, have = {}, dhcp_values(raw)
    if have["domain-name-servers"] ~= r.spec.dns then out[#out + 1] = difference("dns", have["domain-name-servers"], r.spec.dns) end
    if have["domain-name"] ~= r.spec.domain then out[#out + 1] = difference("domain", tostring(have["domain-name"]), tostring(r.spec.domain)) end
    if not c.live["vpc/main"] or c.live["vpc/main"].dhcp_options_id ~= raw.dhcp_options_id then out[#out + 1] = difference("associated", "no", "yes", true) end
    return out
  end,
  change = function(c, r, raw) kinds.dhcp_options.finish(c, r, raw) end,
  delete = function(c, raw) c:call("ec2", "delete_dhcp_options", { dhcp_options_id = raw.dhcp_options_id }) end,
}

kinds.key_pair = {
  action = "describe_key_pairs", list = "key_pairs", id = "key_pair_id", word = "key-pair",
  create = function(c, r)
    return c:call("ec2", "import_key_pair", { key_name = r.name, public_key_material = netlab.base64.encode(r.spec.public_key), tag_specifications = specification(c, r, "key-pair") })
  end,
  delete = function(c, raw) c:call("ec2", "delete_key_pair", { key_pair_id = raw.key_pair_id, key_name = raw.key_name }) end,
}

-- What a template or an instance is made of; its digest is its tag, so that a change shows without reading it back.
local function machine(c, r)
  local s = r.spec
  -- Another device than the image's own would be a second volume beside it.
  local image = c:image(s.image)
  local root = (c:facts(image) or {}).root_device_name or "/dev/xvda"
  local interfaces = {}
  for i, key in ipairs(s.interfaces) do
    interfaces[i] = { device_index = i - 1, network_interface_id = c:id(key), delete_on_termination = false }
  end
  return {
    image_id = image, instance_type = s.type, key_name = s.key, network_interfaces = interfaces,
    credit_specification = { cpu_credits = "standard" },
    metadata_options = { http_tokens = "required", http_endpoint = "enabled" },
    block_device_mappings = { { device_name = root, ebs = { volume_size = s.disk, volume_type = "gp3", encrypted = true, delete_on_termination = true } } },
    iam_instance_profile = s.profile and { name = s.profile } or nil,
    user_data = s.user_data and netlab.base64.encode(s.user_data) or nil,
  }
end

local function volume_tags(c, r)
  return { { resource_type = "instance", tags = c:tags(r, { Name = r.spec.display }) }, { resource_type = "volume", tags = c:tags(r, { Name = r.spec.display }) } }
end

local function digest(c, r)
  local s, interfaces = r.spec, {}
  for i, key in ipairs(s.interfaces) do interfaces[i] = c.live[key] and c:id(key) or key end
  return netlab.digest.sha256(netlab.json.encode { s.type, s.image, s.disk, s.user_data or "", s.profile or "", s.key or "", table.concat(interfaces, " ") }):sub(1, 16)
end

kinds.launch_template = {
  action = "describe_launch_templates", list = "launch_templates", id = "launch_template_id", word = "launch-template", token = true,
  create = function(c, r)
    local data = machine(c, r)
    data.tag_specifications = volume_tags(c, r)
    return c:call("ec2", "create_launch_template", { client_token = c:token(r), launch_template_name = r.name, launch_template_data = data,
      tag_specifications = { { resource_type = "launch-template", tags = c:tags(r, { ["netlab:digest"] = digest(c, r) }) } } }).launch_template
  end,
  differ = function(c, r, raw)
    local have = tag_map(raw)["netlab:digest"]
    return have == digest(c, r) and {} or { difference("data", have or "unknown", "a new version", true) }
  end,
  change = function(c, r, raw)
    local data = machine(c, r)
    data.tag_specifications = volume_tags(c, r)
    local made = c:call("ec2", "create_launch_template_version", { client_token = c:token(r), launch_template_id = raw.launch_template_id, launch_template_data = data }).launch_template_version
    c:call("ec2", "modify_launch_template", { launch_template_id = raw.launch_template_id, default_version = tostring(made.version_number) })
    c:call("ec2", "create_tags", { resources = { raw.launch_template_id }, tags = { ["netlab:digest"] = digest(c, r) } })
  end,
  delete = function(c, raw) c:call("ec2", "delete_launch_template", { launch_template_id = raw.launch_template_id }) end,
}

local function cron(text)
  local hour, minute = text:match "^(%d+):(%d+)$"
  return ("%d %d * * *"):format(tonumber(minute), tonumber(hour))
end

kinds.auto_scaling_group = {
  bound = function(r) return r.spec.interfaces end,
  service = "autoscaling", action = "describe_auto_scaling_groups", list = "auto_scaling_groups", id = "auto_scaling_group_name", named = true,
  here = function(raw) return raw.status ~= "Delete in progress" end,
  create = function(c, r)
    local tags = {}
    for key, value in pairs(c:tags(r, { Name = r.spec.display })) do
      tags[#tags + 1] = { key = key, value = value, propagate_at_launch = true }
    end
    table.sort(tags, function(a, b) return a.key < b.key end)
    local size = r.spec.schedule and 0 or 1
    c:call("autoscaling", "create_auto_scaling_group", { auto_scaling_group_name = r.name, min_size = 0, max_size = 1, desired_capacity = size, availability_zones = { r.spec.zone },
      launch_template = { launch_template_id = c:id(r.spec.template), version = "$Default" }, tags = tags })
    return { auto_scaling_group_name = r.name }
  end,
  finish = function(c, r)
    local s = r.spec.schedule
    for name, entry in pairs(s and { start = { s.start, 1 }, stop = { s.stop, 0 } } or {}) do
      c:call("autoscaling", "put_scheduled_update_group_action", { auto_scaling_group_name = r.name, scheduled_action_name = "netlab-" .. name, recurrence = cron(entry[1]), time_zone = s.time_zone, min_size = 0, max_size = 1, desired_capacity = entry[2] })
    end
  end,
  differ = function(c, r)
    local s, have, out = r.spec.schedule, {}, {}
    for _, a in ipairs(c:call("autoscaling", "describe_scheduled_actions", { auto_scaling_group_name = r.name }).scheduled_update_group_actions) do
      have[a.scheduled_action_name] = a
    end
    for name, at in pairs(s and { start = s.start, stop = s.stop } or {}) do
      local a = have["netlab-" .. name]
      if not a or a.recurrence ~= cron(at) or a.time_zone ~= s.time_zone then out[#out + 1] = difference("schedule " .. name, a and a.recurrence or "none", cron(at) .. " " .. s.time_zone, true) end
    end
    return out
  end,
  change = function(c, r) kinds.auto_scaling_group.finish(c, r) end,
  delete = function(c, raw)
    c:call("autoscaling", "delete_auto_scaling_group", { auto_scaling_group_name = raw.auto_scaling_group_name, force_delete = true })
  end,
}

kinds.instance = {
  bound = function(r) return r.spec.interfaces end,
  action = "describe_instances", list = "reservations", id = "instance_id", word = "instance", token = true,
  flatten = function(reservations)
    local out = {}
    for _, r in ipairs(reservations) do
      for _, i in ipairs(r.instances) do out[#out + 1] = i end
    end
    return out
  end,
  here = function(raw) return raw.state.name ~= "terminated" end,
  going = function(raw) return raw.state.name == "shutting-down" end,
  create = function(c, r)
    local data = machine(c, r)
    data.client_token, data.min_count, data.max_count = c:token(r), 1, 1
    local extra = { Name = r.spec.display, ["netlab:expires-at"] = r.spec.expires }
    data.tag_specifications = { { resource_type = "instance", tags = c:tags(r, extra) }, { resource_type = "volume", tags = c:tags(r, extra) } }
    return c:call("ec2", "run_instances", data).instances[1]
  end,
  finish = function(c, _, raw)
    return c:wait("ec2", "instance_running", { instance_ids = { raw.instance_id } }).reservations[1].instances[1]
  end,
  differ = function(_, r, raw)
    local out = {}
    if raw.state.name == "pending" then out[1] = difference("state", "pending", "running", true) end
    if raw.instance_type ~= r.spec.type then out[#out + 1] = difference("type", raw.instance_type, r.spec.type) end
    return out
  end,
  change = function(c, r, raw) return kinds.instance.finish(c, r, raw) end,
  delete = function(c, raw) c:call("ec2", "terminate_instances", { instance_ids = { raw.instance_id } }) end,
}

kinds.volume = {
  action = "describe_volumes", list = "volumes", id = "volume_id", word = "volume",
  delete = function(c, raw) c:call("ec2", "delete_volume", { volume_id = raw.volume_id }) end,
}

for _, name in ipairs { "awslab.iam", "awslab.bucket" } do
  for word, kind in pairs(require(name)(difference)) do kinds[word] = kind end
end

-- The order in which things go: all of a step at once, the next when all of it is gone.
kinds.teardown = {
  { "auto_scaling_group" }, { "instance" }, { "nat_gateway" }, { "elastic_ip", "vpc_endpoint", "volume", "bucket" }, { "network_interface" },
  { "security_group", "route_table" }, { "subnet", "egress_only_gateway", "internet_gateway" }, { "vpc" },
  { "dhcp_options", "launch_template", "key_pair", "instance_profile" }, { "role" },
}

---What a teardown deletes. Anything else with the lab's tag was made by somebody else.
kinds.goes = { schedule = true, budget = true }
for _, step in ipairs(kinds.teardown) do
  for _, word in ipairs(step) do kinds.goes[word] = true end
end

return kinds
