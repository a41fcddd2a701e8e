-- EC2 as far as a lab needs it, and as strict as the real one: what is in use cannot be deleted, what is made takes
-- time, shows late, and leaves network interfaces behind.
local netlab = require "netlab"
local core = require "fake.core"

local ec2 = {}
local refuse, need = core.refuse, core.need

-- Every kind: its field, its prefix, its word in TagSpecification, the code of "not found", and the list's name.
local kinds = {
  vpc = { "vpcId", "vpc", "vpc", "InvalidVpcID.NotFound", "vpcSet", "VpcId" },
  subnet = { "subnetId", "subnet", "subnet", "InvalidSubnetID.NotFound", "subnetSet", "SubnetId" },
  igw = { "internetGatewayId", "igw", "internet-gateway", "InvalidInternetGatewayID.NotFound", "internetGatewaySet", "InternetGatewayId" },
  eigw = { "egressOnlyInternetGatewayId", "eigw", "egress-only-internet-gateway", "InvalidGatewayID.NotFound", "egressOnlyInternetGatewaySet", "EgressOnlyInternetGatewayId" },
  nat = { "natGatewayId", "nat", "natgateway", "NatGatewayNotFound", "natGatewaySet", "NatGatewayId" },
  eip = { "allocationId", "eipalloc", "elastic-ip", "InvalidAllocationID.NotFound", "addressesSet", "AllocationId" },
  rtb = { "routeTableId", "rtb", "route-table", "InvalidRouteTableID.NotFound", "routeTableSet", "RouteTableId" },
  endpoint = { "vpcEndpointId", "vpce", "vpc-endpoint", "InvalidVpcEndpointId.NotFound", "vpcEndpointSet", "VpcEndpointId" },
  sg = { "groupId", "sg", "security-group", "InvalidGroup.NotFound", "securityGroupInfo", "GroupId" },
  dhcp = { "dhcpOptionsId", "dopt", "dhcp-options", "InvalidDhcpOptionsID.NotFound", "dhcpOptionsSet", "DhcpOptionsId" },
  eni = { "networkInterfaceId", "eni", "network-interface", "InvalidNetworkInterfaceID.NotFound", "networkInterfaceSet", "NetworkInterfaceId" },
  lt = { "launchTemplateId", "lt", "launch-template", "InvalidLaunchTemplateId.NotFound", "launchTemplates", "LaunchTemplateId" },
  key = { "keyPairId", "key", "key-pair", "InvalidKeyPair.NotFound", "keySet", "KeyPairId" },
  instance = { "instanceId", "i", "instance", "InvalidInstanceID.NotFound", "instancesSet", "InstanceId" },
  volume = { "volumeId", "vol", "volume", "InvalidVolume.NotFound", "volumeSet", "VolumeId" },
  snapshot = { "snapshotId", "snap", "snapshot", "InvalidSnapshot.NotFound", "snapshotSet", "SnapshotId" },
}
ec2.kinds = kinds

local function add(c, kind, resource)
  local spec = kinds[kind]
  local now = core.now(c.world)
  resource[spec[1]] = core.id(c.world, spec[2])
  resource.ownerId = core.account
  resource.tagSet = resource.tagSet or core.tags(c.p, spec[3])
  resource._kind, resource._made, resource._visible = kind, now, now + c.world.lag * core.random(c.world)
  c.region.all[resource[spec[1]]] = resource
  return resource
end

-- What most actions answer.
local done = { ["return"] = "true" }

-- The values of Modify…Attribute: { field = "Parameter" }.
local function take_values(c, r, fields)
  for field, name in pairs(fields) do r[field] = c.p[name .. ".Value"] or r[field] end
  return done
end

local function id_of(resource)
  return resource[kinds[resource._kind][1]]
end

-- Time passes: what was pending is there, what was going is gone.
local function settle(c)
  local now = core.now(c.world)
  for id, r in pairs(c.region.all) do
    if r._ready and now >= r._ready then
      r._ready = nil
      r._on_ready(r)
    end
    if r._gone and now >= r._gone then
      c.region.all[id] = nil
    end
  end
end

local function get(c, kind, id)
  local found = c.region.all[id or ""]
  if not found or found._kind ~= kind then
    refuse(kinds[kind][4], ("The %s ID '%s' does not exist"):format(kinds[kind][3], tostring(id)))
  end
  return found
end

local function each(c, kind, fn)
  for _, r in pairs(c.region.all) do
    if r._kind == kind then
      local out = fn(r)
      if out then
        return out
      end
    end
  end
end

local function depends(what, id)
  refuse("DependencyViolation", ("The %s '%s' has dependencies and cannot be deleted."):format(what, id))
end

