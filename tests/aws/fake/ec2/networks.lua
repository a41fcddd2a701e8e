-- VPCs, subnets and the DHCP options of VPCs.
local core = require "fake.core"
local connections = require "fake.ec2.connections"
local groups = require "fake.ec2.groups"
local resources = require "fake.ec2.resources"

local actions = {}
local refuse, need = core.refuse, core.need
local add, get, each, describe, depends, take_values, done = resources.add, resources.get, resources.each, resources.describe, resources.depends, resources.take_values, resources.done

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

function actions.CreateVpc(c)
  need(c.p, "CidrBlock")
  local n = core.network(c.p.CidrBlock)
  if n.bits < 16 or n.bits > 28 then
    refuse("InvalidVpc.Range", ("The CIDR '%s' is invalid."):format(c.p.CidrBlock))
  end
  local r = add(c, "vpc", { cidrBlock = c.p.CidrBlock, state = "available", isDefault = "false", instanceTenancy = "default", dhcpOptionsId = "default", _dns_hostnames = "false", _dns_support = "true" })
  if c.p.AmazonProvidedIpv6CidrBlock == "true" then
    r.ipv6CidrBlockAssociationSet = { { associationId = core.id(c.world, "vpc-cidr-assoc"), ipv6CidrBlock = ("2a05:d018:%x:%x00::/56"):format(c.world.serial, c.world.serial % 16 + 1), ipv6CidrBlockState = { state = "associated" } } }
  end
  groups.new(c, "default", "default VPC security group", r.vpcId)
  connections.default_acl(c, r)
  local main = add(c, "rtb", { vpcId = r.vpcId, tagSet = {}, associationSet = { { main = "true", routeTableAssociationId = core.id(c.world, "rtbassoc"), associationState = { state = "associated" } } },
    routeSet = { { destinationCidrBlock = r.cidrBlock, gatewayId = "local", state = "active", origin = "CreateRouteTable" } } })
  for _, a in ipairs(main.associationSet) do
    a.routeTableId = main.routeTableId
  end
  return { vpc = r }
end

function actions.DescribeVpcs(c) return describe(c, "vpc") end

function actions.DescribeVpcAttribute(c)
  local r = get(c, "vpc", c.p.VpcId)
  local name = c.p.Attribute
  return { vpcId = r.vpcId, [name] = { value = name == "enableDnsHostnames" and r._dns_hostnames or r._dns_support } }
end

function actions.ModifyVpcAttribute(c)
  return take_values(c, get(c, "vpc", c.p.VpcId), { _dns_hostnames = "EnableDnsHostnames", _dns_support = "EnableDnsSupport" })
end

function actions.DeleteVpc(c)
  local r = get(c, "vpc", c.p.VpcId)
  local function used(other)
    local held = connections.hold(other, r.vpcId)
    if held ~= nil then
      return held
    end
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
    if other.vpcId == r.vpcId and (other._kind == "sg" or other._kind == "rtb" or other._kind == "acl") then
      c.region.all[id] = nil
    end
  end
  c.region.all[r.vpcId] = nil
  return done
end

function actions.CreateSubnet(c)
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

function actions.DescribeSubnets(c) return describe(c, "subnet") end

function actions.ModifySubnetAttribute(c)
  return take_values(c, get(c, "subnet", c.p.SubnetId), { mapPublicIpOnLaunch = "MapPublicIpOnLaunch", assignIpv6AddressOnCreation = "AssignIpv6AddressOnCreation" })
end

function actions.DeleteSubnet(c)
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

function actions.CreateDhcpOptions(c)
  local set = {}
  for i, entry in ipairs(core.structures(c.p, "DhcpConfiguration")) do
    local values = {}
    for k, value in ipairs(core.list(entry, "Value")) do values[k] = { value = value } end
    set[i] = { key = entry.Key, valueSet = values }
  end
  return { dhcpOptions = add(c, "dhcp", { dhcpConfigurationSet = set }) }
end
function actions.DescribeDhcpOptions(c) return describe(c, "dhcp") end
function actions.AssociateDhcpOptions(c)
  local vpc = get(c, "vpc", c.p.VpcId)
  if c.p.DhcpOptionsId ~= "default" then get(c, "dhcp", c.p.DhcpOptionsId) end
  vpc.dhcpOptionsId = c.p.DhcpOptionsId
  return done
end
function actions.DeleteDhcpOptions(c)
  local r = get(c, "dhcp", c.p.DhcpOptionsId)
  each(c, "vpc", function(v) if v.dhcpOptionsId == r.dhcpOptionsId then depends("dhcpOptions", r.dhcpOptionsId) end end)
  c.region.all[r.dhcpOptionsId] = nil
  return done
end

return { actions = actions }
