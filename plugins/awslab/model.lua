-- From the declaration to the list of resources that it means, each with what it needs first and what it costs.
local netlab = require "netlab"
local networks = require "awslab.networks"
local prices = require "awslab.prices"
local userdata = require "awslab.userdata"

local model = {}

local function problem(option, text)
  return nil, netlab.err.new("invalid", text, option)
end

-- "4GiB" → 4; nil for anything else.
local function gib(text)
  return tonumber(tostring(text):match "^(%d+)Gi?B$")
end
model.gib = gib

-- A table has another order in every process, a saved plan has not.
local function sorted(map)
  local out = {}
  for name in pairs(map) do out[#out + 1] = name end
  table.sort(out)
  return out
end

local function clock(text)
  local h, m = tostring(text):match "^(%d%d?):(%d%d)$"
  return h and tonumber(h) < 24 and tonumber(m) < 60
end

local function exact(cidr)
  if cidr:find ":" then
    return networks.exact6(cidr)
  end
  local n = networks.parse(cidr)
  return n and n.exact
end

---Checks what no schema can: nil, err names the option at fault.
function model.check(o)
  -- It is in the names of roles, templates and schedules, which AWS refuses when half of the rest is there.
  if not o.name:find "^%w[%w_.-]*$" or #o.name > 40 then
    return problem("name", ("%q is no lab's name: up to 40 letters, digits, dots, hyphens and underscores"):format(o.name))
  elseif o.budget < 0 then
    return problem("budget", ("a budget of $%.2f cannot be kept"):format(o.budget))
  end
  local vpc = networks.parse(o.cidr)
  if not vpc or vpc.bits < 16 or vpc.bits > 28 then
    return problem("cidr", "a VPC's network has from 16 to 28 bits, got " .. o.cidr)
  elseif not vpc.exact then
    return problem("cidr", o.cidr .. " is an address, not a network")
  end
  local names, seen = {}, {}
  for name in pairs(o.subnets) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local n = networks.parse(o.subnets[name].cidr)
    if not n or not n.exact then
      return problem("subnets", ("subnet %s: %s is no network"):format(name, o.subnets[name].cidr))
    elseif not networks.holds(vpc, n) then
      return problem("subnets", ("subnet %s: %s is not in %s"):format(name, o.subnets[name].cidr, o.cidr))
    end
    for other, m in pairs(seen) do
      if networks.overlap(n, m) then
        return problem("subnets", ("subnets %s (%s) and %s (%s) overlap"):format(other, o.subnets[other].cidr, name, o.subnets[name].cidr))
      end
    end
    seen[name] = n
    if o.subnets[name].ipv6 and not o.ipv6 then
      return problem("subnets", ("subnet %s wants IPv6: set ipv6 = true"):format(name))
    end
  end
  local function address_in(subnet, address, option, what)
    local n = seen[subnet or ""]
    if not n then
      return problem(option, ("%s: there is no subnet %q"):format(what, tostring(subnet)))
    end
    local at = networks.number(address)
    if not at or at < n.first or at > n.last then
      return problem(option, ("%s: %s is not in subnet %s (%s)"):format(what, tostring(address), subnet, o.subnets[subnet].cidr))
    elseif at < n.first + 4 or at == n.last then
      return problem(option, ("%s: AWS keeps the first four addresses and the last of a subnet, %s is one of them"):format(what, address))
    end
    return true
  end
  for name, group in pairs(o.groups) do
    for _, side in ipairs { "ingress", "egress" } do
      for i, rule in ipairs(group[side] or {}) do
        if rule.group and not o.groups[rule.group] then
          return problem("groups", ("%s.%s[%d]: there is no group %q"):format(name, side, i, rule.group))
        elseif (rule.group and rule.cidr) or not (rule.group or rule.cidr) then
          return problem("groups", ("%s.%s[%d]: one of group and cidr is needed"):format(name, side, i))
        elseif rule.cidr and not exact(rule.cidr) then
          return problem("groups", ("%s.%s[%d]: %s is an address, not a network: /%d is that address alone"):format(name, side, i, rule.cidr, rule.cidr:find ":" and 128 or 32))
        end
      end
    end
  end
  local function known_groups(list, option)
    for _, g in ipairs(list or {}) do
      if not o.groups[g] then
        return problem(option, ("there is no group %q"):format(g))
      end
    end
    return true
  end
  local b = o.bastion
  if b and b.package and not b.package.sha256:find("^" .. ("%x"):rep(64) .. "$") then
    return problem("bastion", "bastion.package.sha256: 64 hexadecimal digits are needed, such as sha256sum prints")
  end
  if b then
    for _, step in ipairs {
      function() return address_in(b.subnet, b.address, "bastion", "bastion.address") end,
      function() return known_groups(b.groups, "bastion") end,
      function()
        if not o.subnets[b.public_subnet] then
          return problem("bastion", ("there is no subnet %q"):format(b.public_subnet))
        end
        return true
      end,
    } do
      local ok, err = step()
      if not ok then
        return nil, err
      end
    end
  end
  for _, entry in ipairs { { "bastion", b }, { "nodes", o.nodes } } do
    local disk = entry[2] and entry[2].disk
    if disk and not (gib(disk) and gib(disk) >= 1) then
      return problem(entry[1], ("%s.disk: %q is no size of a volume, such as 4GiB"):format(entry[1], disk))
    end
  end
  for _, name in ipairs { "start", "stop" } do
    if b and b.schedule and not clock(b.schedule[name]) then
      return problem("bastion", ("bastion.schedule.%s: %q is no time of a day, such as 18:00"):format(name, b.schedule[name]))
    end
  end
  if o.nat == "instance" and not b then
    return problem("nat", 'nat = "instance" is the bastion: declare one, or use "gateway" or "none"')
  end
  if o.bucket then
    local name = o.bucket.name
    if #name < 3 or #name > 63 or not name:find "^[a-z0-9][a-z0-9.-]*[a-z0-9]$" or name:find("..", 1, true) then
      return problem("bucket", ("bucket.name: %q is no bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens"):format(name))
    elseif b and b.package then
      return problem("bastion", "bastion.package and bucket.package: one of them is enough")
    end
  end
  if o.nodes then
    if not o.subnets[o.nodes.subnet] then
      return problem("nodes", ("there is no subnet %q"):format(o.nodes.subnet))
    end
    return known_groups(o.nodes.groups, "nodes")
  end
  return true
end

local function hours(o)
  local s = o.bastion and o.bastion.schedule
  if not s then
    return prices.month
  end
  local function minutes(text)
    local h, m = text:match "^(%d+):(%d+)$"
    return h * 60 + m
  end
  local span = (minutes(s.stop) - minutes(s.start)) % 1440
  return span / 60 * 365 / 12
end
model.bastion_hours = hours

---The resources of the lab: { { kind, name, key, spec, needs = { key, … }, hourly, monthly, note }, … }.
function model.resources(o)
  local all, keys = {}, {}
  local function add(kind, name, spec, needs, cost)
    local r = { kind = kind, name = name, key = kind .. "/" .. name, spec = spec, needs = needs or {}, cost = cost }
    all[#all + 1] = r
    keys[r.key] = r
    return r
  end
  local region = o.region
  local function price(what)
    return (prices.of(region, what, o.refreshed))
  end
  local zone = region .. o.zone
  add("vpc", "main", { cidr = o.cidr, ipv6 = o.ipv6 })
  local subnets, order = {}, sorted(o.subnets)
  local public
  for index, name in ipairs(order) do
    local s = o.subnets[name]
    add("subnet", name, { cidr = s.cidr, zone = zone, ipv6 = s.ipv6, index = index }, { "vpc/main" })
    subnets[#subnets + 1] = "subnet/" .. name
    public = public or s.public
  end
  if public then
    add("internet_gateway", "main", {}, { "vpc/main" })
  end
  for _, name in ipairs(sorted(o.groups)) do
    add("security_group", name, { description = o.groups[name].description or ("netlab " .. name) }, { "vpc/main" })
  end
  for _, name in ipairs(sorted(o.groups)) do
    local g = o.groups[name]
    local needs = { "security_group/" .. name }
    for _, side in ipairs { "ingress", "egress" } do
      for _, rule in ipairs(g[side] or {}) do
        if rule.group then needs[#needs + 1] = "security_group/" .. rule.group end
      end
    end
    add("security_rules", name, { ingress = g.ingress or {}, egress = g.egress }, needs)
  end
  local b = o.bastion
  if b then
    local groups = {}
    for i, g in ipairs(b.groups) do groups[i] = "security_group/" .. g end
    -- Where both its sides lie in one subnet, one interface is enough.
    local both = b.subnet ~= b.public_subnet
    local function interface(name, subnet, spec)
      local needs = { "subnet/" .. subnet }
      for _, g in ipairs(groups) do needs[#needs + 1] = g end
      spec.subnet, spec.groups, spec.forward = "subnet/" .. subnet, groups, o.nat == "instance"
      add("network_interface", name, spec, needs)
    end
    if both then
      interface("bastion-public", b.public_subnet, { ipv6 = o.subnets[b.public_subnet].ipv6 })
    end
    interface("bastion", b.subnet, { address = b.address, ipv6 = not both and o.subnets[b.subnet].ipv6 or nil })
  end
  if o.nat == "gateway" then
    add("elastic_ip", "nat", {}, { "internet_gateway/main" }, { hourly = price "public_ipv4", note = "public IPv4 address" })
    local place
    for _, name in ipairs(order) do place = place or (o.subnets[name].public and name) end
    add("nat_gateway", "main", { subnet = "subnet/" .. place }, { "subnet/" .. place, "elastic_ip/nat", "internet_gateway/main" },
      { hourly = price "nat_gateway", note = ("and $%.3f a GB"):format(price "nat_gateway_gb") })
  end
  for _, name in ipairs(order) do
    local s = o.subnets[name]
    local routes, needs = {}, { "vpc/main", "subnet/" .. name }
    local function route(to, target)
      routes[#routes + 1] = { to = to, target = target }
      needs[#needs + 1] = target
    end
    if s.public then
      route("0.0.0.0/0", "internet_gateway/main")
      if s.ipv6 then route("::/0", "internet_gateway/main") end
    else
      if o.nat == "gateway" then route("0.0.0.0/0", "nat_gateway/main") end
      if o.nat == "instance" then route("0.0.0.0/0", "network_interface/bastion") end
      if s.ipv6 then
        if not keys["egress_only_gateway/main"] then add("egress_only_gateway", "main", {}, { "vpc/main" }) end
        route("::/0", "egress_only_gateway/main")
      end
    end
    add("route_table", name, { subnet = "subnet/" .. name, routes = routes }, needs)
  end
  if o.s3_endpoint then
    local needs = { "vpc/main" }
    for _, name in ipairs(order) do needs[#needs + 1] = "route_table/" .. name end
    add("vpc_endpoint", "s3", { service = ("com.amazonaws.%s.s3"):format(region) }, needs)
  end
  if o.dns then
    add("dhcp_options", "main", { dns = o.dns, domain = o.domain }, { "vpc/main" })
  end
  if o.bucket then
    local gb, name = price "s3_gb_month", o.bucket.name
    add("bucket", name, {}, {}, { hourly = 0, monthly = gb * (o.bucket.size or 0) / 1e9, note = ("S3; a cache of 10 GB would be $%.2f a month"):format(gb * 10) })
    if o.bucket.package then
      local r = add("package", o.bucket.package:match "[^/]+$", { bucket = name, key = o.bucket.key, sha256 = o.bucket.sha256, path = o.bucket.package }, { "bucket/" .. name })
      r.of = "bucket/" .. name
    end
  end
  if b then
    if b.key then
      add("key_pair", o.name, { public_key = b.key })
    end
    local role, profile = "role/" .. (b.role or o.name .. "-bastion"), "instance_profile/" .. (b.profile or o.name .. "-bastion")
    add("role", role:match "/(.*)", { policy = userdata.policy(o) })
    add("instance_profile", profile:match "/(.*)", { role = role }, { role })
    local spec = {
      type = b.type, image = b.image, disk = gib(b.disk), user_data = userdata.bastion(o), profile = profile:match "/(.*)", key = b.key and o.name or nil,
      interfaces = b.subnet ~= b.public_subnet and { "network_interface/bastion-public", "network_interface/bastion" } or { "network_interface/bastion" },
      display = b.name,
    }
    local needs = { "network_interface/bastion-public", "network_interface/bastion", profile, "security_rules/" .. b.groups[1] }
    if o.bucket and o.bucket.package then needs[#needs + 1] = "package/" .. o.bucket.package:match "[^/]+$" end
    if b.key then needs[#needs + 1] = "key_pair/" .. o.name end
    add("launch_template", o.name .. "-bastion", spec, needs)
    local h = hours(o)
    local trial = b.type == prices.trial.type and prices.trial_runs(o.now)
    add("auto_scaling_group", b.group, { template = "launch_template/" .. o.name .. "-bastion", zone = zone, schedule = b.schedule, display = b.name, interfaces = spec.interfaces },
      { "launch_template/" .. o.name .. "-bastion", "route_table/" .. b.public_subnet, "route_table/" .. b.subnet },
      { hourly = trial and 0 or price(b.type), monthly = trial and 0 or price(b.type) * h,
        note = ("%s, %.0f h a month%s"):format(b.type, h, trial and ", free until " .. prices.trial.ends .. (", then $%.2f a month"):format(price(b.type) * h) or "") })
    all[#all].disk = { hourly = 0, monthly = price "gp3_gb_month" * spec.disk * h / prices.month, note = ("%d GB gp3"):format(spec.disk) }
  end
  return all, keys
end

---The nodes of an evening, as resources that come and go while the lab stays.
function model.nodes(o, count, options)
  local n, all = o.nodes, {}
  local needs, groups = { "subnet/" .. n.subnet }, {}
  local outer = o.bastion and o.bastion.subnet ~= o.bastion.public_subnet and "network_interface/bastion-public" or "network_interface/bastion"
  for i, g in ipairs(n.groups) do
    groups[i] = "security_group/" .. g
    needs[#needs + 1] = groups[i]
  end
  local trial = n.type == prices.trial.type and prices.trial_runs(o.now)
  for index = 1, count do
    local name = ("%s-%d"):format(n.name, index)
    local address = n.first_address and networks.number(n.first_address)
    address = address and ("%d.%d.%d.%d"):format(math.floor(address / 16777216), math.floor(address / 65536) % 256, math.floor(address / 256) % 256, address % 256 + index - 1)
    all[#all + 1] = { kind = "network_interface", name = name, key = "network_interface/" .. name, session = true, needs = needs,
      spec = { subnet = "subnet/" .. n.subnet, groups = groups, address = address } }
    all[#all + 1] = { kind = "instance", name = name, key = "instance/" .. name, session = true,
      needs = { "network_interface/" .. name },
      spec = { type = n.type, image = options.image or n.image, disk = gib(n.disk), interfaces = { "network_interface/" .. name }, user_data = options.user_data(name, index), display = name, expires = options.expires },
      cost = { hourly = trial and 0 or prices.of(o.region, n.type, o.refreshed), session = true, note = n.type .. (trial and ", free until " .. prices.trial.ends or "") },
      disk = { hourly = prices.of(o.region, "gp3_gb_month", o.refreshed) * gib(n.disk) / prices.month, session = true, note = ("%d GB gp3"):format(gib(n.disk)) } }
  end
  if o.nat == "instance" and options.public_address ~= false then
    all[#all + 1] = { kind = "elastic_ip", name = "bastion", key = "elastic_ip/bastion", session = true, needs = { outer },
      spec = { interface = outer }, cost = { hourly = prices.of(o.region, "public_ipv4", o.refreshed), session = true, note = "public IPv4 address of the NAT instance, while nodes run" } }
  end
  return all
end

return model