-- Once for each ClientToken: the same answer again, or a refusal when the request is another.
local function once(c, make)
  local token = c.p.ClientToken
  if not token then
    return make()
  end
  local key = c.action .. token
  local parts = {}
  for name, value in pairs(c.p) do
    parts[#parts + 1] = name .. "=" .. value
  end
  table.sort(parts)
  local same = table.concat(parts, "&")
  local known = c.region.tokens[key]
  if known then
    if known.same ~= same then
      refuse("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
    end
    return known.answer
  end
  local answer = make()
  c.region.tokens[key] = { same = same, answer = answer }
  return answer
end

local special = {
  vpc = {},
  igw = { ["attachment.vpc-id"] = function(r) return r.attachmentSet[1] and r.attachmentSet[1].vpcId or "" end },
  rtb = { ["association.subnet-id"] = function(r)
    local out = {}
    for i, a in ipairs(r.associationSet) do out[i] = a.subnetId or "" end
    return out
  end },
  eni = {
    ["attachment.instance-id"] = function(r) return r.attachment and r.attachment.instanceId or "" end,
    ["group-id"] = function(r)
      local out = {}
      for i, g in ipairs(r.groupSet) do out[i] = g.groupId end
      return out
    end,
  },
  instance = {
    ["instance-state-name"] = function(r) return r.instanceState.name end,
    ["instance.group-id"] = function(r) return r.groupSet[1] and r.groupSet[1].groupId or "" end,
  },
  nat = { state = function(r) return r.state end },
  volume = { status = function(r) return r.status end, ["attachment.instance-id"] = function(r) return r.attachmentSet[1] and r.attachmentSet[1].instanceId or "" end },
}

local function describe(c, kind, reshape)
  local p, spec = c.p, kinds[kind]
  local filters, found, wanted = core.filters(p), {}, {}
  local ids = core.list(p, spec[6])
  for _, id in ipairs(ids) do
    wanted[id] = true
  end
  local names = kind == "lt" and core.list(p, "LaunchTemplateName") or kind == "key" and core.list(p, "KeyName") or {}
  local now = core.now(c.world)
  local seen = {}
  for id, r in pairs(c.region.all) do
    if r._kind == kind and now >= r._visible and (#ids == 0 or wanted[id]) then
      local good = #names == 0
      for _, name in ipairs(names) do
        good = good or r.launchTemplateName == name or r.keyName == name
      end
      if good and core.passes(r, filters, special[kind]) then
        found[#found + 1] = r
      end
      seen[id] = true
    end
  end
  for _, id in ipairs(ids) do
    if not seen[id] then
      refuse(spec[4], ("The %s ID '%s' does not exist"):format(spec[3], id))
    end
  end
  if #names > 0 and #found == 0 then
    refuse(kind == "lt" and "InvalidLaunchTemplateName.NotFoundException" or spec[4], "At least one of the names does not exist")
  end
  table.sort(found, function(a, b) return a[spec[1]] < b[spec[1]] end)
  local page, token = core.pages(c.world, p, found)
  local out = {}
  for i, r in ipairs(page) do
    out[i] = reshape and reshape(r) or r
  end
  return { [spec[5]] = out, nextToken = token }
end

-- ---- networks

local function free_overlap(c, kind, field, cidr, vpc)
  local new = core.network(cidr)
  each(c, kind, function(r)
    local old = core.network(r[field])
    if (not vpc or r.vpcId == vpc) and new.first <= old.last and old.first <= new.last then
      refuse("InvalidSubnet.Conflict", ("The CIDR '%s' conflicts with another subnet"):format(cidr))
    end
  end)
  return new
end

local function new_group(c, name, description, vpc, tags)
  return add(c, "sg", {
    groupName = name, groupDescription = description, vpcId = vpc, tagSet = tags or {}, ipPermissions = {},
    ipPermissionsEgress = { { ipProtocol = "-1", ipRanges = { { cidrIp = "0.0.0.0/0" } }, ipv6Ranges = {}, groups = {}, prefixListIds = {} } },
  })
end

function ec2.CreateVpc(c)
  need(c.p, "CidrBlock")
  local n = core.network(c.p.CidrBlock)
  if n.bits < 16 or n.bits > 28 then
    refuse("InvalidVpc.Range", ("The CIDR '%s' is invalid."):format(c.p.CidrBlock))
  end
  local r = add(c, "vpc", { cidrBlock = c.p.CidrBlock, state = "available", isDefault = "false", instanceTenancy = "default", dhcpOptionsId = "default", _dns_hostnames = "false", _dns_support = "true" })
  if c.p.AmazonProvidedIpv6CidrBlock == "true" then
    r.ipv6CidrBlockAssociationSet = { { associationId = core.id(c.world, "vpc-cidr-assoc"), ipv6CidrBlock = ("2a05:d018:%x:%x00::/56"):format(c.world.serial, c.world.serial % 16 + 1), ipv6CidrBlockState = { state = "associated" } } }
  end
  new_group(c, "default", "default VPC security group", r.vpcId)
  local main = add(c, "rtb", { vpcId = r.vpcId, tagSet = {}, associationSet = { { main = "true", routeTableAssociationId = core.id(c.world, "rtbassoc"), associationState = { state = "associated" } } },
    routeSet = { { destinationCidrBlock = r.cidrBlock, gatewayId = "local", state = "active", origin = "CreateRouteTable" } } })
  for _, a in ipairs(main.associationSet) do
    a.routeTableId = main.routeTableId
  end
  return { vpc = r }
end

function ec2.DescribeVpcs(c) return describe(c, "vpc") end

function ec2.DescribeVpcAttribute(c)
  local r = get(c, "vpc", c.p.VpcId)
  local name = c.p.Attribute
  return { vpcId = r.vpcId, [name] = { value = name == "enableDnsHostnames" and r._dns_hostnames or r._dns_support } }
end

function ec2.ModifyVpcAttribute(c)
  return take_values(c, get(c, "vpc", c.p.VpcId), { _dns_hostnames = "EnableDnsHostnames", _dns_support = "EnableDnsSupport" })
end

function ec2.DeleteVpc(c)
  local r = get(c, "vpc", c.p.VpcId)
  local function used(other)
    if other.vpcId == r.vpcId and not (other._kind == "sg" and other.groupName == "default") and other._kind ~= "vpc" and other._kind ~= "instance"
      and not (other._kind == "rtb" and other.associationSet[1] and other.associationSet[1].main == "true") and other.state ~= "deleted" then
      return true
    end
    for _, a in ipairs((other._kind == "igw" or other._kind == "eigw") and other.attachmentSet or {}) do
      if a.vpcId == r.vpcId then
        return true
      end
    end
  end
  for _, other in pairs(c.region.all) do
    if used(other) then
      depends("vpc", r.vpcId)
    end
  end
  for id, other in pairs(c.region.all) do
    if other.vpcId == r.vpcId and (other._kind == "sg" or other._kind == "rtb") then
      c.region.all[id] = nil
    end
  end
  c.region.all[r.vpcId] = nil
  return done
end

function ec2.CreateSubnet(c)
  need(c.p, "VpcId", "CidrBlock")
  local vpc = get(c, "vpc", c.p.VpcId)
  local n = free_overlap(c, "subnet", "cidrBlock", c.p.CidrBlock, vpc.vpcId)
  local whole = core.network(vpc.cidrBlock)
  if n.first < whole.first or n.last > whole.last then
    refuse("InvalidSubnet.Range", ("The CIDR '%s' is invalid."):format(c.p.CidrBlock))
  end
  local zone = c.p.AvailabilityZone or c.region.zone_a
  if not c.region["zone_" .. zone:sub(-1)] or zone:sub(1, -2) ~= c.region.name then
    refuse("InvalidParameterValue", ("Value (%s) for parameter availabilityZone is invalid."):format(zone))
  end
  local r = add(c, "subnet", { vpcId = vpc.vpcId, cidrBlock = c.p.CidrBlock, availabilityZone = zone, state = "available", mapPublicIpOnLaunch = "false",
    assignIpv6AddressOnCreation = "false", availableIpAddressCount = tostring(n.last - n.first - 4) })
  if c.p.Ipv6CidrBlock then
    local block = vpc.ipv6CidrBlockAssociationSet and vpc.ipv6CidrBlockAssociationSet[1].ipv6CidrBlock
    if not block or c.p.Ipv6CidrBlock:match "^(.-)00::/64$" ~= block:match "^(.-)00::/56$" and c.p.Ipv6CidrBlock:match "^(.-)%x%x::/64$" ~= block:match "^(.-)00::/56$" then
      c.region.all[r.subnetId] = nil
      refuse("InvalidSubnet.Range", ("The CIDR '%s' is invalid."):format(c.p.Ipv6CidrBlock))
    end
    r.ipv6CidrBlockAssociationSet = { { associationId = core.id(c.world, "subnet-cidr-assoc"), ipv6CidrBlock = c.p.Ipv6CidrBlock, ipv6CidrBlockState = { state = "associated" } } }
  end
  return { subnet = r }
end

function ec2.DescribeSubnets(c) return describe(c, "subnet") end

function ec2.ModifySubnetAttribute(c)
  return take_values(c, get(c, "subnet", c.p.SubnetId), { mapPublicIpOnLaunch = "MapPublicIpOnLaunch", assignIpv6AddressOnCreation = "AssignIpv6AddressOnCreation" })
end

function ec2.DeleteSubnet(c)
  local r = get(c, "subnet", c.p.SubnetId)
  each(c, "eni", function(e)
    if e.subnetId == r.subnetId then depends("subnet", r.subnetId) end
  end)
  each(c, "nat", function(n)
    if n.subnetId == r.subnetId and n.state ~= "deleted" then depends("subnet", r.subnetId) end
  end)
  each(c, "rtb", function(t)
    for i, a in ipairs(t.associationSet) do
      if a.subnetId == r.subnetId then table.remove(t.associationSet, i) break end
    end
  end)
  c.region.all[r.subnetId] = nil
  return done
end

-- ---- gateways

function ec2.CreateInternetGateway(c) return { internetGateway = add(c, "igw", { attachmentSet = {} }) } end
function ec2.DescribeInternetGateways(c) return describe(c, "igw") end

function ec2.AttachInternetGateway(c)
  local r, vpc = get(c, "igw", c.p.InternetGatewayId), get(c, "vpc", c.p.VpcId)
  if r.attachmentSet[1] then
    refuse("Resource.AlreadyAssociated", ("resource %s is already attached to network %s"):format(r.internetGatewayId, r.attachmentSet[1].vpcId))
  end
  each(c, "igw", function(other)
    if other.attachmentSet[1] and other.attachmentSet[1].vpcId == vpc.vpcId then
      refuse("InvalidParameterValue", ("Network %s already has an internet gateway attached"):format(vpc.vpcId))
    end
  end)
  r.attachmentSet = { { vpcId = vpc.vpcId, state = "available" } }
  return done
end

function ec2.DetachInternetGateway(c)
  local r = get(c, "igw", c.p.InternetGatewayId)
  if not r.attachmentSet[1] or r.attachmentSet[1].vpcId ~= c.p.VpcId then
    refuse("Gateway.NotAttached", ("resource %s is not attached to network %s"):format(r.internetGatewayId, tostring(c.p.VpcId)))
  end
  each(c, "eni", function(e)
    if e.vpcId == c.p.VpcId and e.association then
      refuse("DependencyViolation", ("Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."):format(c.p.VpcId))
    end
  end)
  r.attachmentSet = {}
  return done
end

function ec2.DeleteInternetGateway(c)
  local r = get(c, "igw", c.p.InternetGatewayId)
  if r.attachmentSet[1] then depends("internetGateway", r.internetGatewayId) end
  c.region.all[r.internetGatewayId] = nil
  return done
end

function ec2.CreateEgressOnlyInternetGateway(c)
  return once(c, function()
    local vpc = get(c, "vpc", c.p.VpcId)
    return { egressOnlyInternetGateway = add(c, "eigw", { attachmentSet = { { vpcId = vpc.vpcId, state = "attached" } } }) }
  end)
end
function ec2.DescribeEgressOnlyInternetGateways(c) return describe(c, "eigw") end
function ec2.DeleteEgressOnlyInternetGateway(c)
  local r = get(c, "eigw", c.p.EgressOnlyInternetGatewayId)
  c.region.all[r.egressOnlyInternetGatewayId] = nil
  return { returnCode = "true" }
end

-- ---- addresses and interfaces

function ec2.AllocateAddress(c)
  local n = 0
  each(c, "eip", function() n = n + 1 end)
  if n >= 5 then refuse("AddressLimitExceeded", "The maximum number of addresses has been reached.") end
  local r = add(c, "eip", { publicIp = core.address(c.world), domain = "vpc" })
  return { publicIp = r.publicIp, allocationId = r.allocationId, domain = "vpc" }
end
function ec2.DescribeAddresses(c) return describe(c, "eip") end

local function map_address(c, eip, eni)
  eip.associationId = core.id(c.world, "eipassoc")
  eip.networkInterfaceId, eip.instanceId = eni.networkInterfaceId, eni.attachment and eni.attachment.instanceId or nil
  eip.privateIpAddress = eni.privateIpAddress
  eni.association = { publicIp = eip.publicIp, allocationId = eip.allocationId, associationId = eip.associationId }
end

local function unmap_address(c, eip)
  local eni = c.region.all[eip.networkInterfaceId or ""]
  if eni then eni.association = nil end
  eip.associationId, eip.networkInterfaceId, eip.instanceId, eip.privateIpAddress = nil, nil, nil, nil
end

function ec2.AssociateAddress(c)
  local eip = get(c, "eip", c.p.AllocationId)
  local eni
  if c.p.NetworkInterfaceId then
    eni = get(c, "eni", c.p.NetworkInterfaceId)
  else
    local instance = get(c, "instance", c.p.InstanceId)
    each(c, "eni", function(e)
      if e.attachment and e.attachment.instanceId == instance.instanceId and e.attachment.deviceIndex == "0" then eni = e end
    end)
  end
  if eip.associationId and c.p.AllowReassociation == "false" then
    refuse("Resource.AlreadyAssociated", "resource " .. eip.allocationId .. " is already associated with associate-id " .. eip.associationId)
  end
  local igw = each(c, "igw", function(g) return g.attachmentSet[1] and g.attachmentSet[1].vpcId == eni.vpcId end)
  if not igw then refuse("Gateway.NotAttached", ("Network %s is not attached to any internet gateway"):format(eni.vpcId)) end
  if eip.associationId then unmap_address(c, eip) end
  map_address(c, eip, eni)
  return { ["return"] = "true", associationId = eip.associationId }
end

function ec2.DisassociateAddress(c)
  local eip = each(c, "eip", function(r) return r.associationId == c.p.AssociationId and r end)
  if not eip then refuse("InvalidAssociationID.NotFound", ("The association ID '%s' does not exist"):format(tostring(c.p.AssociationId))) end
  if eip._nat then refuse("AuthFailure", "You do not have permission to access the specified resource.", 400) end
  unmap_address(c, eip)
  return done
end

function ec2.ReleaseAddress(c)
  local r = get(c, "eip", c.p.AllocationId)
  if r.associationId then refuse("InvalidIPAddress.InUse", ("Address %s is in use."):format(r.publicIp)) end
  c.region.all[r.allocationId] = nil
  return done
end

local function free_address(c, subnet, wanted)
  local n, taken = core.network(subnet.cidrBlock), {}
  each(c, "eni", function(e)
    if e.subnetId == subnet.subnetId then taken[e.privateIpAddress] = true end
  end)
  if wanted then
    local at = core.number(wanted)
    if not at or at < n.first + 4 or at >= n.last then
      refuse("InvalidParameterValue", ("Address %s does not fall within the subnet's address range"):format(wanted))
    elseif taken[wanted] then
      refuse("InvalidIPAddress.InUse", ("The specified address is already in use: %s"):format(wanted))
    end
    return wanted
  end
  for at = n.first + 4, n.last - 1 do
    if not taken[core.text(at)] then return core.text(at) end
  end
  refuse("InsufficientFreeAddressesInSubnet", "not enough free addresses")
end

local function new_interface(c, subnet, options)
  local groups = {}
  for i, id in ipairs(options.groups or {}) do
    local g = get(c, "sg", id)
    if g.vpcId ~= subnet.vpcId then refuse("InvalidGroup.NotFound", "The security group '" .. id .. "' does not exist in VPC '" .. subnet.vpcId .. "'") end
    groups[i] = { groupId = g.groupId, groupName = g.groupName }
  end
  if #groups == 0 then
    each(c, "sg", function(g)
      if g.vpcId == subnet.vpcId and g.groupName == "default" then groups[1] = { groupId = g.groupId, groupName = "default" } end
    end)
  end
  local address = free_address(c, subnet, options.address)
  c.world.serial = c.world.serial + 1
  return add(c, "eni", {
    subnetId = subnet.subnetId, vpcId = subnet.vpcId, availabilityZone = subnet.availabilityZone, privateIpAddress = address, status = "available",
    macAddress = ("02:%02x:%02x:%02x:%02x:%02x"):format(7, 1, math.floor(c.world.serial / 65536) % 256, math.floor(c.world.serial / 256) % 256, c.world.serial % 256),
    groupSet = groups, sourceDestCheck = options.check or "true", description = options.description or "", interfaceType = options.kind or "interface",
    tagSet = options.tags, requesterManaged = options.managed or "false", privateIpAddressesSet = { { privateIpAddress = address, primary = "true" } },
    ipv6AddressesSet = options.ipv6 and { { ipv6Address = (subnet.ipv6CidrBlockAssociationSet and subnet.ipv6CidrBlockAssociationSet[1].ipv6CidrBlock:gsub("::/64", ("::%x"):format(c.world.serial)) or refuse("InvalidParameterValue", "the subnet has no IPv6 block")) } } or {},
  })
end

-- Interfaces of a service of Amazon's: nobody else may delete them, and they stay for a while when it is gone.
function ec2.managed_interface(c, subnet_id, description, kind)
  local eni = new_interface(c, get(c, "subnet", subnet_id), { description = description, kind = kind, tags = {}, managed = "true" })
  eni.status = "in-use"
  return eni
end
function ec2.release_interfaces(c, description)
  each(c, "eni", function(e)
    if e.description == description then e._gone = core.now(c.world) + c.world.delay end
  end)
end

function ec2.CreateNetworkInterface(c)
  return once(c, function()
    need(c.p, "SubnetId")
    local subnet = get(c, "subnet", c.p.SubnetId)
    return { networkInterface = new_interface(c, subnet, { groups = core.list(c.p, "SecurityGroupId"), address = c.p.PrivateIpAddress, description = c.p.Description, ipv6 = (tonumber(c.p.Ipv6AddressCount) or 0) > 0 }) }
  end)
end
function ec2.DescribeNetworkInterfaces(c) return describe(c, "eni") end

function ec2.ModifyNetworkInterfaceAttribute(c)
  local r = get(c, "eni", c.p.NetworkInterfaceId)
  take_values(c, r, { sourceDestCheck = "SourceDestCheck" })
  local groups = core.list(c.p, "SecurityGroupId")
  if groups[1] then
    r.groupSet = {}
    for i, id in ipairs(groups) do r.groupSet[i] = { groupId = get(c, "sg", id).groupId, groupName = get(c, "sg", id).groupName } end
  end
  return done
end

function ec2.DeleteNetworkInterface(c)
  local r = get(c, "eni", c.p.NetworkInterfaceId)
  if r.requesterManaged == "true" then
    refuse("OperationNotPermitted", "You do not have permission to delete this network interface: it is managed by another service.")
  elseif r.status ~= "available" then
    refuse("InvalidParameterValue", ("Network interface '%s' is currently in use."):format(r.networkInterfaceId))
  end
  each(c, "eip", function(e) if e.networkInterfaceId == r.networkInterfaceId then unmap_address(c, e) end end)
  c.region.all[r.networkInterfaceId] = nil
  return done
end

local function attach(c, eni, instance, index, delete)
  if eni.status ~= "available" then refuse("InvalidNetworkInterface.InUse", ("Interface %s is in use."):format(eni.networkInterfaceId)) end
  eni.status = "in-use"
  eni.attachment = { attachmentId = core.id(c.world, "eni-attach"), instanceId = instance.instanceId, deviceIndex = tostring(index), status = "attached", deleteOnTermination = delete and "true" or "false" }
end

function ec2.AttachNetworkInterface(c)
  local eni, instance = get(c, "eni", c.p.NetworkInterfaceId), get(c, "instance", c.p.InstanceId)
  if instance.instanceState.name ~= "running" and instance.instanceState.name ~= "stopped" then
    refuse("IncorrectState", ("The instance '%s' is not in the 'running' state."):format(instance.instanceId))
  end
  attach(c, eni, instance, c.p.DeviceIndex, false)
  return { attachmentId = eni.attachment.attachmentId }
end

function ec2.DetachNetworkInterface(c)
  local eni = each(c, "eni", function(e) return e.attachment and e.attachment.attachmentId == c.p.AttachmentId and e end)
  if not eni then refuse("InvalidAttachmentID.NotFound", "The attachment does not exist") end
  if eni.attachment.deviceIndex == "0" then refuse("OperationNotPermitted", "The network interface at device index 0 cannot be detached.") end
  eni.status, eni.attachment = "available", nil
  return done
end

function ec2.CreateNatGateway(c)
  return once(c, function()
    local subnet, eip = get(c, "subnet", c.p.SubnetId), get(c, "eip", c.p.AllocationId)
    if eip.associationId then refuse("Resource.AlreadyAssociated", "Elastic IP address [" .. eip.allocationId .. "] is already associated") end
    local r = add(c, "nat", { vpcId = subnet.vpcId, subnetId = subnet.subnetId, state = "pending", natGatewayAddressSet = { { allocationId = eip.allocationId, publicIp = eip.publicIp } } })
    local eni = ec2.managed_interface(c, subnet.subnetId, "Interface for NAT Gateway " .. r.natGatewayId, "nat_gateway")
    map_address(c, eip, eni)
    eip._nat, r._eni = r.natGatewayId, eni.networkInterfaceId
    r._ready, r._on_ready = core.now(c.world) + c.world.delay * 3, function(n) n.state = "available" end
    return { natGateway = r }
  end)
end
function ec2.DescribeNatGateways(c) return describe(c, "nat") end

function ec2.DeleteNatGateway(c)
  local r = get(c, "nat", c.p.NatGatewayId)
  if r.state == "deleting" or r.state == "deleted" then return { natGatewayId = r.natGatewayId } end
  r.state = "deleting"
  -- The interface and the address go a while after the gateway says that it is deleted.
  r._ready, r._on_ready = core.now(c.world) + c.world.delay * 2, function(n)
    n.state = "deleted"
    n._gone = core.now(c.world) + 3600
    local eni = c.region.all[n._eni]
    if eni then eni._gone = core.now(c.world) + c.world.delay * 0.5 end
    each(c, "eip", function(e)
      if e._nat == n.natGatewayId then
        unmap_address(c, e)
        e._nat = nil
      end
    end)
  end
  return { natGatewayId = r.natGatewayId }
end

-- ---- routes

function ec2.CreateRouteTable(c)
  return once(c, function()
    local vpc = get(c, "vpc", c.p.VpcId)
    return { routeTable = add(c, "rtb", { vpcId = vpc.vpcId, associationSet = {}, routeSet = { { destinationCidrBlock = vpc.cidrBlock, gatewayId = "local", state = "active", origin = "CreateRouteTable" } } }) }
  end)
end
function ec2.DescribeRouteTables(c) return describe(c, "rtb") end

local function route_of(c)
  local r = get(c, "rtb", c.p.RouteTableId)
  local key, value = "destinationCidrBlock", c.p.DestinationCidrBlock
  if not value then key, value = "destinationIpv6CidrBlock", c.p.DestinationIpv6CidrBlock end
  for i, route in ipairs(r.routeSet) do
    if route[key] == value then return r, key, value, route, i end
  end
  return r, key, value
end

local function route_target(c)
  local p = c.p
  if p.GatewayId and p.GatewayId:find "^igw" then get(c, "igw", p.GatewayId) end
  if p.NatGatewayId and get(c, "nat", p.NatGatewayId).state == "deleted" then refuse("InvalidNatGatewayID.NotFound", "The NAT gateway does not exist") end
  if p.NetworkInterfaceId then get(c, "eni", p.NetworkInterfaceId) end
  return { gatewayId = p.GatewayId, natGatewayId = p.NatGatewayId, networkInterfaceId = p.NetworkInterfaceId, egressOnlyInternetGatewayId = p.EgressOnlyInternetGatewayId, state = "active", origin = "CreateRoute" }
end

function ec2.CreateRoute(c)
  local r, key, value, old = route_of(c)
  if old then refuse("RouteAlreadyExists", ("The route identified by %s already exists."):format(value)) end
  local new = route_target(c)
  new[key] = value
  table.insert(r.routeSet, new)
  return done
end
function ec2.ReplaceRoute(c)
  local r, key, value, old, index = route_of(c)
  if not old then refuse("InvalidParameterValue", "There is no route defined for '" .. tostring(value) .. "' in the route table.") end
  local new = route_target(c)
  new[key] = value
  r.routeSet[index] = new
  return done
end
function ec2.DeleteRoute(c)
  local r, _, value, old, index = route_of(c)
  if not old then refuse("InvalidRoute.NotFound", "no route with destination-cidr-block " .. tostring(value)) end
  table.remove(r.routeSet, index)
  return done
end

function ec2.AssociateRouteTable(c)
  local r, subnet = get(c, "rtb", c.p.RouteTableId), get(c, "subnet", c.p.SubnetId)
  each(c, "rtb", function(t)
    for _, a in ipairs(t.associationSet) do
      if a.subnetId == subnet.subnetId then
        refuse("Resource.AlreadyAssociated", ("the specified association for route table %s conflicts with an existing association"):format(r.routeTableId))
      end
    end
  end)
  local id = core.id(c.world, "rtbassoc")
  table.insert(r.associationSet, { routeTableAssociationId = id, routeTableId = r.routeTableId, subnetId = subnet.subnetId, main = "false", associationState = { state = "associated" } })
  return { associationId = id }
end
function ec2.DisassociateRouteTable(c)
  local found = each(c, "rtb", function(t)
    for i, a in ipairs(t.associationSet) do
      if a.routeTableAssociationId == c.p.AssociationId then
        if a.main == "true" then refuse("InvalidParameterValue", "cannot disassociate the main route table association " .. c.p.AssociationId) end
        table.remove(t.associationSet, i)
        return true
      end
    end
  end)
  if not found then refuse("InvalidAssociationID.NotFound", ("The association ID '%s' does not exist"):format(c.p.AssociationId)) end
  return done
end
function ec2.DeleteRouteTable(c)
  local r = get(c, "rtb", c.p.RouteTableId)
  if #r.associationSet > 0 then depends("routeTable", r.routeTableId) end
  c.region.all[r.routeTableId] = nil
  return done
end

function ec2.CreateVpcEndpoint(c)
  return once(c, function()
    local vpc = get(c, "vpc", c.p.VpcId)
    local tables = core.list(c.p, "RouteTableId")
    for _, id in ipairs(tables) do get(c, "rtb", id) end
    local endpoint = add(c, "endpoint", { vpcId = vpc.vpcId, serviceName = c.p.ServiceName, vpcEndpointType = c.p.VpcEndpointType or "Gateway", state = "available", routeTableIdSet = tables, subnetIdSet = core.list(c.p, "SubnetId") })
    for _, id in ipairs(endpoint.subnetIdSet) do ec2.managed_interface(c, id, "VPC Endpoint Interface " .. endpoint.vpcEndpointId, "vpc_endpoint") end
    return { vpcEndpoint = endpoint }
  end)
end
function ec2.DescribeVpcEndpoints(c) return describe(c, "endpoint") end
function ec2.ModifyVpcEndpoint(c)
  local r = get(c, "endpoint", c.p.VpcEndpointId)
  for _, id in ipairs(core.list(c.p, "AddRouteTableId")) do table.insert(r.routeTableIdSet, get(c, "rtb", id).routeTableId) end
  return done
end
function ec2.DeleteVpcEndpoints(c)
  for _, id in ipairs(core.list(c.p, "VpcEndpointId")) do
    get(c, "endpoint", id)
    c.region.all[id] = nil
    ec2.release_interfaces(c, "VPC Endpoint Interface " .. id)
  end
  return { unsuccessful = {} }
end

-- ---- security groups

function ec2.CreateSecurityGroup(c)
  need(c.p, "GroupName", "GroupDescription", "VpcId")
  get(c, "vpc", c.p.VpcId)
  each(c, "sg", function(g)
    if g.vpcId == c.p.VpcId and g.groupName == c.p.GroupName then
      refuse("InvalidGroup.Duplicate", ("The security group '%s' already exists for VPC '%s'"):format(c.p.GroupName, c.p.VpcId))
    end
  end)
  local g = new_group(c, c.p.GroupName, c.p.GroupDescription, c.p.VpcId, core.tags(c.p, "security-group"))
  return { groupId = g.groupId, ["return"] = "true" }
end
function ec2.DescribeSecurityGroups(c) return describe(c, "sg") end

-- One rule each: protocol, ports and one source.
local function rules_of(c)
  local out = {}
  for _, permission in ipairs(core.structures(c.p, "IpPermissions")) do
    local base = { permission.IpProtocol, permission.FromPort or "", permission.ToPort or "" }
    local function rule(kind, value, text)
      out[#out + 1] = { key = table.concat(base, "/") .. "/" .. kind .. "/" .. value, kind = kind, value = value, description = text, protocol = base[1], from = permission.FromPort, to = permission.ToPort }
    end
    for _, r in ipairs(core.structures(permission, "IpRanges")) do rule("ipRanges", r.CidrIp, r.Description) end
    for _, r in ipairs(core.structures(permission, "Ipv6Ranges")) do rule("ipv6Ranges", r.CidrIpv6, r.Description) end
    for _, r in ipairs(core.structures(permission, "Groups")) do
      get(c, "sg", r.GroupId)
      rule("groups", r.GroupId, r.Description)
    end
  end
  return out
end

local fields = { ipRanges = "cidrIp", ipv6Ranges = "cidrIpv6", groups = "groupId" }
local function find_rule(list, rule)
  for index, p in ipairs(list) do
    if p.ipProtocol == rule.protocol and p.fromPort == rule.from and p.toPort == rule.to then
      for at, source in ipairs(p[rule.kind]) do
        if source[fields[rule.kind]] == rule.value then return p, index, at end
      end
    end
  end
end

local function authorize(c, field)
  local g = get(c, "sg", c.p.GroupId)
  local rules = rules_of(c)
  for _, rule in ipairs(rules) do
    if find_rule(g[field], rule) then
      refuse("InvalidPermission.Duplicate", ("the specified rule \"peer: %s\" already exists"):format(rule.value))
    end
  end
  for _, rule in ipairs(rules) do
    local p = { ipProtocol = rule.protocol, fromPort = rule.from, toPort = rule.to, ipRanges = {}, ipv6Ranges = {}, groups = {}, prefixListIds = {} }
    p[rule.kind] = { { [fields[rule.kind]] = rule.value, description = rule.description, userId = rule.kind == "groups" and core.account or nil } }
    table.insert(g[field], p)
  end
  return done
end
local function revoke(c, field)
  local g = get(c, "sg", c.p.GroupId)
  for _, rule in ipairs(rules_of(c)) do
    local _, index = find_rule(g[field], rule)
    if not index then refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.") end
    table.remove(g[field], index)
  end
  return done
end
function ec2.AuthorizeSecurityGroupIngress(c) return authorize(c, "ipPermissions") end
function ec2.AuthorizeSecurityGroupEgress(c) return authorize(c, "ipPermissionsEgress") end
function ec2.RevokeSecurityGroupIngress(c) return revoke(c, "ipPermissions") end
function ec2.RevokeSecurityGroupEgress(c) return revoke(c, "ipPermissionsEgress") end

function ec2.DeleteSecurityGroup(c)
  local g = get(c, "sg", c.p.GroupId)
  if g.groupName == "default" then refuse("CannotDelete", "the specified group: \"" .. g.groupId .. "\" name: \"default\" cannot be deleted by a user") end
  local function used() refuse("DependencyViolation", ("resource %s has a dependent object"):format(g.groupId)) end
  each(c, "eni", function(e)
    for _, one in ipairs(e.groupSet) do
      if one.groupId == g.groupId then used() end
    end
  end)
  each(c, "sg", function(other)
    for _, field in ipairs { "ipPermissions", "ipPermissionsEgress" } do
      for _, p in ipairs(other[field]) do
        for _, source in ipairs(p.groups) do
          if source.groupId == g.groupId and other.groupId ~= g.groupId then used() end
        end
      end
    end
  end)
  c.region.all[g.groupId] = nil
  return { ["return"] = "true", groupId = g.groupId }
end

-- ---- DHCP options, keys, templates

function ec2.CreateDhcpOptions(c)
  local set = {}
  for i, entry in ipairs(core.structures(c.p, "DhcpConfiguration")) do
    local values = {}
    for k, value in ipairs(core.list(entry, "Value")) do values[k] = { value = value } end
    set[i] = { key = entry.Key, valueSet = values }
  end
  return { dhcpOptions = add(c, "dhcp", { dhcpConfigurationSet = set }) }
end
function ec2.DescribeDhcpOptions(c) return describe(c, "dhcp") end
function ec2.AssociateDhcpOptions(c)
  local vpc = get(c, "vpc", c.p.VpcId)
  if c.p.DhcpOptionsId ~= "default" then get(c, "dhcp", c.p.DhcpOptionsId) end
  vpc.dhcpOptionsId = c.p.DhcpOptionsId
  return done
end
function ec2.DeleteDhcpOptions(c)
  local r = get(c, "dhcp", c.p.DhcpOptionsId)
  each(c, "vpc", function(v) if v.dhcpOptionsId == r.dhcpOptionsId then depends("dhcpOptions", r.dhcpOptionsId) end end)
  c.region.all[r.dhcpOptionsId] = nil
  return done
end

function ec2.ImportKeyPair(c)
  need(c.p, "KeyName", "PublicKeyMaterial")
  each(c, "key", function(k)
    if k.keyName == c.p.KeyName then refuse("InvalidKeyPair.Duplicate", ("The keypair '%s' already exists."):format(c.p.KeyName)) end
  end)
  local text = netlab.base64.decode(c.p.PublicKeyMaterial)
  if not text or not text:find "^ssh%-" then refuse("InvalidKey.Format", "Key is not in valid OpenSSH public key format") end
  local k = add(c, "key", { keyName = c.p.KeyName, keyFingerprint = netlab.digest.sha256(text):sub(1, 32), keyType = "ed25519" })
  return { keyName = k.keyName, keyFingerprint = k.keyFingerprint, keyPairId = k.keyPairId }
end
function ec2.DescribeKeyPairs(c) return describe(c, "key") end
function ec2.DeleteKeyPair(c)
  each(c, "key", function(k)
    if k.keyName == c.p.KeyName or k.keyPairId == c.p.KeyPairId then c.region.all[k.keyPairId] = nil end
  end)
  return done
end

-- Flat parameters as a table: "Ebs.VolumeSize" → Ebs = { VolumeSize = … }, "Tag.1.Key" → lists.
local function unflatten(flat)
  local out = {}
  for key, value in pairs(flat) do
    local at = out
    local parts = {}
    for part in key:gmatch "[^.]+" do parts[#parts + 1] = tonumber(part) or part end
    for i = 1, #parts - 1 do
      at[parts[i]] = at[parts[i]] or {}
      at = at[parts[i]]
    end
    at[parts[#parts]] = value
  end
  return out
end
ec2.unflatten = unflatten

local answer_names = { BlockDeviceMapping = "blockDeviceMappingSet", NetworkInterface = "networkInterfaceSet", SecurityGroupId = "securityGroupIdSet", TagSpecification = "tagSpecificationSet", Tag = "tagSet", ElasticGpuSpecification = "elasticGpuSpecificationSet" }
local function answer_shape(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for key, inner in pairs(value) do
    if type(key) == "number" then
      out[key] = answer_shape(inner)
    else
      out[answer_names[key] or key:sub(1, 1):lower() .. key:sub(2)] = answer_shape(inner)
    end
  end
  return out
end

local function template_data(c, prefix)
  local data = core.below(c.p, prefix .. ".")
  if not data then refuse("MissingParameter", "The request must contain the parameter LaunchTemplateData") end
  return unflatten(data)
end

function ec2.CreateLaunchTemplate(c)
  return once(c, function()
    need(c.p, "LaunchTemplateName")
    each(c, "lt", function(t)
      if t.launchTemplateName == c.p.LaunchTemplateName then
        refuse("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
      end
    end)
    local t = add(c, "lt", { launchTemplateName = c.p.LaunchTemplateName, defaultVersionNumber = "1", latestVersionNumber = "1", createTime = netlab.time() })
    t._versions = { template_data(c, "LaunchTemplateData") }
    t._texts = { c.p.VersionDescription or "" }
    return { launchTemplate = t }
  end)
end
local function find_template(c, p)
  if p.LaunchTemplateId then return get(c, "lt", p.LaunchTemplateId) end
  local found = each(c, "lt", function(t) return t.launchTemplateName == p.LaunchTemplateName and t end)
  return found or refuse("InvalidLaunchTemplateName.NotFoundException", ("The specified launch template, with template name %s, does not exist."):format(tostring(p.LaunchTemplateName)))
end
function ec2.DescribeLaunchTemplates(c) return describe(c, "lt") end
function ec2.CreateLaunchTemplateVersion(c)
  return once(c, function()
    local t = find_template(c, c.p)
    t._versions[#t._versions + 1] = template_data(c, "LaunchTemplateData")
    t._texts[#t._versions] = c.p.VersionDescription or ""
    t.latestVersionNumber = tostring(#t._versions)
    return { launchTemplateVersion = { launchTemplateId = t.launchTemplateId, launchTemplateName = t.launchTemplateName, versionNumber = t.latestVersionNumber } }
  end)
end
function ec2.DescribeLaunchTemplateVersions(c)
  local t = find_template(c, c.p)
  local out = {}
  for i, data in ipairs(t._versions) do
    local wanted = true
    for _, v in ipairs(core.list(c.p, "LaunchTemplateVersion")) do
      wanted = v == tostring(i) or (v == "$Latest" and i == #t._versions) or (v == "$Default" and tostring(i) == t.defaultVersionNumber)
    end
    if wanted then
      out[#out + 1] = { launchTemplateId = t.launchTemplateId, launchTemplateName = t.launchTemplateName, versionNumber = tostring(i), versionDescription = t._texts[i], defaultVersion = tostring(tostring(i) == t.defaultVersionNumber), launchTemplateData = answer_shape(data) }
    end
  end
  return { launchTemplateVersionSet = out }
end
function ec2.ModifyLaunchTemplate(c)
  local t = find_template(c, c.p)
  if not t._versions[tonumber(c.p.SetDefaultVersion)] then refuse("InvalidLaunchTemplateId.VersionNotFound", "no such version") end
  t.defaultVersionNumber = c.p.SetDefaultVersion
  return { launchTemplate = t }
end
function ec2.DeleteLaunchTemplate(c)
  local t = find_template(c, c.p)
  c.region.all[t.launchTemplateId] = nil
  return { launchTemplate = t }
end

-- ---- instances

local images = {
  ["ami-0debian12arm64000"] = { architecture = "arm64", name = "debian-12-arm64", size = "2" },
  ["ami-0ubuntu2404arm640"] = { architecture = "arm64", name = "ubuntu-24.04-arm64", size = "8" },
  ["ami-0talosarm64000000"] = { architecture = "arm64", name = "talos-v1.11.3-eu-west-1-arm64", size = "2" },
  ["ami-0ipxearm640000000"] = { architecture = "arm64", name = "ipxe-arm64", size = "1" },
}
function ec2.DescribeImages(c)
  local out = {}
  for _, id in ipairs(core.list(c.p, "ImageId")) do
    local image = images[id] or refuse("InvalidAMIID.NotFound", ("The image id '[%s]' does not exist"):format(id))
    out[#out + 1] = { imageId = id, architecture = image.architecture, name = image.name, imageState = "available", rootDeviceName = "/dev/xvda", blockDeviceMapping = { { deviceName = "/dev/xvda", ebs = { volumeSize = image.size } } } }
  end
  return { imagesSet = out }
end

local function merge(base, over)
  local out = {}
  for k, v in pairs(base) do out[k] = v end
  for k, v in pairs(over) do out[k] = v end
  return out
end

local states = { pending = "0", running = "16", ["shutting-down"] = "32", terminated = "48", stopping = "64", stopped = "80" }
local function set_state(r, name) r.instanceState = { name = name, code = states[name] } end

local function launch(c, spec, tags)
  local image = images[spec.ImageId or ""] or refuse("InvalidAMIID.NotFound", ("The image id '[%s]' does not exist"):format(tostring(spec.ImageId)))
  local kind = spec.InstanceType or "m1.small"
  local arm = kind:find "^t4g" ~= nil
  if arm ~= (image.architecture == "arm64") then
    refuse("InvalidParameterValue", ("The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI."):format(arm and "arm64" or "x86_64", image.architecture))
  end
  if spec.IamInstanceProfile then
    local profile = c.world.iam.profiles[spec.IamInstanceProfile.Name or ""]
    if not profile or core.now(c.world) < profile._visible then
      refuse("InvalidParameterValue", ("Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"):format(tostring(spec.IamInstanceProfile.Name)))
    end
  end
  if spec.KeyName and not each(c, "key", function(k) return k.keyName == spec.KeyName end) then
    refuse("InvalidKeyPair.NotFound", ("The key pair '%s' does not exist"):format(spec.KeyName))
  end
  local first = spec.NetworkInterface and spec.NetworkInterface[1] or {}
  local eni
  local r = add(c, "instance", { instanceType = kind, imageId = spec.ImageId, architecture = image.architecture, launchTime = netlab.time(), tagSet = tags, keyName = spec.KeyName,
    clientToken = c.p.ClientToken, rootDeviceName = "/dev/xvda", metadataOptions = { httpTokens = spec.MetadataOptions and spec.MetadataOptions.HttpTokens or "optional" },
    iamInstanceProfile = spec.IamInstanceProfile and { arn = "arn:aws:iam::" .. core.account .. ":instance-profile/" .. spec.IamInstanceProfile.Name } or nil })
  r._user_data = spec.UserData
  local ok, why = pcall(function()
    if first.NetworkInterfaceId then
      eni = get(c, "eni", first.NetworkInterfaceId)
      attach(c, eni, r, 0, first.DeleteOnTermination == "true")
    else
      local subnet = get(c, "subnet", first.SubnetId or spec.SubnetId)
      eni = new_interface(c, subnet, { groups = first.SecurityGroupId or spec.SecurityGroupId, address = first.PrivateIpAddress or spec.PrivateIpAddress, tags = {}, ipv6 = subnet.assignIpv6AddressOnCreation == "true" or (tonumber(first.Ipv6AddressCount) or 0) > 0 })
      attach(c, eni, r, 0, first.DeleteOnTermination ~= "false")
      if first.AssociatePublicIpAddress == "true" then eni.association = { publicIp = core.address(c.world) } end
    end
    for i = 2, #(spec.NetworkInterface or {}) do
      local other = spec.NetworkInterface[i]
      attach(c, get(c, "eni", other.NetworkInterfaceId), r, tonumber(other.DeviceIndex) or i - 1, other.DeleteOnTermination == "true")
    end
  end)
  if not ok then
    c.region.all[r.instanceId] = nil
    error(why, 0)
  end
  r.subnetId, r.vpcId, r.privateIpAddress, r.groupSet = eni.subnetId, eni.vpcId, eni.privateIpAddress, eni.groupSet
  r.placement = { availabilityZone = eni.availabilityZone }
  local device = spec.BlockDeviceMapping and spec.BlockDeviceMapping[1] and spec.BlockDeviceMapping[1].Ebs or {}
  if device.VolumeSize and tonumber(device.VolumeSize) < tonumber(image.size) then
    c.region.all[r.instanceId] = nil
    eni.status, eni.attachment = "available", nil
    refuse("InvalidBlockDeviceMapping", ("Volume of size %sGB is smaller than snapshot, expect size>= %sGB"):format(device.VolumeSize, image.size))
  end
  local volume = add(c, "volume", { size = device.VolumeSize or image.size, volumeType = device.VolumeType or "gp2", status = "in-use", availabilityZone = eni.availabilityZone, encrypted = device.Encrypted or "false", createTime = netlab.time(),
    tagSet = spec._volume_tags or {}, attachmentSet = { { instanceId = r.instanceId, device = "/dev/xvda", status = "attached", deleteOnTermination = device.DeleteOnTermination or "true" } } })
  r.blockDeviceMapping = { { deviceName = "/dev/xvda", ebs = { volumeId = volume.volumeId, status = "attached", deleteOnTermination = device.DeleteOnTermination or "true" } } }
  r._cpu = spec.CreditSpecification and spec.CreditSpecification.CpuCredits or "unlimited"
  set_state(r, "pending")
  r._ready, r._on_ready = core.now(c.world) + c.world.delay, function(i) set_state(i, "running") end
  return r
end

local function with_public(c, r)
  local out = merge(r, {})
  local interfaces = {}
  each(c, "eni", function(e)
    if e.attachment and e.attachment.instanceId == r.instanceId then
      interfaces[#interfaces + 1] = e
      if e.attachment.deviceIndex == "0" then
        out.ipAddress = e.association and e.association.publicIp or nil
        out.ipv6Address = e.ipv6AddressesSet[1] and e.ipv6AddressesSet[1].ipv6Address or nil
      end
    end
  end)
  out.networkInterfaceSet = interfaces
  return out
end

local function tags_of(data, kind)
  local out = {}
  for _, s in ipairs(data.TagSpecification or {}) do
    if s.ResourceType == kind then
      for _, t in ipairs(s.Tag or {}) do out[#out + 1] = { key = t.Key, value = t.Value } end
    end
  end
  return out
end

function ec2.launch_from(c, template, extra, tags)
  local data = merge(template or {}, extra or {})
  data._volume_tags = tags_of(data, "volume")
  local all = tags_of(data, "instance")
  for _, t in ipairs(tags or {}) do all[#all + 1] = t end
  return launch(c, data, all)
end

function ec2.RunInstances(c)
  return once(c, function()
    local own = unflatten(c.p)
    local data = {}
    if own.LaunchTemplate then
      local t = find_template(c, own.LaunchTemplate)
      local v = own.LaunchTemplate.Version
      data = t._versions[(v == "$Latest" and #t._versions) or tonumber((v == "$Default" or not v) and t.defaultVersionNumber or v)]
    end
    own.LaunchTemplate = nil
    local out = {}
    for i = 1, tonumber(c.p.MaxCount) or 1 do
      out[i] = with_public(c, ec2.launch_from(c, data, own))
    end
    return { reservationId = core.id(c.world, "r"), ownerId = core.account, instancesSet = out }
  end)
end

function ec2.DescribeInstances(c)
  local answer = describe(c, "instance", function(r) return with_public(c, r) end)
  local out = {}
  for i, r in ipairs(answer.instancesSet) do
    out[i] = { reservationId = "r-" .. r.instanceId:sub(3), ownerId = core.account, instancesSet = { r } }
  end
  return { reservationSet = out, nextToken = answer.nextToken }
end

function ec2.terminate(c, r)
  if r.instanceState.name == "terminated" or r.instanceState.name == "shutting-down" then return end
  set_state(r, "shutting-down")
  r._ready, r._on_ready = core.now(c.world) + c.world.delay, function(i)
    set_state(i, "terminated")
    i._gone = core.now(c.world) + 3600
    for id, e in pairs(c.region.all) do
      if e._kind == "eni" and e.attachment and e.attachment.instanceId == i.instanceId then
        each(c, "eip", function(a) if a.networkInterfaceId == id and e.attachment.deleteOnTermination == "true" then unmap_address(c, a) end end)
        if e.attachment.deleteOnTermination == "true" then
          -- Still there for a while after its instance is gone.
          e._gone = core.now(c.world) + c.world.delay * 0.5
        else
          e.status, e.attachment = "available", nil
        end
      elseif e._kind == "volume" and e.attachmentSet[1] and e.attachmentSet[1].instanceId == i.instanceId then
        if e.attachmentSet[1].deleteOnTermination == "true" then
          e._gone = core.now(c.world)
        else
          e.status, e.attachmentSet = "available", {}
        end
      end
    end
  end
end

local function change_state(c, fn)
  local out = {}
  for i, id in ipairs(core.list(c.p, "InstanceId")) do
    local r = get(c, "instance", id)
    local before = r.instanceState
    fn(r)
    out[i] = { instanceId = id, previousState = before, currentState = r.instanceState }
  end
  return { instancesSet = out }
end
function ec2.TerminateInstances(c) return change_state(c, function(r) ec2.terminate(c, r) end) end
function ec2.StopInstances(c)
  return change_state(c, function(r)
    if r.instanceState.name ~= "running" and r.instanceState.name ~= "stopped" then refuse("IncorrectInstanceState", "The instance is not in a state from which it can be stopped.") end
    set_state(r, "stopping")
    r._ready, r._on_ready = core.now(c.world) + c.world.delay, function(i) set_state(i, "stopped") end
  end)
end
function ec2.StartInstances(c)
  return change_state(c, function(r)
    if r.instanceState.name ~= "stopped" and r.instanceState.name ~= "running" then refuse("IncorrectInstanceState", "The instance is not in a state from which it can be started.") end
    set_state(r, "pending")
    r._ready, r._on_ready = core.now(c.world) + c.world.delay, function(i) set_state(i, "running") end
  end)
end

function ec2.DescribeVolumes(c) return describe(c, "volume") end
function ec2.DescribeSnapshots(c) return describe(c, "snapshot") end
function ec2.CreateSnapshot(c)
  local volume = get(c, "volume", c.p.VolumeId)
  return add(c, "snapshot", { volumeId = volume.volumeId, volumeSize = volume.size, status = "completed", startTime = netlab.time() })
end
function ec2.DeleteVolume(c)
  local v = get(c, "volume", c.p.VolumeId)
  if v.status ~= "available" then refuse("VolumeInUse", ("Volume %s is currently attached to %s"):format(v.volumeId, v.attachmentSet[1] and v.attachmentSet[1].instanceId or "?")) end
  c.region.all[v.volumeId] = nil
  return done
end

function ec2.DescribeRegions(c)
  local out = {}
  for i, name in ipairs(c.world.enabled) do
    out[i] = { regionName = name, regionEndpoint = ("ec2.%s.amazonaws.com"):format(name), optInStatus = "opt-in-not-required" }
  end
  return { regionInfo = out }
end

function ec2.CreateTags(c)
  for _, id in ipairs(core.list(c.p, "ResourceId")) do
    local r = c.region.all[id] or refuse("InvalidID", ("The ID '%s' is not valid"):format(id))
    for _, tag in ipairs(core.structures(c.p, "Tag")) do core.set_tag(r, tag.Key, tag.Value or "") end
    if #r.tagSet > 50 then refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.") end
  end
  return done
end
function ec2.DeleteTags(c)
  for _, id in ipairs(core.list(c.p, "ResourceId")) do
    local r = c.region.all[id] or refuse("InvalidID", ("The ID '%s' is not valid"):format(id))
    for _, tag in ipairs(core.structures(c.p, "Tag")) do
      for i, t in ipairs(r.tagSet) do
        if t.key == tag.Key then table.remove(r.tagSet, i) break end
      end
    end
  end
  return done
end

-- The answer of one action as XML. `c` is { world, region, p, action }.
function ec2.answer(c)
  settle(c)
  local handler = ec2[c.action]
  if not handler or not c.action:find "^%u" then
    refuse("InvalidAction", ("The action %s is not valid for this web service."):format(tostring(c.action)))
  end
  if c.p.DryRun == "true" then
    refuse("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
  end
  local out = handler(c)
  return ('<?xml version="1.0" encoding="UTF-8"?>\n<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>%s</requestId>%s</%sResponse>'):format(
    c.action, core.id(c.world, "req"), core.xml(out, "item"), c.action)
end

ec2.settle, ec2.each, ec2.get, ec2.find_template = settle, each, get, find_template
return ec2
